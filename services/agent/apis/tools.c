#include "agent/apis/tools.h"

#include <errno.h>

#include "agent/apis/request.h"
#include "agent/apis/source.h"
#include "agent/automation/rights.h"
#include "agent/tools/http_answer.h"
#include "agent/tools/once.h"
#include "agent/tools/task.h"
#include "base/encode.h"
#include "io/json_schema.h"

#define MAX_REDIRECTS 5
#define TOTAL_MS (45 * 1000)
#define DEADLINE_MS (75 * 1000)

/* One operation, as a run has it. */
struct operation {
	struct api_tool api; /* first */
	yyjson_val *spec;
	const char *source_id, *source_name, *base_url;
	bool is_safe; /* its method changes nothing (RFC 9110 section 9.2.1) */
};

/* A call, in the order of what it waits for: the user's rights, the API's row, the mark, the answer. */
struct api_call {
	struct tool_task task; /* first */
	struct tool_once once;
	struct db_job db;
	const struct operation *operation;
	const struct identity *who;
	char *source_id;
	struct api_source source;
	bool is_found;
	struct api_request request;
	struct safe_fetch *fetch;
};

static const struct operation *operation_of(const struct tool *t)
{
	return (const struct operation *)t;
}

/* ---- As a tool ---- */

static int check(const struct tool *t, yyjson_val *arguments, struct error *err)
{
	_cleanup_(buf_deinit) struct buf problems = BUF_INIT;

	if (json_schema_fits(json_get_obj(operation_of(t)->spec, "parameters"), arguments, &problems))
		return 0;
	while (problems.n > 0 && problems.p[problems.n - 1] == '\n')
		problems.p[--problems.n] = '\0';
	return error_set(err, "invalid_field", "%s", problems.n ? problems.p : "they do not fit the schema");
}

static const char *summary(const struct tool *t, yyjson_val *arguments, struct arena *a)
{
	const struct operation *o = operation_of(t);

	return api_request_summary(a, o->spec, o->base_url, arguments);
}

static bool is_risky(const struct tool *t, yyjson_val *arguments)
{
	return !operation_of(t)->is_safe;
}

static void stop(struct tool_task *task)
{
	struct api_call *call = (struct api_call *)task;

	/* What else it waits for is short, and is looked at when it comes. */
	if (call->fetch)
		safe_fetch_cancel(call->fetch);
}

/* ---- The answer ---- */

static void on_fetched(void *arg, int err, const struct error *error, const struct safe_fetch_answer *answer)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT, clean = BUF_INIT;
	struct api_call *call = arg;

	call->fetch = NULL;
	if (err || !call->task.call) {
		tool_task_fail(&call->task, "The request failed: %s", error ? error->message : "it was cancelled");
		return;
	}
	http_answer_write(answer, call->task.arena, false, HTTP_ANSWER_WHOLE, &text);
	api_request_redact(&call->request, buf_str(&text), &clean);
	tool_task_end(&call->task, "done", buf_str(&clean));
}

/* ---- The request ---- */

static bool goes_on(struct api_call *call)
{
	if (call->task.call && !call->task.is_cancelled)
		return true;
	tool_task_end(&call->task, "error", STR("The call was cancelled."));
	return false;
}

static void fetch(struct api_call *call)
{
	struct tool_call *c = call->task.call;
	struct safe_fetch_request r = {
		.method = call->request.method,
		.url = call->request.url,
		.headers = call->request.headers,
		.body = call->request.body,
		.inner = &c->agent->outbound_allow,
		.max_body = HTTP_ANSWER_MAX,
		.is_cut_taken = true,
		.max_redirects = MAX_REDIRECTS,
		.total_ms = MIN(TOTAL_MS, c->max_ms),
	};

	call->fetch = safe_fetch_start(agent_outbound(c->agent), &r, on_fetched, call);
}

static void on_marked(struct tool_once *o, int err, bool first)
{
	struct api_call *call = container_of(o, struct api_call, once);

	if (err)
		tool_task_fail(&call->task, "The request was not made: the database did not answer. Try again.");
	else if (!first)
		tool_task_fail(&call->task,
			       "The service was restarted while this request was under way: it may have been "
			       "done or not. Find out before you repeat it.");
	else if (goes_on(call))
		fetch(call);
}

static int make_request(struct api_call *call, struct error *err)
{
	const struct operation *o = call->operation;
	struct tool_call *c = call->task.call;
	struct arena *a = call->task.arena;
	yyjson_val *schemes, *credentials;

	if (strcmp(call->source.base_url, o->base_url) != 0)
		return error_set(err, "api_changed", "The address of the API was changed just now: call it again.");
	if (api_credentials_open(c->agent, a, &call->source, &credentials) < 0)
		return error_set(err, "credentials_unreadable",
				 "The credentials of the API cannot be read here: its owner sets them again.");
	schemes = yyjson_doc_get_root(json_parse(a, call->source.schemes, strlen(call->source.schemes), NULL));
	return api_request_make(a, o->spec, o->base_url, c->arguments, schemes, credentials, c->key, &call->request,
				err);
}

