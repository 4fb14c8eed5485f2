#include "journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/encode.h"
#include "files.h"
#include "session.h"
#include "spool.h"
#include "tree.h"
#include "watch.h"

#define SPEC_MAX (32 << 20)
#define RESULT_MAX (64 << 10)

/* What a crash left of keys in the making (link_key). */
static void sweep_keys(const struct journal *j)
{
	int fd = dir_open(j->keys_fd, ".");
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] == '.' && id_is_valid(str_of(e->d_name + 1)))
			unlinkat(j->keys_fd, e->d_name, 0);
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
}

int journal_open(const char *dir, bool shared, struct journal *ret)
{
	struct journal j = {-1, -1, -1, -1, -1, -1, -1, -1, -1, geteuid() == 0};
	const struct {
		const char *name;
		int *fd;
	} folders[] = {{"commands", &j.commands_fd},   {"running", &j.running_fd},       {"keys", &j.keys_fd},
		       {"users", &j.users_fd},         {"workspaces", &j.workspaces_fd}, {"owners", &j.owners_fd},
		       {"snapshots", &j.snapshots_fd}, {"removals", &j.removals_fd}};
	int r = 0;

	j.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (j.dir_fd < 0)
		return -errno;
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(folders); i++)
		r = *folders[i].fd = dir_make(j.dir_fd, folders[i].name);
	if (r >= 0 && shared && (fchmod(j.dir_fd, 0711) < 0 || fchmod(j.workspaces_fd, 0711) < 0))
		r = -errno;
	if (r < 0) {
		journal_close(&j);
		return r;
	}
	sweep_keys(&j);
	*ret = j;
	return 0;
}

void journal_close(struct journal *j)
{
	int fds[] = {j->dir_fd,        j->commands_fd, j->running_fd,  j->keys_fd,     j->users_fd,
		     j->workspaces_fd, j->owners_fd,   j->removals_fd, j->snapshots_fd};

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	*j = (struct journal){-1, -1, -1, -1, -1, -1, -1, -1, -1, false};
}

