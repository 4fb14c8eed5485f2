#include "attend.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "pty.h"
#include "waiting.h"

#define PIPE_SIZE (256 * 1024)
#define PIPE_FULL (16 * 1024) /* read at once, it gets that size */
#define SETUP_MS 30000
#define INPUT_ROOM (64 * 1024)
#define LOOK_FIRST_MS 100 /* from the last input or output to the first look whether it waits for input */
#define LOOK_MAX_MS 2000
#define TTY_AGAIN_MS 50 /* between looks whether somebody opened the terminal again */
#define DRAIN_MS 200    /* after the leader's exit, for output of what it left behind */
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- States ---- */

/* The command's ends of its pipes or terminal. */
static void close_inner(struct attendant *a)
{
	for (int i = 0; i < 3; i++)
		close_fd(&a->command.stdio[i]);
}

static void enter(struct attendant *a, enum attend_state state, uint64_t ms)
{
	a->state = state;
	a->deadline_us = clock_mono_us() + ms * 1000;
	if (state == ATTEND_DRAINING || state == ATTEND_KILLING)
		close_inner(a); /* to see the ends of the pipes */
}

static void set_reason(struct attendant *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(a->result.reason, sizeof(a->result.reason), fmt, ap);
	va_end(ap);
}

static void kill_now(struct attendant *a)
{
	sandbox_kill(a->host, &a->sandbox);
	enter(a, ATTEND_KILLING, 60000);
}

/* The end is decided here and once: what comes later does not change it. */
static void end_with(struct attendant *a, enum command_status status)
{
	if (command_status_is_end(a->result.status))
		return;
	a->result.status = status;
	kill_now(a);
}

static void stir(struct attendant *a);

/* ---- Limits ---- */

static void tell_limit(struct attendant *a, enum watch_verdict v)
{
	const struct spec *s = a->spec;

	switch (v) {
	case WATCH_FINE: break;
	case WATCH_CPU: set_reason(a, "It used up its %llu ms of CPU time.", (unsigned long long)s->cpu_max_ms); break;
	case WATCH_BYTES:
		set_reason(a, "Its workspace has more than its quota of %llu MiB. Remove files to go on.",
			   (unsigned long long)(s->quota_bytes >> 20));
		break;
	case WATCH_FILES:
		set_reason(a,
			   "Its workspace has more than its quota of %llu files and folders, or they are nested too "
			   "deeply. Remove some to go on.",
			   (unsigned long long)s->quota_files);
		break;
	}
}

static void obey_watch(struct attendant *a, enum watch_verdict v)
{
	if (v == WATCH_FINE || command_status_is_end(a->result.status))
		return;
	tell_limit(a, v);
	end_with(a, v == WATCH_CPU ? COMMAND_CPU : COMMAND_QUOTA);
}

static void start_watch(struct attendant *a)
{
	const struct spec *s = a->spec;
	const struct watch_limits limits = {s->cpu_max_ms, s->quota_bytes, s->quota_files};

	obey_watch(a, watch_start(&a->watch, &a->sandbox, &limits, a->command.workspace, s->uid));
}

static bool is_watched(const struct attendant *a)
{
	return a->state == ATTEND_RUNNING || a->state == ATTEND_DRAINING;
}

/* ---- Starting ---- */

static bool has_tty(const struct attendant *a)
{
	return a->spec->tty.rows > 0;
}

/* The command has its ends now. Those of its output stay open here too until its leader ends, whose exit closes its own
 * a moment before it can be heard of: nobody is to be woken for that. A terminal's must be the command's alone. */
static void leave_inner(struct attendant *a)
{
	close_fd(&a->command.stdio[0]);
	if (has_tty(a))
		close_inner(a);
}

