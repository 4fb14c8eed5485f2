#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "control.h"

#define AGAIN_MS 50

static void on_again(struct deadline *d);
static void on_control(uv_poll_t *poll, int status, int events);
static void look(struct command *c);

/* ---- Tables ---- */

struct command *command_new(struct exec *e, struct arena *a, const struct spec *spec)
{
	struct command *c = arena_new_of(a, struct command);

	c->exec = e;
	c->arena = a;
	c->spec = *spec;
	c->refs = 1;
	c->control = -1;
	deadline_init(&c->again, on_again);
	list_init(&c->followers);
	list_init(&c->waiting);
	HASH_ADD(hh_id, e->by_id, spec.id, ID_SIZE - 1, c);
	if (c->spec.key[0])
		HASH_ADD_KEYPTR(hh_key, e->by_key, c->spec.key, strlen(c->spec.key), c);
	return c;
}

struct command *command_by_id(struct exec *e, const char *id)
{
	struct command *c = NULL;

	if (strlen(id) == ID_SIZE - 1)
		HASH_FIND(hh_id, e->by_id, id, ID_SIZE - 1, c);
	return c;
}

struct command *command_by_key(struct exec *e, const char *key)
{
	struct command *c = NULL;

	HASH_FIND(hh_key, e->by_key, key, strlen(key), c);
	return c;
}

unsigned command_count(struct exec *e, const char *user_id)
{
	unsigned n = 0;

	for (struct command *c = e->by_id; c; c = c->hh_id.next)
		n += strcmp(c->spec.user_id, user_id) == 0;
	return n;
}

void command_ref(struct command *c)
{
	c->refs++;
}

void command_unref(struct command *c)
{
	if (--c->refs == 0)
		arena_free(c->arena);
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct command *c = handle->data;

	close(c->control);
	c->control = -1;
	if (c->phase == PHASE_ATTACHING)
		look(c);
	command_unref(c);
}

static void stop_watching(struct command *c)
{
	if (c->control >= 0 && !uv_is_closing((uv_handle_t *)&c->poll))
		uv_close((uv_handle_t *)&c->poll, on_poll_closed);
}

void command_drop(struct command *c)
{
	HASH_DELETE(hh_id, c->exec->by_id, c);
	if (c->spec.key[0])
		HASH_DELETE(hh_key, c->exec->by_key, c);
	c->phase = PHASE_GONE;
	deadline_clear(&c->again);
	stop_watching(c);
	command_unref(c);
}

/* ---- The end ---- */

static void count_end(struct exec *e, const struct result *r)
{
	metric_add(e->metrics.ended[r->status], 1);
	metric_add(e->metrics.output_bytes, (double)r->output_bytes);
	if (r->started_us && r->ended_us >= r->started_us)
		metric_observe(e->metrics.seconds, (double)(r->ended_us - r->started_us) / 1e6);
}

static void write_log(const struct command *c, const struct result *r)
{
	char code[16], ms[24], bytes[24];

	if (!log_enabled(LOG_INFO))
		return;
	snprintf(code, sizeof(code), "%d", r->exit_code);
	snprintf(ms, sizeof(ms), "%lld", (long long)(r->started_us ? r->ended_us - r->started_us : 0) / 1000);
	snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)r->output_bytes);
	log_event(LOG_INFO, "command ended", "command", c->spec.id, "trace_id", c->trace.trace_id, "span_id",
		  c->trace.span_id, "status", command_status_name(r->status), "exit_code", code, "output_bytes", bytes,
		  "ms", ms, "user", c->spec.user_id, NULL);
}

