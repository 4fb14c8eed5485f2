#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "control.h"
#include "files.h"
#include "spec.h"
#include "spool.h"

#define MAX_PEERS 4
#define PIPE_SIZE (256 * 1024)
#define SETUP_MS 30000
#define DRAIN_MS 200 /* after the leader's exit, for output of what it left behind */
#define SPEC_MAX (32 << 20)
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

/* What it waits for. */
enum supervisor_state {
	SUPERVISOR_SETUP,    /* the sandbox's layers */
	SUPERVISOR_RUNNING,  /* the leader's end, the time-out, a cancel */
	SUPERVISOR_DRAINING, /* the ends of the pipes, for DRAIN_MS at most */
	SUPERVISOR_KILLING,  /* the death of everything inside */
	SUPERVISOR_ENDED,
};

/* A connection to exec; two at once while a new exec takes over. */
struct peer {
	int fd; /* -1 = free */
	bool is_told_start;
	bool is_waiting; /* told about output, and has not said that it saw it */
	uint64_t told;   /* bytes */
};

struct supervisor {
	const struct sandbox_host *host;
	struct arena *arena;
	struct spec spec;
	struct result result;
	enum supervisor_state state;
	uint64_t deadline_us; /* monotonic, of the state */
	uint64_t start_us;    /* monotonic, of the leader */

