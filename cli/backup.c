#include "backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/encode.h"
#include "data/sqlite_file.h"
#include "data_dir.h"

#define MANIFEST "manifest.json"
#define MANIFEST_MAX (4 << 20)
#define FORMAT 1

/* In the order in which they are copied. */
static const struct {
	const char *option, *name;
} databases[] = {{"agent_db_url", "langchain_agent.db"}, {"auth_db_url", "ogent_auth.db"}};

static const char *const plain_folders[] = {"secrets", "keys"};

static int fail(struct error *err, int code, const char *what, const char *path)
{
	error_set(err, "backup", "%s cannot be %s: %s", path, what, strerror(-code));
	return code;
}

/* The database's file in the data folder or where its option says; NULL when it is on a server. Free it. */
static char *database_path(const struct options *o, size_t i)
{
	const char *url = option_str(o, databases[i].option);

	if (!*url)
		return xasprintf("%s/db/%s", option_str(o, "data"), databases[i].name);
	if (strncmp(url, "sqlite:", 7))
		return NULL;
	url += 7;
	return xstrdup(strncmp(url, "//", 2) ? url : url + 2);
}

/* ---- Files ---- */

/* Reads all of `from`, to hash it and, unless to_fd is -1, to write it there. */
static int pump(int from_fd, int to_fd, int64_t *ret_size, char ret_hash[static SHA256_HEX_SIZE])
{
	static char buffer[256 * 1024];
	crypto_hash_sha256_state hash;
	uint8_t digest[SHA256_SIZE];
	ssize_t n;

	*ret_size = 0;
	crypto_hash_sha256_init(&hash);
	while ((n = read(from_fd, buffer, sizeof(buffer))) > 0) {
		crypto_hash_sha256_update(&hash, (const uint8_t *)buffer, (size_t)n);
		*ret_size += n;
		for (ssize_t done = 0; to_fd >= 0 && done < n;) {
			ssize_t w = write(to_fd, buffer + done, (size_t)(n - done));
			if (w < 0)
				return -errno;
			done += w;
		}
	}
	if (n < 0)
		return -errno;
	crypto_hash_sha256_final(&hash, digest);
	hex_encode(digest, sizeof(digest), ret_hash);
	return to_fd >= 0 && fsync(to_fd) < 0 ? -errno : 0;
}

static int hash_file(const char *path, int64_t *ret_size, char ret_hash[static SHA256_HEX_SIZE], struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), r = fd < 0 ? -errno : 0;

	if (fd >= 0) {
		r = pump(fd, -1, ret_size, ret_hash);
		close(fd);
	}
	return r < 0 ? fail(err, r, "read", path) : 0;
}

static int copy_file(const char *from, const char *to, struct error *err)
{
	char hash[SHA256_HEX_SIZE];
	struct stat st;
	int64_t size;
	int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), out = -1, r;

	if (in < 0 || fstat(in, &st) < 0) {
		r = fail(err, -errno, "read", from);
		goto out;
	}
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	r = out < 0 ? -errno : pump(in, out, &size, hash);
	if (r == 0)
		r = fchmod(out, st.st_mode & 0777) < 0 ? -errno : 0;
	if (r < 0)
		fail(err, r, "written", to);
out:
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return r;
}

static int make_folder(const char *path, struct error *err)
{
	return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : fail(err, -errno, "made", path);
}