/* In the log and in the trace: neither the command line nor its output. */
static void tell_end(const struct command *c, const struct result *r)
{
	struct otlp *otlp = service_otlp(c->exec->service);

	write_log(c, r);
	if (!otlp_wants(otlp, &c->trace))
		return;
	otlp_add(otlp, &(struct span){
			       .trace = &c->trace,
			       .name = "command",
			       .kind = SPAN_INTERNAL,
			       .start_us = r->started_us ? r->started_us : r->ended_us,
			       .end_us = r->ended_us,
			       .error = r->status == COMMAND_EXITED ? NULL : command_status_name(r->status),
			       .attributes = {{"ogent.command.id", c->spec.id},
					      {"ogent.command.status", command_status_name(r->status)},
					      {"process.exit.code", NULL, r->exit_code},
					      {"ogent.command.output_bytes", NULL, (int64_t)r->output_bytes},
					      {"ogent.command.cpu_ms", NULL, (int64_t)r->cpu_ms},
					      {"ogent.command.max_rss_kib", NULL, (int64_t)r->max_rss_kib}},
		       });
}

static void end(struct command *c, const struct result *result)
{
	struct follower *s;

	c->result = *result;
	count_end(c->exec, result);
	tell_end(c, result);
	journal_unmark(&c->exec->journal, c->spec.id);
	list_foreach (s, &c->followers, struct follower, link)
		follower_end(s, result);
	command_drop(c);
}

/* Nobody will write the result any more: we do. */
static void end_without_supervisor(struct command *c, enum command_status status, int64_t started_us, uint64_t total,
				   const char *fmt, ...)
{
	struct result r = {.status = status, .exit_code = -1, .output_bytes = total, .started_us = started_us};
	va_list ap;
	int err;

	va_start(ap, fmt);
	vsnprintf(r.reason, sizeof(r.reason), fmt, ap);
	va_end(ap);
	r.ended_us = clock_now_us();
	err = journal_end(&c->exec->journal, c->spec.id, &r);
	log_event(LOG_WARN, "command ended without a result", "command", c->spec.id, "status",
		  command_status_name(status), "reason", r.reason, "saved", err < 0 ? strerror(-err) : "yes", NULL);
	end(c, &r);
}

/* ---- Its supervisor ---- */

static void watch(struct command *c, int control)
{
	c->control = control;
	c->phase = PHASE_WATCHING;
	if (uv_poll_init(service_loop(c->exec->service), &c->poll, control) < 0)
		fatal("cannot watch a command's supervisor");
	c->poll.data = c;
	command_ref(c);
	uv_poll_start(&c->poll, UV_READABLE, on_control);
	if (c->is_cancelled)
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

static void ask_spawner(struct command *c)
{
	int control, r;

	if (c->is_asked) {
		end_without_supervisor(c, COMMAND_ERROR, 0, 0, "Its supervisor could not be started%s%s.",
				       c->failure ? ": " : "", c->failure ? strerror(-c->failure) : "");
		return;
	}
	c->is_asked = true;
	r = spawner_ask(&c->exec->spawner, c->spec.id, &control);
	if (r < 0)
		end_without_supervisor(c, COMMAND_ERROR, 0, 0, "Its supervisor could not be started: %s.",
				       strerror(-r));
	else
		watch(c, control);
}

/* No supervisor has it, and we hold its lock: it has ended, or was lost, or was never accepted. Returns false when it
 * was accepted and never started. */
static bool settle(struct command *c)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct journal_entry entry;
	int r = journal_load(&c->exec->journal, c->spec.id, a, &entry);

	if (r < 0)
		end_without_supervisor(c, COMMAND_ERROR, 0, 0, "Its journal cannot be read: %s.", strerror(-r));
	else if (entry.has_result)
		end(c, &entry.result);
	else if (entry.has_started)
		end_without_supervisor(c, COMMAND_LOST, entry.started_us, entry.total,
				       "Its supervisor died; the command may have run in part.");
	else if (journal_is_accepted(&c->exec->journal, &c->spec))
		return false;
	else {
		journal_remove(&c->exec->journal, &c->spec);
		command_drop(c);
	}
	return true;
}

