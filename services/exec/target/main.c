/* ogent-target: what exec starts on an SSH target, as a forced command of sshd, once for each command. It reads one
 * request, runs it in a sandbox made by the same code as exec's own, and sends back what happens. Everything inside is
 * killed when the connection ends, when exec says so or falls silent. Or the request is an errand in a workspace's
 * files (errands.h). It links statically and needs no file but itself.
 *
 * Reading order: main, run, attend; serve. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attend.h"
#include "base/clock.h"
#include "target/errands.h"
#include "target/place.h"

#define UID_BASE 1879048192u /* as the option sandbox_uid_base */
#define OUT_HIGH (256 << 10) /* more than this unsent: the command's output waits */
#define FIRST_MS 60000       /* for the request */
#define FLUSH_MS 60000       /* for the last bytes */
#define CLOSED_FD (-1)

struct helper {
	struct arena *arena;
	const char *dir;
	enum sandbox_level level; /* weakest that this machine's owner allows */
	uid_t uid_base;

	struct frame_reader in;
	struct buf out;
	int in_fd, out_fd; /* -1 = the connection ended */
	uint64_t heard_us; /* monotonic, of exec's last bytes */
	struct sandbox_host host;
	struct target_request req;
	struct attendant attendant;
	bool is_started; /* told */
	int lock_fd;     /* of its workspace, -1 = it has none of a name */
	struct {
		bool is_any, is_closed, is_waiting;
		uint64_t received, taken;
	} told; /* of the input */
};

static void say_end(struct helper *h, const struct result *result)
{
	wire_add_end(&h->out, result);
}

static PRINTF_LIKE(2, 3) void say_error(struct helper *h, const char *fmt, ...)
{
	struct result r = {.status = COMMAND_ERROR, .exit_code = -1};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r.reason, sizeof(r.reason), fmt, ap);
	va_end(ap);
	say_end(h, &r);
}

/* ---- The connection ---- */

static void hang_up(struct helper *h)
{
	h->in_fd = h->out_fd = CLOSED_FD;
	buf_clear(&h->out);
}

static void receive(struct helper *h)
{
	static char data[64 << 10];
	ssize_t n = read(h->in_fd, data, sizeof(data));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		h->in_fd = CLOSED_FD; /* somebody may still take what we say */
		return;
	}
	h->heard_us = clock_mono_us();
	frame_reader_feed(&h->in, data, (size_t)n);
}

static void send_some(struct helper *h)
{
	ssize_t n = write(h->out_fd, h->out.p, h->out.n);

	if (n > 0)
		buf_consume(&h->out, (size_t)n);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		hang_up(h);
}

/* What is left to say, as long as somebody takes it. */
static void flush(struct helper *h)
{
	uint64_t end = clock_mono_us() + FLUSH_MS * 1000ull;

	while (h->out.n > 0 && h->out_fd >= 0 && clock_mono_us() < end) {
		struct pollfd p = {.fd = h->out_fd, .events = POLLOUT};

		if (poll(&p, 1, 1000) > 0)
			send_some(h);
	}
}

/* ---- The command ---- */

static void on_output(struct attendant *a, int i, const void *data, size_t n)
{
	struct helper *h = container_of(a, struct helper, attendant);
	const char *p = data;

	for (size_t k; n > 0 && h->out_fd >= 0; p += k, n -= k) {
		k = MIN(n, (size_t)FRAME_OUTPUT_MAX);
		frame_add(&h->out, i == 0 ? FRAME_STDOUT : FRAME_STDERR, (struct str){p, k});
	}
}

/* What cannot be done (it has just ended, say) is seen in the command's state. False: no request at this point. */
static bool on_frame(struct helper *h, const struct frame *f)
{
	struct attendant *a = &h->attendant;
	struct tty_size size;
	uint32_t number, alone;
	ssize_t n;

	switch (f->type) {
	case FRAME_ALIVE: return true;
	case FRAME_KILL: attendant_cancel(a); return true;
	case FRAME_INPUT:
		n = attendant_input(a, f->data.p, f->data.n);
		return n < 0 || n == (ssize_t)f->data.n; /* exec keeps to the window */
	case FRAME_INPUT_END: attendant_input_end(a); return true;
	case FRAME_SIGNAL:
		if (wire_read_pair(f->data, &number, &alone) < 0 || number < 1 || number > 64)
			return false;
		attendant_signal(a, (int)number, alone != 0);
		return true;
	case FRAME_RESIZE:
		if (wire_read_pair(f->data, &size.rows, &size.cols) < 0 || size.rows - 1 >= TTY_SIZE_MAX ||
		    size.cols - 1 >= TTY_SIZE_MAX)
			return false;
		attendant_resize(a, &size);
		return true;
	default: return false; /* one command a connection */
	}
}

static void listen_to_exec(struct helper *h)
{
	struct frame f;
	int r;

	while ((r = frame_reader_next(&h->in, &f)) > 0)
		if (!on_frame(h, &f))
			hang_up(h);
	if (r < 0)
		hang_up(h);
}

