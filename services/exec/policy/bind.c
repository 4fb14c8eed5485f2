/* What of the workspace an approval is bound to: the contents of the files that the command may run or read. Words are
 * looked up as the sandbox would find them, in the command's folder and in every folder that a word names (cd sub,
 * make -C sub, node sub); of programs that run code also what they read without being told. */
#include "policy/bind.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/encode.h"

#define FOLDERS_MAX 32
#define DIGESTS_MAX 64        /* further ones count by size, times and inode, as large ones do */
#define FILE_HASHED (1 << 20) /* bytes */
#define LINKS_MAX 16
#define GUESSED_MAX 128 /* words that may be a module's name or a pattern */
#define ENTRIES_MAX 4096

struct binding {
	struct buf *out;
	struct arena *arena;
	int root; /* of the workspace */
	struct folder {
		const char *path;
		dev_t dev;
		ino_t ino;
	} folders[FOLDERS_MAX];
	unsigned n_folders, n_files, n_guessed;
	bool is_code; /* something runs what it finds by other names than files have */
	bool is_over; /* there are more folders */
};

/* ---- Paths as in the sandbox ---- */

/* Without "/workspace" in front. Returns false when it is not below it. */
static bool strip_top(const char **path)
{
	static const char top[] = "workspace";
	const char *p = *path;

	while (*p == '/' || (p[0] == '.' && p[1] == '/'))
		p++;
	if (strncmp(p, top, sizeof(top) - 1) != 0 || (p[sizeof(top) - 1] && p[sizeof(top) - 1] != '/'))
		return false;
	p += sizeof(top) - 1;
	while (*p == '/')
		p++;
	*path = p;
	return true;
}

/* NULL: it is not in the workspace. What an expansion in front stands for is not known; it is taken for the folder. */
static const char *path_in(struct arena *a, const char *folder, struct str word)
{
	const char *text = arena_strndup(a, word.p ? word.p : "", word.n), *slash;

	if (word.n == 0 || word.n >= PATH_MAX || strlen(text) != word.n)
		return NULL;
	if (text[0] == '$' || text[0] == '~') {
		slash = strchr(text, '/');
		return slash ? path_in(a, folder, str_of(slash + 1)) : NULL;
	}
	if (text[0] == '/')
		return strip_top(&text) ? text : NULL;
	return folder[0] ? arena_printf(a, "%s/%s", folder, text) : text;
}

/* The first link on the way: what the path becomes when it is followed; NULL: there is none, or it leads out. */
static const char *follow_first(int root, struct arena *a, const char *path)
{
	struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS};

	for (const char *end = path; *end;) {
		char target[PATH_MAX];
		const char *begin = end + strspn(end, "/"), *to = target;
		ssize_t n;
		int fd;

		end = begin + strcspn(begin, "/");
		fd = (int)syscall(SYS_openat2, root, arena_strndup(a, path, (size_t)(end - path)), &how, sizeof(how));
		if (fd < 0)
			return NULL;
		n = readlinkat(fd, "", target, sizeof(target) - 1);
		close(fd);
		if (n <= 0)
			continue;
		target[n] = 0;
		if (target[0] == '/')
			return strip_top(&to) ? arena_printf(a, "%s%s", to, end) : NULL;
		return arena_printf(a, "%.*s%s%s", (int)(begin - path), path, target, end);
	}
	return NULL;
}

/* A link to /workspace/… is absolute there and another thing here, so links are followed one by one. */
static int open_inside(const struct binding *b, const char *path)
{
	struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC,
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS};

	for (int links = 0; path && links < LINKS_MAX; links++) {
		int fd = (int)syscall(SYS_openat2, b->root, path[0] ? path : ".", &how, sizeof(how));

		if (fd >= 0 || errno != ELOOP)
			return fd;
		path = follow_first(b->root, b->arena, path);
	}
	return -1;
}

/* ---- Files ---- */

static void add(struct buf *out, const char *name, struct str value)
{
	buf_printf(out, "%s %zu:", name, value.n);
	buf_add(out, value.p, value.n);
	buf_add_char(out, '\n');
}

