/* An agent as one file: GET /api/agents/{id}/export writes it, POST /api/agents/import reads it.
 *
 * {format, schema_version, exported_at, agent, references, sha256}: `agent` is a body that makes one, `sha256` is of
 * its compact text, so that a damaged file is found out. What the agent names and does not contain (tools, models, a
 * policy, a target) stands in `references`, a tool with the checksum of what it is. There is no secret in it: keys and
 * shares stay with the platform. Importing looks for each reference here, exec's at exec, and says what is missing or
 * different; a dry run says it and makes nothing. */
#include <errno.h>

#include "agent/agent_config.h"
#include "agent/agent_shares.h"
#include "agent/agents.h"
#include "agent/models/choice.h"
#include "agent/tools/tools.h"
#include "base/encode.h"

#define FORMAT "ogent-agent"
#define SCHEMA_VERSION 1
#define LIST_MAX (256 * 1024)
#define ANSWER_MS 5000

static const char *checksum(struct arena *a, struct str text)
{
	char *hex = arena_alloc(a, SHA256_HEX_SIZE);

	sha256_hex(text.p, text.n, hex);
	return hex;
}

/* 5.0 and 5 are one number: other programs write it the second way. */
static void plain_numbers(yyjson_mut_val *val)
{
	yyjson_mut_val *key, *item;
	size_t i, n;

	if (yyjson_mut_is_real(val) && yyjson_mut_get_real(val) == (double)(int64_t)yyjson_mut_get_real(val))
		yyjson_mut_set_sint(val, (int64_t)yyjson_mut_get_real(val));
	yyjson_mut_arr_foreach(val, i, n, item) plain_numbers(item);
	yyjson_mut_obj_foreach(val, i, n, key, item) plain_numbers(item);
}

static const char *agent_checksum(struct arena *a, yyjson_val *agent)
{
	yyjson_mut_doc *doc = json_new(a);
	yyjson_mut_val *copy = yyjson_val_mut_copy(doc, agent);

	plain_numbers(copy);
	yyjson_mut_doc_set_root(doc, copy);
	return checksum(a, json_text(a, doc));
}

/* Of what the model is told about the tools of this name: others under it have another checksum. */
static const char *tool_checksum(struct arena *a, const struct tool *const *t)
{
	const char *text = "";

	for (; *t; t++)
		text = arena_printf(a, "%s%s\n%s\n%s\n", text, (*t)->spec.name, (*t)->spec.description,
				    (*t)->spec.parameters);
	return checksum(a, str_of(text));
}

/* ---- Writing ---- */

static void add_reference(yyjson_mut_doc *doc, yyjson_mut_val *list, const char *kind, const char *name,
			  const char *sum)
{
	yyjson_mut_val *ref = yyjson_mut_arr_add_obj(doc, list);

	json_add_str(doc, ref, "kind", kind);
	json_add_str(doc, ref, "name", name);
	json_add_str(doc, ref, "sha256", sum);
}

static void add_references(struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *list, yyjson_val *agent)
{
	const char *model = json_get_str(agent, "model", "default"), *policy = json_get_str(agent, "policy", NULL);
	const char *target = json_get_str(agent, "target", "local");
	yyjson_val *name;
	size_t i, n;

	yyjson_arr_foreach(json_get_arr(agent, "tools"), i, n, name)
	{
		const struct tool *const *t = tool_group_find(yyjson_get_str(name));

		add_reference(doc, list, "tool", yyjson_get_str(name), t ? tool_checksum(a, t) : NULL);
	}
	if (strcmp(model, "default") != 0)
		add_reference(doc, list, "model", model, NULL);
	yyjson_arr_foreach(json_get_arr(agent, "fallback_models"), i, n, name)
		add_reference(doc, list, "model", yyjson_get_str(name), NULL);
	yyjson_arr_foreach(json_get_arr(agent, "apis"), i, n, name)
		add_reference(doc, list, "api", json_get_str(name, "id", ""), NULL);
	if (policy)
		add_reference(doc, list, "policy", policy, NULL);
	if (strcmp(target, "local") != 0)
		add_reference(doc, list, "target", target, NULL);
}

static yyjson_val *agent_value(struct arena *a, const struct agent_row *row)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);

	json_add_str(doc, obj, "name", row->name);
	json_add_str(doc, obj, "slug", row->slug);
	json_add_str(doc, obj, "description", row->description);
	agent_config_add(a, doc, obj, row->config);
	struct str text = json_text(a, doc);
	return yyjson_doc_get_root(json_parse(a, text.p, text.n, NULL));
}