static void tell_input(struct helper *h)
{
	const struct attendant *a = &h->attendant;
	bool is_closed = a->in < 0 || a->is_input_ended;

	if (!a->pending || h->out_fd < 0)
		return;
	if (!h->told.is_any || h->told.received != a->received || h->told.taken != a->taken ||
	    h->told.is_closed != is_closed)
		wire_add_taken(&h->out, a->received, a->taken, is_closed);
	if (h->told.is_waiting != a->is_waiting)
		wire_add_waiting(&h->out, a->is_waiting);
	h->told.is_any = true;
	h->told.received = a->received;
	h->told.taken = a->taken;
	h->told.is_closed = is_closed;
	h->told.is_waiting = a->is_waiting;
}

static void watch_exec(struct helper *h)
{
	if (h->in_fd >= 0 && clock_mono_us() - h->heard_us > FRAME_SILENCE_MS * 1000ull)
		hang_up(h);
	if (h->in_fd < 0)
		attendant_cancel(&h->attendant);
}

static void tell_start(struct helper *h)
{
	if (h->is_started || !h->attendant.result.started_us)
		return;
	h->is_started = true;
	frame_add(&h->out, FRAME_STARTED, (struct str){0});
}

enum { FD_IN = ATTEND_FDS, FD_OUT, FD_COUNT };

static void turn(struct helper *h)
{
	struct attendant *a = &h->attendant;
	struct pollfd p[FD_COUNT] = {[FD_IN] = {.fd = h->in_fd, .events = POLLIN},
				     [FD_OUT] = {.fd = h->out_fd, .events = h->out.n > 0 ? POLLOUT : 0}};

	a->is_held = h->out.n >= OUT_HIGH;
	attendant_poll(a, p);
	if (poll(p, FD_COUNT, MIN(attendant_milliseconds(a), 1000)) < 0)
		return;
	attendant_handle(a, p);
	tell_start(h);
	if (p[FD_OUT].revents & POLLOUT)
		send_some(h);
	else if (p[FD_OUT].revents)
		hang_up(h);
	if (p[FD_IN].revents && h->in_fd >= 0)
		receive(h);
	listen_to_exec(h);
	watch_exec(h);
	attendant_step(a);
	if (h->is_started)
		tell_input(h);
}

static void attend(struct helper *h)
{
	struct attendant *a = &h->attendant;

	attendant_init(a, h->arena);
	a->host = &h->host;
	a->spec = &h->req.spec;
	a->network = h->req.network;
	a->on_output = on_output;
	attendant_start(a, h->dir);
	attendant_go(a);
	while (a->state != ATTEND_ENDED)
		turn(h);
	tell_start(h);
	attendant_finish(a);
	if (h->lock_fd >= 0)
		close(h->lock_fd);
	say_end(h, &a->result);
	attendant_deinit(a, h->dir);
}

/* ---- Before it ---- */

static int open_place(struct helper *h)
{
	int fd, r = place_open(h->dir, h->host.report.is_shared, &fd);

	if (r == 0) {
		if (h->req.spec.workspace[0])
			r = error_only(h->lock_fd = place_lock(fd, h->req.spec.workspace, false));
		if (r == 0)
			r = place_prepare(fd, h->uid_base, &h->req.spec);
		close(fd);
	}
	if (r == -EBUSY)
		say_error(h, "The workspace is in use: a snapshot of it is being made or restored, or it is being "
			     "removed.");
	else if (r == -EPERM)
		say_error(h, "The workspace's name is taken by something that is not a folder of commands.");
	else if (r < 0)
		say_error(h, "The folder %.120s on the target cannot be used: %s.", h->dir, strerror(-r));
	return r;
}

static int open_host(struct helper *h)
{
	enum sandbox_level wanted = MAX(h->req.level, h->level);
	enum sandbox_layer missing;

	if (!h->req.shape) {
		sandbox_host_probe(&h->host, h->dir);
	} else if (sandbox_host_from_shape(&h->host, h->dir, h->req.shape, &missing) < 0) {
		say_error(h, "The target's sandbox has lost its layer %s.", sandbox_layer_name(missing));
		return -ENOTSUP;
	}
	if (h->host.report.level >= wanted)
		return 0;
	say_error(h, "The target's sandbox has the level '%s', and '%s' is required.",
		  sandbox_level_name(h->host.report.level), sandbox_level_name(wanted));
	return -ENOTSUP;
}

static void run(struct helper *h, struct str data)
{
	int r = wire_read_run(h->arena, data, &h->req);

	if (r == -EPROTO)
		say_error(h, "The target's " TARGET_NAME " is of another version: install the one of this release.");
	else if (r < 0)
		say_error(h, "The target could not read the request.");
	else if (open_host(h) == 0 && open_place(h) == 0)
		attend(h);
}