static void add_contents(struct binding *b, int fd, const struct stat *st)
{
	char hex[SHA256_HEX_SIZE], *data;
	ssize_t n;

	if (st->st_size > FILE_HASHED || b->n_files > DIGESTS_MAX) {
		buf_printf(b->out, "large %lld %lld.%ld %lld.%ld %llu\n", (long long)st->st_size,
			   (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (long long)st->st_ctim.tv_sec,
			   st->st_ctim.tv_nsec, (unsigned long long)st->st_ino);
		return;
	}
	data = arena_alloc(b->arena, (size_t)st->st_size + 1);
	n = pread(fd, data, (size_t)st->st_size, 0);
	sha256_hex(data, (size_t)MAX(n, 0), hex);
	add(b->out, "digest", str_of(hex));
}

static void add_folder(struct binding *b, const char *path, const struct stat *st)
{
	for (unsigned i = 0; i < b->n_folders; i++)
		if (b->folders[i].dev == st->st_dev && b->folders[i].ino == st->st_ino)
			return;
	b->is_over |= b->n_folders == FOLDERS_MAX;
	if (!b->is_over)
		b->folders[b->n_folders++] = (struct folder){path, st->st_dev, st->st_ino};
}

/* Returns whether there is such a file. A folder is one to look into from now on. */
static bool add_path(struct binding *b, const char *path)
{
	int fd = path ? open_inside(b, path) : -1;
	bool is_file = false;
	struct stat st;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		is_file = true;
		b->n_files++;
		add(b->out, "file", str_of(path));
		add_contents(b, fd, &st);
	} else if (S_ISDIR(st.st_mode)) {
		add_folder(b, path, &st);
	}
	close(fd);
	return is_file;
}

/* ---- Words ---- */

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static unsigned list_folder(struct binding *b, const char *path, const char *pattern, const char **ret)
{
	int fd = open_inside(b, path);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	unsigned n = 0;

	while (d && n < ENTRIES_MAX && (e = readdir(d)))
		if (fnmatch(pattern, e->d_name, FNM_PERIOD) == 0)
			ret[n++] = arena_strdup(b->arena, e->d_name);
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	qsort(ret, n, sizeof(*ret), compare_text);
	return n;
}

/* dir/pattern, in one folder. */
static void add_pattern(struct binding *b, const char *folder, struct str word)
{
	const char *slash = memrchr(word.p, '/', word.n), *dir = folder;
	const char **names = arena_alloc(b->arena, ENTRIES_MAX * sizeof(*names));
	struct str pattern = word;
	unsigned n;

	if (slash) {
		pattern = (struct str){slash + 1, (size_t)(word.p + word.n - slash) - 1};
		dir = path_in(b->arena, folder, (struct str){word.p, (size_t)(slash - word.p) + 1});
	}
	n = dir ? list_folder(b, dir, arena_strndup(b->arena, pattern.p, pattern.n), names) : 0;
	for (unsigned i = 0; i < n; i++)
		add_path(b, arena_printf(b->arena, "%s/%s", dir, names[i]));
}

/* A module or class by its name: pkg.mod for pkg/mod.py. */
static void add_module(struct binding *b, const char *folder, struct str word)
{
	static const char *const ends[] = {".py", ".js", ".mjs", ".cjs",   ".ts",   ".rb",  ".pl",
					   ".pm", ".sh", ".lua", ".class", ".java", ".php", ".json"};
	const char *path = path_in(b->arena, folder, word);
	char *dotted;

	for (size_t i = 0; path && i < ARRAY_SIZE(ends); i++)
		add_path(b, arena_printf(b->arena, "%s%s", path, ends[i]));
	if (!path || !memchr(word.p, '.', word.n) || word.p[0] == '.')
		return;
	dotted = arena_strdup(b->arena, path);
	for (char *p = dotted + strlen(dotted) - word.n; *p; p++)
		*p = *p == '.' ? '/' : *p;
	add_path(b, arena_printf(b->arena, "%s.py", dotted));
	add_path(b, arena_printf(b->arena, "%s/__main__.py", dotted));
}

