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
#include "spool.h"

/* ---- Tables ---- */

struct command *command_new(struct exec *e, struct arena *a, const struct spec *spec)
{
	struct command *c = arena_new_of(a, struct command);

	c->exec = e;
	c->arena = a;
	c->spec = *spec;
	c->refs = 1;
	c->target = target_find(e, spec->target);
	list_init(&c->watchers);
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

void command_drop(struct command *c)
{
	HASH_DELETE(hh_id, c->exec->by_id, c);
	if (c->spec.key[0])
		HASH_DELETE(hh_key, c->exec->by_key, c);
	c->phase = PHASE_GONE;
	if (c->target)
		c->target->kind->leave(c);
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

/* Of one that is lost nobody counted it. */
bool result_has_output(const struct result *r)
{
	return r->output_bytes > 0 || r->status == COMMAND_LOST || r->status == COMMAND_ERROR;
}

void command_end(struct command *c, const struct result *result)
{
	journal_unmark(&c->exec->journal, c->spec.id);
	command_end_unmarked(c, result);
}

void command_end_unmarked(struct command *c, const struct result *result)
{
	struct watcher *w;

	c->result = *result;
	c->is_waiting = false;
	count_end(c->exec, result);
	tell_end(c, result);
	command_ref(c);
	command_drop(c);
	list_foreach (w, &c->watchers, struct watcher, link)
		w->on_end(w);
	command_unref(c);
}

void command_end_as(struct command *c, enum command_status status, int64_t started_us, uint64_t total, const char *fmt,
		    ...)
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
	command_end(c, &r);
}

/* ---- At its target ---- */

/* `started` is written before a command runs and not synced: it tells of every death of processes, but after the
 * machine's own it may be gone. */
static bool may_have_run(const struct spec *spec)
{
	return !spec->target[0] && spec->boot[0] && strcmp(spec->boot, spec_boot_id()) != 0;
}

bool command_settle(struct command *c)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct journal_entry entry;
	int r = journal_load(&c->exec->journal, c->spec.id, a, &entry);

	if (r < 0)
		command_end_as(c, COMMAND_ERROR, 0, 0, "Its journal cannot be read: %s.", strerror(-r));
	else if (entry.has_result)
		command_end(c, &entry.result);
	else if (entry.has_started)
		command_end_as(c, COMMAND_LOST, entry.started_us, entry.total,
			       c->spec.target[0]
				       ? "exec ended and with it the connection to the target, which then kills the "
					 "command; it may have run in part."
				       : "Its supervisor died; the command may have run in part.");
	else if (journal_is_accepted(&c->exec->journal, &c->spec) && may_have_run(&entry.spec))
		command_end_as(c, COMMAND_LOST, 0, entry.total,
			       "The machine stopped while the command was about to start; it may have run in part.");
	else if (journal_is_accepted(&c->exec->journal, &c->spec))
		return false;
	else {
		journal_remove(&c->exec->journal, &c->spec);
		command_drop(c);
	}
	return true;
}

void command_attach(struct command *c)
{
	c->phase = PHASE_RUNNING;
	c->target->kind->start(c);
}

void command_pump(struct command *c)
{
	struct watcher *w;

	c->has_shown = true;
	list_foreach (w, &c->watchers, struct watcher, link)
		if (w->on_output)
			w->on_output(w);
}

/* ---- Its input ---- */

static void tell_input(struct command *c)
{
	struct watcher *w;

	list_foreach (w, &c->watchers, struct watcher, link)
		if (w->on_input)
			w->on_input(w);
}

void command_input_told(struct command *c, uint64_t received, uint64_t taken, bool is_closed)
{
	if (!c->input.is_known)
		c->input.sent = received;
	c->input.is_known = true;
	c->input.is_closed = is_closed;
	c->input.taken = taken;
	tell_input(c);
}

void command_waiting_told(struct command *c, bool is_waiting)
{
	c->is_waiting = is_waiting;
	tell_input(c);
}

ssize_t command_input(struct command *c, const void *data, size_t n)
{
	ssize_t r;

	if (!c->spec.has_input || c->phase == PHASE_GONE || (c->input.is_known && c->input.is_closed))
		return -EPIPE;
	if (!c->input.is_known || c->phase != PHASE_RUNNING)
		return 0;
	r = c->target->kind->input(c, data, n);
	c->input.sent += (uint64_t)MAX(r, 0);
	return r;
}

int command_input_end(struct command *c)
{
	if (!c->spec.has_input || c->input.is_closed || c->phase != PHASE_RUNNING)
		return -ESRCH;
	return c->target->kind->input_end ? c->target->kind->input_end(c) : -ENOTSUP;
}

int command_signal(struct command *c, int sig, bool leader_alone)
{
	if (c->phase != PHASE_RUNNING)
		return -ESRCH;
	return c->target->kind->signal ? c->target->kind->signal(c, sig, leader_alone) : -ENOTSUP;
}

int command_resize(struct command *c, const struct tty_size *size)
{
	if (c->phase != PHASE_RUNNING)
		return -ESRCH;
	return c->target->kind->resize ? c->target->kind->resize(c, size) : -ENOTSUP;
}

void command_seen(struct command *c)
{
	if (c->phase == PHASE_RUNNING)
		c->target->kind->seen(c);
}

void command_cancel(struct command *c)
{
	if (c->is_cancelled)
		return;
	c->is_cancelled = true;
	if (c->phase == PHASE_RUNNING)
		c->target->kind->cancel(c);
}

/* ---- At the start and at the end of exec ---- */