static void send_request(struct api_call *call)
{
	struct tool_call *c = call->task.call;
	struct error err = {0};

	if (make_request(call, &err) < 0) {
		tool_task_fail(&call->task, "The request was not made: %s", err.message);
	} else if (call->request.is_repeatable) {
		fetch(call);
	} else {
		call->once = (struct tool_once){.key = arena_strdup(call->task.arena, c->key), .on_done = on_marked};
		tool_once_mark(c->agent, &call->once);
	}
}

/* ---- Who may ---- */

static int find_source(struct db_conn *c, struct db_job *job)
{
	struct api_call *call = container_of(job, struct api_call, db);
	int r = api_source_find(c, call->task.arena, call->source_id, false, &call->source);

	call->is_found = r == 1;
	return MIN(r, 0);
}

static void on_source(struct db_job *job, int result)
{
	struct api_call *call = container_of(job, struct api_call, db);

	if (!goes_on(call))
		return;
	if (result < 0)
		tool_task_fail(&call->task, "The request was not made: the database did not answer. Try again.");
	else if (!call->is_found || !api_source_rights(call->who, &call->source))
		tool_task_fail(&call->task,
			       "The request was not made: the API \"%s\" is not there any more, or is not shared "
			       "with the user of this conversation. Tell the user so.",
			       call->operation->source_name);
	else
		send_request(call);
}

static void on_rights(void *arg, enum rights rights, const struct identity *who)
{
	struct api_call *call = arg;

	if (!goes_on(call))
		return;
	if (rights == RIGHTS_GIVEN) {
		call->who = who;
		call->db = (struct db_job){.run = find_source, .done = on_source};
		db_read(call->task.agent->db, &call->db);
	} else if (rights == RIGHTS_UNKNOWN) {
		tool_task_fail(&call->task,
			       "The request was not made: what the user may do cannot be checked now. Try again.");
	} else {
		tool_task_fail(
			&call->task,
			"The request was not made: the user of this conversation has not the permission " API_PERMISSION
			". Tell the user so.");
	}
}

static void start(struct tool_call *c)
{
	struct api_call *call = (struct api_call *)tool_task_new(c, sizeof(*call), stop);

	call->operation = operation_of(c->tool);
	call->source_id = arena_strdup(call->task.arena, call->operation->source_id);
	rights_ask(c->agent, call->task.arena, c->user_id, API_PERMISSION, NULL, on_rights, call);
}

/* ---- Those of a run ---- */

static bool is_taken(const struct api_tools *tools, const char *name)
{
	bool taken = tool_find(name) != NULL;

	for (size_t i = 0; i < tools->n && !taken; i++)
		taken = strcmp(tools->items[i]->tool.spec.name, name) == 0;
	return taken;
}

/* "pet-store" and "listPets" become "pet_store_listPets"; APIs of several owners may have one slug. */
static const char *make_name(struct arena *a, const struct api_tools *tools, const char *slug, const char *operation)
{
	char *base = arena_printf(a, "%s_%s", slug, operation);
	const char *name = base;

	for (char *p = base; p < base + strlen(slug); p++)
		if (*p == '-')
			*p = '_';
	for (int i = 2; is_taken(tools, name); i++)
		name = arena_printf(a, "%.61s_%d", base, i);
	return name;
}

/* What of it a person has approved besides the arguments. */
static const char *fingerprint(struct arena *a, const struct operation *o, struct str spec)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	char hex[SHA256_HEX_SIZE];

	buf_printf(&text, "%s\n%s\n", o->source_id, o->base_url);
	buf_add(&text, spec.p, spec.n);
	sha256_hex(text.p, text.n, hex);
	return arena_strdup(a, hex);
}

static bool take_spec(struct arena *a, struct operation *o, const struct api_source *s, struct str spec)
{
	yyjson_val *parameters;

	o->spec = yyjson_doc_get_root(json_parse_depth(a, spec.p, spec.n, 200, NULL));
	parameters = json_get_obj(o->spec, "parameters");
	if (!parameters)
		return false;
	o->source_id = s->id;
	o->source_name = s->name;
	o->base_url = s->base_url;
	const char *method = json_get_str(o->spec, "method", "");
	o->is_safe = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 || strcmp(method, "OPTIONS") == 0;
	o->api.tool = (struct tool){
		.spec = {.description = json_get_str(o->spec, "description", ""),
			 .parameters = json_val_text(a, parameters).p},
		.check = check,
		.summary = summary,
		.start = start,
		.cancel = tool_task_cancel,
		.leave = tool_task_leave,
		.is_risky = is_risky,
		.deadline_ms = DEADLINE_MS,
	};
	o->api.tool.fingerprint = fingerprint(a, o, spec);
	return true;
}