static void add_text(struct binding *b, struct str word)
{
	bool is_pattern = false, is_file = false;

	for (size_t i = 0; i < word.n; i++)
		is_pattern |= strchr("*?[", word.p[i]) != NULL;
	/* Folders that come to it meanwhile are looked into too. */
	for (unsigned i = 0; i < b->n_folders; i++)
		is_file |= add_path(b, path_in(b->arena, b->folders[i].path, word));
	if (is_file || !b->is_code || word.n == 0 || word.n > NAME_MAX || b->n_guessed >= GUESSED_MAX)
		return;
	b->n_guessed++;
	for (unsigned i = 0, n = b->n_folders; i < n; i++)
		if (is_pattern)
			add_pattern(b, b->folders[i].path, word);
		else
			add_module(b, b->folders[i].path, word);
}

/* The word, what follows its '=', what follows a short option's letter. */
static void add_word(struct binding *b, struct str word)
{
	struct str rest = word;

	if (word.n > 1 && word.p[0] == '-' && word.p[1] != '-')
		add_text(b, (struct str){word.p + 2, word.n - 2});
	else if (word.n && word.p[0] != '-')
		add_text(b, word);
	str_cut(&rest, '=');
	if (rest.p && rest.n)
		add_text(b, rest);
}

/* ---- What programs read without being told ---- */

static const char *const implicit[] = {
	"Makefile",         "makefile",           "GNUmakefile",      "package.json",       ".npmrc",
	".yarnrc.yml",      "Cargo.toml",         "build.rs",         ".cargo/config.toml", ".git/config",
	"conftest.py",      "pytest.ini",         "tox.ini",          "pyproject.toml",     "setup.py",
	"setup.cfg",        "noxfile.py",         "justfile",         "meson.build",        "CMakeLists.txt",
	"build.ninja",      "Rakefile",           "Gemfile",          "composer.json",      "Dockerfile",
	"compose.yaml",     "docker-compose.yml", "build.gradle",     "build.gradle.kts",   "pom.xml",
	"go.mod",           "SConstruct",         "Taskfile.yml",     "Vagrantfile",        "ansible.cfg",
	"deno.json",        "__main__.py",        "__init__.py",      "index.js",           "index.mjs",
	"index.ts",         "manage.py",          "gulpfile.js",      "Gruntfile.js",       "webpack.config.js",
	"vite.config.js",   "vite.config.ts",     "rollup.config.js", "jest.config.js",     "eslint.config.js",
	"babel.config.js",  ".mocharc.js",        ".eslintrc.js",     "tsconfig.json",      "mix.exs",
	"build.zig",        "default.nix",        "flake.nix",        "shell.nix",          ".pre-commit-config.yaml",
	"sitecustomize.py", "usercustomize.py",   ".gdbinit",         "Procfile",           "Jakefile",
};

static bool runs_code(const struct verdict *v)
{
	for (unsigned i = 0; i < v->n; i++)
		if (v->parts[i].class && strcmp(v->parts[i].class, "code") == 0)
			return true;
	return v->is_script && v->script.opaque;
}

static void add_implicit(struct binding *b, const struct verdict *v)
{
	for (unsigned i = 0; i < b->n_folders; i++)
		for (size_t k = 0; k < ARRAY_SIZE(implicit); k++)
			add_path(b, path_in(b->arena, b->folders[i].path, str_of(implicit[k])));
	for (unsigned i = 0; i < v->n_words; i++)
		if (str_has_suffix(v->words[i].text, STR("run-parts")))
			for (unsigned k = 0; k < b->n_folders; k++)
				add_pattern(b, b->folders[k].path, STR("*"));
}

bool bind_workspace(struct buf *out, struct arena *a, int root, const char *cwd, const struct verdict *v)
{
	struct binding b = {.out = out, .arena = a, .root = root, .is_code = runs_code(v)};

	add_path(&b, "");
	add_path(&b, cwd[0] ? path_in(a, "", str_of(cwd)) : NULL);
	for (unsigned i = 0; i < v->n_words; i++)
		add_word(&b, v->words[i].text);
	if (b.is_code)
		add_implicit(&b, v);
	return !b.is_over;
}
