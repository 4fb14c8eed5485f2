#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "data_dir.h"
#include "io/http_client.h"
#include "io/memory.h"
#include "io/notify.h"
#include "log_sink.h"
#include "public_address.h"

#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 10000
/* A role that lived this long has started well: its next pause is the shortest again. */
#define SETTLED_US (30 * 1000000ULL)
/* Deaths of one role before the platform was ever ready: then starting makes no sense. */
#define MAX_EARLY_DEATHS 3
#define STOP_MS 15000
#define READY_MS 5000
#define READY_POLL_MS 5
#define READY_SLOW_MS 50

const char *const supervisor_roles[] = {"gateway", "agent", "socket", "exec", "auth", "demo", NULL};
#define N_ROLES 6

struct child {
	struct supervisor *supervisor;
	const char *role;
	pid_t pid; /* 0 = does not run now */
	uv_pipe_t output;
	bool has_output;
	struct buf partial;
	uv_timer_t pause; /* until its next start, or, while stopping, until it is killed */
	uint64_t started_us;
	unsigned deaths; /* without settling between */
	unsigned restarts;
};

enum supervisor_state {
	SUP_STARTING, /* waits for the gateway's /readyz */
	SUP_RUNNING,  /* waits for a signal */
	SUP_STOPPING, /* waits for the roles to end, one after the other */
};

struct supervisor {
	uv_loop_t loop;
	struct wheel *wheel;
	struct notify *manager; /* who started us and waits for word; NULL = nobody does */
	struct http_pool *gateway;
	const struct args *args;
	const char *data, *listen;
	const struct supervisor_events *events;
	enum supervisor_state state;
	int exit_code;
	uint64_t started_us;
	bool has_told_slow;
	struct child children[N_ROLES];
	size_t n_children;
	uv_signal_t signals[4];
	uv_timer_t ready_poll;
	struct log_sink log;
};

static void start_child(struct child *c);
static void stop(struct supervisor *s, int exit_code);

/* ---- What others may know ---- */

static void write_state(struct supervisor *s)
{
	struct arena *a = arena_new();
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *roles = yyjson_mut_arr(doc);

	yyjson_mut_obj_add_int(doc, obj, "pid", getpid());
	json_add_str(doc, obj, "address", s->listen);
	yyjson_mut_obj_add_val(doc, obj, "roles", roles);
	for (size_t i = 0; i < s->n_children; i++) {
		yyjson_mut_val *role = yyjson_mut_arr_add_obj(doc, roles);
		json_add_str(doc, role, "role", s->children[i].role);
		yyjson_mut_obj_add_int(doc, role, "pid", s->children[i].pid);
		yyjson_mut_obj_add_uint(doc, role, "restarts", s->children[i].restarts);
	}
	int r = data_dir_write(s->data, "run/up.json", json_text(a, doc).p);
	if (r < 0)
		log_warn("run/up.json cannot be written: %s", strerror(-r));
	arena_free(a);
}

static void remove_state(struct supervisor *s)
{
	static const char *const names[] = {"address", "up.json"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char *path = xasprintf("%s/run/%s", s->data, names[i]);
		unlink(path);
		free(path);
	}
}

/* ---- One role's process ---- */

/* The role's command line: what stood on ours, and what we settled. */
static char **make_argv(const struct child *c, struct arena *a)
{
	const struct supervisor *s = c->supervisor;
	const struct args *args = s->args;
	char **argv = arena_alloc(a, (args->n_given + 8) * sizeof(char *));
	size_t n = 0;
	bool is_json = strcmp(option_str(args->options, "log_format"), "json") == 0;

	argv[n++] = arena_strdup(a, "ogent");
	argv[n++] = arena_strdup(a, strcmp(c->role, "demo") == 0 ? "demo-model" : c->role);
	if (args->conf_path)
		argv[n++] = arena_printf(a, "--config=%s", args->conf_path);
	for (size_t i = 0; i < args->n_given; i++)
		argv[n++] = arena_printf(a, "--%s=%s", args->given[i].name, args->given[i].value);
	argv[n++] = arena_printf(a, "--data=%s", s->data);
	argv[n++] = arena_printf(a, "--listen=%s", s->listen);
	argv[n++] = arena_printf(a, "--log-format=%s", is_json || !isatty(STDERR_FILENO) ? "json" : "text");
	return argv;
}