static int load_operation(struct db_conn *c, struct arena *a, const struct api_source *s, const char *name,
			  yyjson_val *approval, struct api_tools *ret)
{
	struct operation *o = arena_new_of(a, struct operation);
	struct str spec;
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select spec from api_operations where source_id = ? and name = ? and problem is null",
			 DB_TEXT(s->id), DB_TEXT(name));
	int r = db_step(c, st);

	if (r <= 0 || ret->n == API_AGENT_TOOLS_MAX)
		return MIN(r, 0);
	spec = arena_str(a, db_col_str(st, 0));
	if (!take_spec(a, o, s, spec))
		return 0;
	o->api.mode = json_get_str(approval, name, NULL);
	ret->items[ret->n] = &o->api;
	return 1;
}

static int load_source(struct db_conn *c, struct arena *a, yyjson_val *entry, const char *user_id,
		       struct api_tools *ret)
{
	struct api_source s;
	yyjson_val *name;
	size_t i, n;
	int r = api_source_find(c, a, json_get_str(entry, "id", ""), false, &s);

	if (r <= 0 || (strcmp(s.owner_id, user_id) != 0 && strcmp(s.shares, "[]") == 0))
		return MIN(r, 0);
	yyjson_arr_foreach(json_get_arr(entry, "operations"), i, n, name)
	{
		r = load_operation(c, a, &s, yyjson_get_str(name), json_get_obj(entry, "approval"), ret);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		ret->items[ret->n]->tool.spec.name = make_name(a, ret, s.slug, yyjson_get_str(name));
		ret->n++;
	}
	return 0;
}

int api_tools_load(struct db_conn *c, struct arena *a, yyjson_val *apis, const char *user_id, struct api_tools *ret)
{
	yyjson_val *entry;
	size_t i, n;
	int r = 0;

	*ret = (struct api_tools){0};
	if (yyjson_arr_size(apis) == 0)
		return 0;
	ret->items = arena_alloc(a, API_AGENT_TOOLS_MAX * sizeof(*ret->items));
	yyjson_arr_foreach(apis, i, n, entry)
	{
		if (r == 0)
			r = load_source(c, a, entry, user_id, ret);
	}
	return r;
}

/* ---- What an agent is set to ---- */

static int wrong(struct error *err, const char *why)
{
	return error_set(err, "invalid_field", "In \"apis\": %s", why);
}

static int check_names(yyjson_val *names, struct error *err)
{
	yyjson_val *name;
	size_t i, n;

	yyjson_arr_foreach(names, i, n, name)
	{
		if (!yyjson_is_str(name) || yyjson_get_len(name) == 0 || yyjson_get_len(name) > API_NAME_MAX)
			return wrong(err, "\"operations\" holds names of operations");
	}
	return 0;
}

static bool has_name(yyjson_val *names, const char *wanted)
{
	yyjson_val *name;
	size_t i, n;

	yyjson_arr_foreach(names, i, n, name)
	{
		if (yyjson_equals_str(name, wanted))
			return true;
	}
	return false;
}

static int check_modes(yyjson_val *approval, yyjson_val *names, struct error *err)
{
	yyjson_val *key, *mode;
	size_t i, n;

	yyjson_obj_foreach(approval, i, n, key, mode)
	{
		if (!has_name(names, yyjson_get_str(key)))
			return wrong(err, "\"approval\" names an operation that is not among \"operations\"");
		if (!yyjson_equals_str(mode, "never") && !yyjson_equals_str(mode, "risky") &&
		    !yyjson_equals_str(mode, "always"))
			return wrong(err, "a mode of approval is never, risky or always");
	}
	return 0;
}

int api_tools_check(yyjson_val *apis, struct error *err)
{
	static const struct json_field fields[] = {{"id", JSON_STRING, true, 36, 36},
						   {"operations", JSON_ARRAY, true, 0, API_AGENT_TOOLS_MAX},
						   {"approval", JSON_OBJECT}};
	yyjson_val *entry;
	size_t i, n, total = 0;

	yyjson_arr_foreach(apis, i, n, entry)
	{
		yyjson_val *names = json_get_arr(entry, "operations"), *approval = json_get_obj(entry, "approval");
		if (json_check(entry, fields, ARRAY_SIZE(fields), err) < 0) {
			error_prefix(err, "In \"apis\"");
			return -EINVAL;
		}
		if (check_names(names, err) < 0 || check_modes(approval, names, err) < 0)
			return -EINVAL;
		total += yyjson_arr_size(names);
	}
	return total > API_AGENT_TOOLS_MAX ? wrong(err, "an agent may have 48 operations at most") : 0;
}
