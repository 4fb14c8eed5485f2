/* One channel of a connection to a target: it starts ogent-target, sends one request, and takes what comes back into
 * the command's spool and result. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "files.h"
#include "ssh_run.h"

#define OPEN_MS 20000   /* from a link with room to an open channel with the program */
#define GRACE_MS 30000  /* beyond the command's own time-out, which the target minds */
#define CANCEL_MS 15000 /* for the target to say that it is done */
/* Then a silent host is asked whether it lives; as long again, and it does not. */
#define QUIET_MS 10000
#define QUIET_OPENING_MS 6000
#define FULL_MS 100 /* a connection that refuses a channel is not asked again for so long */
#define REFUSALS_MAX 50

static void on_deadline(struct deadline *d);

static const struct ssh_api *api(const struct ssh_run *run)
{
	return run->target->api;
}

static struct exec *exec_of(const struct ssh_run *run)
{
	return run->target->target.exec;
}

/* A command that runs may be silent: its link's keep-alive, which is more patient, minds its host. */
static bool minds_silence(const struct ssh_run *run)
{
	return run->on && (run->state != RUN_LISTENING || !run->command);
}

static void set_timer(struct ssh_run *run)
{
	uint64_t now = clock_mono_us(), left_ms = run->due_us > now ? (run->due_us - now) / 1000 + 1 : 1;

	if (minds_silence(run))
		left_ms = MIN(left_ms, run->state == RUN_LISTENING ? QUIET_MS : QUIET_OPENING_MS);
	deadline_set(service_wheel(exec_of(run)->service), &run->deadline, left_ms);
}

void ssh_run_await(struct ssh_run *run, uint64_t ms)
{
	run->due_us = clock_mono_us() + ms * 1000;
	run->heard = run->on ? run->on->traffic.in_bytes : 0;
	run->is_asked = false;
	set_timer(run);
}

static bool is_probe_run(const struct ssh_run *run)
{
	return !run->command && !run->errand;
}

/* ---- Coming and going ---- */

struct ssh_run *ssh_run_new(struct ssh_target *t, struct command *c, struct remote_errand *errand)
{
	struct ssh_run *run = xcalloc(1, sizeof(*run));

	run->target = t;
	run->command = c;
	run->errand = errand;
	run->dir_fd = -1;
	list_init(&run->link);
	deadline_init(&run->deadline, on_deadline);
	frame_reader_init(&run->in, false);
	if (c) {
		command_ref(c);
		c->run = run;
		run->dir_fd = journal_folder(&exec_of(run)->journal, c->spec.id);
		spool_writer_init(&run->spool, run->dir_fd, c->spec.output_max);
		session_init(&run->session, run->dir_fd);
	}
	return run;
}

/* Never while the channel opens: libssh could not close it any more. Closing a channel ends the program's input: it
 * kills what is left. */
void ssh_run_detach(struct ssh_run *run)
{
	struct ssh_link *l = run->on;

	list_remove(&run->link);
	deadline_clear(&run->deadline);
	buf_clear(&run->out);
	if (!l)
		return;
	if (run->channel) {
		api(run)->remove_channel_callbacks(run->channel, &run->callbacks);
		api(run)->channel_free(run->channel); /* closes one that is open */
		run->channel = NULL;
	}
	run->on = NULL;
	l->n_runs--;
	l->idle_us = clock_mono_us();
	ssh_link_wake(l);
}

void ssh_run_free(struct ssh_run *run)
{
	ssh_run_detach(run);
	frame_reader_deinit(&run->in);
	buf_deinit(&run->out);
	if (run->command) {
		spool_writer_deinit(&run->spool);
		if (run->session.fd >= 0)
			close(run->session.fd);
		if (run->dir_fd >= 0)
			close(run->dir_fd);
		run->command->run = NULL;
	}
	free(run);
}

/* ---- The end ---- */