/* In the new process. A session of its own keeps the terminal's Ctrl-C for the supervisor, which stops in order. */
static void NORETURN become_role(char **argv, int output, pid_t supervisor)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	/* When the supervisor is killed they end at once, as in any crash: what comes next must find the place free. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != supervisor)
		_exit(1);
	int null = open("/dev/null", O_RDONLY);
	dup2(null, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	close_range(3, ~0U, 0);
	execv("/proc/self/exe", argv);
	_exit(127);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
	static char buffer[64 * 1024];

	*ret = uv_buf_init(buffer, sizeof(buffer));
}

static void on_output_closed(uv_handle_t *handle)
{
	struct child *c = container_of((uv_pipe_t *)handle, struct child, output);

	c->has_output = false;
	if (c->pid == 0 && c->supervisor->state != SUP_STOPPING && !uv_is_active((uv_handle_t *)&c->pause))
		start_child(c);
}

static void on_output(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
	struct child *c = container_of((uv_pipe_t *)stream, struct child, output);

	if (n > 0)
		log_sink_take(&c->supervisor->log, &c->partial, buffer->base, (size_t)n);
	if (n < 0) {
		log_sink_flush(&c->supervisor->log, &c->partial);
		uv_close((uv_handle_t *)stream, on_output_closed);
	}
}

static void start_child(struct child *c)
{
	struct supervisor *s = c->supervisor;
	struct arena *a = arena_new();
	char **argv = make_argv(c, a);
	pid_t self = getpid();
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		fatal("cannot make a pipe: %m");
	c->pid = fork();
	if (c->pid < 0)
		fatal("cannot start the %s role: %m", c->role);
	if (c->pid == 0)
		become_role(argv, fds[1], self);
	close(fds[1]);
	arena_free(a);
	c->started_us = clock_mono_us();
	uv_pipe_init(&s->loop, &c->output, 0);
	uv_pipe_open(&c->output, fds[0]);
	uv_read_start((uv_stream_t *)&c->output, on_alloc, on_output);
	c->has_output = true;
}

static void on_pause_over(uv_timer_t *timer)
{
	struct child *c = container_of(timer, struct child, pause);

	/* What it wrote last is read first; on_output_closed starts it otherwise. */
	if (!c->has_output)
		start_child(c);
	c->restarts++;
	write_state(c->supervisor);
}

/* ---- Deaths ---- */

static const char *reason_of(int status, char *ret, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(ret, size, "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(ret, size, "ended with status %d", WEXITSTATUS(status));
	return ret;
}

static void restart_later(struct child *c, int status)
{
	struct supervisor *s = c->supervisor;
	char reason[80];

	c->deaths = clock_mono_us() - c->started_us > SETTLED_US ? 1 : c->deaths + 1;
	log_error("the %s role %s", c->role, reason_of(status, reason, sizeof(reason)));
	if (s->state == SUP_STARTING && c->deaths >= MAX_EARLY_DEATHS) {
		log_error("the %s role does not start: see its messages above", c->role);
		stop(s, EXIT_FAILED);
		return;
	}
	unsigned shift = MIN(c->deaths - 1, 10);
	uv_timer_start(&c->pause, on_pause_over, MIN(PAUSE_MIN_MS << shift, PAUSE_MAX_MS), 0);
	write_state(s);
}

static void on_stop_late(uv_timer_t *timer)
{
	struct child *c = container_of(timer, struct child, pause);

	if (c->pid) {
		log_warn("the %s role does not stop: killing it", c->role);
		kill(c->pid, SIGKILL);
	}
}

static void on_closed(uv_handle_t *handle)
{
}

static void close_all(struct supervisor *s)
{
	for (size_t i = 0; i < s->n_children; i++) {
		struct child *c = &s->children[i];
		uv_close((uv_handle_t *)&c->pause, on_closed);
		/* What they wrote last is still read, but whoever else holds the pipe is not waited for. */
		if (c->has_output)
			uv_unref((uv_handle_t *)&c->output);
	}
	for (size_t i = 0; i < ARRAY_SIZE(s->signals); i++)
		uv_close((uv_handle_t *)&s->signals[i], on_closed);
	uv_close((uv_handle_t *)&s->ready_poll, on_closed);
	notify_free(s->manager);
	http_pool_free(s->gateway);
}

/* Tells the first role that still runs to stop. */
static void stop_next(struct supervisor *s)
{
	for (size_t i = 0; i < s->n_children; i++) {
		struct child *c = &s->children[i];
		if (!c->pid)
			continue;
		kill(c->pid, SIGTERM);
		uv_timer_start(&c->pause, on_stop_late, STOP_MS, 0);
		return;
	}
	close_all(s);
}

static void stop(struct supervisor *s, int exit_code)
{
	if (s->state == SUP_STOPPING)
		return;
	s->state = SUP_STOPPING;
	notify_stopping(s->manager);
	s->exit_code = exit_code;
	uv_timer_stop(&s->ready_poll);
	for (size_t i = 0; i < s->n_children; i++)
		uv_timer_stop(&s->children[i].pause);
	stop_next(s);
}

static void on_child_ended(struct child *c, int status)
{
	struct supervisor *s = c->supervisor;

	c->pid = 0;
	if (s->state != SUP_STOPPING) {
		restart_later(c, status);
		return;
	}
	bool was_asked = uv_is_active((uv_handle_t *)&c->pause);
	uv_timer_stop(&c->pause);
	if (was_asked)
		stop_next(s);
}

static void reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < s->n_children; i++)
			if (s->children[i].pid == pid)
				on_child_ended(&s->children[i], status);
}