static int export_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *answer = (struct answer *)job;
	struct arena *a = job->x->arena;
	struct agent_row row;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	int r = agent_find(c, answer, &row);

	if (r)
		return r;
	yyjson_val *agent = agent_value(a, &row);
	json_add_str(doc, obj, "format", FORMAT);
	yyjson_mut_obj_add_int(doc, obj, "schema_version", SCHEMA_VERSION);
	add_time(doc, obj, "exported_at", clock_now_us());
	yyjson_mut_obj_add_val(doc, obj, "agent", yyjson_val_mut_copy(doc, agent));
	add_references(a, doc, yyjson_mut_obj_add_arr(doc, obj, "references"), agent);
	json_add_str(doc, obj, "sha256", agent_checksum(a, agent));
	reply_header(job->x, "Content-Disposition",
		     arena_printf(a, "attachment; filename=\"%s.ogent.json\"", row.slug));
	return answer_json(answer, 200, doc);
}

void agents_export(struct exchange *x)
{
	answer_read(x, arena_new_of(x->arena, struct answer), export_run);
}

/* ---- Reading ---- */

/* What an import waits for: lists of exec, if the agent names something of there. */
enum { ASK_POLICIES, ASK_TARGETS, ASKED };

struct import {
	struct exchange *x;
	yyjson_val *agent;   /* of the file */
	yyjson_mut_doc *doc; /* of what is missing */
	yyjson_mut_val *missing;
	yyjson_val *known[ASKED]; /* items of exec's lists, NULL = not asked or no answer */
	int state;
	bool is_dry, skips_missing;
};

static const struct json_field fields[] = {
	{"format", JSON_STRING, true, 1, 100},
	{"schema_version", JSON_INT, true, 1, INT32_MAX},
	{"exported_at", JSON_STRING},
	{"agent", JSON_OBJECT, true},
	{"references", JSON_ARRAY, false, 0, 500},
	{"sha256", JSON_STRING},
};

static int check_file(struct exchange *x, struct error *err)
{
	const char *sum = json_get_str(x->body, "sha256", NULL);

	if (strcmp(json_get_str(x->body, "format", ""), FORMAT) != 0)
		return error_set(err, "not_an_agent",
				 "This is no file of an agent: its \"format\" is not \"" FORMAT "\".");
	if (json_get_int(x->body, "schema_version", 0) > SCHEMA_VERSION)
		return error_set(err, "schema_version",
				 "The file was made by a newer version (schema %lld, known here: %d): update this one.",
				 (long long)json_get_int(x->body, "schema_version", 0), SCHEMA_VERSION);
	if (json_check(x->body, fields, ARRAY_SIZE(fields), err) < 0)
		return -EINVAL;
	if (sum && strcmp(sum, agent_checksum(x->arena, json_get_obj(x->body, "agent"))) != 0)
		return error_set(err, "checksum",
				 "The agent is not the one that was exported: the file was changed or "
				 "damaged. Take \"sha256\" out if the change was meant.");
	return 0;
}

static void add_missing(struct import *m, const char *kind, const char *name, const char *state)
{
	yyjson_mut_val *item = yyjson_mut_arr_add_obj(m->doc, m->missing);

	json_add_str(m->doc, item, "kind", kind);
	json_add_str(m->doc, item, "name", name);
	json_add_str(m->doc, item, "state", state);
}

static const char *sum_in_file(const struct import *m, const char *kind, const char *name)
{
	yyjson_val *ref;
	size_t i, n;

	yyjson_arr_foreach(json_get_arr(m->x->body, "references"), i, n, ref)
	{
		if (strcmp(json_get_str(ref, "kind", ""), kind) == 0 &&
		    strcmp(json_get_str(ref, "name", ""), name) == 0)
			return json_get_str(ref, "sha256", NULL);
	}
	return NULL;
}

/* Whether what is missing keeps the agent from being made. */
static bool is_fatal(const struct import *m)
{
	yyjson_mut_val *item;
	size_t i, n;

	yyjson_mut_arr_foreach(m->missing, i, n, item)
	{
		if (yyjson_mut_equals_str(yyjson_mut_obj_get(item, "state"), "missing"))
			return true;
	}
	return false;
}