static void save_run(struct job *job)
{
	struct ssh_run *run = container_of(job, struct ssh_run, job);
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	int r;

	r = spool_writer_sync(&run->spool);
	if (r < 0 && !run->result.reason[0])
		snprintf(run->result.reason, sizeof(run->result.reason), "Output could not be kept: %s.", strerror(-r));
	r = file_replace(run->dir_fd, RESULT_FILE, result_to_json(a, &run->result));
	run->job_result = r < 0 ? r : file_sync(run->dir_fd, RESULT_FILE);
}

static void save_done(struct job *job)
{
	struct ssh_run *run = container_of(job, struct ssh_run, job);
	struct ssh_target *t = run->target;
	struct command *c = run->command;
	struct result result = run->result;
	int r = run->job_result;

	ssh_run_free(run);
	if (r < 0)
		command_end_as(c, COMMAND_LOST, c->started_us, result.output_bytes,
			       "Its result could not be saved: %s.", strerror(-r));
	else
		command_end(c, &result);
	command_unref(c);
	ssh_target_dispatch(t);
}

static void submit(struct ssh_run *run, void (*work)(struct job *), void (*done)(struct job *))
{
	run->job = (struct job){.run = work, .done = done};
	if (job_submit(exec_of(run)->lane, &run->job) == 0)
		return;
	/* Too much to do elsewhere: what was begun is finished here. */
	work(&run->job);
	done(&run->job);
}

/* What run->result says is the end. */
static void conclude(struct ssh_run *run)
{
	struct result *r = &run->result;

	ssh_run_detach(run);
	r->started_us = run->command->started_us;
	r->ended_us = clock_now_us();
	r->output_bytes = spool_total(&run->spool);
	r->truncated_bytes = spool_truncated(&run->spool);
	run->state = RUN_SAVING;
	if (!run->is_recording)
		submit(run, save_run, save_done);
}

static PRINTF_LIKE(3, 4) void end_as(struct ssh_run *run, enum command_status status, const char *fmt, ...)
{
	va_list ap;

	run->result = (struct result){.status = status, .exit_code = -1};
	va_start(ap, fmt);
	vsnprintf(run->result.reason, sizeof(run->result.reason), fmt, ap);
	va_end(ap);
	if (run->errand)
		ssh_errand_fail(run->errand, -EHOSTUNREACH, run->result.reason);
	else
		conclude(run);
}

/* ---- What comes: within libssh, so nothing but notes ---- */

static void take_output(struct ssh_run *run, enum spool_stream stream, struct str data)
{
	uint32_t at_ms = (uint32_t)((clock_mono_us() - run->start_us) / 1000);

	spool_write(&run->spool, stream, at_ms, data.p, data.n);
	run->has_output = true;
}

static void take_hello(struct ssh_run *run, const struct frame *f)
{
	int r = f->type == FRAME_HELLO ? wire_read_hello(f->data) : -EBADMSG;

	run->is_other_version = r == -EPROTO;
	run->is_broken = r < 0;
	run->has_hello = r == 0;
}

static void take_start(struct ssh_run *run)
{
	if (!run->start_us)
		run->start_us = clock_mono_us();
	if (!run->command->started_us)
		run->command->started_us = clock_now_us();
}

static bool has_input(const struct ssh_run *run)
{
	return run->command && run->command->spec.has_input && run->start_us;
}

static void take_frame(struct ssh_run *run, const struct frame *f)
{
	bool may_speak = run->has_hello && !run->has_end && run->state == RUN_LISTENING;

	if (!run->has_hello) {
		take_hello(run, f);
	} else if (run->errand && may_speak) {
		ssh_errand_take(run->errand, f);
	} else if (f->type == FRAME_END && may_speak) {
		run->has_end = wire_read_end(f->data, &run->result) == 0;
		run->is_broken = !run->has_end;
	} else if (f->type == FRAME_REPORT && may_speak && !run->command) {
		run->has_report = wire_read_report(f->data, &run->report) == 0;
		run->is_broken = !run->has_report;
	} else if (f->type == FRAME_STARTED && may_speak && run->command) {
		take_start(run);
	} else if (f->type == FRAME_TAKEN && may_speak && has_input(run)) {
		run->has_taken = wire_read_taken(f->data, &run->received, &run->taken, &run->is_input_closed) == 0;
		run->is_broken = !run->has_taken;
	} else if (f->type == FRAME_WAITING && may_speak && has_input(run)) {
		run->has_waiting = wire_read_waiting(f->data, &run->is_waiting) == 0;
		run->is_broken = !run->has_waiting;
	} else if ((f->type == FRAME_STDOUT || f->type == FRAME_STDERR) && may_speak && run->start_us) {
		take_output(run, f->type == FRAME_STDOUT ? SPOOL_STDOUT : SPOOL_STDERR, f->data);
	} else {
		run->is_broken = true;
	}
}