bool journal_has_key(const struct journal *j, const char *key)
{
	return key[0] && faccessat(j->keys_fd, key, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void journal_key(const char *user_id, const char *key, char ret[static 65])
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;

	buf_printf(&b, "%s\n%s", user_id, key);
	sha256_hex(b.p, b.n, ret);
}

/* A user's id as a file name. */
static void user_folder(const char *user_id, char ret[static 65])
{
	if (workspace_is_valid(str_of(user_id)))
		snprintf(ret, 65, "%s", user_id);
	else
		sha256_hex(user_id, strlen(user_id), ret);
}

#define USER_MARK_SIZE (65 + ID_SIZE)

static void user_mark(const struct spec *spec, char ret[static USER_MARK_SIZE])
{
	char name[65];

	user_folder(spec->user_id, name);
	snprintf(ret, USER_MARK_SIZE, "%s/%s", name, spec->id);
}

/* ---- Accepting ---- */

static int mark_user(const struct journal *j, const struct spec *spec)
{
	char mark[USER_MARK_SIZE], name[65];
	int r;

	user_mark(spec, mark);
	r = file_link(j->running_fd, spec->id, j->users_fd, mark, STR(""));
	if (r != -ENOENT)
		return r;
	user_folder(spec->user_id, name);
	if (mkdirat(j->users_fd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	return file_link(j->running_fd, spec->id, j->users_fd, mark, STR(""));
}

/* ---- Whose workspaces are ---- */

/* -ENOENT: nobody's yet. An empty file is what a crash left. */
static int read_owner(const struct journal *j, const char *name, struct arena *a, const char **ret)
{
	struct str text;
	int r = file_read(j->owners_fd, name, 4096, a, &text);

	if (r < 0)
		return r;
	if (text.n < 1 || text.p[text.n - 1] != '\n')
		return -ENOENT;
	*ret = arena_strndup(a, text.p, text.n - 1);
	return 0;
}

/* Its file's name. */
static void owner_file(const char *workspace, const char *target, char ret[static 128])
{
	snprintf(ret, 128, "%.64s%s%.40s", workspace, target[0] ? "@" : "", target);
}

static bool is_given_up(const struct journal *j, const char *file)
{
	return strchr(file, '@') && faccessat(j->removals_fd, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* 1: it was nobody's before. A file that says nothing is what a crash left. */
static int claim_unowned(const struct journal *j, const char *name, const char *user_id, struct arena *a)
{
	int r;

	if (unlinkat(j->owners_fd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	r = file_create(j->owners_fd, name, str_of(arena_printf(a, "%s\n", user_id)));
	if (r == 0 && fsync(j->owners_fd) < 0)
		r = -errno;
	return r < 0 ? r : 1;
}

/* Whoever makes the file has it; whoever looks while another makes it, looks again behind him. */
static int claim(const struct journal *j, const char *name, const char *user_id, bool any)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	const char *owner;
	int r;

	if (is_given_up(j, name))
		return -EBUSY;
	r = read_owner(j, name, a, &owner);
	if (r == -ENOENT) {
		pthread_mutex_lock(&lock);
		r = read_owner(j, name, a, &owner);
		if (r == -ENOENT)
			r = claim_unowned(j, name, user_id, a);
		pthread_mutex_unlock(&lock);
	}
	if (r != 0)
		return r;
	return any || strcmp(owner, user_id) == 0 ? 0 : -EACCES;
}

static int claim_for(const struct journal *j, const struct spec *spec)
{
	char name[128];

	if (!spec->workspace[0])
		return 0;
	owner_file(spec->workspace, spec->target, name);
	return error_only(claim(j, name, spec->user_id, spec->may_use_any));
}

/* Where the file system has project quotas, a workspace is a project from its beginning. */
static void count_by_kernel(const struct journal *j, const struct spec *spec)
{
	int fd = j->is_root ? dir_open(j->workspaces_fd, spec->workspace) : -1;

	if (fd < 0)
		return;
	watch_new_workspace(fd, spec->uid);
	close(fd);
}

/* The owner of a workspace is its user for good; nobody else, also not another workspace, has that id. */
static int make_or_find_workspace(const struct journal *j, struct spec *spec)
{
	struct stat st;
	int fd, r = 0;

	if (mkdirat(j->workspaces_fd, spec->workspace, 0700) == 0) {
		count_by_kernel(j, spec);
		if (j->is_root &&
		    fchownat(j->workspaces_fd, spec->workspace, spec->uid, spec->uid, AT_SYMLINK_NOFOLLOW) < 0) {
			r = -errno;
			unlinkat(j->workspaces_fd, spec->workspace, AT_REMOVEDIR);
		}
		return r;
	}
	if (errno != EEXIST)
		return -errno;
	fd = dir_open(j->workspaces_fd, spec->workspace);
	if (fd < 0)
		return fd == -ENOTDIR || fd == -ELOOP ? -EPERM : fd;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (j->is_root && st.st_uid == 0)
		/* A crash between making and giving away. */
		r = fchown(fd, spec->uid, spec->uid) < 0 ? -errno : 0;
	else
		spec->uid = st.st_uid;
	close(fd);
	return r;
}

/* Most have. Who makes one gives it away last; a target makes its own. */
static bool has_workspace(const struct journal *j, struct spec *spec)
{
	struct stat st;

	if (!spec->workspace[0] || spec->target[0])
		return true;
	if (fstatat(j->workspaces_fd, spec->workspace, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode) ||
	    (j->is_root && st.st_uid == 0))
		return false;
	spec->uid = st.st_uid;
	return true;
}

/* Commands that begin side by side in a new workspace must agree on its owner. */
static int make_workspace(const struct journal *j, struct spec *spec)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	if (has_workspace(j, spec))
		return 0;
	pthread_mutex_lock(&lock);
	int r = make_or_find_workspace(j, spec);
	pthread_mutex_unlock(&lock);
	return r;
}

/* One file, the spec with room for the result, under all the names that there are for a command: its marks are links to
 * it. In its folder it has two, later three. fd of the folder, or -errno. */
static int write_folder(const struct journal *j, const struct spec *spec, struct str text)
{
	int fd, r;

	if (mkdirat(j->commands_fd, spec->id, 0700) < 0)
		return -errno;
	fd = dir_open(j->commands_fd, spec->id);
	if (fd < 0)
		return fd;
	r = file_mark(j->running_fd, spec->id, text);
	if (r == 0)
		r = mark_user(j, spec);
	/* What is accepted can tell its end, however full the disk is by then. */
	if (r == 0)
		r = file_reserve(j->running_fd, spec->id, fd, RESULT_FILE, text);
	if (r == 0)
		r = file_link(j->running_fd, spec->id, fd, SPEC_FILE, text);
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

static int sync_folder(const struct journal *j, const struct spec *spec, int fd)
{
	int r = file_sync_data(fd, SPEC_FILE);

	if (r == 0 && (fsync(fd) < 0 || fsync(j->commands_fd) < 0))
		r = -errno;
	if (r == 0 && spec->key[0] && fsync(j->keys_fd) < 0)
		r = -errno;
	return r;
}

#define KEY_BEGIN "{\"id\":\"" /* of a spec */

/* The id that a key stands for. The key is a link to the command's spec, or has the id alone. -ENOENT: none; -EBADMSG:
 * what a power failure left of one. */
static int read_key(const struct journal *j, const char *key, char ret[static ID_SIZE])
{
	char text[sizeof(KEY_BEGIN) - 1 + ID_SIZE] = "", *id = text;
	int fd = openat(j->keys_fd, key, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = read(fd, text, sizeof(text) - 1) < 0 ? -errno : 0;
	close(fd);
	if (strncmp(text, KEY_BEGIN, strlen(KEY_BEGIN)) == 0)
		id += strlen(KEY_BEGIN);
	id[ID_SIZE - 1] = 0;
	if (r == 0 && !id_is_valid(str_of(id)))
		r = -EBADMSG;
	if (r == 0)
		memcpy(ret, id, ID_SIZE);
	return r;
}

static bool has_spec(const struct journal *j, const char *id)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/" SPEC_FILE, id);
	return faccessat(j->commands_fd, path, F_OK, 0) == 0;
}

/* A key of a command that is not there any more stands for nothing. */
static int find_key(const struct journal *j, const char *key, char ret[static ID_SIZE])
{
	int r = read_key(j, key, ret);

	if (r == -EBADMSG || (r == 0 && !has_spec(j, ret))) {
		unlinkat(j->keys_fd, key, 0);
		r = -ENOENT;
	}
	return r;
}

/* link() either makes the whole file appear under its name or finds one there. */
static int link_key(const struct journal *j, const struct spec *spec)
{
	return linkat(j->running_fd, spec->id, j->keys_fd, spec->key, 0) < 0 ? -errno : 0;
}

int journal_save(const struct journal *j, struct spec *spec, char ret_existing[static ID_SIZE])
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	int r, fd = -1;

	if (spec->key[0] && find_key(j, spec->key, ret_existing) == 0)
		return JOURNAL_EXISTS;
	if (spec->is_replay)
		return -ESTALE;
	r = claim_for(j, spec);
	if (r == 0)
		r = make_workspace(j, spec);
	if (r < 0)
		return r;
	spec->boot = spec_boot_id();
	r = fd = write_folder(j, spec, file_with_room(a, spec_to_json(a, spec)));
	if (r >= 0)
		r = spec->key[0] ? link_key(j, spec) : 0;
	if (r == 0)
		r = sync_folder(j, spec, fd);
	if (fd >= 0)
		close(fd);
	if (r == 0)
		return JOURNAL_SAVED;
	journal_remove(j, spec);
	if (r == -EEXIST && find_key(j, spec->key, ret_existing) == 0)
		return JOURNAL_EXISTS;
	return r;
}

bool journal_is_accepted(const struct journal *j, const struct spec *spec)
{
	char id[ID_SIZE];

	return !spec->key[0] || (read_key(j, spec->key, id) == 0 && strcmp(id, spec->id) == 0);
}

/* ---- One command ---- */

int journal_folder(const struct journal *j, const char *id)
{
	return dir_open(j->commands_fd, id);
}

int journal_lock(const struct journal *j, const char *id)
{
	int fd = journal_folder(j, id), r;

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

/* Who starts a command gives its spec this name too, and the file the time of now; or it is a file with the time. Where
 * there is a result it has the time, and is what was written last. */
static void load_start(int fd, struct arena *a, struct journal_entry *e)
{
	struct str text;
	struct stat st;

	e->has_started = fstatat(fd, STARTED_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (!e->has_started)
		return;
	e->started_us = st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
	if (st.st_size > 0 && file_read(fd, STARTED_FILE, 64, a, &text) == 0)
		e->started_us = strtoll(text.p, NULL, 10);
}

static int load_result(int dir_fd, const char *path, struct arena *a, struct result *ret)
{
	struct str text;
	int r = file_read_second(dir_fd, path, RESULT_MAX, a, &text);

	return r < 0 ? r : result_from_json(a, text, ret);
}

/* A result's own name is lost where the power was, or its writer was killed, before that was made: then it is in the
 * spec's room. */
static int load_from(int fd, struct arena *a, struct journal_entry *e)
{
	struct spool_reader spool;
	struct str text;
	int r = file_read(fd, SPEC_FILE, SPEC_MAX, a, &text);

	if (r == 0)
		r = spec_from_json(a, file_first(text), &e->spec);
	if (r < 0)
		return r;
	load_start(fd, a, e);
	e->has_result = load_result(fd, RESULT_FILE, a, &e->result) == 0 ||
			result_from_json(a, file_second(text), &e->result) == 0;
	if (!e->has_result && spool_reader_open(&spool, fd) == 0) {
		e->total = spool_reader_total(&spool);
		spool_reader_deinit(&spool);
	}
	return 0;
}

int journal_load(const struct journal *j, const char *id, struct arena *a, struct journal_entry *ret)
{
	int fd = id_is_valid(str_of(id)) ? journal_folder(j, id) : -ENOENT, r;

	if (fd < 0)
		return fd;
	*ret = (struct journal_entry){0};
	r = load_from(fd, a, ret);
	close(fd);
	return r;
}

int journal_result(const struct journal *j, const char *id, struct result *ret)
{
	static const char *const names[] = {RESULT_FILE, SPEC_FILE};
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	char path[ID_SIZE + sizeof(RESULT_FILE)];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", id, names[i]);
		if (load_result(j->commands_fd, path, a, ret) == 0)
			return 0;
	}
	return -ENOENT;
}

void journal_unmark(const struct journal *j, const char *id)
{
	unlinkat(j->running_fd, id, 0);
}

int journal_end(const struct journal *j, const char *id, const struct result *result)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	int fd = journal_folder(j, id), r;

	if (fd < 0)
		return fd;
	r = file_replace(fd, RESULT_FILE, result_to_json(a, result));
	if (r == 0)
		r = file_sync(fd, RESULT_FILE);
	close(fd);
	if (r == 0)
		journal_unmark(j, id);
	return r;
}

/* The key first: without it the command is not accepted; the folder last, as long as it is there we come back. */
void journal_remove(const struct journal *j, const struct spec *spec)
{
	static const char *const files[] = {RESULT_FILE,  RESULT_FILE ".tmp", "output", SESSION_FILE,
					    NETWORK_FILE, STARTED_FILE,       "ctl",    SPEC_FILE};
	char mark[USER_MARK_SIZE];
	int fd = journal_folder(j, spec->id);

	if (spec->key[0] && journal_is_accepted(j, spec))
		unlinkat(j->keys_fd, spec->key, 0);
	user_mark(spec, mark);
	unlinkat(j->users_fd, mark, 0);
	for (size_t i = 0; fd >= 0 && i < ARRAY_SIZE(files); i++)
		unlinkat(fd, files[i], 0);
	if (fd >= 0)
		close(fd);
	unlinkat(j->commands_fd, spec->id, AT_REMOVEDIR);
	journal_unmark(j, spec->id);
}

/* ---- Workspaces ---- */

int journal_claim(const struct journal *j, const char *name, const char *target, const char *user_id)
{
	char file[128];

	owner_file(name, target, file);
	return claim(j, file, user_id, false);
}

int journal_disclaim(const struct journal *j, const char *name, const char *target)
{
	char file[128];

	owner_file(name, target, file);
	if (unlinkat(j->owners_fd, file, 0) < 0 && errno != ENOENT)
		return -errno;
	return fsync(j->owners_fd) < 0 ? -errno : 0;
}

int journal_check_owner(const struct journal *j, const char *name, const char *target, const char *user_id)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	const char *owner = "";
	char file[128];
	int r;

	owner_file(name, target, file);
	if (is_given_up(j, file))
		return -ENOENT;
	r = read_owner(j, file, a, &owner);
	if (r < 0 && r != -ENOENT)
		return r;
	return user_id && (r < 0 || strcmp(owner, user_id) != 0) ? -ENOENT : 0;
}

int journal_workspace(const struct journal *j, const char *name, const char *user_id)
{
	int r = journal_check_owner(j, name, "", user_id);

	return r < 0 ? r : dir_open(j->workspaces_fd, name);
}

int journal_workspace_entry(const struct journal *j, const char *name, const char *target, struct arena *a,
			    struct workspace_entry *ret)
{
	char file[128];
	struct stat st;

	*ret = (struct workspace_entry){.user_id = ""};
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	owner_file(name, target, file);
	if ((read_owner(j, file, a, &ret->user_id) == 0 &&
	     fstatat(j->owners_fd, file, &st, AT_SYMLINK_NOFOLLOW) == 0) ||
	    (!target[0] && fstatat(j->workspaces_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0))
		ret->created_us = st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
	return 0;
}

static int by_entry_name(const void *a, const void *b)
{
	return strcmp(((const struct workspace_entry *)a)->name, ((const struct workspace_entry *)b)->name);
}

/* The name of the workspace that a file of that folder stands for; "" = none of the target's. */
static const char *name_of_entry(struct arena *a, const char *file, const char *target)
{
	struct str rest = str_of(file), name = target[0] ? str_cut(&rest, '@') : rest;

	if (!workspace_is_valid(name) || (target[0] && (!rest.p || !str_is(rest, target))))
		return "";
	return arena_strndup(a, name.p, name.n);
}

/* ---- Those of targets that are to go ---- */

static bool read_given_up(const char *file, struct given_up *ret)
{
	struct str rest = str_of(file), name = str_cut(&rest, '@');

	if (!workspace_is_valid(name) || !rest.p || rest.n < 1 || rest.n >= sizeof(ret->target))
		return false;
	snprintf(ret->name, sizeof(ret->name), "%.*s", STR_ARG(name));
	snprintf(ret->target, sizeof(ret->target), "%.*s", STR_ARG(rest));
	return true;
}

/* 1: it is one of those. */
static int give_up(const struct journal *j, const char *file, const char *name, const char *user_id, struct arena *a)
{
	struct given_up w;
	const char *owner = "";
	int r = 0;

	if (!read_given_up(file, &w) || (name && strcmp(w.name, name) != 0))
		return 0;
	if (user_id)
		r = read_owner(j, file, a, &owner);
	if (r < 0 || (user_id && strcmp(owner, user_id) != 0))
		return r == -ENOENT ? 0 : r;
	r = file_create(j->removals_fd, file, (struct str){0});
	return r < 0 && r != -EEXIST ? r : 1;
}

int journal_give_up(const struct journal *j, const char *name, const char *user_id)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	int fd = dir_open(j->owners_fd, "."), n = 0, r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d)
		return fd < 0 ? fd : (close(fd), -errno);
	while (r >= 0 && (e = readdir(d))) {
		arena_reset(a);
		r = give_up(j, e->d_name, name, user_id, a);
		n += r > 0;
	}
	closedir(d);
	if (r >= 0 && n > 0 && fsync(j->removals_fd) < 0)
		r = -errno;
	return r < 0 ? r : n;
}

int journal_list_given_up(const struct journal *j, size_t n, struct arena *a, struct given_up **ret, size_t *ret_n)
{
	_cleanup_(buf_deinit) struct buf all = BUF_INIT;
	int fd = dir_open(j->removals_fd, ".");
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct given_up w;
	struct dirent *e;

	if (!d)
		return fd < 0 ? fd : (close(fd), -errno);
	while (all.n < n * sizeof(w) && (e = readdir(d)))
		if (read_given_up(e->d_name, &w))
			buf_add(&all, &w, sizeof(w));
	closedir(d);
	*ret_n = all.n / sizeof(w);
	*ret = arena_alloc(a, all.n + 1);
	if (all.n > 0)
		memcpy(*ret, all.p, all.n);
	return 0;
}

/* The mark last: until then nobody takes the name. */
int journal_removed(const struct journal *j, const struct given_up *w)
{
	int r = journal_disclaim(j, w->name, w->target);
	char file[128];

	owner_file(w->name, w->target, file);
	if (r == 0 && unlinkat(j->removals_fd, file, 0) < 0 && errno != ENOENT)
		r = -errno;
	return r;
}

/* ---- Lists ---- */

/* All of one's own, sorted; then those that are asked for. Those of a target are known by their owners alone. */
int journal_list_workspaces(const struct journal *j, const char *target, const char *user_id, const char *after,
			    size_t n, struct arena *a, struct workspace_list *ret)
{
	_cleanup_(buf_deinit) struct buf all = BUF_INIT;
	int fd = dir_open(target[0] ? j->owners_fd : j->workspaces_fd, ".");
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct workspace_entry entry;
	struct dirent *e;

	if (!d)
		return fd < 0 ? fd : (close(fd), -errno);
	while ((e = readdir(d))) {
		const char *name = name_of_entry(a, e->d_name, target);

		if (!*name || (after && strcmp(name, after) <= 0))
			continue;
		if (target[0] && is_given_up(j, e->d_name))
			continue;
		journal_workspace_entry(j, name, target, a, &entry);
		if (!user_id || strcmp(entry.user_id, user_id) == 0)
			buf_add(&all, &entry, sizeof(entry));
	}
	closedir(d);
	ret->n = MIN(all.n / sizeof(entry), n);
	ret->items = arena_alloc(a, all.n + 1);
	if (all.n > 0) {
		memcpy(ret->items, all.p, all.n);
		qsort(ret->items, all.n / sizeof(entry), sizeof(entry), by_entry_name);
	}
	return 0;
}

int journal_make_workspace(const struct journal *j, const char *name, const char *user_id, uid_t uid)
{
	struct spec spec = {.user_id = user_id, .workspace = name, .target = "", .uid = uid};
	struct stat st;
	int r = fstatat(j->workspaces_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? -EEXIST : claim_for(j, &spec);

	if (r == -EACCES)
		r = -EEXIST;
	return r < 0 ? r : make_workspace(j, &spec);
}

/* ---- Many ---- */

/* A folder of files that have ids for names, all of them or of one's own. Where there is none, 0 and NULL. */
static int open_ids(int parent_fd, const char *name, DIR **ret)
{
	int fd = dir_open(parent_fd, name), r;

	*ret = fd < 0 ? NULL : fdopendir(fd);
	if (*ret)
		return 0;
	r = fd < 0 ? fd : -errno;
	if (fd >= 0)
		close(fd);
	return r == -ENOENT ? 0 : r;
}

static int open_commands(const struct journal *j, const char *user_id, DIR **ret)
{
	char name[65];

	if (!user_id)
		return open_ids(j->commands_fd, ".", ret);
	user_folder(user_id, name);
	return open_ids(j->users_fd, name, ret);
}

static const char *next_id(DIR *d)
{
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (id_is_valid(str_of(e->d_name)))
			return e->d_name;
	return NULL;
}

static void close_ids(DIR *d)
{
	if (d)
		closedir(d);
}

static int newest_first(const void *a, const void *b)
{
	return strcmp(b, a);
}

static void list_ids(DIR *d, struct arena *a, struct id_list *ret)
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;
	const char *id;

	while ((id = next_id(d)))
		buf_add(&b, id, ID_SIZE);
	close_ids(d);
	ret->n = b.n / ID_SIZE;
	ret->ids = arena_alloc(a, b.n);
	if (b.n)
		memcpy(ret->ids, b.p, b.n);
	qsort(ret->ids, ret->n, ID_SIZE, newest_first);
}

int journal_list(const struct journal *j, const char *user_id, struct arena *a, struct id_list *ret)
{
	DIR *d;
	int r = open_commands(j, user_id, &d);

	*ret = (struct id_list){0};
	if (d)
		list_ids(d, a, ret);
	return r;
}

int journal_list_running(const struct journal *j, struct arena *a, struct id_list *ret)
{
	DIR *d;
	int r = open_ids(j->running_fd, ".", &d);

	*ret = (struct id_list){0};
	if (d)
		list_ids(d, a, ret);
	return r;
}

uid_t journal_greatest_uid(const struct journal *j)
{
	int fd = dir_open(j->workspaces_fd, ".");
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	uid_t greatest = 0;
	struct dirent *e;
	struct stat st;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' && fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			greatest = MAX(greatest, st.st_uid);
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	return greatest;
}

void journal_forget_user(const struct journal *j, const char *user_id)
{
	char name[65];

	user_folder(user_id, name);
	unlinkat(j->users_fd, name, AT_REMOVEDIR);
}

int journal_clear(const struct journal *j, const char *workspace, const char *user_id, int64_t before_us)
{
	_cleanup_(arena_free_p) struct arena *one = arena_new();
	struct journal_entry entry;
	const char *id;
	DIR *d;
	int left = 0, r = open_commands(j, user_id, &d);

	/* One by one: a list of all would stay with the thread's memory. */
	while ((id = next_id(d))) {
		arena_reset(one);
		if (id_time_us(str_of(id)) >= before_us || journal_load(j, id, one, &entry) < 0 ||
		    strcmp(entry.spec.workspace, workspace) != 0)
			continue;
		if (entry.has_result)
			journal_remove(j, &entry.spec);
		else
			left++;
	}
	close_ids(d);
	return r < 0 ? r : left;
}

unsigned journal_prune(const struct journal *j, int64_t before_us)
{
	_cleanup_(arena_free_p) struct arena *one = arena_new();
	struct journal_entry entry;
	const char *id;
	unsigned n = 0;
	DIR *d;

	open_commands(j, NULL, &d);
	while ((id = next_id(d))) {
		arena_reset(one);
		if (id_time_us(str_of(id)) >= before_us || journal_load(j, id, one, &entry) < 0 || !entry.has_result)
			continue;
		journal_remove(j, &entry.spec);
		n++;
	}
	close_ids(d);
	return n;
}
