/* POST /api/commands: checks what is asked, has it saved, starts it. The same key attaches to the same command. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "command.h"
#include "follower.h"
#include "policy/store.h"
#include "shared.h"
#include "wait.h"
#include "workspace.h"

#define ARGV_MAX (128 << 10)
#define SCRIPT_MAX (64 << 10)
#define ENV_MAX 64
#define ENV_BYTES_MAX (64 << 10)
#define INPUT_MAX (1 << 20)
#define TAGS_MAX 16

/* A request with a key whose command is being saved: waits for the same answer. */
struct create_wait {
	struct list link;
	struct exchange *x;
	const char *request_hash;
};

struct create {
	struct job job;
	struct exec *exec;
	struct exchange *x;
	struct command *command;
	int result; /* enum journal_saved or -errno */
	char existing[ID_SIZE];
	struct journal_entry entry; /* of the existing one */
	int entry_result;
};

/* ---- The answer ---- */

static bool wants_stream(const struct exchange *x)
{
	const char *value = http_query_get(x->arena, x->req->query, "stream");

	return value && strcmp(value, "1") == 0;
}

static bool is_same_request(struct exchange *x, const struct spec *spec, const char *request_hash)
{
	if (strcmp(spec->request_hash, request_hash) == 0)
		return true;
	reply_problem(x, 422, "idempotency_key_reused",
		      "This Idempotency-Key was used for another request. Use a new key for a new command.");
	return false;
}

static void answer_live(struct exchange *x, int status, struct command *c)
{
	struct wait_query q;

	if (!x->req)
		return;
	reply_header(x, "Location", arena_printf(x->arena, "/api/commands/%s", c->spec.id));
	if (wants_stream(x))
		follower_live(x, c, 0);
	else if (wait_query_read(x, x->body, &q))
		wait_reply(x, c, &q, 200, q.wait_ms ? 202 : status);
}

static void answer_ended(struct exchange *x, const struct journal_entry *e, struct command *keep)
{
	struct wait_query q;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;

	if (!x->req)
		return;
	reply_header(x, "Location", arena_printf(x->arena, "/api/commands/%s", e->spec.id));
	if (wants_stream(x)) {
		follower_ended(x, &e->spec, &e->result, 0, keep);
		return;
	}
	if (!wait_query_read(x, x->body, &q))
		return;
	obj = json_new_obj(x->arena, &doc);
	command_add_json(doc, obj, &e->spec, &e->result, e->started_us, e->total);
	if (q.output)
		wait_add_output(x->self, doc, obj, e->spec.id, q.output);
	reply_json(x, 200, doc);
}

static void answer_failure(struct exchange *x, int err)
{
	switch (err) {
	case -ENOSPC:
	case -EDQUOT: reply_problem(x, 507, "storage_full", "The disk is full. Make room, then try again."); break;
	case -EPERM:
		reply_problem(x, 409, "workspace_unusable",
			      "The workspace of this name is not a folder. Use another name.");
		break;
	case -EACCES:
		reply_problem(x, 403, "workspace_forbidden",
			      "The workspace of this name is somebody else's. Use another name.");
		break;
	case -EBUSY:
		reply_problem(x, 409, "workspace_busy",
			      "The workspace of this name is being removed. Use another name.");
		break;
	case -ESTALE:
		reply_problem(
			x, 403, "policy_denied",
			"The policy does not allow this command, and the earlier one of this Idempotency-Key is gone.");
		break;
	case -EAGAIN:
		reply_header(x, "Retry-After", "1");
		reply_problem(x, 503, "unavailable", "There is too much to do. Try again in a moment.");
		break;
	default:
		log_event(LOG_ERROR, "a command could not be saved", "request_id", x->request_id, "error",
			  strerror(-err), NULL);
		reply_problem(x, 500, "internal", "The command could not be saved; the log has the request id.");
	}
}

/* ---- Saving ---- */

/* The command that the key stands for: it runs, or has ended, or nobody has looked after it since a crash. */
static void answer_existing(struct exchange *x, struct create *k, const char *request_hash)
{
	struct command *c;

	if (k->entry_result < 0) {
		answer_failure(x, k->entry_result);
		return;
	}
	if (!is_same_request(x, &k->entry.spec, request_hash))
		return;
	if (!k->entry.has_result && !command_by_id(k->exec, k->existing))
		command_adopt(k->exec, k->existing);
	c = command_by_id(k->exec, k->existing);
	if (c)
		answer_live(x, 200, c);
	else if (k->entry.has_result)
		answer_ended(x, &k->entry, k->command);
	else
		answer_failure(x, -EAGAIN);
}

