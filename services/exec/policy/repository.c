/* Looks at the settings of the repositories in which a git that compares files would run: what they say of filters
 * cannot be switched off by other settings, since their names are free. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "files.h"
#include "policy/store.h"
#include "sandbox/gitconfig.h"

static int open_beneath(int dir, const char *path, int flags)
{
	struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

#define INDEX_MAX (64 << 20)

/* Part of the index is in another file. */
static bool is_split(int git)
{
	int fd = openat(git, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	bool found = !d;
	struct dirent *e;

	while (d && !found && (e = readdir(d)))
		found = str_has_prefix(str_of(e->d_name), STR("sharedindex."));
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	return found;
}

/* An entry of the mode 0160000. These bytes may mean something else, and then it is a question too many. */
static bool names_submodule(int index)
{
	struct stat st;
	size_t n;
	char *data;
	bool found;

	if (fstat(index, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > INDEX_MAX)
		return true;
	n = (size_t)st.st_size;
	data = xmalloc(n + 1);
	found = pread(index, data, n, 0) != (ssize_t)n || memmem(data, n, "\0\0\xe0\0", 4);
	free(data);
	return found;
}

/* A submodule has settings of its own, which git reads when it compares it, whatever is said to it from outside. */
static bool has_submodules(int git)
{
	int index = open_beneath(git, "index", O_RDONLY | O_NONBLOCK);
	bool has;

	if (index < 0)
		return errno != ENOENT;
	has = names_submodule(index) || is_split(git);
	close(index);
	return has;
}

enum repository { REPOSITORY_NONE, REPOSITORY_HARMLESS, REPOSITORY_OTHER };

/* Of the folder itself. A .git that is a file or a link leads somewhere else. */
static enum repository look_at(int dir)
{
	struct stat st;
	int git, config;
	enum repository r = REPOSITORY_OTHER;

	if (fstatat(dir, ".git", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? REPOSITORY_NONE : REPOSITORY_OTHER;
	git = open_beneath(dir, ".git", O_RDONLY | O_DIRECTORY);
	if (git < 0)
		return REPOSITORY_OTHER;
	config = open_beneath(git, "config", O_RDONLY | O_NONBLOCK);
	/* commondir names another folder for the settings. */
	if (fstatat(git, "commondir", &st, AT_SYMLINK_NOFOLLOW) == 0)
		r = REPOSITORY_OTHER;
	else if ((config < 0 ? errno == ENOENT : gitconfig_is_harmless(config)) && !has_submodules(git))
		r = REPOSITORY_HARMLESS;
	if (config >= 0)
		close(config);
	close(git);
	return r;
}

/* In a folder git takes the next repository above it. Beyond the workspace there is none. */
static bool is_harmless_from(int workspace, char *path)
{
	for (;;) {
		int dir = path[0] ? open_beneath(workspace, path, O_PATH | O_DIRECTORY) : dup(workspace);
		enum repository r = dir < 0 && errno == ENOENT ? REPOSITORY_NONE : REPOSITORY_OTHER;
		char *slash;

		if (dir >= 0) {
			r = look_at(dir);
			close(dir);
		}
		if (r != REPOSITORY_NONE || !path[0])
			return r != REPOSITORY_OTHER;
		slash = strrchr(path, '/');
		path[slash ? slash - path : 0] = 0;
	}
}

#define FOLDERS_MAX 64

/* Where the script may be after its changes of folder: each may have failed. Returns false when that is too much to
 * look at, or a repository there is not known to be harmless. */
static bool follow_script(int workspace, struct arena *a, const char *start, const struct script *script)
{
	const char *at[FOLDERS_MAX] = {start};
	unsigned n = 1;

	for (unsigned i = 0; i < script->n; i++) {
		const struct script_command *c = &script->commands[i];

		if (c->n_words < 2 || !str_is(c->words[0].text, "cd"))
			continue;
		for (unsigned k = 0, all = n; k < all; k++) {
			if (n == FOLDERS_MAX)
				return false;
			at[n] = workspace_relative(a, at[k], c->words[1].text);
			if (!at[n] || !is_harmless_from(workspace, arena_strdup(a, at[n])))
				return false;
			n++;
		}
	}
	return true;
}

bool repositories_are_harmless(struct exec *e, struct arena *a, const char *workspace, const char *cwd,
			       const struct script *script)
{
	const char *at = cwd[0] ? workspace_relative(a, "", str_of(cwd)) : "";
	int dir = openat(e->journal.workspaces_fd, workspace, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	bool ok;

	if (dir < 0) /* it is made with the command, empty */
		return errno == ENOENT || !workspace[0];
	ok = at && is_harmless_from(dir, arena_strdup(a, at)) && (!script || follow_script(dir, a, at, script));
	close(dir);
	return ok;
}
