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

static bool only_system_writes(const char *path, bool is_dir)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_uid == 0 && !(st.st_mode & S_IWOTH) &&
	       (is_dir ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode));
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

static bool is_executable(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111);
}

/* The folder in its one true spelling (/bin is /usr/bin where that is a link), the name as it is. */
static void judge_place(struct arena *a, const char *path, struct resolved *ret)
{
	char real[PATH_MAX], *slash;
	char *dir = arena_strdup(a, path);

	slash = strrchr(dir, '/');
	*slash = 0;
	ret->path = path;
	if (!realpath(path, real))
		return;
	ret->final = arena_strdup(a, real);
	ret->is_trusted = is_folder(dir) && only_system_writes(dir, true) && only_system_writes(real, false) &&
			  (str_has_prefix(str_of(real), STR("/usr/")) || str_has_prefix(str_of(real), STR("/bin/")) ||
			   str_has_prefix(str_of(real), STR("/sbin/")));
	if (ret->is_trusted && realpath(dir, real))
		ret->path = arena_printf(a, "%s/%s", real, slash + 1);
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

	*ret = (struct resolved){0};
	if (name.n == 0 || name.n > NAME_MAX * 4)
		return;
	if (is_remote) {
		resolve_remote(a, name, ret);
		return;
	}
	if (memchr(name.p, '/', name.n)) {
		if (clean(name, path) && is_executable(path))
			judge_place(a, arena_strdup(a, path), ret);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(search); i++) {
		snprintf(path, sizeof(path), "%s/%.*s", search[i], STR_ARG(name));
		if (is_executable(path)) {
			judge_place(a, arena_strdup(a, path), ret);
			return;
		}
	}
}