static void answer(struct exchange *x, struct create *k, int status, const char *request_hash)
{
	if (k->result == JOURNAL_SAVED) {
		if (is_same_request(x, &k->command->spec, request_hash))
			answer_live(x, status, k->command);
	} else if (k->result == JOURNAL_EXISTS) {
		answer_existing(x, k, request_hash);
	} else {
		answer_failure(x, k->result);
	}
	exchange_drop(x);
}

static void save_run(struct job *job)
{
	struct create *k = container_of(job, struct create, job);
	struct command *c = k->command;

	k->result = journal_save(&k->exec->journal, &c->spec, k->existing);
	if (k->result == JOURNAL_EXISTS)
		k->entry_result = journal_load(&k->exec->journal, k->existing, c->arena, &k->entry);
}

static void save_done(struct job *job)
{
	struct create *k = container_of(job, struct create, job);
	struct command *c = k->command;
	struct list waiting;
	struct create_wait *w;

	command_ref(c);
	list_init(&waiting);
	list_splice(&waiting, &c->waiting);
	if (k->result == JOURNAL_SAVED)
		command_attach(c);
	else
		command_drop(c);
	answer(k->x, k, 201, c->spec.request_hash);
	list_foreach (w, &waiting, struct create_wait, link)
		answer(w->x, k, 200, w->request_hash);
	command_unref(c);
}

static void save(struct exec *e, struct exchange *x, struct command *c)
{
	struct create *k = arena_new_of(c->arena, struct create);

	*k = (struct create){.job = {.run = save_run, .done = save_done}, .exec = e, .x = x, .command = c};
	if (job_submit(e->lane, &k->job) < 0) {
		command_drop(c);
		answer_failure(x, -EAGAIN);
		return;
	}
	trace_child(&c->trace, &x->trace);
	exchange_hold(x);
}

static void wait_for(struct exchange *x, struct command *c, const char *request_hash)
{
	struct create_wait *w = arena_new_of(x->arena, struct create_wait);

	w->x = x;
	w->request_hash = request_hash;
	list_append(&c->waiting, &w->link);
	exchange_hold(x);
}

/* ---- What is asked ---- */

static const struct json_field fields[] = {
	{"argv", JSON_ARRAY, false, 1, 0},
	{"script", JSON_STRING, false, 1, SCRIPT_MAX},
	{"cwd", JSON_STRING, false, 0, 4000},
	{"env", JSON_OBJECT, false, 0, 0},
	{"stdin", JSON_STRING, false, 0, INPUT_MAX},
	{"timeout_ms", JSON_INT, false, 1, 0},
	{"workspace", JSON_STRING, false, 1, 64},
	{"key", JSON_STRING, false, 1, 255},
	{"target", JSON_STRING, false, 1, 32},
	{"stdin_open", JSON_BOOL, false, 0, 0},
	{"record_stdin", JSON_BOOL, false, 0, 0},
	{"tty", JSON_OBJECT, false, 0, 0},
	{"policy", JSON_STRING, false, 1, 40},
	{"profile", JSON_STRING, false, 1, 16},
	{"tags", JSON_ARRAY, false, 0, 0},
	{"wait_ms", JSON_INT, false, 0, WAIT_MS_MAX},
	{"hosts", JSON_ARRAY, false, 0, EGRESS_RULES_MAX},
	{"sandbox", JSON_STRING, false, 1, 16},
};

static int invalid(struct error *err, const char *text)
{
	return error_set(err, "invalid_field", "%s", text);
}

static int read_argv(yyjson_val *body, struct arena *a, struct spec *s, struct error *err)
{
	yyjson_val *arr = json_get_arr(body, "argv"), *item;
	size_t i, max, bytes = 0;

	if (!arr == !s->script)
		return invalid(err, "Send either argv or script.");
	if (!arr)
		return 0;
	s->argv = arena_alloc(a, (yyjson_arr_size(arr) + 1) * sizeof(char *));
	yyjson_arr_foreach(arr, i, max, item)
	{
		if (!yyjson_is_str(item))
			return invalid(err, "argv must be an array of strings.");
		bytes += yyjson_get_len(item) + 1;
		s->argv[i] = arena_strndup(a, yyjson_get_str(item), yyjson_get_len(item));
	}
	if (bytes > ARGV_MAX)
		return invalid(err, "argv is longer than 128 KiB. Send long input as stdin.");
	return s->argv[0] && s->argv[0][0] ? 0 : invalid(err, "The first item of argv names the program.");
}

static bool is_env_name(const char *name)
{
	if (!isalpha((unsigned char)name[0]) && name[0] != '_')
		return false;
	while (isalnum((unsigned char)*name) || *name == '_')
		name++;
	return !*name;
}