/* The sandbox is there, and that it starts is on record. */
static void go(struct attendant *a)
{
	struct error err = {0};
	int r = sandbox_go(a->host, &a->sandbox, &a->command, &err);

	leave_inner(a);
	if (r < 0) {
		set_reason(a, "The command could not be started: %.180s", err.message);
		end_with(a, COMMAND_ERROR);
		return;
	}
	a->result.started_us = clock_now_us();
	a->start_us = clock_mono_us();
	enter(a, ATTEND_RUNNING, a->spec->timeout_ms);
	start_watch(a);
	stir(a);
}

static void go_if_due(struct attendant *a)
{
	if (a->is_ready && a->is_recorded && a->state == ATTEND_SETUP)
		go(a);
}

static void exec_failed(struct attendant *a, int err)
{
	const char *name = a->spec->argv ? a->spec->argv[0] : "sh";

	if (err == ENOENT)
		set_reason(a, "command not found: %.180s", name);
	else
		set_reason(a, "%.160s: %s", name, strerror(err));
}

static void leader_exited(struct attendant *a, const struct init_message *m)
{
	a->result.max_rss_kib = m->max_rss_kib;
	a->result.cpu_ms = m->cpu_us / 1000;
	a->result.system_ms = m->system_us / 1000;
	a->result.read_bytes = m->read_bytes;
	a->result.write_bytes = m->write_bytes;
	a->is_alone = m->is_alone;
	if (command_status_is_end(a->result.status))
		return;
	if (WIFSIGNALED(m->wait_status)) {
		a->result.status = COMMAND_SIGNALLED;
		a->result.signal = WTERMSIG(m->wait_status);
	} else {
		a->result.status = COMMAND_EXITED;
		a->result.exit_code = WEXITSTATUS(m->wait_status);
	}
	/* Alone: nobody is left to be killed, or to write. */
	enter(a, a->is_alone ? ATTEND_ENDED : ATTEND_DRAINING, DRAIN_MS);
}

/* The init died before it could speak: the memory limit, or the machine's. */
static void init_gone(struct attendant *a, int err)
{
	close_fd(&a->sandbox.control);
	if (a->state != ATTEND_SETUP && a->state != ATTEND_RUNNING)
		return;
	if (err < 0)
		set_reason(a, "The sandbox did not come up: %s.", strerror(-err));
	else
		set_reason(a, "The sandbox was killed from outside.");
	end_with(a, a->state == ATTEND_SETUP ? COMMAND_ERROR : COMMAND_SIGNALLED);
	a->result.signal = a->result.status == COMMAND_SIGNALLED ? SIGKILL : 0;
}

static void on_init_message(struct attendant *a)
{
	struct init_message m;
	int r = sandbox_receive(a->host, &a->sandbox, &m);

	if (r == -EAGAIN)
		return;
	if (r <= 0) {
		init_gone(a, r);
		return;
	}
	switch ((enum init_event)m.event) {
	case INIT_USERNS:
	case INIT_PROXY: break;
	case INIT_READY:
		a->is_ready = true;
		go_if_due(a);
		break;
	case INIT_FAILED:
		set_reason(a, "The sandbox did not come up (%s, %.60s: %s).",
			   sandbox_layer_name((enum sandbox_layer)m.layer), m.what, strerror(m.err));
		end_with(a, COMMAND_ERROR);
		break;
	case INIT_CWD_FAILED:
		set_reason(a, "The working directory %.150s: %s.", a->spec->cwd, strerror(m.err));
		end_with(a, COMMAND_ERROR);
		break;
	case INIT_EXEC_FAILED: exec_failed(a, m.err); break;
	case INIT_EXITED: leader_exited(a, &m); break;
	}
}

/* What the leader left behind ends with it; in a shared sandbox it stays. */
static void end_rest(struct attendant *a)
{
	a->is_left = a->sandbox.is_seat;
	if (a->is_left)
		enter(a, ATTEND_ENDED, 0);
	else
		kill_now(a);
}