/* Its supervisor is about to open its socket, or about to leave. */
static void look_again(struct command *c)
{
	if (++c->attempts % 200 == 0)
		log_event(LOG_WARN, "a command's supervisor does not answer", "command", c->spec.id, NULL);
	deadline_set(service_wheel(c->exec->service), &c->again, AGAIN_MS);
}

/* Finds out where a command is that we are not connected to. */
static void look(struct command *c)
{
	int fd = connect_control(c);
	bool is_settled;

	c->phase = PHASE_ATTACHING;
	if (fd >= 0) {
		watch(c, fd);
		return;
	}
	fd = journal_lock(&c->exec->journal, c->spec.id);
	if (fd == -EWOULDBLOCK) {
		look_again(c);
		return;
	}
	command_ref(c);
	is_settled = settle(c);
	if (fd >= 0)
		close(fd);
	if (!is_settled)
		ask_spawner(c);
	command_unref(c);
}

static void on_again(struct deadline *d)
{
	look(container_of(d, struct command, again));
}

void command_attach(struct command *c)
{
	ask_spawner(c);
}

static void pump_all(struct command *c)
{
	struct follower *s;

	c->is_unseen = true;
	list_foreach (s, &c->followers, struct follower, link)
		follower_pump(s);
}

void command_seen(struct command *c)
{
	if (!c->is_unseen || c->phase != PHASE_WATCHING)
		return;
	c->is_unseen = false;
	control_send(c->control, CONTROL_SEEN);
}

/* The supervisor has written the result; without room for it on the disk, it is told here for the last time. */
static void on_ended(struct command *c, int err)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct journal_entry entry;

	if (journal_load(&c->exec->journal, c->spec.id, a, &entry) == 0 && entry.has_result)
		end(c, &entry.result);
	else
		end_without_supervisor(c, COMMAND_LOST, c->started_us, 0, "Its result could not be saved: %s.",
				       strerror(-err));
}

/* Not connected to its supervisor any more, or never was: on_poll_closed looks where it is. */
static void reattach(struct command *c)
{
	c->phase = PHASE_ATTACHING;
	stop_watching(c);
}

static void on_event(struct command *c, const struct control_event *e)
{
	switch ((enum control_event_type)e->type) {
	case CONTROL_STARTED: c->started_us = e->at_us; break;
	case CONTROL_OUTPUT: pump_all(c); break;
	case CONTROL_ENDED: on_ended(c, e->err); break;
	case CONTROL_FAILED:
		c->failure = e->err;
		reattach(c);
		break;
	case CONTROL_TAKEN: reattach(c); break;
	}
}

static void on_control(uv_poll_t *poll, int status, int events)
{
	struct command *c = poll->data;
	struct control_event e;
	int r;

	command_ref(c);
	while (c->phase == PHASE_WATCHING && (r = control_receive(c->control, &e)) != -EAGAIN) {
		if (r == 0)
			reattach(c);
		else
			on_event(c, &e);
	}
	command_unref(c);
}

void command_cancel(struct command *c)
{
	if (c->is_cancelled)
		return;
	c->is_cancelled = true;
	if (c->phase == PHASE_WATCHING)
		control_send(c->control, CONTROL_CANCEL);
}

/* ---- At the start and at the end of exec ---- */

void command_adopt(struct exec *e, const char *id)
{
	struct arena *a = arena_new();
	struct journal_entry entry;
	int r = journal_load(&e->journal, id, a, &entry);

	if (r < 0 || command_by_id(e, id)) {
		/* A folder without a spec was never accepted. */
		if (r < 0)
			journal_unmark(&e->journal, id);
		arena_free(a);
		return;
	}
	look(command_new(e, a, &entry.spec));
}

void commands_attach_all(struct exec *e)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct id_list list;

	if (journal_list_running(&e->journal, a, &list) < 0)
		return;
	for (size_t i = list.n; i > 0; i--)
		command_adopt(e, list.ids[i - 1]);
}

void commands_leave_all(struct exec *e)
{
	while (e->by_id)
		command_drop(e->by_id);
}