/* GNU tar keeps owners, holes and what else workspaces hold. Its 1 means that a file changed meanwhile. */
static int run_tar(const char *const *argv, struct error *err)
{
	extern char **environ;
	pid_t pid;
	int status, r = posix_spawnp(&pid, "tar", NULL, NULL, (char *const *)(uintptr_t)argv, environ);

	if (r)
		return fail(err, -r, "started", "tar");
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return fail(err, -errno, "waited for", "tar");
	if (WIFEXITED(status) && WEXITSTATUS(status) <= 1)
		return 0;
	error_set(err, "backup", "tar failed with status %d: its message is above",
		  WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	return -EIO;
}

/* ---- Making ---- */

struct making {
	const char *data, *dir;
	struct arena *arena;
	yyjson_mut_doc *doc;
	yyjson_mut_val *files;
	struct error *err;
};

static int note_file(struct making *m, const char *name)
{
	char hash[SHA256_HEX_SIZE];
	int64_t size;
	int r = hash_file(arena_printf(m->arena, "%s/%s", m->dir, name), &size, hash, m->err);

	if (r < 0)
		return r;
	yyjson_mut_val *item = yyjson_mut_arr_add_obj(m->doc, m->files);
	json_add_str(m->doc, item, "name", name);
	yyjson_mut_obj_add_int(m->doc, item, "size", size);
	json_add_str(m->doc, item, "sha256", hash);
	return 0;
}

static int save_databases(struct making *m, const struct options *o, void (*on_note)(const char *text))
{
	int r = make_folder(arena_printf(m->arena, "%s/db", m->dir), m->err);

	for (size_t i = 0; i < ARRAY_SIZE(databases) && r == 0; i++) {
		char *from = database_path(o, i);
		const char *name = arena_printf(m->arena, "db/%s", databases[i].name);

		if (from)
			r = sqlite_file_copy(from, arena_printf(m->arena, "%s/%s", m->dir, name), m->err);
		else
			on_note(arena_printf(m->arena,
					     "the database of %s is on a server and is not in this backup: save it "
					     "with the server's own tools",
					     databases[i].option));
		if (from && r == 0)
			r = note_file(m, name);
		free(from);
	}
	return r;
}

/* The plain files of one folder. What is being replaced just now has another name for a moment, with a dot. */
static int save_folder(struct making *m, const char *folder)
{
	const char *from = arena_printf(m->arena, "%s/%s", m->data, folder);
	int r = make_folder(arena_printf(m->arena, "%s/%s", m->dir, folder), m->err);
	DIR *d = opendir(from);

	if (!d)
		return errno == ENOENT ? r : fail(m->err, -errno, "read", from);
	for (struct dirent *e; r == 0 && (e = readdir(d));) {
		const char *name = arena_printf(m->arena, "%s/%s", folder, e->d_name);

		if (e->d_name[0] == '.' || e->d_type != DT_REG)
			continue;
		r = copy_file(arena_printf(m->arena, "%s/%s", m->data, name),
			      arena_printf(m->arena, "%s/%s", m->dir, name), m->err);
		if (r == 0)
			r = note_file(m, name);
	}
	closedir(d);
	return r;
}

static int save_conf(struct making *m)
{
	const char *from = arena_printf(m->arena, "%s/ogent.conf", m->data);

	if (access(from, F_OK) < 0)
		return 0;
	int r = copy_file(from, arena_printf(m->arena, "%s/ogent.conf", m->dir), m->err);
	return r < 0 ? r : note_file(m, "ogent.conf");
}

static int save_exec(struct making *m)
{
	const char *argv[] = {"tar",
			      "--create",
			      arena_printf(m->arena, "--file=%s/exec.tar", m->dir),
			      arena_printf(m->arena, "--directory=%s", m->data),
			      "--numeric-owner",
			      "--sparse",
			      "--warning=no-file-changed",
			      "--warning=no-file-removed",
			      "--warning=no-file-ignored",
			      "exec",
			      NULL};

	if (access(arena_printf(m->arena, "%s/exec", m->data), F_OK) < 0)
		return 0;
	int r = run_tar(argv, m->err);
	return r < 0 ? r : note_file(m, "exec.tar");
}

static int write_manifest(struct making *m, yyjson_mut_val *root)
{
	const char *path = arena_printf(m->arena, "%s/" MANIFEST, m->dir);
	struct str text = json_text(m->arena, m->doc);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), r = 0;

	if (fd < 0 || write(fd, text.p, text.n) != (ssize_t)text.n || fsync(fd) < 0 || syncfs(fd) < 0)
		r = fail(m->err, errno ? -errno : -EIO, "written", path);
	if (fd >= 0)
		close(fd);
	return r;
}

static int make_all(struct making *m, const struct options *o, void (*on_note)(const char *text))
{
	char now[TIME_TEXT_SIZE];
	yyjson_mut_val *root = json_new_obj(m->arena, &m->doc);
	int r = save_databases((m->files = yyjson_mut_arr(m->doc), m), o, on_note);

	for (size_t i = 0; i < ARRAY_SIZE(plain_folders) && r == 0; i++)
		r = save_folder(m, plain_folders[i]);
	if (r == 0)
		r = save_conf(m);
	if (r == 0)
		r = save_exec(m);
	time_format(clock_now_us(), now);
	yyjson_mut_obj_add_int(m->doc, root, "format", FORMAT);
	json_add_str(m->doc, root, "version", OGENT_VERSION);
	json_add_str(m->doc, root, "created_at", now);
	yyjson_mut_obj_add_val(m->doc, root, "files", m->files);
	return r < 0 ? r : write_manifest(m, root);
}

/* What a backup that failed has made: its own names only. */
static void remove_made(const char *dir)
{
	static const char *const folders[] = {"db", "secrets", "keys", ""};

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		char *folder = xasprintf("%s/%s", dir, folders[i]);
		DIR *d = opendir(folder);

		for (struct dirent *e; d && (e = readdir(d));)
			if (e->d_type == DT_REG)
				unlinkat(dirfd(d), e->d_name, 0);
		if (d)
			closedir(d);
		rmdir(folder);
		free(folder);
	}
}

int backup_make(const struct options *options, const char *dir, void (*on_note)(const char *text), struct error *err)
{
	struct making m = {.data = option_str(options, "data"), .err = err, .arena = arena_new()};
	char *unfinished = xasprintf("%s.unfinished", dir);
	int r = 0;

	m.dir = unfinished;
	if (access(m.data, R_OK) < 0)
		r = fail(err, -errno, "read", m.data);
	else if (access(dir, F_OK) == 0)
		r = fail(err, -EEXIST, "made", dir);
	else if (mkdir(unfinished, 0700) < 0)
		r = fail(err, -errno, "made", unfinished);
	else {
		r = make_all(&m, options, on_note);
		if (r == 0 && rename(unfinished, dir) < 0)
			r = fail(err, -errno, "made", dir);
		if (r < 0)
			remove_made(unfinished);
	}
	free(unfinished);
	arena_free(m.arena);
	return r;
}