static void on_deadline(struct attendant *a)
{
	switch (a->state) {
	case ATTEND_SETUP:
		set_reason(a, "The sandbox did not come up in %d s.", SETUP_MS / 1000);
		end_with(a, COMMAND_ERROR);
		break;
	case ATTEND_RUNNING:
		set_reason(a, "Stopped after its time-out of %llu ms.", (unsigned long long)a->spec->timeout_ms);
		end_with(a, COMMAND_TIMEOUT);
		break;
	case ATTEND_DRAINING: end_rest(a); break;
	case ATTEND_KILLING: /* a process that the kernel cannot end yet: ask again */ kill_now(a); break;
	case ATTEND_ENDED: break;
	}
}

/* ---- Pipes ---- */

/* Something happened: it does not wait for input, as far as we know. */
static void stir(struct attendant *a)
{
	a->is_waiting = false;
	a->look_ms = LOOK_FIRST_MS;
	a->look_us = clock_mono_us() + LOOK_FIRST_MS * 1000;
}

static bool may_wait_for_input(const struct attendant *a)
{
	return a->state == ATTEND_RUNNING && a->spec->has_input && !a->is_waiting && !a->is_input_ended && a->in >= 0 &&
	       a->pending_n == 0;
}

static void look_for_waiting(struct attendant *a)
{
	a->is_waiting = waiting_for_input(a->sandbox.init, a->in, has_tty(a));
	a->look_ms = MIN(a->look_ms * 2, LOOK_MAX_MS);
	a->look_us = clock_mono_us() + a->look_ms * 1000ull;
}

static void on_output(struct attendant *a, int i)
{
	static char buffer[PIPE_SIZE]; /* no memory before there is output */
	ssize_t n = read(a->out[i], buffer, sizeof(buffer));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* A program may close its terminal before it ends (cat does): who hung up then would kill it. */
	if (n <= 0 && has_tty(a) && a->state == ATTEND_RUNNING) {
		a->is_tty_left = true;
		a->tty_again_us = clock_mono_us() + TTY_AGAIN_MS * 1000;
		return;
	}
	if (n <= 0) {
		close_fd(&a->out[i]);
		return;
	}
	/* Most commands have less to say than a pipe has room for. */
	if ((size_t)n >= PIPE_FULL && !a->is_wide[i]) {
		a->is_wide[i] = true;
		fcntl(a->out[i], F_SETPIPE_SZ, PIPE_SIZE);
	}
	stir(a);
	a->on_output(a, i, buffer, (size_t)n);
}

/* What the dead left in the pipes; bounded by their size. */
static void drain_rest(struct attendant *a)
{
	for (int rounds = 0; rounds < 64; rounds++) {
		struct pollfd p[] = {{.fd = a->out[0], .events = POLLIN}, {.fd = a->out[1], .events = POLLIN}};

		if ((p[0].fd < 0 && p[1].fd < 0) || poll(p, 2, 0) <= 0)
			break;
		for (int i = 0; i < 2; i++)
			if (p[i].revents)
				on_output(a, i);
	}
}

/* The spec's input first, then what came since. */
static struct str next_input(const struct attendant *a)
{
	if (a->in_at < a->spec->input.n)
		return (struct str){a->spec->input.p + a->in_at, a->spec->input.n - a->in_at};
	return (struct str){a->pending, a->pending_n};
}

static void input_taken(struct attendant *a, size_t n)
{
	if (a->in_at < a->spec->input.n) {
		a->in_at += n;
		return;
	}
	a->taken += n;
	a->pending_n -= n;
	memmove(a->pending, a->pending + n, a->pending_n);
}

/* Nothing is left, and nothing comes. On a terminal the end is a character, and our end stays open for the output. */
static void input_done(struct attendant *a)
{
	if (a->spec->has_input && !a->is_input_ended)
		return;
	if (!has_tty(a))
		close_fd(&a->in);
}

static void on_input(struct attendant *a, bool is_gone)
{
	struct str next = next_input(a);
	ssize_t n = next.n && !is_gone ? write(a->in, next.p, next.n) : 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0 || is_gone) {
		close_fd(&a->in);
		a->pending_n = 0;
		return;
	}
	stir(a);
	input_taken(a, (size_t)n);
	if (next_input(a).n == 0)
		input_done(a);
}