	struct sandbox sandbox;
	struct spool_writer spool;
	int dir_fd;   /* the command's folder, locked */
	int exec_fd;  /* the exec folder */
	int out[2];   /* our ends of stdout and stderr; -1 = ended */
	int in;       /* our end of stdin, -1 = none or closed */
	size_t in_at; /* bytes of the input written */
	int listen_fd;
	struct peer peers[MAX_PEERS];
	char *buffer; /* PIPE_SIZE */
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- exec ---- */

static void peer_send(struct peer *p, const struct control_event *e)
{
	if (p->fd >= 0 && send(p->fd, e, sizeof(*e), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
		close_fd(&p->fd);
}

/* Tells what it does not know yet. */
static void peer_tell(struct supervisor *s, struct peer *p)
{
	struct control_event started = {.type = CONTROL_STARTED, .at_us = s->result.started_us};
	struct control_event output = {.type = CONTROL_OUTPUT, .total = spool_total(&s->spool)};

	if (!p->is_told_start && s->result.started_us) {
		p->is_told_start = true;
		peer_send(p, &started);
	}
	if (!p->is_waiting && p->told < output.total) {
		p->is_waiting = true;
		p->told = output.total;
		peer_send(p, &output);
	}
}

static void tell_all(struct supervisor *s)
{
	for (size_t i = 0; i < MAX_PEERS; i++)
		if (s->peers[i].fd >= 0)
			peer_tell(s, &s->peers[i]);
}

static void peer_add(struct supervisor *s, int fd)
{
	for (size_t i = 0; i < MAX_PEERS; i++) {
		if (s->peers[i].fd >= 0)
			continue;
		s->peers[i] = (struct peer){.fd = fd};
		peer_tell(s, &s->peers[i]);
		return;
	}
	close(fd);
}

/* The path by the folder's descriptor, because a socket's path may be 107 bytes long only. */
static int listen_control(int dir_fd)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" CONTROL_SOCKET, dir_fd);
	unlinkat(dir_fd, CONTROL_SOCKET, 0);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, MAX_PEERS) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

/* ---- States ---- */

static void enter(struct supervisor *s, enum supervisor_state state, uint64_t ms)
{
	s->state = state;
	s->deadline_us = clock_mono_us() + ms * 1000;
}

static void set_reason(struct supervisor *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->result.reason, sizeof(s->result.reason), fmt, ap);
	va_end(ap);
}

static void kill_now(struct supervisor *s)
{
	sandbox_kill(s->host, &s->sandbox);
	enter(s, SUPERVISOR_KILLING, 60000);
}

/* The end is decided here and once: what comes later does not change it. */
static void end_with(struct supervisor *s, enum command_status status)
{
	if (command_status_is_end(s->result.status))
		return;
	s->result.status = status;
	kill_now(s);
}

/* On record before the leader runs, while the sandbox builds itself. */
static int record_start(struct supervisor *s)
{
	char text[32];
	int r;

	snprintf(text, sizeof(text), "%lld", (long long)clock_now_us());
	r = file_create(s->dir_fd, STARTED_FILE, str_of(text));
	return r == 0 && fsync(s->dir_fd) < 0 ? -errno : r;
}

static void go(struct supervisor *s)
{
	int r = sandbox_go(&s->sandbox);

	if (r < 0) {
		set_reason(s, "The command could not be started: %s.", strerror(-r));
		end_with(s, COMMAND_ERROR);
		return;
	}
	s->result.started_us = clock_now_us();
	s->start_us = clock_mono_us();
	enter(s, SUPERVISOR_RUNNING, s->spec.timeout_ms);
	tell_all(s);
}

static void exec_failed(struct supervisor *s, int err)
{
	const char *name = s->spec.argv ? s->spec.argv[0] : "sh";

	if (err == ENOENT)
		set_reason(s, "command not found: %.180s", name);
	else
		set_reason(s, "%.160s: %s", name, strerror(err));
}

static void leader_exited(struct supervisor *s, const struct init_message *m)
{
	s->result.max_rss_kib = m->max_rss_kib;
	if (command_status_is_end(s->result.status))
		return;
	if (WIFSIGNALED(m->wait_status)) {
		s->result.status = COMMAND_SIGNALLED;
		s->result.signal = WTERMSIG(m->wait_status);
	} else {
		s->result.status = COMMAND_EXITED;
		s->result.exit_code = WEXITSTATUS(m->wait_status);
	}
	enter(s, SUPERVISOR_DRAINING, DRAIN_MS);
}

static void on_init_message(struct supervisor *s)
{
	struct init_message m;
	ssize_t n = recv(s->sandbox.control, &m, sizeof(m), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != sizeof(m)) {
		close_fd(&s->sandbox.control);
		if (s->state == SUPERVISOR_SETUP || s->state == SUPERVISOR_RUNNING) {
			/* The init died before it could speak: the memory limit, or the machine's. */
			set_reason(s, "The sandbox was killed from outside.");
			end_with(s, s->state == SUPERVISOR_SETUP ? COMMAND_ERROR : COMMAND_SIGNALLED);
			s->result.signal = s->result.status == COMMAND_SIGNALLED ? SIGKILL : 0;
		}
		return;
	}
	switch ((enum init_event)m.event) {
	case INIT_READY: go(s); break;
	case INIT_FAILED:
		set_reason(s, "The sandbox did not come up (%s, %.60s: %s).",
			   sandbox_layer_name((enum sandbox_layer)m.layer), m.what, strerror(m.err));
		end_with(s, COMMAND_ERROR);
		break;
	case INIT_CWD_FAILED:
		set_reason(s, "The working directory %.150s: %s.", s->spec.cwd, strerror(m.err));
		end_with(s, COMMAND_ERROR);
		break;
	case INIT_EXEC_FAILED: exec_failed(s, m.err); break;
	case INIT_EXITED: leader_exited(s, &m); break;
	}
}

static void on_deadline(struct supervisor *s)
{
	switch (s->state) {
	case SUPERVISOR_SETUP:
		set_reason(s, "The sandbox did not come up in %d s.", SETUP_MS / 1000);
		end_with(s, COMMAND_ERROR);
		break;
	case SUPERVISOR_RUNNING:
		set_reason(s, "Stopped after its time-out of %llu ms.", (unsigned long long)s->spec.timeout_ms);
		end_with(s, COMMAND_TIMEOUT);
		break;
	case SUPERVISOR_DRAINING: kill_now(s); break;
	case SUPERVISOR_KILLING: /* a process that the kernel cannot end yet: ask again */ kill_now(s); break;
	case SUPERVISOR_ENDED: break;
	}
}

/* ---- Pipes ---- */

static void on_output(struct supervisor *s, int i)
{
	ssize_t n = read(s->out[i], s->buffer, PIPE_SIZE);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close_fd(&s->out[i]);
		return;
	}
	spool_write(&s->spool, i == 0 ? SPOOL_STDOUT : SPOOL_STDERR, (uint32_t)((clock_mono_us() - s->start_us) / 1000),
		    s->buffer, (size_t)n);
}