static int read_env(yyjson_val *body, struct arena *a, struct spec *s, struct error *err)
{
	yyjson_val *obj = json_get_obj(body, "env"), *key, *value;
	size_t i, max, bytes = 0;

	s->env = arena_alloc(a, ((obj ? yyjson_obj_size(obj) : 0) + 2) * sizeof(char *));
	if (!obj)
		return 0;
	if (yyjson_obj_size(obj) > ENV_MAX)
		return invalid(err, "env has more than 64 variables.");
	yyjson_obj_foreach(obj, i, max, key, value)
	{
		if (!is_env_name(yyjson_get_str(key)) || !yyjson_is_str(value))
			return invalid(err, "env maps names (letters, digits and _) to strings.");
		bytes += yyjson_get_len(key) + yyjson_get_len(value) + 2;
		s->env[i] = arena_printf(a, "%s=%s", yyjson_get_str(key), yyjson_get_str(value));
	}
	return bytes > ENV_BYTES_MAX ? invalid(err, "env is larger than 64 KiB.") : 0;
}

static bool is_tag(yyjson_val *item)
{
	const char *text = yyjson_get_str(item);
	size_t n = yyjson_get_len(item);

	if (!yyjson_is_str(item) || n < 1 || n > 64)
		return false;
	for (size_t i = 0; i < n; i++)
		if (text[i] < '!' || text[i] > '~' || text[i] == ',')
			return false;
	return true;
}

static int read_tags(yyjson_val *body, struct arena *a, struct spec *s, struct error *err)
{
	yyjson_val *arr = json_get_arr(body, "tags"), *item;
	size_t i, max;

	s->tags = arena_alloc(a, ((arr ? yyjson_arr_size(arr) : 0) + 1) * sizeof(char *));
	if (arr && yyjson_arr_size(arr) > TAGS_MAX)
		return invalid(err, "There are at most 16 tags.");
	yyjson_arr_foreach(arr, i, max, item)
	{
		if (!is_tag(item))
			return invalid(err, "A tag has 1 to 64 characters of ASCII, without blanks and commas.");
		s->tags[i] = arena_strndup(a, yyjson_get_str(item), yyjson_get_len(item));
	}
	return 0;
}