ssize_t attendant_input(struct attendant *a, const void *data, size_t n)
{
	size_t room = INPUT_ROOM - a->pending_n;

	if (!a->spec->has_input || a->in < 0 || a->is_input_ended)
		return -EPIPE;
	n = MIN(n, room);
	if (n > 0)
		memcpy(a->pending + a->pending_n, data, n);
	a->pending_n += n;
	a->received += n;
	stir(a);
	return (ssize_t)n;
}

void attendant_input_end(struct attendant *a)
{
	const char eof = 'D' & 0x1f;

	if (!a->spec->has_input || a->in < 0 || a->is_input_ended)
		return;
	if (has_tty(a)) {
		attendant_input(a, &eof, 1);
		return;
	}
	a->is_input_ended = true;
	if (next_input(a).n == 0)
		input_done(a);
}

int attendant_signal(struct attendant *a, int sig, bool leader_alone)
{
	pid_t group = has_tty(a) && !leader_alone && a->out[0] >= 0 ? pty_foreground(a->out[0]) : 0, leader;

	if (a->state != ATTEND_RUNNING)
		return -ESRCH;
	if (group > 1)
		return kill(-group, sig) < 0 ? -errno : 0;
	leader = waiting_first_child(a->sandbox.init);
	if (leader <= 1)
		return -ESRCH;
	return kill(leader_alone ? leader : -leader, sig) < 0 ? -errno : 0;
}

int attendant_resize(struct attendant *a, const struct tty_size *size)
{
	if (!has_tty(a) || a->out[0] < 0)
		return -ENOTTY;
	return pty_resize(a->out[0], size);
}

/* ---- The owner's side ---- */

void attendant_init(struct attendant *a, struct arena *arena)
{
	*a = (struct attendant){
		.arena = arena,
		.result = {.status = COMMAND_RUNNING, .exit_code = -1},
		.sandbox = SANDBOX_INIT,
		.watch = WATCH_INIT,
		.command = {.stdio = {-1, -1, -1}},
		.out = {-1, -1},
		.in = -1,
		.start_us = clock_mono_us(),
	};
	enter(a, ATTEND_SETUP, SETUP_MS);
}

void attendant_fail(struct attendant *a, const char *reason)
{
	if (command_status_is_end(a->result.status))
		return;
	set_reason(a, "%.230s", reason);
	end_with(a, COMMAND_ERROR);
	if (a->sandbox.init <= 0)
		a->state = ATTEND_ENDED;
}

void attendant_cancel_for(struct attendant *a, const char *reason)
{
	if (command_status_is_end(a->result.status))
		return;
	set_reason(a, "%.230s", reason);
	end_with(a, COMMAND_CANCELLED);
}

void attendant_cancel(struct attendant *a)
{
	attendant_cancel_for(a, "Cancelled.");
}

/* It may be opened again (/dev/tty); until then there is nothing to be told. */
static bool waits_for_tty(const struct attendant *a)
{
	return a->is_tty_left && a->state == ATTEND_RUNNING;
}

void attendant_poll(const struct attendant *a, struct pollfd p[static ATTEND_FDS])
{
	p[ATTEND_PIDFD] = (struct pollfd){.fd = a->sandbox.pidfd, .events = POLLIN};
	p[ATTEND_INIT] = (struct pollfd){.fd = a->sandbox.control, .events = POLLIN};
	p[ATTEND_OUT] = (struct pollfd){.fd = a->is_held || waits_for_tty(a) ? -1 : a->out[0], .events = POLLIN};
	p[ATTEND_ERR] = (struct pollfd){.fd = a->is_held ? -1 : a->out[1], .events = POLLIN};
	p[ATTEND_IN] = (struct pollfd){.fd = a->in, .events = next_input(a).n ? POLLOUT : 0};
}