/* What the dead left in the pipes; bounded by their size. */
static void drain_rest(struct supervisor *s)
{
	for (int i = 0; i < 2; i++)
		for (int rounds = 0; s->out[i] >= 0 && rounds < 64; rounds++) {
			struct pollfd p = {.fd = s->out[i], .events = POLLIN};

			if (poll(&p, 1, 0) <= 0)
				break;
			on_output(s, i);
		}
}

static void on_input(struct supervisor *s)
{
	ssize_t n = write(s->in, s->spec.input.p + s->in_at, s->spec.input.n - s->in_at);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	s->in_at += (size_t)MAX(n, 0);
	if (n < 0 || s->in_at == s->spec.input.n)
		close_fd(&s->in);
}

static void on_peer(struct supervisor *s, struct peer *p)
{
	struct control_request m;
	ssize_t n = recv(p->fd, &m, sizeof(m), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != sizeof(m)) {
		close_fd(&p->fd);
		return;
	}
	if (m.type == CONTROL_SEEN) {
		p->is_waiting = false;
		peer_tell(s, p);
	} else if (m.type == CONTROL_CANCEL) {
		if (!command_status_is_end(s->result.status))
			set_reason(s, "Cancelled.");
		end_with(s, COMMAND_CANCELLED);
	}
}

/* ---- The loop ---- */

enum { FD_PIDFD, FD_INIT, FD_OUT, FD_ERR, FD_IN, FD_LISTEN, FD_PEERS, FD_COUNT = FD_PEERS + MAX_PEERS };

static int milliseconds_left(const struct supervisor *s)
{
	uint64_t now = clock_mono_us();

	return now >= s->deadline_us ? 0 : (int)MIN((s->deadline_us - now + 999) / 1000, 3600000);
}

static void wait_for_something(struct supervisor *s)
{
	struct pollfd p[FD_COUNT] = {
		[FD_PIDFD] = {.fd = s->sandbox.pidfd, .events = POLLIN},
		[FD_INIT] = {.fd = s->sandbox.control, .events = POLLIN},
		[FD_OUT] = {.fd = s->out[0], .events = POLLIN},
		[FD_ERR] = {.fd = s->out[1], .events = POLLIN},
		[FD_IN] = {.fd = s->in, .events = POLLOUT},
		[FD_LISTEN] = {.fd = s->listen_fd, .events = POLLIN},
	};

	for (size_t i = 0; i < MAX_PEERS; i++)
		p[FD_PEERS + i] = (struct pollfd){.fd = s->peers[i].fd, .events = POLLIN};
	if (poll(p, FD_COUNT, milliseconds_left(s)) < 0)
		return;
	for (int i = 0; i < 2; i++)
		if (p[FD_OUT + i].revents)
			on_output(s, i);
	if (p[FD_IN].revents)
		on_input(s);
	if (p[FD_INIT].revents)
		on_init_message(s);
	for (size_t i = 0; i < MAX_PEERS; i++)
		if (p[FD_PEERS + i].revents)
			on_peer(s, &s->peers[i]);
	if (p[FD_LISTEN].revents) {
		int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0)
			peer_add(s, fd);
	}
	if (p[FD_PIDFD].revents && s->sandbox.control < 0)
		enter(s, SUPERVISOR_ENDED, 0);
	else if (p[FD_PIDFD].revents && !(p[FD_INIT].revents & POLLIN))
		close_fd(&s->sandbox.control);
}