static void look_for_tools(struct import *m)
{
	yyjson_val *name;
	size_t i, n;

	yyjson_arr_foreach(json_get_arr(m->agent, "tools"), i, n, name)
	{
		const char *tool = yyjson_is_str(name) ? yyjson_get_str(name) : "";
		const struct tool *const *t = tool_group_find(tool);
		const char *sum = sum_in_file(m, "tool", tool);

		if (!t)
			add_missing(m, "tool", tool, "missing");
		else if (sum && strcmp(sum, tool_checksum(m->x->arena, t)) != 0)
			add_missing(m, "tool", tool, "different");
	}
}

static bool has_model(const struct import *m, const char *model)
{
	struct agent *agent = m->x->self;
	struct error err;

	return models_choose(agent->models, model, m->x->who.user_id, m->x->arena, &err) != NULL;
}

/* Who may use which is asked when they are called. */
static void look_for_apis(struct import *m)
{
	yyjson_val *entry;
	size_t i, n;

	yyjson_arr_foreach(json_get_arr(m->agent, "apis"), i, n, entry)
		add_missing(m, "api", json_get_str(entry, "id", ""), "unchecked");
}

static void look_for_models(struct import *m)
{
	const char *model = json_get_str(m->agent, "model", "default");
	yyjson_val *name;
	size_t i, n;

	if (!has_model(m, model))
		add_missing(m, "model", model, "missing");
	yyjson_arr_foreach(json_get_arr(m->agent, "fallback_models"), i, n, name)
	{
		if (yyjson_is_str(name) && !has_model(m, yyjson_get_str(name)))
			add_missing(m, "model", yyjson_get_str(name), "missing");
	}
}

static bool has_name(yyjson_val *items, const char *name)
{
	yyjson_val *item;
	size_t i, n;

	yyjson_arr_foreach(items, i, n, item)
	{
		if (strcmp(json_get_str(item, "name", ""), name) == 0)
			return true;
	}
	return false;
}

static void look_at_exec(struct import *m, int list, const char *kind, const char *name)
{
	if (name && !m->known[list])
		add_missing(m, kind, name, "unchecked");
	else if (name && !has_name(m->known[list], name))
		add_missing(m, kind, name, "missing");
}

static const char *target_of(const struct import *m)
{
	const char *target = json_get_str(m->agent, "target", "local");

	return strcmp(target, "local") == 0 ? NULL : target;
}

/* Names that nobody has here are left out of a list. */
static yyjson_mut_val *known_only(struct import *m, yyjson_mut_doc *doc, const char *key, const char *kind)
{
	yyjson_mut_val *ret = yyjson_mut_arr(doc);
	yyjson_val *name;
	size_t i, n;

	yyjson_arr_foreach(json_get_arr(m->agent, key), i, n, name)
	{
		const char *text = yyjson_is_str(name) ? yyjson_get_str(name) : "";

		if (strcmp(kind, "tool") == 0 ? tool_group_find(text) != NULL : has_model(m, text))
			yyjson_mut_arr_add_strcpy(doc, ret, text);
	}
	return ret;
}

static void put_null(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key)
{
	yyjson_mut_obj_put(obj, yyjson_mut_str(doc, key), yyjson_mut_null(doc));
}

static void drop_missing(struct import *m, yyjson_mut_doc *doc, yyjson_mut_val *obj)
{
	const char *policy = json_get_str(m->agent, "policy", NULL), *target = target_of(m);

	yyjson_mut_obj_put(obj, yyjson_mut_str(doc, "tools"), known_only(m, doc, "tools", "tool"));
	yyjson_mut_obj_put(obj, yyjson_mut_str(doc, "fallback_models"), known_only(m, doc, "fallback_models", "model"));
	if (!has_model(m, json_get_str(m->agent, "model", "default")))
		yyjson_mut_obj_put(obj, yyjson_mut_str(doc, "model"), yyjson_mut_str(doc, "default"));
	if (policy && m->known[ASK_POLICIES] && !has_name(m->known[ASK_POLICIES], policy))
		put_null(doc, obj, "policy");
	if (target && m->known[ASK_TARGETS] && !has_name(m->known[ASK_TARGETS], target))
		yyjson_mut_obj_put(obj, yyjson_mut_str(doc, "target"), yyjson_mut_str(doc, "local"));
}

/* The body that makes it: under its own name, or another one; a slug that is taken becomes another one. */
static yyjson_val *make_body(struct import *m)
{
	struct exchange *x = m->x;
	const char *name = http_query_get(x->arena, x->req->query, "name");
	yyjson_mut_doc *doc = json_new(x->arena);
	yyjson_mut_val *obj = yyjson_val_mut_copy(doc, m->agent);

	yyjson_mut_doc_set_root(doc, obj);
	yyjson_mut_obj_remove_key(obj, "slug");
	if (name && *name)
		yyjson_mut_obj_put(obj, yyjson_mut_str(doc, "name"), yyjson_mut_strcpy(doc, name));
	if (m->skips_missing)
		drop_missing(m, doc, obj);
	struct str text = json_text(x->arena, doc);
	return yyjson_doc_get_root(json_parse(x->arena, text.p, text.n, NULL));
}