void attendant_handle(struct attendant *a, const struct pollfd p[static ATTEND_FDS])
{
	for (int i = 0; i < 2; i++)
		if (p[ATTEND_OUT + i].revents)
			on_output(a, i);
	if (p[ATTEND_IN].revents)
		on_input(a, (p[ATTEND_IN].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0);
	if (p[ATTEND_INIT].revents)
		on_init_message(a);
	if (p[ATTEND_PIDFD].revents && a->sandbox.control < 0)
		enter(a, ATTEND_ENDED, 0);
	else if (p[ATTEND_PIDFD].revents && !(p[ATTEND_INIT].revents & POLLIN))
		close_fd(&a->sandbox.control);
}

int attendant_milliseconds(const struct attendant *a)
{
	uint64_t now = clock_mono_us(), at = a->deadline_us;

	if (may_wait_for_input(a))
		at = MIN(at, a->look_us);
	if (is_watched(a))
		at = MIN(at, a->watch.due_us);
	if (waits_for_tty(a))
		at = MIN(at, now + TTY_AGAIN_MS * 1000);
	return now >= at ? 0 : (int)MIN((at - now + 999) / 1000, 3600000);
}

void attendant_step(struct attendant *a)
{
	if (clock_mono_us() >= a->tty_again_us)
		a->is_tty_left = false;
	if (a->state == ATTEND_DRAINING && a->out[0] < 0 && a->out[1] < 0)
		end_rest(a);
	if (may_wait_for_input(a) && clock_mono_us() >= a->look_us)
		look_for_waiting(a);
	if (is_watched(a) && clock_mono_us() >= a->watch.due_us)
		obey_watch(a, watch_look(&a->watch, &a->sandbox));
	if (a->state != ATTEND_ENDED && clock_mono_us() >= a->deadline_us)
		on_deadline(a);
}

/* ---- Before ---- */

static int output_pipe(struct attendant *a, int i)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	a->out[i] = fds[0];
	a->command.stdio[1 + i] = fds[1];
	return 0;
}