/* What sshd or a login shell says when the program does not start, as one line of ASCII. */
static void take_complaint(struct ssh_run *run, const char *data, size_t n)
{
	size_t at = strlen(run->said);

	for (size_t i = 0; i < n && at < SAID_MAX - 1; i++)
		run->said[at++] = data[i] >= ' ' && data[i] < 127 ? data[i] : ' ';
}

static int on_data(ssh_session session, ssh_channel channel, void *data, uint32_t n, int is_stderr, void *arg)
{
	struct ssh_run *run = arg;
	struct frame f;

	if (is_stderr || run->is_broken) {
		take_complaint(run, data, n);
		return (int)n;
	}
	frame_reader_feed(&run->in, data, n);
	for (int r = 1; r > 0 && !run->is_broken;) {
		r = frame_reader_next(&run->in, &f);
		if (r > 0)
			take_frame(run, &f);
		else if (r < 0)
			run->is_broken = true;
	}
	if (run->is_broken && !run->has_hello)
		take_complaint(run, data, n);
	return (int)n;
}

static void on_close(ssh_session session, ssh_channel channel, void *arg)
{
	struct ssh_run *run = arg;

	run->is_closed = true;
}

static void on_eof(ssh_session session, ssh_channel channel, void *arg)
{
	on_close(session, channel, arg);
}

/* ---- Steps ---- */

static void record_run(struct job *job)
{
	struct ssh_run *run = container_of(job, struct ssh_run, job);
	char text[32];
	int r;

	snprintf(text, sizeof(text), "%lld", (long long)clock_now_us());
	r = file_create(run->dir_fd, STARTED_FILE, str_of(text));
	if (r == 0 && fsync(run->dir_fd) < 0)
		r = -errno;
	run->job_result = r;
}

/* It may have ended meanwhile, by a cancel or with its link. */
static void record_done(struct job *job)
{
	struct ssh_run *run = container_of(job, struct ssh_run, job);

	run->is_recording = false;
	run->is_recorded = run->job_result == 0;
	if (run->state == RUN_SAVING)
		submit(run, save_run, save_done);
	else if (!run->is_recorded)
		end_as(run, COMMAND_ERROR, "The command could not be recorded: %s.", strerror(-run->job_result));
	else if (run->on)
		ssh_link_wake(run->on);
}

/* On record before it runs, while the program starts. */
static void record(struct ssh_run *run)
{
	if (run->is_recorded || run->is_recording)
		return;
	run->is_recording = true;
	submit(run, record_run, record_done);
}

static void refused(struct ssh_run *run)
{
	struct ssh_target *t = run->target;
	struct ssh_link *l = run->on;
	bool is_probe = is_probe_run(run);
	bool is_full = l->n_runs > 1 || ++run->refusals < REFUSALS_MAX;

	if (is_probe) {
		ssh_link_fail(l, true, "The host refuses a session: %.250s.", api(run)->get_error(l->session));
		return;
	}
	/* sshd's MaxSessions: less than we think, or the last one has not ended for it yet. */
	l->full_us = clock_mono_us() + FULL_MS * 1000;
	if (!is_full) {
		end_as(run, COMMAND_ERROR, "The target refuses a session: %.150s.", api(run)->get_error(l->session));
		return;
	}
	ssh_run_detach(run);
	run->state = RUN_WAITING;
	list_append(&t->waiting, &run->link);
	ssh_run_await(run, FULL_MS);
}