/* ---- Restoring ---- */

/* Names come from a file that somebody may have changed. */
static bool is_ours(const char *name)
{
	static const char *const folders[] = {"db/", "secrets/", "keys/"};

	if (!strcmp(name, "ogent.conf") || !strcmp(name, "exec.tar"))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		size_t n = strlen(folders[i]);

		if (!strncmp(name, folders[i], n))
			return name[n] && name[n] != '.' && !strchr(name + n, '/');
	}
	return false;
}

static int check_file(const char *dir, yyjson_val *item, struct arena *a, struct error *err)
{
	const char *name = json_get_str(item, "name", ""), *path = arena_printf(a, "%s/%s", dir, name);
	char hash[SHA256_HEX_SIZE];
	int64_t size;

	if (!is_ours(name))
		return error_set(err, "backup", "%s/" MANIFEST " names a file that no backup has: %.100s", dir, name);
	int r = hash_file(path, &size, hash, err);
	if (r < 0)
		return r;
	if (size != json_get_int(item, "size", -1) || strcmp(hash, json_get_str(item, "sha256", "")))
		return error_set(err, "backup", "%s is not as it was saved: take another backup", path);
	return strncmp(name, "db/", 3) ? 0 : sqlite_file_check(path, err);
}

static yyjson_val *read_manifest(const char *dir, struct arena *a, struct error *err)
{
	const char *path = arena_printf(a, "%s/" MANIFEST, dir);
	char *text = arena_alloc(a, MANIFEST_MAX);
	FILE *f = fopen(path, "re");

	if (!f) {
		error_set(err, "backup", "%s cannot be read: %s; is %s a backup?", path, strerror(errno), dir);
		return NULL;
	}
	size_t n = fread(text, 1, MANIFEST_MAX, f);
	fclose(f);
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, text, n, err));
	if (root && json_get_int(root, "format", 0) != FORMAT) {
		error_set(err, "backup", "%s is of another program version, %.40s: use that one", path,
			  json_get_str(root, "version", "unknown"));
		return NULL;
	}
	return root;
}

static bool is_empty(const char *path)
{
	DIR *d = opendir(path);
	bool empty = true;

	if (!d)
		return errno == ENOENT;
	for (struct dirent *e; empty && (e = readdir(d));)
		empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
	closedir(d);
	return empty;
}

/* Where a file of the backup belongs; NULL: the database is on a server now. Free it. */
static char *place_of(const struct options *o, const char *name)
{
	char database[64];

	for (size_t i = 0; i < ARRAY_SIZE(databases); i++) {
		snprintf(database, sizeof(database), "db/%s", databases[i].name);
		if (!strcmp(name, database))
			return database_path(o, i);
	}
	return xasprintf("%s/%s", option_str(o, "data"), name);
}

static int unpack(const struct options *o, const char *dir, struct arena *a, struct error *err)
{
	const char *argv[] = {"tar",
			      "--extract",
			      arena_printf(a, "--file=%s/exec.tar", dir),
			      arena_printf(a, "--directory=%s", option_str(o, "data")),
			      "--numeric-owner",
			      "--preserve-permissions",
			      NULL};

	return run_tar(argv, err);
}

static int place_file(const struct options *o, const char *dir, const char *name, struct arena *a, struct error *err)
{
	if (!strcmp(name, "exec.tar"))
		return unpack(o, dir, a, err);
	char *to = place_of(o, name);
	int r = to ? copy_file(arena_printf(a, "%s/%s", dir, name), to, err) : 0;
	free(to);
	return r;
}

static int restore_all(const struct options *o, const char *dir, struct arena *a, struct error *err)
{
	const char *data = option_str(o, "data");
	yyjson_val *manifest = read_manifest(dir, a, err), *files = json_get_arr(manifest, "files"), *item;
	size_t i, n;
	int r = 0;

	if (!manifest)
		return -EINVAL;
	yyjson_arr_foreach(files, i, n, item) if (r == 0) r = check_file(dir, item, a, err);
	if (r == 0 && !is_empty(data))
		r = error_set(
			err, "backup",
			"the data folder %s is not empty: restore into a fresh one (--data DIR), then put it in the "
			"old one's place",
			data);
	if (r == 0)
		r = data_dir_prepare(data, err);
	yyjson_arr_foreach(files, i, n, item) if (r == 0) r =
		place_file(o, dir, json_get_str(item, "name", ""), a, err);
	return r;
}

int backup_restore(const struct options *options, const char *dir, struct error *err)
{
	struct arena *a = arena_new();
	int r = restore_all(options, dir, a, err);

	arena_free(a);
	return r;
}