void command_adopt(struct exec *e, const char *id)
{
	struct arena *a = arena_new();
	struct journal_entry entry;
	struct command *c;
	int r = journal_load(&e->journal, id, a, &entry);

	if (r < 0 || command_by_id(e, id)) {
		/* A folder without a spec was never accepted. */
		if (r < 0)
			journal_unmark(&e->journal, id);
		arena_free(a);
		return;
	}
	c = command_new(e, a, &entry.spec);
	c->phase = PHASE_RUNNING;
	c->has_shown = true;
	if (c->target)
		c->target->kind->adopt(c);
	else if (!command_settle(c))
		command_end_as(c, COMMAND_ERROR, 0, 0, "The target %.60s is not configured any more.",
			       entry.spec.target);
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

bool command_is_writable(const struct identity *who, const struct spec *spec)
{
	if (who->service[0] && !who->user_id[0])
		return true;
	return strcmp(who->user_id, spec->user_id) == 0 || identity_may(who, "commands.run_any");
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

static void add_session(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct spec *s)
{
	yyjson_mut_val *tty, *tags;

	yyjson_mut_obj_add_bool(doc, obj, "stdin_open", s->has_input);
	if (s->tty.rows) {
		tty = yyjson_mut_obj_add_obj(doc, obj, "tty");
		yyjson_mut_obj_add_uint(doc, tty, "rows", s->tty.rows);
		yyjson_mut_obj_add_uint(doc, tty, "cols", s->tty.cols);
	} else {
		yyjson_mut_obj_add_null(doc, obj, "tty");
	}
	tags = yyjson_mut_obj_add_arr(doc, obj, "tags");
	for (char **t = s->tags; t && *t; t++)
		yyjson_mut_arr_add_strcpy(doc, tags, *t);
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
	yyjson_mut_obj_add_uint(doc, usage, "cpu_user_ms", r->cpu_ms - MIN(r->cpu_ms, r->system_ms));
	yyjson_mut_obj_add_uint(doc, usage, "cpu_system_ms", r->system_ms);
	yyjson_mut_obj_add_uint(doc, usage, "read_bytes", r->read_bytes);
	yyjson_mut_obj_add_uint(doc, usage, "write_bytes", r->write_bytes);
	if (r->pids_peak)
		yyjson_mut_obj_add_uint(doc, usage, "pids_peak", r->pids_peak);
	else
		yyjson_mut_obj_add_null(doc, usage, "pids_peak");
}

static void add_denial(yyjson_mut_doc *doc, yyjson_mut_val *arr, const char *layer, const char *what, unsigned count)
{
	yyjson_mut_val *obj = yyjson_mut_arr_add_obj(doc, arr);

	yyjson_mut_obj_add_str(doc, obj, "layer", layer);
	yyjson_mut_obj_add_str(doc, obj, "what", what);
	yyjson_mut_obj_add_uint(doc, obj, "count", count);
}

/* By a signal, also of a shell's child, which the shell's exit code tells. */
static bool died_of(const struct result *r, int sig)
{
	return r->signal == sig || r->exit_code == 128 + sig;
}

/* What the sandbox refused, as far as it can be known from outside: a call that only fails is seen by the command
 * alone. */
static void add_denials(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct result *r)
{
	yyjson_mut_val *arr = yyjson_mut_obj_add_arr(doc, obj, "denials");

	if (!r)
		return;
	if (died_of(r, SIGSYS))
		add_denial(doc, arr, "seccomp", "system_call", 1);
	if (died_of(r, SIGXFSZ))
		add_denial(doc, arr, "rlimits", "file_size", 1);
	if (r->forks_refused)
		add_denial(doc, arr, "cgroup", "processes", r->forks_refused);
	if (r->memory_kills)
		add_denial(doc, arr, "cgroup", "memory", r->memory_kills);
	if (r->throttled)
		add_denial(doc, arr, "cgroup", "cpu", r->throttled);
	if (r->removed[0])
		add_denial(doc, arr, "protected", "file", 1);
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
	json_add_time(doc, obj, "created_at", s->created_us);
	json_add_time(doc, obj, "started_at", r ? r->started_us : started_us);
	json_add_time(doc, obj, "ended_at", r ? r->ended_us : 0);
	add_int_or_null(doc, obj, "duration_ms", r && r->started_us, r ? (r->ended_us - r->started_us) / 1000 : 0);
	yyjson_mut_obj_add_strcpy(doc, obj, "target", s->target[0] ? s->target : TARGET_LOCAL);
	json_add_str(doc, obj, "workspace", nonempty(s->workspace));
	yyjson_mut_obj_add_str(doc, obj, "sandbox", nonempty(s->session) ? "session" : "own");
	json_add_str(doc, obj, "user_id", nonempty(s->user_id));
	add_session(doc, obj, s);
	add_usage(doc, obj, r);
	add_denials(doc, obj, r);
}

static uint64_t count_output(const struct command *c)
{
	struct spool_reader spool = {.fd = -1};
	int dir = journal_folder(&c->exec->journal, c->spec.id);
	uint64_t total = 0;

	if (dir >= 0 && spool_reader_open(&spool, dir) == 0) {
		total = spool_reader_total(&spool);
		spool_reader_deinit(&spool);
	}
	if (dir >= 0)
		close(dir);
	return total;
}

void command_add_live(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct command *c)
{
	bool is_gone = c->phase == PHASE_GONE;
	uint64_t total = is_gone || !c->has_shown ? 0 : count_output(c);

	command_add_json(doc, obj, &c->spec, is_gone ? &c->result : NULL, c->started_us, total);
	yyjson_mut_obj_add_bool(doc, obj, "waiting_for_input", c->is_waiting);
	if (c->input.is_known)
		yyjson_mut_obj_add_uint(doc, obj, "input_bytes", c->input.sent);
}
