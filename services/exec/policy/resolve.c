#include "policy/resolve.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* What commands find by name, in this order (DEFAULT_PATH in attend.c), and what they may name by a path. All of it is
 * mounted read-only in the sandbox. */
static const char *const search[] = {"/usr/local/bin", "/usr/bin", "/bin"};
static const char *const folders[] = {"/usr/local/bin", "/usr/bin", "/bin",       "/usr/local/sbin",
				      "/usr/sbin",      "/sbin",    "/usr/games", "/usr/local/games"};

static bool is_folder(const char *dir)
{
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		if (strcmp(dir, folders[i]) == 0)
			return true;
	return false;
}

static bool only_system_writes(const struct stat *st)
{
	return st->st_uid == 0 && !(st->st_mode & S_IWOTH);
}

static bool is_system_folder(const char *dir)
{
	struct stat st;

	return is_folder(dir) && stat(dir, &st) == 0 && S_ISDIR(st.st_mode) && only_system_writes(&st);
}

/* "/usr//bin/./ls" as "/usr/bin/ls". Returns false for what has "..", is too long or no absolute path. */
static bool clean(struct str path, char ret[static PATH_MAX])
{
	size_t n = 0;

	if (path.n == 0 || path.p[0] != '/' || path.n + 2 >= PATH_MAX)
		return false;
	while (path.p) {
		struct str part = str_cut(&path, '/');

		if (part.n == 0 || str_is(part, "."))
			continue;
		if (str_is(part, "..") || memchr(part.p, 0, part.n))
			return false;
		ret[n++] = '/';
		memcpy(ret + n, part.p, part.n);
		n += part.n;
	}
	ret[n] = 0;
	return n > 0;
}

/* A file's name as it was looked at: what is behind it, and whether it is a link to that. */
struct look {
	struct stat st;
	bool is_link;
};

static bool is_executable(const char *path, struct look *ret)
{
	bool is_there = lstat(path, &ret->st) == 0;

	ret->is_link = is_there && S_ISLNK(ret->st.st_mode);
	if (ret->is_link)
		is_there = stat(path, &ret->st) == 0;
	return is_there && S_ISREG(ret->st.st_mode) && (ret->st.st_mode & 0111);
}

static bool is_below_system(const char *path)
{
	struct str s = str_of(path);

	return str_has_prefix(s, STR("/usr/")) || str_has_prefix(s, STR("/bin/")) || str_has_prefix(s, STR("/sbin/"));
}

/* The folder in its one true spelling (/bin is /usr/bin where that is a link), the name as it is. */
static void judge_place(struct arena *a, const char *path, const struct look *look, struct resolved *ret)
{
	char real[PATH_MAX], real_dir[PATH_MAX], *slash;
	char *dir = arena_strdup(a, path);

	slash = strrchr(dir, '/');
	*slash = 0;
	ret->path = path;
	if (!realpath(*dir ? dir : "/", real_dir))
		return;
	if (!look->is_link)
		ret->final = arena_printf(a, "%s/%s", strcmp(real_dir, "/") == 0 ? "" : real_dir, slash + 1);
	else if (realpath(path, real))
		ret->final = arena_strdup(a, real);
	else
		return;
	ret->is_trusted = is_system_folder(dir) && only_system_writes(&look->st) && is_below_system(ret->final);
	if (ret->is_trusted)
		ret->path = arena_printf(a, "%s/%s", real_dir, slash + 1);
}

static void resolve_remote(struct arena *a, struct str name, struct resolved *ret)
{
	char path[PATH_MAX], *slash;

	if (!memchr(name.p, '/', name.n)) {
		ret->path = ret->final = arena_printf(a, "/usr/bin/%.*s", STR_ARG(name));
		ret->is_trusted = true;
		return;
	}
	if (!clean(name, path))
		return;
	ret->path = ret->final = arena_strdup(a, path);
	slash = strrchr(path, '/');
	*slash = 0;
	ret->is_trusted = is_folder(path);
	if (ret->is_trusted)
		ret->path = ret->final = arena_printf(a, "/usr/bin/%s", slash + 1);
}

void program_resolve(struct arena *a, struct str name, bool is_remote, struct resolved *ret)
{
	char path[PATH_MAX];
	struct look look;

	*ret = (struct resolved){0};
	if (name.n == 0 || name.n > NAME_MAX * 4)
		return;
	if (is_remote) {
		resolve_remote(a, name, ret);
		return;
	}
	if (memchr(name.p, '/', name.n)) {
		if (clean(name, path) && is_executable(path, &look))
			judge_place(a, arena_strdup(a, path), &look, ret);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(search); i++) {
		snprintf(path, sizeof(path), "%s/%.*s", search[i], STR_ARG(name));
		if (is_executable(path, &look)) {
			judge_place(a, arena_strdup(a, path), &look, ret);
			return;
		}
	}
}