/* ---- On the wire ---- */

bool command_is_visible(const struct identity *who, const struct spec *spec)
{
	if (who->service[0] && !who->user_id[0])
		return true;
	return strcmp(who->user_id, spec->user_id) == 0 || identity_may(who, "commands.read_any");
}

static void add_time(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *name, int64_t us)
{
	char text[TIME_TEXT_SIZE];

	if (us == 0) {
		yyjson_mut_obj_add_null(doc, obj, name);
		return;
	}
	time_format(us, text);
	yyjson_mut_obj_add_strcpy(doc, obj, name, text);
}

static void add_what(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct spec *s)
{
	yyjson_mut_val *argv;

	if (!s->argv) {
		yyjson_mut_obj_add_null(doc, obj, "argv");
		yyjson_mut_obj_add_strcpy(doc, obj, "script", s->script);
		return;
	}
	argv = yyjson_mut_obj_add_arr(doc, obj, "argv");
	for (char **a = s->argv; *a; a++)
		yyjson_mut_arr_add_strcpy(doc, argv, *a);
	yyjson_mut_obj_add_null(doc, obj, "script");
}

static void add_usage(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct result *r)
{
	yyjson_mut_val *usage;

	if (!r) {
		yyjson_mut_obj_add_null(doc, obj, "usage");
		return;
	}
	usage = yyjson_mut_obj_add_obj(doc, obj, "usage");
	yyjson_mut_obj_add_uint(doc, usage, "cpu_ms", r->cpu_ms);
	yyjson_mut_obj_add_uint(doc, usage, "max_rss_kib", r->max_rss_kib);
}

static void add_int_or_null(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *name, bool has, int64_t n)
{
	if (has)
		yyjson_mut_obj_add_sint(doc, obj, name, n);
	else
		yyjson_mut_obj_add_null(doc, obj, name);
}

static const char *nonempty(const char *s)
{
	return s && s[0] ? s : NULL;
}

void command_add_json(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct spec *s, const struct result *r,
		      int64_t started_us, uint64_t total)
{
	yyjson_mut_obj_add_strcpy(doc, obj, "id", s->id);
	yyjson_mut_obj_add_str(doc, obj, "status", command_status_name(r ? r->status : COMMAND_RUNNING));
	add_what(doc, obj, s);
	add_int_or_null(doc, obj, "exit_code", r && r->exit_code >= 0, r ? r->exit_code : 0);
	add_int_or_null(doc, obj, "signal", r && r->signal > 0, r ? r->signal : 0);
	json_add_str(doc, obj, "reason", r ? nonempty(r->reason) : NULL);
	yyjson_mut_obj_add_uint(doc, obj, "output_bytes", r ? r->output_bytes : total);
	yyjson_mut_obj_add_uint(doc, obj, "truncated_bytes", r ? r->truncated_bytes : 0);
	add_time(doc, obj, "created_at", s->created_us);
	add_time(doc, obj, "started_at", r ? r->started_us : started_us);
	add_time(doc, obj, "ended_at", r ? r->ended_us : 0);
	add_int_or_null(doc, obj, "duration_ms", r && r->started_us, r ? (r->ended_us - r->started_us) / 1000 : 0);
	json_add_str(doc, obj, "workspace", nonempty(s->workspace));
	json_add_str(doc, obj, "user_id", nonempty(s->user_id));
	add_usage(doc, obj, r);
}

void command_add_live(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct command *c)
{
	struct spool_reader spool = {.fd = -1};
	uint64_t total = 0;
	int dir = journal_folder(&c->exec->journal, c->spec.id);

	if (dir >= 0 && spool_reader_open(&spool, dir) == 0) {
		total = spool_reader_total(&spool);
		spool_reader_deinit(&spool);
	}
	if (dir >= 0)
		close(dir);
	command_add_json(doc, obj, &c->spec, c->phase == PHASE_GONE ? &c->result : NULL, c->started_us, total);
}