static void open_channel(struct ssh_run *run)
{
	int r = api(run)->channel_open_session(run->channel);

	if (r == SSH_AGAIN)
		return;
	if (r != SSH_OK) {
		refused(run);
		return;
	}
	run->state = RUN_ASKING;
	if (run->command && run->command->is_cancelled)
		end_as(run, COMMAND_CANCELLED, "Cancelled.");
	else if (run->command)
		record(run);
}

static void send_request(struct ssh_run *run)
{
	struct command *c = run->command;
	struct target_request req = {.level = exec_of(run)->wanted};

	run->state = RUN_LISTENING;
	if (run->errand) {
		ssh_errand_send(run->errand);
		return;
	}
	if (!c) {
		wire_add_probe(&run->out);
		return;
	}
	req.spec = c->spec;
	req.shape = run->target->report.shape;
	req.network = run->target->network || req.spec.network;
	wire_add_run(&run->out, &req);
	ssh_run_await(run, c->spec.timeout_ms + GRACE_MS);
}

/* A forced command of sshd overrides the name. */
static void ask(struct ssh_run *run)
{
	int r = api(run)->channel_request_exec(run->channel, TARGET_NAME);

	if (r == SSH_AGAIN)
		return;
	if (r != SSH_OK)
		refused(run);
	else if (run->is_recorded || !run->command)
		send_request(run);
	else
		run->state = RUN_RECORDING;
}

/* As much as the target's window takes. */
static void send_some(struct ssh_run *run)
{
	while (run->out.n > 0 && !run->is_closed) {
		uint32_t window = api(run)->channel_window_size(run->channel);
		int n = window ? api(run)->channel_write(run->channel, run->out.p, (uint32_t)MIN(run->out.n, window))
			       : 0;

		if (n <= 0)
			return;
		buf_consume(&run->out, (size_t)n);
	}
}

static void probe_next(struct ssh_run *run)
{
	struct ssh_link *l = run->on;
	struct target_report report = run->report;

	if (run->has_report) {
		ssh_run_free(run);
		ssh_link_report(l, &report);
	} else if (run->is_other_version || run->has_end) {
		ssh_link_fail(l, true,
			      "The target's " TARGET_NAME " is of another version: install the one of this release "
			      "(docs/ssh-target.md).");
	} else if (run->is_broken || run->is_closed) {
		ssh_link_fail(l, true, "The account does not start " TARGET_NAME " (docs/ssh-target.md)%s%s.",
			      run->said[0] ? "; it says: " : "", run->said);
	}
}

static void command_next(struct ssh_run *run)
{
	struct command *c = run->command;

	if (run->has_output) {
		run->has_output = false;
		command_pump(c);
	}
	if (run->has_taken) {
		run->has_taken = false;
		command_input_told(c, run->received, MIN(run->taken, c->input.is_known ? c->input.sent : run->taken),
				   run->is_input_closed);
	}
	if (run->has_waiting) {
		run->has_waiting = false;
		command_waiting_told(c, run->is_waiting);
	}
	if (run->has_end)
		conclude(run);
	else if (run->is_broken || (run->is_closed && !run->has_hello))
		end_as(run, run->has_hello ? COMMAND_LOST : COMMAND_ERROR,
		       "The target's answer is not that of " TARGET_NAME "%s%s.", run->said[0] ? ": " : "", run->said);
	else if (run->is_closed)
		end_as(run, COMMAND_LOST, "The program on the target ended; the command may have run in part.");
}

/* The whole flow. May free the run. */
void ssh_run_step(struct ssh_run *run)
{
	if (run->state == RUN_OPENING)
		open_channel(run);
	if (run->state == RUN_ASKING)
		ask(run);
	if (run->state == RUN_RECORDING && run->is_recorded)
		send_request(run);
	if (run->state == RUN_LISTENING) {
		send_some(run);
		if (run->errand)
			ssh_errand_next(run->errand);
		else if (run->command)
			command_next(run);
		else
			probe_next(run);
	}
}

