/* Runs a plan (plan.h) in the sandbox's first process: pipes, redirections, programs, and what follows what. It stands
 * where otherwise the program would, after a clone from a process with other threads' locks: system calls only. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/plan.h"

#define PATH_SIZE 4096
#define FALLBACK_PATH "/usr/local/bin:/usr/bin:/bin"

struct run {
	char **at; /* the next step */
	char *const *envp;
	const char *home;
	char below[PATH_SIZE]; /* the current folder beneath home, "" = home itself */
	bool is_outside;       /* it is not beneath home */
	int status;            /* of the last pipeline */
};

static void say(const char *name, const char *what)
{
	const char *const parts[] = {"ogent: ", name, ": ", what, "\n"};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (write(2, parts[i], strlen(parts[i])) < 0)
			return;
}

static void say_errno(const char *name, int err)
{
	const char *text = strerrordesc_np(err);

	say(name, text ? text : "unknown error");
}

/* ---- Redirections ---- */

/* The path beneath home, as the current folder has it. Returns NULL when it cannot be. */
static const char *beneath(const struct run *r, const char *path, char ret[static PATH_SIZE])
{
	size_t home = strlen(r->home), n = strlen(r->below), more;

	if (path[0] == '/') {
		/* In scripts the workspace is always /workspace. */
		if (strncmp(path, "/workspace/", 11) == 0)
			return path + 11;
		return strncmp(path, r->home, home) == 0 && path[home] == '/' ? path + home + 1 : NULL;
	}
	more = strlen(path);
	if (r->is_outside || n + more + 2 > PATH_SIZE)
		return NULL;
	memcpy(ret, r->below, n);
	if (n)
		ret[n++] = '/';
	memcpy(ret + n, path, more + 1);
	return ret;
}

/* A file with several names may be one that was not to be written. It is emptied only once that is known. */
static int sole_file(int fd, bool is_emptied)
{
	struct stat st;
	int err = fstat(fd, &st) < 0 ? errno : S_ISREG(st.st_mode) && st.st_nlink > 1 ? EMLINK : 0;

	if (!err && is_emptied && S_ISREG(st.st_mode) && ftruncate(fd, 0) < 0)
		err = errno;
	if (!err)
		return fd;
	close(fd);
	errno = err;
	return -1;
}

/* The name was judged; so no link leads to another one. */
static int open_beneath(const struct run *r, const char *path, int flags, bool is_emptied)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC), .mode = 0666, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
	char room[PATH_SIZE];
	const char *rel = beneath(r, path, room);
	int home, fd, err;

	if (!rel) {
		errno = EXDEV;
		return -1;
	}
	home = open(r->home, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (home < 0)
		return -1;
	fd = (int)syscall(SYS_openat2, home, rel, &how, sizeof(how));
	err = errno;
	close(home);
	errno = err;
	return fd < 0 ? fd : sole_file(fd, is_emptied);
}

/* "R", descriptor, kind, path. Returns false after telling why. */
static bool redirect(const struct run *r, const char *text)
{
	const char *path = text + 3;
	int to = text[1] - '0', fd;

	switch (text[2]) {
	case '<': fd = open(path, O_RDONLY | O_CLOEXEC); break;
	case '>': fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666); break;
	case 'a': fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666); break;
	case '}': fd = open_beneath(r, path, O_WRONLY | O_CREAT, true); break;
	case 'A': fd = open_beneath(r, path, O_WRONLY | O_CREAT | O_APPEND, false); break;
	default:
		fd = path[0] - '0';
		if (fd != to && dup2(fd, to) < 0) {
			say_errno("redirection", errno);
			return false;
		}
		return true;
	}
	if (fd < 0) {
		say_errno(path, errno);
		return false;
	}
	if (fd == to)
		fcntl(fd, F_SETFD, 0);
	else {
		dup2(fd, to);
		close(fd);
	}
	return true;
}

/* ---- Programs ---- */

/* A file without #! is a script for a shell. */
static void try_exec(const char *path, char **argv, char *const *envp)
{
	execve(path, argv, envp);
	if (errno != ENOEXEC)
		return;
	argv[-1] = argv[0]; /* the slot of the step or of a redirection */
	argv[0] = (char *)(uintptr_t)path;
	argv[-1] = (char *)(uintptr_t) "sh";
	execve("/bin/bash", argv - 1, envp);
	execve("/bin/sh", argv - 1, envp);
	errno = ENOEXEC;
}

static const char *search_path(char *const *envp)
{
	for (; *envp; envp++)
		if (strncmp(*envp, "PATH=", 5) == 0)
			return *envp + 5;
	return FALLBACK_PATH;
}