/* A terminal is input and output in one. */
static int read_terminal(yyjson_val *body, struct arena *a, struct spec *s, struct error *err)
{
	static const struct json_field members[] = {{"rows", JSON_INT, true, 1, TTY_SIZE_MAX},
						    {"cols", JSON_INT, true, 1, TTY_SIZE_MAX},
						    {"term", JSON_STRING, false, 1, 64}};
	yyjson_val *tty = json_get_obj(body, "tty");
	const char *term;
	size_t n = 0;
	int r;

	s->keeps_input = json_get_bool(body, "record_stdin", false);
	s->has_input = json_get_bool(body, "stdin_open", tty != NULL);
	if (!tty)
		return 0;
	if (!s->has_input)
		return invalid(err, "With tty, stdin is open: leave stdin_open out.");
	r = json_check(tty, members, ARRAY_SIZE(members), err);
	if (r == 0)
		r = tty_size_read(tty, &s->tty, err);
	if (r < 0)
		return r;
	term = json_get_str(tty, "term", "xterm-256color");
	for (const char *p = term; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-_.+", *p))
			return invalid(err, "term is the name of a kind of terminal, such as xterm-256color.");
	while (s->env[n]) {
		if (strncmp(s->env[n], "TERM=", 5) == 0)
			return 0;
		n++;
	}
	s->env[n] = arena_printf(a, "TERM=%s", term); /* read_env left room */
	return 0;
}

static int read_limits(const struct exec *e, yyjson_val *body, struct spec *s, struct error *err)
{
	s->timeout_ms = (uint64_t)json_get_int(body, "timeout_ms", (int64_t)e->timeout_ms);
	if (s->timeout_ms > e->timeout_max_ms)
		return error_set(err, "invalid_field", "timeout_ms is at most %llu (option command_timeout_max).",
				 (unsigned long long)e->timeout_max_ms);
	s->memory_max = e->memory_max;
	s->pids_max = e->pids_max;
	s->tmp_max = e->tmp_max;
	s->output_max = e->output_max;
	s->file_size_max = e->file_size_max;
	s->protects = e->protects;
	s->cpu_max_ms = e->cpu_max_ms;
	s->cpu_percent = e->cpu_percent;
	s->quota_bytes = e->quota_bytes;
	s->quota_files = e->quota_files;
	return 0;
}

static int read_key(struct exchange *x, struct arena *a, struct spec *s)
{
	struct str header = http_header_get(&x->req->headers, "Idempotency-Key");
	const char *key = header.p ? arena_strndup(a, header.p, header.n) : json_get_str(x->body, "key", NULL);
	char hash[SHA256_HEX_SIZE];

	sha256_hex(x->raw_body.p, x->raw_body.n, hash);
	s->request_hash = arena_strdup(a, hash);
	s->key = "";
	if (key) {
		journal_key(s->user_id, key, hash);
		s->key = arena_strdup(a, hash);
	}
	return 0;
}

static int read_spec(struct exec *e, struct exchange *x, struct arena *a, struct spec *s, struct error *err)
{
	yyjson_val *input = yyjson_obj_get(x->body, "stdin");
	const char *script = json_get_str(x->body, "script", NULL);
	int r = json_check(x->body, fields, ARRAY_SIZE(fields), err);

	if (r < 0)
		return r;
	*s = (struct spec){.created_us = clock_now_us(), .session = ""};
	id_new(s->id);
	s->user_id = arena_strdup(a, x->who.user_id);
	s->may_use_any = !x->who.user_id[0] || identity_may(&x->who, "commands.run_any");
	s->script = script ? arena_strdup(a, script) : NULL;
	s->cwd = arena_strdup(a, json_get_str(x->body, "cwd", ""));
	s->workspace = arena_strdup(a, json_get_str(x->body, "workspace", ""));
	s->target = arena_strdup(a, json_get_str(x->body, "target", TARGET_LOCAL));
	if (strcmp(s->target, TARGET_LOCAL) == 0)
		s->target = "";
	if (input)
		s->input = arena_str(a, (struct str){yyjson_get_str(input), yyjson_get_len(input)});
	if (s->workspace[0] && !workspace_is_valid(str_of(s->workspace)))
		return invalid(err, "workspace has letters, digits, '-' and '_' only, at most 64.");
	r = read_argv(x->body, a, s, err);
	if (r == 0)
		r = read_env(x->body, a, s, err);
	if (r == 0)
		r = read_terminal(x->body, a, s, err);
	if (r == 0)
		r = read_tags(x->body, a, s, err);
	if (r == 0)
		r = read_limits(e, x->body, s, err);
	return r < 0 ? r : read_key(x, a, s);
}

/* ---- The gate ---- */

/* Whether it may start now; a key's replay needs none of this. */
static bool may_start(struct exec *e, struct exchange *x, const struct spec *s)
{
	struct target *t = target_find(e, s->target);
	const char *why;

	if (!t) {
		reply_problem(x, 422, "unknown_target",
			      "There is no target of the name \"%s\". GET /api/targets lists those there are.",
			      s->target);
		return false;
	}
	why = t->kind->unavailable(t, x->arena);
	if (why) {
		reply_problem(x, 503, t->kind == &target_local ? "sandbox_unavailable" : "target_unavailable", "%s",
			      why);
		return false;
	}
	if (service_is_draining(e->service)) {
		reply_header(x, "Retry-After", "1");
		reply_problem(x, 503, "unavailable", "This service is stopping. Try again in a moment.");
		return false;
	}
	if (workspace_is_taken(e, workspace_key(x->arena, s->workspace, s->target))) {
		reply_header(x, "Retry-After", "2");
		reply_problem(
			x, 409, "workspace_busy",
			"A snapshot of the workspace is being made or restored, or it is being removed. Try again.");
		return false;
	}
	if (command_count(e, s->user_id) >= e->running_max) {
		reply_header(x, "Retry-After", "1");
		reply_problem(x, 429, "too_many_commands",
			      "%u commands of yours are running. Wait for one to end, or cancel one.", e->running_max);
		return false;
	}
	return true;
}

/* A shared sandbox lives already, or one more may. */
static bool has_session(struct exec *e, struct exchange *x, const struct spec *s)
{
	if (!s->session[0] || shared_count(e->journal.dir_fd, NULL, s->session) < e->sessions_max)
		return true;
	reply_header(x, "Retry-After", "10");
	reply_problem(x, 429, "too_many_sessions",
		      "%u shared sandboxes live (option sandbox_sessions_max). End one: DELETE "
		      "/api/workspaces/{id}/session.",
		      e->sessions_max);
	return false;
}

void commands_create(struct exchange *x)
{
	struct exec *e = x->self;
	struct arena *a = arena_new();
	struct error err = {0};
	struct command *c;
	struct spec spec;

	if (read_spec(e, x, a, &spec, &err) < 0) {
		reply_error(x, 422, &err);
		arena_free(a);
		return;
	}
	c = spec.key[0] ? command_by_key(e, spec.key) : NULL;
	if (c && c->phase == PHASE_SAVING)
		wait_for(x, c, arena_strdup(x->arena, spec.request_hash));
	else if (c && is_same_request(x, &c->spec, spec.request_hash))
		answer_live(x, 200, c);
	if (c || !may_start(e, x, &spec)) {
		arena_free(a);
		return;
	}
	if (!policy_gate(e, x, a, &spec)) {
		arena_free(a);
		return;
	}
	if (!has_session(e, x, &spec)) {
		arena_free(a);
		return;
	}
	spec.uid = e->next_uid++;
	save(e, x, command_new(e, a, &spec));
}