void ssh_run_step_all(struct ssh_link *l)
{
	struct ssh_run *run;

	list_foreach (run, &l->runs, struct ssh_run, link)
		ssh_run_step(run);
}

/* ---- For the target and its links ---- */

void ssh_run_assign(struct ssh_run *run, struct ssh_link *l)
{
	list_remove(&run->link);
	list_append(&l->runs, &run->link);
	l->n_runs++;
	run->on = l;
	run->state = RUN_OPENING;
	run->is_closed = run->is_broken = false;
	frame_reader_deinit(&run->in);
	frame_reader_init(&run->in, false);
	run->channel = api(run)->channel_new(l->session);
	if (!run->channel)
		fatal("libssh has no memory");
	run->callbacks = (struct ssh_channel_callbacks_struct){
		.userdata = run,
		.channel_data_function = on_data,
		.channel_eof_function = on_eof,
		.channel_close_function = on_close,
	};
	ssh_callbacks_init(&run->callbacks);
	api(run)->set_channel_callbacks(run->channel, &run->callbacks);
	ssh_run_await(run, OPEN_MS);
	ssh_link_wake(l);
}

struct ssh_run *ssh_run_waiting(struct ssh_target *t)
{
	return list_first(&t->waiting, struct ssh_run, link);
}

void ssh_run_command(struct ssh_target *t, struct command *c)
{
	struct ssh_run *run = ssh_run_new(t, c, NULL);

	if (run->dir_fd < 0) {
		end_as(run, COMMAND_ERROR, "Its folder cannot be opened: %s.", strerror(-run->dir_fd));
		return;
	}
	list_append(&t->waiting, &run->link);
	ssh_target_dispatch(t);
}

void ssh_run_probe(struct ssh_link *l)
{
	ssh_run_assign(ssh_run_new(l->target, NULL, NULL), l);
}

void ssh_run_tick_all(struct ssh_link *l)
{
	struct ssh_run *run;

	list_foreach (run, &l->runs, struct ssh_run, link)
		if (run->state == RUN_LISTENING && run->out.n == 0)
			frame_add(&run->out, FRAME_ALIVE, (struct str){0});
}

static void lose(struct ssh_run *run, const char *reason)
{
	struct ssh_target *t = run->target;

	if (is_probe_run(run)) {
		ssh_run_free(run);
	} else if (run->errand && ssh_errand_has_begun(run->errand)) {
		ssh_errand_fail(run->errand, -ECONNRESET, reason);
	} else if (run->state == RUN_LISTENING && run->has_end) {
		conclude(run);
	} else if (run->state == RUN_LISTENING) {
		command_pump(run->command);
		end_as(run, COMMAND_LOST,
		       "The connection to the target broke, and the target then kills the command; it may have run in "
		       "part. "
		       "%.100s",
		       reason);
	} else {
		ssh_run_detach(run);
		run->state = RUN_WAITING;
		list_append(&t->waiting, &run->link);
	}
}

void ssh_run_lose_all(struct ssh_link *l, const char *reason)
{
	struct ssh_run *run;

	while ((run = list_first(&l->runs, struct ssh_run, link)))
		lose(run, reason);
}

void ssh_run_drop_probe(struct ssh_link *l)
{
	struct ssh_run *run;

	list_foreach (run, &l->runs, struct ssh_run, link)
		if (is_probe_run(run))
			ssh_run_free(run);
}

void ssh_run_refuse_all(struct ssh_target *t, const char *reason)
{
	struct ssh_run *run;

	while ((run = ssh_run_waiting(t)))
		end_as(run, COMMAND_ERROR, "The target %.32s cannot be used. %.190s", t->target.name, reason);
}