/* Returns when there is none; errno says why. */
static void search(char **argv, char *const *envp)
{
	size_t name = strlen(argv[0]);
	bool was_denied = false;

	for (const char *dir = search_path(envp), *end;; dir = end + 1) {
		char path[PATH_SIZE];
		size_t n;

		end = strchrnul(dir, ':');
		n = (size_t)(end - dir);
		if (n + name + 3 <= sizeof(path)) {
			memcpy(path, n ? dir : ".", n ? n : 1);
			n = n ? n : 1;
			path[n++] = '/';
			memcpy(path + n, argv[0], name + 1);
			try_exec(path, argv, envp);
			was_denied |= errno == EACCES;
			if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
				return;
		}
		if (!*end)
			break;
	}
	errno = was_denied ? EACCES : ENOENT;
}

/* The step's redirections, then its program. */
static NORETURN void become(struct run *r, char **step)
{
	char **argv = step + 1, **end;
	const char *name;

	for (; *argv && (*argv)[0] == 'R'; argv++)
		if (!redirect(r, *argv))
			_exit(1);
	for (end = argv; *end && (*end)[0] == 'W'; end++)
		(*end)++;
	*end = NULL;
	name = argv[0];
	if (strchr(name, '/'))
		try_exec(name, argv, r->envp);
	else
		search(argv, r->envp);
	if (errno == ENOENT && !strchr(name, '/')) {
		say(name, "command not found");
		_exit(127);
	}
	say_errno(name, errno);
	_exit(errno == ENOENT ? 127 : 126);
}

/* ---- What follows what ---- */

static char **step_end(char **step)
{
	for (step++; *step && ((*step)[0] == 'R' || (*step)[0] == 'W'); step++)
		;
	return step;
}

static pid_t start(struct run *r, char **step, int in, int out, int unused)
{
	pid_t pid = (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, 0, 0, 0, 0);

	if (pid != 0)
		return pid;
	if (in >= 0)
		dup2(in, 0);
	if (out >= 0)
		dup2(out, 1);
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	if (unused >= 0)
		close(unused);
	become(r, step);
}

static int wait_for(pid_t last, unsigned n)
{
	int status = 0, result = 127 << 8;

	while (n > 0) {
		pid_t pid = wait4(-1, &status, 0, NULL);

		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			break;
		n--;
		if (pid == last)
			result = status;
	}
	return WIFSIGNALED(result) ? 128 + WTERMSIG(result) : WEXITSTATUS(result);
}

/* From r->at to the end of the pipeline. Returns the operator behind it. */
static char run_pipeline(struct run *r)
{
	int in = -1;
	unsigned n = 0;
	pid_t last = -1;
	char op;

	do {
		char **step = r->at, **next = step_end(step);
		int pipe_fds[2] = {-1, -1};

		op = step[0][1];
		if (op == '.' && n == 0)
			become(r, step); /* nothing follows */
		if (op == 'p' && pipe2(pipe_fds, O_CLOEXEC) < 0) {
			say_errno("pipe", errno);
			_exit(126);
		}
		last = start(r, step, in, pipe_fds[1], pipe_fds[0]);
		if (last < 0)
			say_errno("fork", errno);
		n += last > 0;
		if (in >= 0)
			close(in);
		if (pipe_fds[1] >= 0)
			close(pipe_fds[1]);
		in = pipe_fds[0];
		r->at = next;
	} while (op == 'p');
	r->status = wait_for(last, n);
	return op;
}

/* The folder beneath home, for redirections that must stay there. */
static void note_folder(struct run *r, const char *path)
{
	char room[PATH_SIZE];
	const char *rel = strcmp(path, "/workspace") == 0 || strcmp(path, r->home) == 0 ? "" : beneath(r, path, room);

	r->is_outside = !rel || strlen(rel) >= PATH_SIZE;
	if (!r->is_outside)
		memmove(r->below, rel, strlen(rel) + 1);
}

static char change_folder(struct run *r)
{
	const char *step = *r->at++, *path = step + 2;

	r->status = 0;
	if (chdir(path) < 0) {
		say_errno(path, errno);
		r->status = 1;
	} else {
		note_folder(r, path);
	}
	return step[1];
}

static void skip(struct run *r, char *op)
{
	do {
		*op = (*r->at)[1];
		r->at = step_end(r->at);
	} while (*op == 'p');
}

/* Where it begins: the current folder may be below home already. */
static void find_folder(struct run *r)
{
	size_t home = strlen(r->home);
	char cwd[PATH_SIZE];

	if (syscall(SYS_getcwd, cwd, sizeof(cwd)) < 0 || strncmp(cwd, r->home, home) != 0 ||
	    (cwd[home] && cwd[home] != '/'))
		r->is_outside = true;
	else if (cwd[home])
		memcpy(r->below, cwd + home + 1, strlen(cwd + home + 1) + 1);
}

void plan_run(char **argv, char *const *envp)
{
	struct run r = {.home = argv[1], .at = argv + 2, .envp = envp};
	char op = ';';

	find_folder(&r);
	while (*r.at && op != '.') {
		bool is_wanted = op == ';' || (op == '&') == (r.status == 0);

		if (!is_wanted)
			skip(&r, &op);
		else
			op = (*r.at)[0] == 'D' ? change_folder(&r) : run_pipeline(&r);
	}
	_exit(r.status);
}