static void answer_dry(struct import *m, yyjson_val *body)
{
	struct error err = {0};
	yyjson_mut_val *root = yyjson_mut_obj(m->doc);
	bool is_good = (m->skips_missing || !is_fatal(m)) && agent_config_check(body, true, &err) == 0;

	yyjson_mut_doc_set_root(m->doc, root);
	yyjson_mut_obj_add_bool(m->doc, root, "dry_run", true);
	yyjson_mut_obj_add_bool(m->doc, root, "can_import", is_good);
	json_add_str(m->doc, root, "reason", err.code[0] ? err.message : NULL);
	yyjson_mut_obj_add_val(m->doc, root, "missing", m->missing);
	yyjson_mut_obj_add_val(m->doc, root, "agent", yyjson_val_mut_copy(m->doc, body));
	reply_json(m->x, 200, m->doc);
}

static void refuse_missing(struct import *m)
{
	_cleanup_(buf_deinit) struct buf names = BUF_INIT;
	yyjson_mut_val *item;
	size_t i, n;

	yyjson_mut_arr_foreach(m->missing, i, n, item)
	{
		if (!yyjson_mut_equals_str(yyjson_mut_obj_get(item, "state"), "missing"))
			continue;
		buf_printf(&names, "%s%s %s", names.n ? ", " : "", yyjson_mut_get_str(yyjson_mut_obj_get(item, "kind")),
			   yyjson_mut_get_str(yyjson_mut_obj_get(item, "name")));
	}
	reply_problem(m->x, 422, "references_missing",
		      "The agent needs what is not here: %.500s. Add it, or import without it (skip_missing=true).",
		      names.p);
}

static void finish(struct import *m)
{
	look_for_tools(m);
	look_for_models(m);
	look_for_apis(m);
	look_at_exec(m, ASK_POLICIES, "policy", json_get_str(m->agent, "policy", NULL));
	look_at_exec(m, ASK_TARGETS, "target", target_of(m));
	yyjson_val *body = make_body(m);
	if (m->is_dry)
		answer_dry(m, body);
	else if (!m->skips_missing && is_fatal(m))
		refuse_missing(m);
	else
		agents_create_from(m->x, body);
}

static void next(struct import *m);

static void on_list(void *arg, int err, int status, struct str body)
{
	struct import *m = arg;
	struct exchange *x = m->x;

	if (err == 0 && status == 200)
		m->known[m->state] =
			json_get_arr(yyjson_doc_get_root(json_parse(x->arena, body.p, body.n, NULL)), "items");
	m->state++;
	/* The client may have left meanwhile. */
	if (x->req)
		next(m);
	exchange_drop(x);
}

static void ask(struct import *m, const char *path)
{
	struct exchange *x = m->x;
	struct http_headers *headers =
		service_peer_headers(x->service, "exec", x->who.user_id, x->request_id, x->traceparent, x->arena);

	exchange_hold(x);
	http_fetch(service_peer(x->service, "exec"), "GET", path, headers, NULL, (struct str){0}, LIST_MAX, ANSWER_MS,
		   on_list, m);
}

/* The whole flow of an import. */
static void next(struct import *m)
{
	if (m->state == ASK_POLICIES && json_get_str(m->agent, "policy", NULL))
		return ask(m, "/api/policies");
	m->state = MAX(m->state, ASK_TARGETS);
	if (m->state == ASK_TARGETS && target_of(m))
		return ask(m, "/api/targets");
	finish(m);
}

static bool flag(struct exchange *x, const char *name)
{
	const char *value = http_query_get(x->arena, x->req->query, name);

	return value && (strcmp(value, "true") == 0 || strcmp(value, "1") == 0);
}

void agents_import(struct exchange *x)
{
	struct import *m = arena_new_of(x->arena, struct import);
	struct error err = {0};

	if (check_file(x, &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	*m = (struct import){.x = x, .agent = json_get_obj(x->body, "agent"), .doc = json_new(x->arena)};
	m->missing = yyjson_mut_arr(m->doc);
	m->is_dry = flag(x, "dry_run");
	m->skips_missing = flag(x, "skip_missing");
	next(m);
}