/* What most commands have: nothing to read, and a pipe for each output. Before there is a spec. */
static int make_pipes(struct attendant *a)
{
	int r;

	if (a->out[0] >= 0)
		return 0;
	a->command.stdio[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	r = a->command.stdio[0] < 0 ? -errno : output_pipe(a, 0);
	return r < 0 ? r : output_pipe(a, 1);
}

static void close_pipes(struct attendant *a)
{
	close_inner(a);
	for (int i = 0; i < 2; i++)
		close_fd(&a->out[i]);
}

/* So that the command can open /dev/stdout and the like again. */
static int give_away(const struct attendant *a, int inner)
{
	return a->host->is_root && fchown(inner, a->spec->uid, a->spec->uid) < 0 ? -errno : 0;
}

static int input_pipe(struct attendant *a)
{
	int fds[2];

	if (a->spec->input.n == 0 && !a->spec->has_input)
		return 0;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	a->in = fds[1];
	close_fd(&a->command.stdio[0]);
	a->command.stdio[0] = fds[0];
	return give_away(a, fds[0]);
}

/* One terminal for all three; two descriptors of its master, because output and input end on their own. */
static int terminal(struct attendant *a, int inner[3])
{
	uid_t owner = a->host->is_root ? a->spec->uid : (uid_t)-1;
	int r = pty_open(owner, &a->spec->tty, &a->out[0], &inner[0]);

	for (int i = 1; r == 0 && i < 3; i++) {
		inner[i] = fcntl(inner[0], F_DUPFD_CLOEXEC, 0);
		r = inner[i] < 0 ? -errno : 0;
	}
	a->in = r < 0 ? -1 : fcntl(a->out[0], F_DUPFD_CLOEXEC, 0);
	return r < 0 ? r : a->in < 0 ? -errno : 0;
}

static int make_stdio(struct attendant *a)
{
	int r;

	if (a->spec->has_input)
		a->pending = arena_alloc(a->arena, INPUT_ROOM);
	if (has_tty(a)) {
		close_pipes(a);
		return terminal(a, a->command.stdio);
	}
	r = make_pipes(a);
	for (int i = 1; r == 0 && i < 3; i++)
		r = give_away(a, a->command.stdio[i]);
	return r < 0 ? r : input_pipe(a);
}

/* The folder on the host; without namespaces the command sees it at this path, and it needs one in any case. */
static const char *workspace_path(struct attendant *a, const char *dir)
{
	const char *path;

	if (a->spec->workspace[0])
		return arena_printf(a->arena, "%s/workspaces/%s", dir, a->spec->workspace);
	if (a->host->namespaces)
		return NULL;
	path = arena_printf(a->arena, "%s/workspaces/.%s", dir, a->spec->id);
	if (mkdir(path, 0700) == 0 && a->host->is_root && chown(path, a->spec->uid, a->spec->uid) < 0)
		rmdir(path);
	return path;
}

static const char *working_directory(struct attendant *a, const char *workspace)
{
	const char *home = a->host->namespaces ? "/workspace" : workspace;

	if (!a->spec->cwd[0])
		return home;
	if (a->spec->cwd[0] != '/')
		return arena_printf(a->arena, "%s/%s", home, a->spec->cwd);
	if (!a->host->namespaces && str_has_prefix(str_of(a->spec->cwd), STR("/workspace")))
		return arena_printf(a->arena, "%s%s", workspace, a->spec->cwd + strlen("/workspace"));
	return a->spec->cwd;
}

static bool has_name(char *const *env, const char *assignment)
{
	size_t n = (size_t)(strchr(assignment, '=') - assignment) + 1;

	for (; *env; env++)
		if (strncmp(*env, assignment, n) == 0)
			return true;
	return false;
}

#define PROXY_URL "http://127.0.0.1:3128"
_Static_assert(SANDBOX_PROXY_PORT == 3128, "PROXY_URL has the port");

/* How programs find the way out. */
static const char *const proxy_variables[] = {
	"http_proxy=" PROXY_URL,  "https_proxy=" PROXY_URL,           "HTTP_PROXY=" PROXY_URL,
	"HTTPS_PROXY=" PROXY_URL, "no_proxy=localhost,127.0.0.1,::1", "NO_PROXY=localhost,127.0.0.1,::1"};

/* The command's variables and, where it names none, a few that programs expect. Nothing of ours. */
static char **environment(struct attendant *a, const char *home)
{
	const char *const defaults[] = {"PATH=" DEFAULT_PATH,
					arena_printf(a->arena, "HOME=%s", home),
					arena_printf(a->arena, "TMPDIR=%s", a->host->namespaces ? "/tmp" : home),
					"USER=ogent",
					"LOGNAME=ogent",
					"SHELL=/bin/sh",
					"LANG=C.UTF-8",
					"TERM=dumb"};
	size_t n = 0;
	char **env;

	while (a->spec->env[n])
		n++;
	env = arena_alloc(a->arena, (n + ARRAY_SIZE(defaults) + ARRAY_SIZE(proxy_variables) + 1) * sizeof(*env));
	memcpy(env, a->spec->env, n * sizeof(*env));
	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
		if (!has_name(a->spec->env, defaults[i]))
			env[n++] = arena_strdup(a->arena, defaults[i]);
	for (size_t i = 0; a->spec->hosts && i < ARRAY_SIZE(proxy_variables); i++)
		if (!has_name(a->spec->env, proxy_variables[i]))
			env[n++] = arena_strdup(a->arena, proxy_variables[i]);
	return env;
}

static char **arguments(struct attendant *a, const char *home)
{
	char **argv;

	if (a->spec->plan) {
		a->spec->plan[1] = arena_strdup(a->arena, home);
		return a->spec->plan;
	}
	if (a->spec->argv)
		return a->spec->argv;
	argv = arena_alloc(a->arena, 4 * sizeof(*argv));
	argv[0] = arena_strdup(a->arena, access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh");
	argv[1] = arena_strdup(a->arena, "-c");
	argv[2] = arena_strdup(a->arena, a->spec->script);
	return argv;
}

/* What the command is, for the sandbox that may be there already. */
static int describe(struct attendant *a, const char *dir)
{
	const char *workspace = workspace_path(a, dir);
	const int *ends = a->command.stdio;

	a->command = (struct sandbox_spec){
		.uid = a->spec->uid,
		.workspace = workspace,
		.cwd = working_directory(a, workspace),
		.argv = arguments(a, a->host->namespaces ? "/workspace" : workspace),
		.envp = environment(a, a->host->namespaces ? "/workspace" : workspace),
		.memory_max = a->spec->memory_max,
		.tmp_max = a->spec->tmp_max,
		.file_size_max = a->spec->file_size_max,
		.pids_max = a->spec->pids_max,
		.protects = a->spec->protects,
		.cpu_max_ms = a->spec->cpu_max_ms,
		.has_proxy = a->spec->hosts,
		.stdio = {ends[0], ends[1], ends[2]},
	};
	return make_stdio(a);
}

int attendant_open(struct attendant *a, const struct sandbox_frame *frame, struct error *err)
{
	int r = sandbox_open(a->host, frame, &a->sandbox, err);

	if (r == 0 && (r = make_pipes(a)) < 0)
		error_set(err, "sandbox_failed", "Making pipes: %s.", strerror(-r));
	return r;
}

int attendant_await(struct attendant *a)
{
	struct init_message m;
	int r = sandbox_receive(a->host, &a->sandbox, &m);

	if (r == -EAGAIN)
		return 0;
	if (r > 0 && m.event == INIT_READY)
		a->is_ready = true;
	return r < 0 ? r : a->is_ready ? 0 : -EIO;
}

/* One that was made ahead and does not fit, or was killed meanwhile. */
static void leave_unfit(struct attendant *a)
{
	struct pollfd p = {.fd = a->sandbox.pidfd, .events = POLLIN};

	const struct sandbox_frame *f = &a->sandbox.frame;

	if (a->sandbox.init <= 0 ||
	    (a->network == f->network && a->spec->cpu_percent == f->cpu_percent && poll(&p, 1, 0) == 0))
		return;
	sandbox_deinit(a->host, &a->sandbox);
	a->is_ready = false;
}

int attendant_start(struct attendant *a, const char *dir)
{
	const struct sandbox_frame frame = {.name = a->spec->id,
					    .memory_max = a->spec->memory_max,
					    .tmp_max = a->spec->tmp_max,
					    .pids_max = a->spec->pids_max,
					    .cpu_percent = a->spec->cpu_percent,
					    .network = a->network};
	struct error err = {0};
	int r;

	leave_unfit(a);
	r = a->sandbox.init > 0 ? 0 : attendant_open(a, &frame, &err);
	enter(a, ATTEND_SETUP, SETUP_MS);
	if (r == 0) {
		r = describe(a, dir);
		if (r < 0)
			error_set(&err, "sandbox_failed", "Making pipes: %s.", strerror(-r));
	}
	if (r < 0)
		attendant_fail(a, err.message);
	return r;
}

void attendant_go(struct attendant *a)
{
	a->is_recorded = true;
	go_if_due(a);
}

/* ---- After ---- */

static void judge_memory(struct attendant *a)
{
	uint64_t peak = cgroup_memory_peak(&a->sandbox.cgroup);
	unsigned kills = a->result.memory_kills;

	if (peak)
		a->result.max_rss_kib = peak / 1024;
	if (kills == 0 || a->result.status == COMMAND_TIMEOUT || a->result.status == COMMAND_CANCELLED)
		return;
	if (a->result.status == COMMAND_SIGNALLED ||
	    (a->result.status == COMMAND_EXITED && a->result.exit_code == 128 + SIGKILL)) {
		a->result.status = COMMAND_OOM;
		set_reason(a, "It needed more than its %llu MiB of memory.",
			   (unsigned long long)(a->spec->memory_max >> 20));
	} else if (!a->result.reason[0]) {
		set_reason(a, "%u of its processes were killed for lack of memory.", kills);
	}
}

/* A single process that used all of it was ended by the kernel. What was written in the last moments counts too. */
static void judge_limits(struct attendant *a)
{
	enum watch_verdict v = watch_finish(&a->watch);
	struct result *r = &a->result;
	bool is_own_end = r->status == COMMAND_SIGNALLED || r->status == COMMAND_EXITED;

	if (is_own_end && a->spec->cpu_max_ms &&
	    (r->signal == SIGXCPU || r->exit_code == 128 + SIGXCPU ||
	     (r->cpu_ms >= a->spec->cpu_max_ms && (r->signal == SIGKILL || r->exit_code == 128 + SIGKILL)))) {
		tell_limit(a, WATCH_CPU);
		r->status = COMMAND_CPU;
	} else if (is_own_end && v != WATCH_FINE) {
		tell_limit(a, v);
		r->status = COMMAND_QUOTA;
	}
}

/* Of those that were killed too, whom nobody waited for. */
static uint64_t cpu_counted_ms(const struct attendant *a)
{
	int64_t us = a->is_alone ? 0 : cgroup_cpu_us(&a->sandbox.cgroup) - MAX(a->watch.cpu_base, 0);

	return MAX((uint64_t)MAX(us, 0), a->watch.cpu_used_us) / 1000;
}

static void take_counts(struct attendant *a)
{
	const struct cgroup *c = &a->sandbox.cgroup;
	struct result *r = &a->result;

	r->memory_kills = cgroup_oom_kills(c);
	r->pids_peak = cgroup_pids_peak(c);
	r->forks_refused = cgroup_forks_refused(c);
	r->throttled = a->spec->cpu_percent ? cgroup_throttled(c) : 0;
}

static void judge(struct attendant *a, const struct rusage *usage)
{
	struct result *r = &a->result;
	uint64_t counted_ms = cpu_counted_ms(a);

	r->ended_us = clock_now_us();
	if (!a->is_alone && !a->sandbox.is_seat) {
		r->cpu_ms = (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000 +
			    (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1000;
		r->system_ms = (uint64_t)usage->ru_stime.tv_sec * 1000 + (uint64_t)usage->ru_stime.tv_usec / 1000;
		r->read_bytes = (uint64_t)usage->ru_inblock * 512;
		r->write_bytes = (uint64_t)usage->ru_oublock * 512;
	}
	r->cpu_ms = MAX(r->cpu_ms, counted_ms);
	take_counts(a);
	judge_memory(a);
	judge_limits(a);
	if (r->status == COMMAND_SIGNALLED && !r->reason[0])
		set_reason(a, "Killed by signal %d (%s).", r->signal, strsignal(r->signal));
}

static void tell_removed(struct attendant *a)
{
	const char *path = a->sandbox.protection.removed;

	if (!path[0])
		return;
	snprintf(a->result.removed, sizeof(a->result.removed), "%s", path);
	if (!a->result.reason[0])
		set_reason(a, "It had made %.63s with settings that can run programs. The file was taken away.", path);
}

void attendant_finish(struct attendant *a)
{
	struct rusage usage = {0};

	if (a->is_left)
		seat_leave(&a->sandbox);
	else if (a->sandbox.init > 0 && !a->is_alone)
		sandbox_reap(&a->sandbox, &usage);
	sandbox_tidy(a->host, &a->sandbox);
	tell_removed(a);
	drain_rest(a);
	judge(a, &usage);
}

void attendant_deinit(struct attendant *a, const char *dir)
{
	for (int i = 0; i < 2; i++)
		close_fd(&a->out[i]);
	close_fd(&a->in);
	close_inner(a);
	watch_deinit(&a->watch);
	sandbox_deinit(a->host, &a->sandbox);
	if (!a->host->namespaces && !a->spec->workspace[0])
		rmdir(arena_printf(a->arena, "%s/workspaces/.%s", dir, a->spec->id));
}