static void loop(struct supervisor *s)
{
	while (s->state != SUPERVISOR_ENDED) {
		wait_for_something(s);
		tell_all(s);
		if (s->state == SUPERVISOR_DRAINING && s->out[0] < 0 && s->out[1] < 0)
			kill_now(s);
		if (s->state != SUPERVISOR_ENDED && milliseconds_left(s) == 0)
			on_deadline(s);
	}
}

/* ---- Before ---- */

static int output_pipe(struct supervisor *s, int i, int *ret_inner)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	fcntl(fds[0], F_SETPIPE_SZ, PIPE_SIZE);
	/* So that the command can open /dev/stdout again. */
	if (s->host->is_root && fchown(fds[1], s->spec.uid, s->spec.uid) < 0)
		return -errno;
	s->out[i] = fds[0];
	*ret_inner = fds[1];
	return 0;
}

static int input_pipe(struct supervisor *s, int *ret_inner)
{
	int fds[2];

	if (s->spec.input.n == 0) {
		*ret_inner = open("/dev/null", O_RDONLY | O_CLOEXEC);
		return *ret_inner < 0 ? -errno : 0;
	}
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	if (s->host->is_root && fchown(fds[0], s->spec.uid, s->spec.uid) < 0)
		return -errno;
	s->in = fds[1];
	*ret_inner = fds[0];
	return 0;
}

/* The folder on the host; without namespaces the command sees it at this path, and it needs one in any case. */
static const char *workspace_path(struct supervisor *s, const char *exec_dir)
{
	const char *path;

	if (s->spec.workspace[0])
		return arena_printf(s->arena, "%s/workspaces/%s", exec_dir, s->spec.workspace);
	if (s->host->namespaces)
		return NULL;
	path = arena_printf(s->arena, "%s/workspaces/.%s", exec_dir, s->spec.id);
	if (mkdir(path, 0700) == 0 && s->host->is_root && chown(path, s->spec.uid, s->spec.uid) < 0)
		rmdir(path);
	return path;
}

static const char *working_directory(struct supervisor *s, const char *workspace)
{
	const char *home = s->host->namespaces ? "/workspace" : workspace;

	if (!s->spec.cwd[0])
		return home;
	if (s->spec.cwd[0] != '/')
		return arena_printf(s->arena, "%s/%s", home, s->spec.cwd);
	if (!s->host->namespaces && str_has_prefix(str_of(s->spec.cwd), STR("/workspace")))
		return arena_printf(s->arena, "%s%s", workspace, s->spec.cwd + strlen("/workspace"));
	return s->spec.cwd;
}

static bool has_name(char *const *env, const char *assignment)
{
	size_t n = (size_t)(strchr(assignment, '=') - assignment) + 1;

	for (; *env; env++)
		if (strncmp(*env, assignment, n) == 0)
			return true;
	return false;
}

/* The command's variables and, where it names none, a few that programs expect. Nothing of ours. */
static char **environment(struct supervisor *s, const char *home)
{
	const char *const defaults[] = {"PATH=" DEFAULT_PATH,
					arena_printf(s->arena, "HOME=%s", home),
					arena_printf(s->arena, "TMPDIR=%s", s->host->namespaces ? "/tmp" : home),
					"USER=ogent",
					"LOGNAME=ogent",
					"SHELL=/bin/sh",
					"LANG=C.UTF-8",
					"TERM=dumb"};
	size_t n = 0;
	char **env;

	while (s->spec.env[n])
		n++;
	env = arena_alloc(s->arena, (n + ARRAY_SIZE(defaults) + 1) * sizeof(*env));
	memcpy(env, s->spec.env, n * sizeof(*env));
	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
		if (!has_name(s->spec.env, defaults[i]))
			env[n++] = arena_strdup(s->arena, defaults[i]);
	return env;
}