static void kill_all(struct supervisor *s)
{
	for (size_t i = 0; i < s->n_children; i++)
		if (s->children[i].pid)
			kill(s->children[i].pid, SIGKILL);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct supervisor *s = handle->data;

	if (number == SIGCHLD) {
		reap(s);
	} else if (s->state != SUP_STOPPING) {
		log_info("stopping");
		stop(s, EXIT_OK);
	} else {
		kill_all(s);
	}
}

/* ---- Getting ready ---- */

static void ask_ready(uv_timer_t *timer);

static void on_ready_answer(void *arg, int err, int status, struct str body)
{
	struct supervisor *s = arg;
	uint64_t waited_ms = (clock_mono_us() - s->started_us) / 1000;

	if (s->state != SUP_STARTING)
		return;
	if (err == 0 && status == 200) {
		s->state = SUP_RUNNING;
		if (data_dir_write(s->data, "run/address", s->listen) < 0)
			log_warn("run/address cannot be written: %m");
		if (s->events->on_ready)
			s->events->on_ready(s->events->arg);
		notify_ready(s->manager);
		memory_give_back();
		return;
	}
	if (waited_ms > 10000 && !s->has_told_slow) {
		s->has_told_slow = true;
		log_event(LOG_WARN, "not ready after 10 s", "answer", err < 0 ? strerror(-err) : "", "reasons",
			  body.n ? body.p : "", NULL);
	}
	uv_timer_start(&s->ready_poll, ask_ready, waited_ms < 2000 ? READY_POLL_MS : READY_SLOW_MS, 0);
}

static void ask_ready(uv_timer_t *timer)
{
	struct supervisor *s = container_of(timer, struct supervisor, ready_poll);

	http_fetch(s->gateway, "GET", "/readyz", NULL, NULL, (struct str){0}, 64 * 1024, READY_MS, on_ready_answer, s);
}

/* ---- The whole ---- */

/* A role that is elsewhere (its url is set) is not started here, unless it also listens somewhere special. */
static bool is_elsewhere(const struct options *o, const char *role)
{
	char url[32], listen[32];

	snprintf(url, sizeof(url), "%s_url", role);
	snprintf(listen, sizeof(listen), "%s_listen", role);
	return *option_str(o, url) && !*option_str(o, listen);
}

static void init_children(struct supervisor *s)
{
	for (size_t i = 0; i < N_ROLES; i++) {
		if (is_elsewhere(s->args->options, supervisor_roles[i]))
			continue;
		struct child *c = &s->children[s->n_children++];
		c->supervisor = s;
		c->role = supervisor_roles[i];
		uv_timer_init(&s->loop, &c->pause);
	}
}

static void watch_signals(struct supervisor *s)
{
	static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		uv_signal_init(&s->loop, &s->signals[i]);
		s->signals[i].data = s;
		uv_signal_start(&s->signals[i], on_signal, numbers[i]);
	}
}

/* Sockets and pipes of many runs: as many as the system allows. The roles inherit it. */
static void raise_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static void close_outputs(struct supervisor *s)
{
	for (size_t i = 0; i < s->n_children; i++) {
		struct child *c = &s->children[i];
		if (!c->has_output)
			continue;
		log_sink_flush(&s->log, &c->partial);
		if (!uv_is_closing((uv_handle_t *)&c->output))
			uv_close((uv_handle_t *)&c->output, on_closed);
	}
	uv_run(&s->loop, UV_RUN_DEFAULT);
}

int supervisor_run(const struct args *args, const char *listen, const struct supervisor_events *events)
{
	struct supervisor *s = xcalloc(1, sizeof(*s));
	int exit_code;

	s->args = args;
	s->data = option_str(args->options, "data");
	s->listen = listen;
	s->events = events;
	s->started_us = clock_mono_us();
	raise_limits();
	uv_loop_init(&s->loop);
	s->wheel = wheel_new(&s->loop);
	s->manager = notify_new(&s->loop);
	log_sink_open(&s->log, s->data);
	char *reachable = public_address_reachable(listen);
	s->gateway = http_pool_new(&s->loop, s->wheel, reachable, NULL);
	free(reachable);
	init_children(s);
	watch_signals(s);
	/* The gateway, which waits for the others, is the last to start. */
	for (size_t i = s->n_children; i-- > 0;)
		start_child(&s->children[i]);
	write_state(s);
	uv_timer_init(&s->loop, &s->ready_poll);
	uv_timer_start(&s->ready_poll, ask_ready, READY_POLL_MS, 0);
	uv_run(&s->loop, UV_RUN_DEFAULT);

	close_outputs(s);
	wheel_free(s->wheel); /* after all that ends with its help */
	uv_run(&s->loop, UV_RUN_DEFAULT);
	remove_state(s);
	uv_loop_close(&s->loop);
	log_info("stopped");
	log_sink_close(&s->log);
	exit_code = s->exit_code;
	free(s);
	return exit_code;
}
