/* A workspace's files, from outside. Everything is resolved beneath the workspace's folder, without any link
 * (openat2: RESOLVE_BENEATH, NO_SYMLINKS, NO_MAGICLINKS, NO_XDEV): whatever the commands in it made, nothing leads out
 * of it. Files are regular ones or folders; FIFOs, sockets and devices are refused. What is made belongs to the
 * folder's owner. Blocking calls for worker threads; 0, a descriptor, or -errno: -ELOOP a link in the way, -EXDEV out
 * of the workspace, -EINVAL no path, -EMEDIUMTYPE neither a file nor a folder. */
#pragma once

#include <dirent.h>
#include <sys/stat.h>

#include "base/arena.h"

#define TREE_PATH_MAX 4000
#define TREE_DEPTH_MAX 100

/* Of a workspace: [A-Za-z0-9_-]{1,64}. */
bool workspace_is_valid(struct str name);
/* Parts of 1 to 255 bytes between slashes, none of them "." or ".."; "" is the workspace itself. */
bool tree_path_is_valid(struct str path);
/* Opens a folder. */
int tree_dir(int root, const char *path);
/* Opens a regular file or a folder for reading. */
int tree_open(int root, const char *path, struct stat *ret);
/* The folder that the path's last part is in, and that part. "" is -EINVAL. */
int tree_parent(int root, const char *path, const char **ret_name);
/* The same; folders that are missing are made. */
int tree_parent_make(int root, const char *path, const char **ret_name);
int tree_stat(int root, const char *path, struct stat *ret);
/* -EEXIST: something is there. */
int tree_mkdir(int root, const char *path, bool parents);
/* A file or an empty folder; all below it with `recursive`. */
int tree_remove(int root, const char *path, bool recursive);
/* -EEXIST: something is at `to` and `replace` is false. */
int tree_move(int root, const char *from, const char *to, bool replace);
/* -EMLINK: a regular file there, or below it, has more names than one. */
int tree_has_one_name_each(int root, const char *path);

/* A file that is written and then appears whole at its path, or not at all. */
struct tree_upload {
	int fd;
	char temporary[48]; /* its name for now where the file system has no files without one, otherwise "" */
	int parent;
};
int tree_upload_start(int root, const char *path, bool parents, struct tree_upload *ret);
/* At its path; mode: the file's permissions. -EEXIST: something is there and `replace` is false; -EISDIR. */
int tree_upload_place(struct tree_upload *u, int root, const char *path, mode_t mode, bool replace);
/* The same, and durable. */
int tree_upload_finish(struct tree_upload *u, int root, const char *path, mode_t mode, bool replace);
void tree_upload_deinit(struct tree_upload *u);

struct tree_item {
	const char *name; /* clean UTF-8 */
	struct stat st;
	const char *link; /* what a link says, otherwise NULL */
};
/* The folder's items behind `after` (may be NULL) by name, at most n; *ret_n may be n + 1: there are more. In the
 * arena. Names that are shown alike, since neither is UTF-8, are one place in the order. */
int tree_list(int root, const char *path, const char *after, size_t n, struct arena *a, struct tree_item **ret,
	      size_t *ret_n);

struct tree_size {
	uint64_t bytes, files; /* of regular files; of all items */
};
/* Copies the files, folders and links below one folder into another, with owners, permissions and times, as shared
 * blocks where the file system can. -EFBIG: more than max. */
int tree_copy(int from, int to, const struct tree_size *max, struct tree_size *ret);
/* The same, but regular files that did not change since the time (us) at which `like`, an earlier copy of the same
 * folder, was begun are further names of that copy's files. What is new is on the disk when it returns, up to its
 * names. *ret_new: bytes that were copied. Neither copy may be written to. */
int tree_copy_like(int from, int to, int like, int64_t since_us, const struct tree_size *max, struct tree_size *ret,
		   uint64_t *ret_new);
/* Whether nothing below the folder changed since that time: 1, 0 or -errno. */
int tree_is_unchanged(int dir, int64_t since_us);
/* What is below the folder; stops at max. */
int tree_measure(int dir, const struct tree_size *max, struct tree_size *ret);
/* Removes a folder and all below it, however deep. */
int tree_erase(int dir, const char *name);