void ssh_run_cancel(struct ssh_run *run)
{
	if (run->state == RUN_SAVING || run->state == RUN_OPENING)
		return;
	if (run->state != RUN_LISTENING) {
		end_as(run, COMMAND_CANCELLED, "Cancelled.");
		return;
	}
	frame_add(&run->out, FRAME_KILL, (struct str){0});
	ssh_run_await(run, CANCEL_MS);
	ssh_link_wake(run->on);
}

static uint32_t since_start_ms(const struct ssh_run *run)
{
	return (uint32_t)((clock_mono_us() - run->start_us) / 1000);
}

ssize_t ssh_run_input(struct ssh_run *run, const void *data, size_t n)
{
	const struct command *c = run->command;
	uint64_t under_way = c->input.sent - MIN(c->input.taken, c->input.sent);
	const char *p = data;

	if (run->state != RUN_LISTENING || !run->start_us || under_way >= FRAME_WINDOW)
		return 0;
	n = MIN(n, (size_t)(FRAME_WINDOW - under_way));
	for (size_t at = 0, k; at < n; at += k) {
		k = MIN(n - at, (size_t)FRAME_OUTPUT_MAX);
		frame_add(&run->out, FRAME_INPUT, (struct str){p + at, k});
	}
	if (c->spec.keeps_input && n > 0)
		session_input(&run->session, since_start_ms(run), data, n);
	ssh_link_wake(run->on);
	return (ssize_t)n;
}

static int is_there(const struct ssh_run *run)
{
	return run->state == RUN_LISTENING && run->start_us ? 0 : run->state == RUN_SAVING ? -ESRCH : -EAGAIN;
}

int ssh_run_input_end(struct ssh_run *run)
{
	int r = is_there(run);

	if (r < 0)
		return r;
	frame_add(&run->out, FRAME_INPUT_END, (struct str){0});
	ssh_link_wake(run->on);
	return 0;
}

int ssh_run_signal(struct ssh_run *run, int sig, bool leader_alone)
{
	int r = is_there(run);

	if (r < 0)
		return r;
	wire_add_pair(&run->out, FRAME_SIGNAL, (uint32_t)sig, leader_alone);
	ssh_link_wake(run->on);
	return 0;
}

int ssh_run_resize(struct ssh_run *run, const struct tty_size *size)
{
	int r = is_there(run);

	if (r < 0)
		return r;
	if (!run->command->spec.tty.rows)
		return -ENOTTY;
	wire_add_pair(&run->out, FRAME_RESIZE, size->rows, size->cols);
	session_resize(&run->session, since_start_ms(run), size);
	ssh_link_wake(run->on);
	return 0;
}

/* It was asked at the last look, and has said nothing since. */
static bool is_host_silent(struct ssh_run *run)
{
	struct ssh_link *l = run->on;
	bool was_asked = run->is_asked;

	run->is_asked = l->traffic.in_bytes == run->heard;
	run->heard = l->traffic.in_bytes;
	if (run->is_asked && !was_asked)
		ssh_link_ask(l);
	return run->is_asked && was_asked;
}

static void on_due(struct ssh_run *run)
{
	if (run->state == RUN_WAITING)
		ssh_target_dispatch(run->target);
	else if (is_probe_run(run))
		ssh_link_fail(run->on, false, "The host does not answer.");
	else if (run->state != RUN_LISTENING)
		end_as(run, COMMAND_ERROR, "The target does not start " TARGET_NAME ".");
	else if (run->errand)
		ssh_errand_overdue(run->errand);
	else
		end_as(run, COMMAND_LOST, "The target does not say whether the command has ended.");
}

static void on_deadline(struct deadline *d)
{
	struct ssh_run *run = container_of(d, struct ssh_run, deadline);

	if (minds_silence(run) && is_host_silent(run))
		ssh_link_fail(run->on, false, "The host does not answer any more.");
	else if (clock_mono_us() < run->due_us)
		set_timer(run);
	else
		on_due(run);
}

void ssh_run_leave(struct ssh_run *run)
{
	struct command *c = run->command;

	ssh_run_free(run);
	command_unref(c);
}
