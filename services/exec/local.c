/* The target "local": a supervisor process for each command, started by the spawner. It owns the command and outlives
 * exec; here it is found, listened to and told. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "command.h"
#include "control.h"

#define AGAIN_MS 50

/* What it waits for. */
enum local_state {
	LOCAL_ATTACHING, /* the supervisor, which cannot be reached yet */
	LOCAL_WATCHING,  /* the supervisor's messages */
	LOCAL_LEFT,      /* nothing any more */
};

struct local_run {
	struct command *command;
	enum local_state state;
	bool is_asked;  /* the spawner was asked for a supervisor by us */
	bool is_unseen; /* the supervisor waits to hear that its output was seen */
	int failure;    /* -errno that the spawner or the supervisor told */
	unsigned attempts;
	int control;
	uv_poll_t poll;
	struct deadline again;
};

static void on_again(struct deadline *d);
static void on_control(uv_poll_t *poll, int status, int events);
static void look(struct local_run *l);

static struct local_run *run_new(struct command *c)
{
	struct local_run *l = arena_new_of(c->arena, struct local_run);

	l->command = c;
	l->control = -1;
	deadline_init(&l->again, on_again);
	c->run = l;
	return l;
}

/* ---- The connection to the supervisor ---- */

static void on_poll_closed(uv_handle_t *handle)
{
	struct local_run *l = handle->data;

	close(l->control);
	l->control = -1;
	if (l->state == LOCAL_ATTACHING)
		look(l);
	command_unref(l->command);
}

static void stop_watching(struct local_run *l)
{
	if (l->control >= 0 && !uv_is_closing((uv_handle_t *)&l->poll))
		uv_close((uv_handle_t *)&l->poll, on_poll_closed);
}

static void watch(struct local_run *l, int control)
{
	l->control = control;
	l->state = LOCAL_WATCHING;
	if (uv_poll_init(service_loop(l->command->exec->service), &l->poll, control) < 0)
		fatal("cannot watch a command's supervisor");
	l->poll.data = l;
	command_ref(l->command);
	uv_poll_start(&l->poll, UV_READABLE, on_control);
	if (l->command->is_cancelled)
		control_send(control, CONTROL_CANCEL);
}

static int connect_control(const struct command *c)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int dir = journal_folder(&c->exec->journal, c->spec.id), fd, r = 0;

	if (dir < 0)
		return dir;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" CONTROL_SOCKET, dir);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		r = -errno;
	close(dir);
	if (r < 0 && fd >= 0)
		close(fd);
	return r < 0 ? r : fd;
}

/* ---- Where the command is ---- */

static void ask_spawner(struct local_run *l)
{
	struct command *c = l->command;
	int control, r;

	if (l->is_asked) {
		command_end_as(c, COMMAND_ERROR, 0, 0, "Its supervisor could not be started%s%s.",
			       l->failure ? ": " : "", l->failure ? strerror(-l->failure) : "");
		return;
	}
	l->is_asked = true;
	r = exec_ask_spawner(c->exec, c->spec.id, &control);
	if (r < 0)
		command_end_as(c, COMMAND_ERROR, 0, 0, "Its supervisor could not be started: %s.", strerror(-r));
	else
		watch(l, control);
}

/* Its supervisor is about to open its socket, or about to leave. */
static void look_again(struct local_run *l)
{
	if (++l->attempts % 200 == 0)
		log_event(LOG_WARN, "a command's supervisor does not answer", "command", l->command->spec.id, NULL);
	deadline_set(service_wheel(l->command->exec->service), &l->again, AGAIN_MS);
}

/* Finds out where a command is that we are not connected to. While we hold its lock, no supervisor has it. */
static void look(struct local_run *l)
{
	struct command *c = l->command;
	int fd = connect_control(c);
	bool is_settled;

	l->state = LOCAL_ATTACHING;
	if (fd >= 0) {
		watch(l, fd);
		return;
	}
	fd = journal_lock(&c->exec->journal, c->spec.id);
	if (fd == -EWOULDBLOCK) {
		look_again(l);
		return;
	}
	command_ref(c);
	is_settled = command_settle(c);
	if (fd >= 0)
		close(fd);
	if (!is_settled)
		ask_spawner(l);
	command_unref(c);
}

static void on_again(struct deadline *d)
{
	look(container_of(d, struct local_run, again));
}

/* ---- What the supervisor says ---- */

/* The supervisor has written the result and taken the mark away; without room for it on the disk, it is told here for
 * the last time. */
static void on_ended(struct command *c, int err)
{
	struct result result;

	if (err == 0 && journal_result(&c->exec->journal, c->spec.id, &result) == 0)
		command_end_unmarked(c, &result);
	else
		command_end_as(c, COMMAND_LOST, c->started_us, 0, "Its result could not be saved: %s.", strerror(-err));
}

