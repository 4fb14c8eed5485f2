/* Files of a workspace that programs obey without being asked: hooks and configuration of git, start files of shells,
 * settings of editors and agents, a workspace's own policy. A command can read them, and neither change nor make them:
 * each is a read-only mount of itself inside, and the folders above it are mounts too, so that nobody renames them
 * away.
 *
 * What is not there yet is held by a placeholder, which is gone when the last command of the workspace is: a hard link
 * to an empty file of ours in guard/, beside the folder of the workspaces (in its file system), so that it is told from
 * everything else by its inode, also after a crash. A missing folder above one is moved in, and out again if nothing
 * was put into it. Commands that share a workspace hold a shared lock on one byte of guard/lock, which dies with them;
 * the last one tidies up.
 *
 * A repository that a command makes gets its configuration from that command (git init writes one). It may have only
 * settings that run nothing, or it is removed when the command has ended. */
#pragma once

#include <limits.h>
#include <sys/types.h>

#include "base/util.h"

#define PROTECT_EXTRAS 24
#define PROTECT_PATH 256

/* One beneath the root, open for as long as names in it are looked at: they come one after the other. */
struct protect_folder {
	int fd; /* -1 = none */
	char path[PROTECT_PATH];
};

struct protection {
	int lock_fd, root_fd, guard_fd; /* -1 = none */
	struct protect_folder folder;
	char name[NAME_MAX + 1]; /* the workspace's folder */
	uint32_t project;        /* that it belongs to, 0 = none: only what belongs to it too can be linked into it */
	char empty[32], empty_new[32]; /* the files in guard/ that placeholders are links to */
	dev_t device;                  /* … and their numbers */
	ino_t empty_ino, empty_new_ino;
	bool is_newborn;   /* there is no .git/config yet, or it is as old as the commands that run */
	unsigned n_extras; /* where a .git file leads to, and submodules */
	char (*extras)[PROTECT_PATH];
	char removed[64]; /* what a command had made and protect_end took away; "" = nothing */
};

#define PROTECTION_INIT ((struct protection){.lock_fd = -1, .root_fd = -1, .guard_fd = -1, .folder = {.fd = -1}})

/* Whether the path beneath a workspace is one of the names, below one, or a folder above one. */
bool protect_covers(const char *path);
struct stat;
/* Whether that is most likely one of our placeholders: for who only looks at a workspace. */
bool protect_is_placeholder(const struct stat *st);
/* Patterns for git of those placeholders that it would otherwise see as new files. */
void protect_ignores(char *text, size_t size);

/* On the host, before the workspace is mounted inside: everything is there. 0 or -errno; *what names the file: -ELOOP
 * it is a link, -EMLINK it has other names. */
int protect_begin(const char *workspace, struct protection *p, const char **what);
/* In the sandbox's mount namespace, the workspace being at `path`. */
int protect_mount(const struct protection *p, const char *path, const char **what);
/* On the host, when nothing of the command runs any more. */
void protect_end(struct protection *p);