static char **arguments(struct supervisor *s)
{
	char **argv;

	if (s->spec.argv)
		return s->spec.argv;
	argv = arena_alloc(s->arena, 4 * sizeof(*argv));
	argv[0] = arena_strdup(s->arena, access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh");
	argv[1] = arena_strdup(s->arena, "-c");
	argv[2] = arena_strdup(s->arena, s->spec.script);
	return argv;
}

static int start_sandbox(struct supervisor *s, const char *exec_dir, struct error *err)
{
	const char *workspace = workspace_path(s, exec_dir);
	int inner[3] = {-1, -1, -1};
	struct sandbox_spec spec = {
		.id = s->spec.id,
		.uid = s->spec.uid,
		.workspace = workspace,
		.cwd = working_directory(s, workspace),
		.argv = arguments(s),
		.envp = environment(s, s->host->namespaces ? "/workspace" : workspace),
		.memory_max = s->spec.memory_max,
		.tmp_max = s->spec.tmp_max,
		.file_size_max = s->spec.file_size_max,
		.pids_max = s->spec.pids_max,
	};
	int r = input_pipe(s, &inner[0]);

	if (r == 0)
		r = output_pipe(s, 0, &inner[1]);
	if (r == 0)
		r = output_pipe(s, 1, &inner[2]);
	if (r < 0)
		error_set(err, "sandbox_failed", "Making pipes: %s.", strerror(-r));
	memcpy(spec.stdio, inner, sizeof(inner));
	if (r == 0)
		r = sandbox_start(s->host, &spec, &s->sandbox, err);
	for (int i = 0; i < 3; i++)
		close_fd(&inner[i]);
	return r;
}

/* ---- After ---- */

static void judge_memory(struct supervisor *s)
{
	unsigned kills = cgroup_oom_kills(&s->sandbox.cgroup);
	uint64_t peak = cgroup_memory_peak(&s->sandbox.cgroup);

	if (peak)
		s->result.max_rss_kib = peak / 1024;
	if (kills == 0 || s->result.status == COMMAND_TIMEOUT || s->result.status == COMMAND_CANCELLED)
		return;
	if (s->result.status == COMMAND_SIGNALLED ||
	    (s->result.status == COMMAND_EXITED && s->result.exit_code == 128 + SIGKILL)) {
		s->result.status = COMMAND_OOM;
		set_reason(s, "It needed more than its %llu MiB of memory.",
			   (unsigned long long)(s->spec.memory_max >> 20));
	} else if (!s->result.reason[0]) {
		set_reason(s, "%u of its processes were killed for lack of memory.", kills);
	}
}

static void judge(struct supervisor *s, const struct rusage *usage)
{
	struct result *r = &s->result;
	int err = s->spool.err;

	r->ended_us = clock_now_us();
	r->cpu_ms = (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000 +
		    (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1000;
	judge_memory(s);
	r->output_bytes = spool_total(&s->spool);
	r->truncated_bytes = spool_truncated(&s->spool);
	if (err < 0 && !r->reason[0])
		set_reason(s, "Output could not be kept: %s.", strerror(-err));
	if (r->status == COMMAND_SIGNALLED && !r->reason[0])
		set_reason(s, "Killed by signal %d (%s).", r->signal, strsignal(r->signal));
}

/* exec is told before the disk has it: what a power failure takes in between reads as lost. Room for the result was
 * reserved with the command; a disk that fails all the same must not hide the end: exec is told and calls it lost. */
static void publish(struct supervisor *s)
{
	struct control_event ended = {.type = CONTROL_ENDED};

	ended.err = file_replace(s->dir_fd, RESULT_FILE, result_to_json(s->arena, &s->result));
	unlinkat(s->dir_fd, CONTROL_SOCKET, 0);
	if (ended.err == 0)
		unlinkat(s->exec_fd, arena_printf(s->arena, "running/%s", s->spec.id), 0);
	for (size_t i = 0; i < MAX_PEERS; i++)
		peer_send(&s->peers[i], &ended);
	spool_writer_sync(&s->spool);
	if (ended.err == 0)
		file_sync(s->dir_fd, RESULT_FILE);
}

static void finish(struct supervisor *s, const char *exec_dir)
{
	struct rusage usage = {0};

	if (s->sandbox.init > 0)
		sandbox_reap(&s->sandbox, &usage);
	drain_rest(s);
	judge(s, &usage);
	publish(s);
	sandbox_deinit(s->host, &s->sandbox);
	if (!s->host->namespaces && !s->spec.workspace[0])
		rmdir(arena_printf(s->arena, "%s/workspaces/.%s", exec_dir, s->spec.id));
}

/* ---- The process ---- */

static void settle_process(int keep)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	signal(SIGCHLD, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 3; i++)
		dup2(null, i);
	dup3(keep, 3, O_CLOEXEC);
	syscall(SYS_close_range, 4, ~0u, 0);
	prctl(PR_SET_NAME, "ogent-command", 0, 0, 0);
}

/* Takes the command's folder for itself, or leaves it to who has it. */
static int take_folder(struct supervisor *s, const char *exec_dir, const char *id)
{
	s->exec_fd = open(exec_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->exec_fd < 0)
		return -errno;
	s->dir_fd = dir_open(s->exec_fd, arena_printf(s->arena, "commands/%s", id));
	if (s->dir_fd < 0)
		return s->dir_fd;
	return flock(s->dir_fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

static int load(struct supervisor *s)
{
	struct str text;
	int r = file_read(s->dir_fd, SPEC_FILE, SPEC_MAX, s->arena, &text);

	if (r == 0)
		r = spec_from_json(s->arena, text, &s->spec);
	/* Whoever started it before us may have run it: never again. */
	if (r == 0 && faccessat(s->dir_fd, STARTED_FILE, F_OK, 0) == 0)
		r = -EALREADY;
	return r;
}

static NORETURN void give_up(int control, enum control_event_type type, int err)
{
	struct control_event e = {.type = type, .err = err};

	send(control, &e, sizeof(e), MSG_NOSIGNAL);
	_exit(1);
}

void command_supervise(const struct sandbox_host *host, const char *exec_dir, const char *id, int control)
{
	struct supervisor s = {
		.host = host,
		.arena = arena_new(),
		.result = {.status = COMMAND_RUNNING, .exit_code = -1},
		.sandbox = SANDBOX_INIT,
		.dir_fd = -1,
		.out = {-1, -1},
		.in = -1,
	};
	struct error err = {0};
	int r;

	s.buffer = arena_alloc(s.arena, PIPE_SIZE);
	settle_process(control);
	control = 3;
	if (!host->namespaces)
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	for (size_t i = 0; i < MAX_PEERS; i++)
		s.peers[i].fd = -1;
	r = take_folder(&s, exec_dir, id);
	if (r < 0)
		give_up(control, r == -EWOULDBLOCK ? CONTROL_TAKEN : CONTROL_FAILED, r);
	r = load(&s);
	if (r < 0)
		give_up(control, CONTROL_FAILED, r);
	s.listen_fd = listen_control(s.dir_fd);
	if (s.listen_fd < 0)
		give_up(control, CONTROL_FAILED, s.listen_fd);
	fcntl(control, F_SETFL, O_NONBLOCK);
	peer_add(&s, control);
	s.start_us = clock_mono_us();
	spool_writer_init(&s.spool, s.dir_fd, s.spec.output_max);
	enter(&s, SUPERVISOR_SETUP, SETUP_MS);
	r = start_sandbox(&s, exec_dir, &err);
	if (r == 0) {
		r = record_start(&s);
		if (r < 0)
			error_set(&err, "journal_failed", "The command could not be recorded: %s.", strerror(-r));
	}
	if (r < 0) {
		set_reason(&s, "%.230s", err.message);
		end_with(&s, COMMAND_ERROR);
	}
	if (s.sandbox.init > 0)
		loop(&s);
	finish(&s, exec_dir);
	_exit(0);
}