/* Not connected to its supervisor any more, or never was: on_poll_closed looks where it is. */
static void reattach(struct local_run *l)
{
	l->state = LOCAL_ATTACHING;
	stop_watching(l);
}

static void on_event(struct local_run *l, const struct control_event *e)
{
	switch ((enum control_event_type)e->type) {
	case CONTROL_STARTED: l->command->started_us = e->at_us; break;
	case CONTROL_OUTPUT:
		l->is_unseen = true;
		command_pump(l->command);
		break;
	case CONTROL_ENDED: on_ended(l->command, e->err); break;
	case CONTROL_FAILED:
		l->failure = e->err;
		reattach(l);
		break;
	case CONTROL_TAKEN: reattach(l); break;
	case CONTROL_INPUT: command_input_told(l->command, e->total, (uint64_t)e->at_us, e->err < 0); break;
	case CONTROL_WAITING: command_waiting_told(l->command, e->total != 0); break;
	}
}

static void on_control(uv_poll_t *poll, int status, int events)
{
	struct local_run *l = poll->data;
	struct command *c = l->command;
	struct control_event e;
	int r;

	command_ref(c);
	while (l->state == LOCAL_WATCHING && (r = control_receive(l->control, &e)) != -EAGAIN) {
		if (r == 0)
			reattach(l);
		else
			on_event(l, &e);
	}
	command_unref(c);
}

/* ---- The target ---- */

static void local_start(struct command *c)
{
	ask_spawner(run_new(c));
}

static void local_adopt(struct command *c)
{
	look(run_new(c));
}

static void local_cancel(struct command *c)
{
	struct local_run *l = c->run;

	if (l->state == LOCAL_WATCHING)
		control_send(l->control, CONTROL_CANCEL);
}

static void local_seen(struct command *c)
{
	struct local_run *l = c->run;

	if (!l->is_unseen || l->state != LOCAL_WATCHING)
		return;
	l->is_unseen = false;
	control_send(l->control, CONTROL_SEEN);
}

/* As much as the supervisor has promised room for. */
static ssize_t local_input(struct command *c, const void *data, size_t n)
{
	struct local_run *l = c->run;
	uint64_t under_way = c->input.sent - c->input.taken;
	const char *p = data;
	size_t done = 0;

	if (l->state != LOCAL_WATCHING)
		return 0;
	n = MIN(n, CONTROL_WINDOW - MIN(under_way, (uint64_t)CONTROL_WINDOW));
	while (done < n) {
		size_t k = MIN(n - done, (size_t)CONTROL_DATA_MAX);

		if (control_send_data(l->control, p + done, k) < 0)
			break;
		done += k;
	}
	return (ssize_t)done;
}

static int tell(struct command *c, enum control_request_type type, uint32_t a, uint32_t b)
{
	struct local_run *l = c->run;

	return l->state == LOCAL_WATCHING ? control_send_with(l->control, type, a, b) : -EAGAIN;
}

static int local_input_end(struct command *c)
{
	return tell(c, CONTROL_DATA_END, 0, 0);
}

static int local_signal(struct command *c, int sig, bool leader_alone)
{
	return tell(c, CONTROL_SIGNAL, (uint32_t)sig, leader_alone);
}

static int local_resize(struct command *c, const struct tty_size *size)
{
	return tell(c, CONTROL_RESIZE, size->rows, size->cols);
}

/* The supervisor goes on. */
static void local_leave(struct command *c)
{
	struct local_run *l = c->run;

	if (!l)
		return;
	l->state = LOCAL_LEFT;
	deadline_clear(&l->again);
	stop_watching(l);
}

static const char *local_unavailable(const struct target *t, struct arena *a)
{
	return exec_unavailable(t->exec, a);
}

static void local_describe(const struct target *t, yyjson_mut_doc *doc, yyjson_mut_val *obj)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	const char *why = exec_unavailable(t->exec, a);

	yyjson_mut_obj_add_str(doc, obj, "state", why ? "refused" : "ready");
	if (why)
		yyjson_mut_obj_add_strcpy(doc, obj, "reason", why);
	else
		yyjson_mut_obj_add_null(doc, obj, "reason");
	report_add_json(doc, yyjson_mut_obj_add_obj(doc, obj, "sandbox"), &t->exec->spawner.report, t->exec->wanted);
}

static void local_stop(struct target *t)
{
	free(t);
}

const struct target_kind target_local = {
	.name = TARGET_LOCAL,
	.start = local_start,
	.adopt = local_adopt,
	.cancel = local_cancel,
	.seen = local_seen,
	.input = local_input,
	.input_end = local_input_end,
	.signal = local_signal,
	.resize = local_resize,
	.leave = local_leave,
	.unavailable = local_unavailable,
	.describe = local_describe,
	.stop = local_stop,
};