static void probe(struct helper *h, struct str data)
{
	struct target_report report;
	int r = wire_read_probe(data);

	if (r < 0) {
		say_error(h, "The target's " TARGET_NAME " is of another version: install the one of this release.");
		return;
	}
	sandbox_host_probe(&h->host, h->dir);
	report = (struct target_report){h->host.report, sandbox_host_shape(&h->host), h->host.is_root};
	if (report.sandbox.level < h->level)
		report.sandbox.level = SANDBOX_NONE;
	wire_add_report(&h->out, &report);
}

/* ---- Errands ---- */

/* 1: a frame; 0: the connection ended, or was silent for too long. */
static int next_frame(struct helper *h, struct frame *ret, uint64_t patience_ms)
{
	int r;

	while ((r = frame_reader_next(&h->in, ret)) == 0 && h->in_fd >= 0 &&
	       clock_mono_us() - h->heard_us < patience_ms * 1000) {
		struct pollfd p = {.fd = h->in_fd, .events = POLLIN};

		if (poll(&p, 1, 1000) > 0)
			receive(h);
	}
	return r;
}

/* What is under way is finished, whatever becomes of the connection meanwhile. */
static void serve(struct helper *h, struct str request)
{
	struct errands e;
	const char *says;
	struct frame f;

	if (!errands_open(&e, h->dir, h->uid_base, request, &says)) {
		say_error(h, "%s", says);
		return;
	}
	while (next_frame(h, &f, FRAME_SILENCE_MS) > 0) {
		if (f.type == FRAME_ALIVE)
			continue;
		if (f.type != FRAME_STEP || !errands_step(&e, f.data, &h->out))
			break;
		flush(h);
		if (h->out.n > 0)
			break;
		h->heard_us = clock_mono_us(); /* it may have taken its time */
	}
	errands_close(&e);
}

/* ---- The process ---- */

static void first_frame(struct helper *h)
{
	struct frame f;
	int r = next_frame(h, &f, FIRST_MS);

	if (r > 0 && f.type == FRAME_RUN)
		run(h, f.data);
	else if (r > 0 && f.type == FRAME_PROBE)
		probe(h, f.data);
	else if (r > 0 && f.type == FRAME_ERRAND)
		serve(h, f.data);
	else if (r != 0)
		say_error(h, "The target expects a request of exec.");
}

/* What a hang-up of sshd would do to us, the end of our input does in order. */
static void settle(struct helper *h)
{
	static const int ignored[] = {SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGQUIT, SIGTSTP};

	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	syscall(SYS_close_range, 3, ~0u, 0);
	umask(077);
	setsid();
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	/* Away from the numbers that a sandbox gives to its command. */
	h->in_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10);
	h->out_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
	fcntl(h->in_fd, F_SETFL, fcntl(h->in_fd, F_GETFL) | O_NONBLOCK);
	fcntl(h->out_fd, F_SETFL, fcntl(h->out_fd, F_GETFL) | O_NONBLOCK);
	for (int i = 0, null = open("/dev/null", O_RDWR | O_CLOEXEC); i < 3 && null >= 0; i++)
		dup2(null, i);
}

static const char *default_dir(struct arena *a)
{
	const char *home = getenv("HOME");

	if (geteuid() == 0 || !home || home[0] != '/')
		return "/var/lib/ogent-target";
	return arena_printf(a, "%s/.ogent-target", home);
}

static NORETURN void usage(void)
{
	fputs("usage: " TARGET_NAME " [--dir DIR] [--level strict|standard|landlock] [--uid-base N]\n"
	      "Runs one command that exec sends over SSH: a forced command of sshd. See docs/ssh-target.md.\n",
	      stderr);
	exit(2);
}

static void read_options(struct helper *h, int argc, char **argv)
{
	uint64_t n;

	for (int i = 1; i < argc; i += 2) {
		const char *value = argv[i + 1];

		if (!value)
			usage();
		if (strcmp(argv[i], "--dir") == 0 && value[0] == '/')
			h->dir = value;
		else if (strcmp(argv[i], "--level") == 0 && sandbox_level_of(value) != SANDBOX_NONE)
			h->level = sandbox_level_of(value);
		else if (strcmp(argv[i], "--uid-base") == 0 && str_to_u64(str_of(value), 4000000000u, &n) == 0 && n > 0)
			h->uid_base = (uid_t)n;
		else
			usage();
	}
}

int main(int argc, char **argv)
{
	struct helper h = {.arena = arena_new(), .level = SANDBOX_LANDLOCK, .uid_base = UID_BASE, .lock_fd = -1};

	h.dir = default_dir(h.arena);
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts(TARGET_NAME " " OGENT_VERSION);
		return 0;
	}
	read_options(&h, argc, argv);
	settle(&h);
	frame_reader_init(&h.in, true);
	h.heard_us = clock_mono_us();
	wire_add_hello(&h.out);
	first_frame(&h);
	flush(&h);
	return 0;
}
