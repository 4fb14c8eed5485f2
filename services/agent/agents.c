/* Agents. Each change makes a version; what an execution uses is the version it began with. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "agent/handlers.h"
#include "agent/run.h"
#include "agent/tools/tools.h"

#define MAX_STEPS 200
#define MAX_SECONDS 86400
#define MAX_OUTPUT_TOKENS 1000000
#define SLUG_TRIES 50
#define COLUMNS "id, slug, name, description, config, version, owner_id, created_at, updated_at"

struct agent_row {
	const char *id, *slug, *name, *description, *config, *owner_id;
	int64_t version, created_at, updated_at;
};

static void read_row(struct db_stmt *st, struct arena *a, struct agent_row *ret)
{
	ret->id = db_col_dup(st, 0, a);
	ret->slug = db_col_dup(st, 1, a);
	ret->name = db_col_dup(st, 2, a);
	ret->description = db_col_dup(st, 3, a);
	ret->config = db_col_dup(st, 4, a);
	ret->version = db_col_int(st, 5);
	ret->owner_id = db_col_dup(st, 6, a);
	ret->created_at = db_col_int(st, 7);
	ret->updated_at = db_col_int(st, 8);
}

/* {default, tools: {NAME: mode}}: when a person must see a call first. */
static void add_approval(yyjson_mut_doc *doc, yyjson_mut_val *obj, yyjson_val *approval)
{
	yyjson_mut_val *ret = yyjson_mut_obj_add_obj(doc, obj, "approval");
	yyjson_val *tools = json_get_obj(approval, "tools");

	json_add_str(doc, ret, "default", json_get_str(approval, "default", "never"));
	yyjson_mut_obj_add_val(doc, ret, "tools", tools ? yyjson_val_mut_copy(doc, tools) : yyjson_mut_obj(doc));
}

/* What its runs may spend, each and in a day; 0 = no limit. */
static void add_budget(yyjson_mut_doc *doc, yyjson_mut_val *obj, yyjson_val *budget)
{
	yyjson_mut_val *ret = yyjson_mut_obj_add_obj(doc, obj, "budget");

	yyjson_mut_obj_add_int(doc, ret, "run_tokens", json_get_int(budget, "run_tokens", 0));
	yyjson_mut_obj_add_real(doc, ret, "run_cost_usd", json_get_num(budget, "run_cost_usd", 0));
	yyjson_mut_obj_add_int(doc, ret, "day_tokens", json_get_int(budget, "day_tokens", 0));
	yyjson_mut_obj_add_real(doc, ret, "day_cost_usd", json_get_num(budget, "day_cost_usd", 0));
}

/* The members of a configuration: instructions, model, tools, target, policy, limits. One of before there were targets
 * or policies has none. */
static void add_config(struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *config)
{
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, config, strlen(config), NULL)), *key, *val;
	size_t i, max;

	yyjson_obj_foreach(root, i, max, key, val)
		yyjson_mut_obj_add(obj, yyjson_val_mut_copy(doc, key), yyjson_val_mut_copy(doc, val));
	if (!yyjson_obj_get(root, "fallback_models"))
		yyjson_mut_obj_add_arr(doc, obj, "fallback_models");
	if (!yyjson_obj_get(root, "budget"))
		add_budget(doc, obj, NULL);
	if (!yyjson_obj_get(root, "approval"))
		add_approval(doc, obj, NULL);
	if (!yyjson_obj_get(root, "target"))
		json_add_str(doc, obj, "target", "local");
	if (!yyjson_obj_get(root, "policy"))
		json_add_str(doc, obj, "policy", NULL);
}

static void add_row(struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct agent_row *row)
{
	json_add_str(doc, obj, "id", row->id);
	json_add_str(doc, obj, "name", row->name);
	json_add_str(doc, obj, "slug", row->slug);
	json_add_str(doc, obj, "description", row->description);
	add_config(a, doc, obj, row->config);
	yyjson_mut_obj_add_int(doc, obj, "version", row->version);
	json_add_str(doc, obj, "owner_id", row->owner_id);
	add_time(doc, obj, "created_at", row->created_at);
	add_time(doc, obj, "updated_at", row->updated_at);
}

static int answer_row(struct answer *a, int status, const struct agent_row *row)
{
	struct arena *arena = a->job.x->arena;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(arena, &doc);

	add_row(arena, doc, obj, row);
	a->etag = arena_printf(arena, "\"%lld\"", (long long)row->version);
	return answer_json(a, status, doc);
}

#define SELECT_ONE "select " COLUMNS " from agents where id = ? and archived_at is null"

/* 1 found, 0 none, or -errno. */
static int find(struct db_conn *c, struct arena *a, const char *sql, const char *id, struct agent_row *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c, sql, DB_TEXT(id));
	int r = db_step(c, st);

	if (r == 1)
		read_row(st, a, ret);
	return r;
}

/* Who may change agents may change those that are his; operators and administrators may change all. */
static bool may_change(const struct exchange *x, const struct agent_row *row)
{
	return identity_may(&x->who, "agents.write_any") ||
	       (row->owner_id && strcmp(row->owner_id, x->who.user_id) == 0);
}

/* ---- What a client sends ---- */

static const struct json_field create_fields[] = {
	{"name", JSON_STRING, true, 1, 100},
	{"slug", JSON_STRING, false, 1, 63},
	{"description", JSON_STRING, false, 0, 1000},
	{"instructions", JSON_STRING, false, 0, 100000},
	{"model", JSON_STRING, false, 1, 200},
	{"fallback_models", JSON_ARRAY, false, 0, 5},
	{"tools", JSON_ARRAY, false, 0, RUN_MAX_TOOLS},
	{"tool_options", JSON_OBJECT},
	{"approval", JSON_OBJECT},
	{"budget", JSON_OBJECT},
	{"target", JSON_STRING, false, 1, 32},
	{"policy", JSON_STRING_OR_NULL, false, 1, 40},
	{"limits", JSON_OBJECT},
};

static const struct json_field patch_fields[] = {
	{"name", JSON_STRING, false, 1, 100},
	{"description", JSON_STRING, false, 0, 1000},
	{"instructions", JSON_STRING, false, 0, 100000},
	{"model", JSON_STRING, false, 1, 200},
	{"fallback_models", JSON_ARRAY, false, 0, 5},
	{"tools", JSON_ARRAY, false, 0, RUN_MAX_TOOLS},
	{"tool_options", JSON_OBJECT},
	{"approval", JSON_OBJECT},
	{"budget", JSON_OBJECT},
	{"target", JSON_STRING, false, 1, 32},
	{"policy", JSON_STRING_OR_NULL, false, 1, 40},
	{"limits", JSON_OBJECT},
};

static const struct json_field limit_fields[] = {
	{"max_steps", JSON_INT, false, 1, MAX_STEPS},
	{"max_seconds", JSON_INT, false, 1, MAX_SECONDS},
	{"max_output_tokens", JSON_INT, false, 1, MAX_OUTPUT_TOKENS},
};

static int check_tools(yyjson_val *tools, struct error *err)
{
	_cleanup_(buf_deinit) struct buf names = BUF_INIT;
	yyjson_val *tool;
	size_t i, max;

	yyjson_arr_foreach(tools, i, max, tool)
	{
		if (yyjson_is_str(tool) && tool_find(yyjson_get_str(tool)))
			continue;
		tools_list_names(&names);
		return error_set(err, "invalid_field", "\"tools\" may hold these names only: %s", names.p);
	}
	return 0;
}

static int check_tool_options(yyjson_val *options, struct error *err)
{
	yyjson_val *key, *val;
	size_t i, max;

	yyjson_obj_foreach(options, i, max, key, val)
	{
		const struct tool *t = tool_find(yyjson_get_str(key));
		if (!t || !t->check_options)
			return error_set(err, "invalid_field",
					 "In \"tool_options\": there is no tool \"%.60s\" that has options",
					 yyjson_get_str(key));
		if (t->check_options(val, err) == 0)
			continue;
		error_prefix(err, "In \"tool_options\", %s", t->spec.name);
		return -EINVAL;
	}
	return 0;
}

static int check_fallbacks(yyjson_val *models, struct error *err)
{
	yyjson_val *model;
	size_t i, max;

	yyjson_arr_foreach(models, i, max, model)
	{
		if (!yyjson_is_str(model) || yyjson_get_len(model) == 0 || yyjson_get_len(model) > 200)
			return error_set(err, "invalid_field",
					 "\"fallback_models\" may hold ids of models only: see GET /api/models");
	}
	return 0;
}

static const struct json_field approval_fields[] = {{"default", JSON_STRING}, {"tools", JSON_OBJECT}};

static const struct json_field budget_fields[] = {
	{"run_tokens", JSON_INT, false, 0, 1000000000000ll},
	{"run_cost_usd", JSON_NUMBER},
	{"day_tokens", JSON_INT, false, 0, 1000000000000ll},
	{"day_cost_usd", JSON_NUMBER},
};

static int check_budget(yyjson_val *budget, struct error *err)
{
	if (!budget || json_check(budget, budget_fields, ARRAY_SIZE(budget_fields), err) == 0)
		return 0;
	error_prefix(err, "In \"budget\"");
	return -EINVAL;
}

static int check_mode(yyjson_val *mode, struct error *err)
{
	static const char *const modes[] = {"never", "risky", "always"};

	for (size_t i = 0; mode && i < ARRAY_SIZE(modes); i++)
		if (yyjson_equals_str(mode, modes[i]))
			return 0;
	return mode ? error_set(err, "invalid_field", "In \"approval\": a mode is never, risky or always") : 0;
}

static int check_approval(yyjson_val *approval, struct error *err)
{
	yyjson_val *key, *mode;
	size_t i, max;

	if (!approval)
		return 0;
	if (json_check(approval, approval_fields, ARRAY_SIZE(approval_fields), err) < 0) {
		error_prefix(err, "In \"approval\"");
		return -EINVAL;
	}
	if (check_mode(yyjson_obj_get(approval, "default"), err) < 0)
		return -EINVAL;
	yyjson_obj_foreach(json_get_obj(approval, "tools"), i, max, key, mode)
	{
		if (!tool_find(yyjson_get_str(key)))
			return error_set(err, "invalid_field", "In \"approval\": there is no tool \"%.60s\"",
					 yyjson_get_str(key));
		if (check_mode(mode, err) < 0)
			return -EINVAL;
	}
	return 0;
}

static int check_slug(const char *slug, struct error *err)
{
	for (const char *p = slug; p && *p; p++)
		if (!(islower((unsigned char)*p) || isdigit((unsigned char)*p) || (*p == '-' && p > slug)))
			return error_set(err, "invalid_field",
					 "\"slug\" may hold a to z, 0 to 9 and, not at its start, hyphens");
	return 0;
}

/* Whether exec has it, exec says when a command is to run there. */
static int check_target(const char *target, struct error *err)
{
	for (const char *p = target; p && *p; p++)
		if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '-')
			return error_set(err, "invalid_field",
					 "\"target\" may hold a to z, 0 to 9 and hyphens: a name of GET /api/targets");
	return 0;
}

/* Returns false after answering 422. */
static bool check_body(struct exchange *x, const struct json_field *fields, size_t n)
{
	struct error err = {0};
	yyjson_val *limits;

	if (json_check(x->body, fields, n, &err) == 0 && check_tools(yyjson_obj_get(x->body, "tools"), &err) == 0 &&
	    check_tool_options(yyjson_obj_get(x->body, "tool_options"), &err) == 0 &&
	    check_fallbacks(yyjson_obj_get(x->body, "fallback_models"), &err) == 0 &&
	    check_approval(yyjson_obj_get(x->body, "approval"), &err) == 0 &&
	    check_budget(yyjson_obj_get(x->body, "budget"), &err) == 0 &&
	    check_slug(json_get_str(x->body, "slug", NULL), &err) == 0 &&
	    check_target(json_get_str(x->body, "target", NULL), &err) == 0) {
		limits = yyjson_obj_get(x->body, "limits");
		if (!limits || json_check(limits, limit_fields, ARRAY_SIZE(limit_fields), &err) == 0)
			return true;
		error_prefix(&err, "In \"limits\"");
	}
	reply_error(x, 422, &err);
	return false;
}

static int64_t limit(yyjson_val *body, yyjson_val *old, const char *name, int64_t def)
{
	return json_get_int(json_get_obj(body, "limits"), name, json_get_int(json_get_obj(old, "limits"), name, def));
}

/* A configuration of what the client sends, of the one before (may be NULL) and of the defaults. */
static const char *make_config(const struct agent *agent, struct arena *a, yyjson_val *body, const char *old_config)
{
	yyjson_val *old = old_config ? yyjson_doc_get_root(json_parse(a, old_config, strlen(old_config), NULL)) : NULL;
	yyjson_val *tools = json_get_arr(body, "tools"), *fallbacks = json_get_arr(body, "fallback_models"), *options;
	/* An agent of before there were targets keeps its own machine. */
	const char *target = old ? "local" : option_str(service_options(agent->service), "agent_target");
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *limits;

	if (!tools)
		tools = json_get_arr(old, "tools");
	json_add_str(doc, obj, "instructions",
		     json_get_str(body, "instructions", json_get_str(old, "instructions", "")));
	json_add_str(doc, obj, "model", json_get_str(body, "model", json_get_str(old, "model", "default")));
	if (!fallbacks)
		fallbacks = json_get_arr(old, "fallback_models");
	yyjson_mut_obj_add_val(doc, obj, "fallback_models",
			       fallbacks ? yyjson_val_mut_copy(doc, fallbacks) : yyjson_mut_arr(doc));
	yyjson_mut_obj_add_val(doc, obj, "tools", tools ? yyjson_val_mut_copy(doc, tools) : yyjson_mut_arr(doc));
	options = json_get_obj(body, "tool_options") ?: json_get_obj(old, "tool_options");
	yyjson_mut_obj_add_val(doc, obj, "tool_options",
			       options ? yyjson_val_mut_copy(doc, options) : yyjson_mut_obj(doc));
	add_budget(doc, obj, json_get_obj(body, "budget") ?: json_get_obj(old, "budget"));
	add_approval(doc, obj, json_get_obj(body, "approval") ?: json_get_obj(old, "approval"));
	json_add_str(doc, obj, "target", json_get_str(body, "target", json_get_str(old, "target", target)));
	/* Null takes it away. */
	json_add_str(doc, obj, "policy", json_get_str(yyjson_obj_get(body, "policy") ? body : old, "policy", NULL));
	limits = yyjson_mut_obj_add_obj(doc, obj, "limits");
	yyjson_mut_obj_add_int(doc, limits, "max_steps", limit(body, old, "max_steps", 25));
	yyjson_mut_obj_add_int(doc, limits, "max_seconds", limit(body, old, "max_seconds", 600));
	yyjson_mut_obj_add_int(doc, limits, "max_output_tokens", limit(body, old, "max_output_tokens", 4096));
	return json_text(a, doc).p;
}

/* "Data Analyst (EU)" becomes "data-analyst-eu". */
static const char *make_slug(struct arena *a, const char *name)
{
	char *slug = arena_alloc(a, 64);
	size_t n = 0;

	for (const char *p = name; *p && n < 55; p++) {
		if (isalnum((unsigned char)*p))
			slug[n++] = (char)tolower((unsigned char)*p);
		else if (n > 0 && slug[n - 1] != '-')
			slug[n++] = '-';
	}
	while (n > 0 && slug[n - 1] == '-')
		n--;
	slug[n] = '\0';
	return n > 0 ? slug : "agent";
}

/* ---- Writing ---- */

static int insert_version(struct db_conn *c, const struct agent_row *row, const char *author_id)
{
	return (int)MIN(db_exec(c,
				"insert into agent_versions (agent_id, version, name, description, config, author_id, "
				"created_at) values (?, ?, ?, ?, ?, ?, ?)",
				DB_TEXT(row->id), DB_INT(row->version), DB_TEXT(row->name), DB_TEXT(row->description),
				DB_TEXT(row->config), DB_TEXT(author_id), DB_INT(row->updated_at)),
			0);
}

static int insert_row(struct db_conn *c, const struct agent_row *row)
{
	int64_t r =
		db_exec(c, "insert into agents (" COLUMNS ") values (?, ?, ?, ?, ?, ?, ?, ?, ?)", DB_TEXT(row->id),
			DB_TEXT(row->slug), DB_TEXT(row->name), DB_TEXT(row->description), DB_TEXT(row->config),
			DB_INT(row->version), DB_TEXT(row->owner_id), DB_INT(row->created_at), DB_INT(row->updated_at));

	/* Its slug was free: somebody else has taken it meanwhile. */
	if (r == -EEXIST)
		return -EDEADLK;
	return r < 0 ? (int)r : insert_version(c, row, row->owner_id);
}

/* Whether the slug is taken: 1, 0, or -errno. */
static int is_taken(struct db_conn *c, const char *slug)
{
	int64_t one;

	return db_get_int(c, &one, "select 1 from agents where slug = ?", DB_TEXT(slug));
}

static int free_slug(struct db_conn *c, struct arena *a, const char *wish, const char **ret)
{
	int r = is_taken(c, *ret = wish);

	for (int i = 2; r == 1 && i < SLUG_TRIES; i++)
		r = is_taken(c, *ret = arena_printf(a, "%s-%d", wish, i));
	return r == 1 ? -EEXIST : r;
}

struct create {
	struct answer answer;
	char id[ID_SIZE];
};

static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct create *m = (struct create *)job;
	struct exchange *x = job->x;
	const char *slug = json_get_str(x->body, "slug", NULL);
	struct agent_row row = {
		.id = m->id,
		.slug = slug,
		.name = json_get_str(x->body, "name", ""),
		.description = json_get_str(x->body, "description", ""),
		.config = make_config(x->self, x->arena, x->body, NULL),
		.version = 1,
		.owner_id = x->who.user_id,
		.created_at = clock_now_us(),
	};
	int r = answer_known(c, &m->answer);

	if (r)
		return r;
	row.updated_at = row.created_at;
	r = slug ? is_taken(c, slug) : free_slug(c, x->arena, make_slug(x->arena, row.name), &row.slug);
	if (r == 1)
		return answer_problem(&m->answer, 409, "slug_taken",
				      "Another agent has this slug: choose another one.");
	if (r == 0)
		r = insert_row(c, &row);
	if (r < 0)
		return r;
	m->answer.location = arena_printf(x->arena, "/api/agents/%s", m->id);
	answer_row(&m->answer, 201, &row);
	return answer_keep(c, &m->answer);
}

void agents_create(struct exchange *x)
{
	struct create *m = arena_new_of(x->arena, struct create);

	if (!check_body(x, create_fields, ARRAY_SIZE(create_fields)))
		return;
	id_new(m->id);
	answer_write(x, &m->answer, create_run);
}

static int check_change(struct db_conn *c, struct answer *a, struct agent_row *row)
{
	int r = find(c, a->job.x->arena, SELECT_ONE DB_FOR_UPDATE, path_id(a->job.x), row);

	if (r < 0)
		return r;
	if (r == 0)
		return answer_not_found(a, "agent");
	if (!may_change(a->job.x, row))
		return answer_problem(a, 403, "forbidden", "Only its owner or an administrator may change this agent.");
	return 0;
}

/* The changed agent as its next version. */
static int store_change(struct db_conn *c, struct answer *a, struct agent_row *row)
{
	row->version++;
	row->updated_at = clock_now_us();
	int64_t n =
		db_exec(c,
			"update agents set name = ?, description = ?, config = ?, version = ?, updated_at = ? where "
			"id = ?",
			DB_TEXT(row->name), DB_TEXT(row->description), DB_TEXT(row->config), DB_INT(row->version),
			DB_INT(row->updated_at), DB_TEXT(row->id));
	if (n >= 0)
		n = insert_version(c, row, a->job.x->who.user_id);
	return n < 0 ? (int)n : answer_row(a, 200, row);
}

struct patch {
	struct answer answer;
	struct str if_match;
};

static bool matches(struct str if_match, int64_t version)
{
	char etag[32];

	snprintf(etag, sizeof(etag), "\"%lld\"", (long long)version);
	return str_is(if_match, "*") || str_is(if_match, etag);
}

static int patch_run(struct db_conn *c, struct exchange_job *job)
{
	struct patch *p = (struct patch *)job;
	struct exchange *x = job->x;
	struct agent_row row = {0};
	int r = check_change(c, &p->answer, &row);

	if (r)
		return r;
	if (!matches(p->if_match, row.version))
		return answer_problem(&p->answer, 412, "version_conflict",
				      "Somebody else has changed this agent: read it again and repeat the change.");
	row.name = json_get_str(x->body, "name", row.name);
	row.description = json_get_str(x->body, "description", row.description);
	row.config = make_config(x->self, x->arena, x->body, row.config);
	return store_change(c, &p->answer, &row);
}

void agents_patch(struct exchange *x)
{
	struct patch *p = arena_new_of(x->arena, struct patch);

	p->if_match = arena_str(x->arena, http_header_get(&x->req->headers, "If-Match"));
	if (p->if_match.n == 0) {
		reply_problem(x, 428, "precondition_required",
			      "Send the ETag of the agent that you have read as If-Match.");
		return;
	}
	if (check_body(x, patch_fields, ARRAY_SIZE(patch_fields)))
		answer_write(x, &p->answer, patch_run);
}

/* What the agent was at that version; 1 found, 0 none, or -errno. */
static int find_version(struct db_conn *c, struct exchange *x, int64_t version, struct agent_row *row)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select name, description, config from agent_versions where agent_id = ? and version = ?",
			 DB_TEXT(row->id), DB_INT(version));
	int r = db_step(c, st);

	if (r != 1)
		return r;
	row->name = db_col_dup(st, 0, x->arena);
	row->description = db_col_dup(st, 1, x->arena);
	row->config = db_col_dup(st, 2, x->arena);
	return 1;
}

/* An earlier version becomes the newest one: nothing of the history is lost. */
static int restore_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct exchange *x = job->x;
	struct agent_row row = {0};
	uint64_t version = 0;
	int r = check_change(c, a, &row);

	if (r)
		return r;
	r = str_to_u64(x->params[1], INT32_MAX, &version) < 0 ? 0 : find_version(c, x, (int64_t)version, &row);
	if (r == 0)
		return answer_not_found(a, "version");
	return r < 0 ? r : store_change(c, a, &row);
}

void agents_restore(struct exchange *x)
{
	answer_write(x, arena_new_of(x->arena, struct answer), restore_run);
}

/* Its slug becomes free. */
static int archive_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct agent_row row = {0};
	int r = check_change(c, a, &row);

	if (r)
		return r;
	a->status = 204;
	return (int)MIN(db_exec(c, "update agents set archived_at = ?, slug = ? where id = ?", DB_INT(clock_now_us()),
				DB_TEXT(arena_printf(job->x->arena, "%s~%s", row.slug, row.id)), DB_TEXT(row.id)),
			0);
}

void agents_archive(struct exchange *x)
{
	answer_write(x, arena_new_of(x->arena, struct answer), archive_run);
}

/* ---- Reading ---- */

static int get_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct agent_row row;
	int r = find(c, job->x->arena, SELECT_ONE, path_id(job->x), &row);

	if (r == 0)
		return answer_not_found(a, "agent");
	return r < 0 ? r : answer_row(a, 200, &row);
}

void agents_get(struct exchange *x)
{
	answer_read(x, arena_new_of(x->arena, struct answer), get_run);
}

struct list_answer {
	struct answer answer;
	struct page page;
};

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct list_answer *l = (struct list_answer *)job;
	struct arena *a = job->x->arena;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	struct agent_row row = {0};
	int64_t n = 0;
	int r;
	struct db_stmt *st = db_query(
		c, "select " COLUMNS " from agents where archived_at is null and id < ? order by id desc limit ?",
		DB_TEXT(l->page.after ? l->page.after : ID_LAST), DB_INT(l->page.limit + 1));

	while ((r = db_step(c, st)) == 1 && n++ < l->page.limit) {
		read_row(st, a, &row);
		add_row(a, doc, yyjson_mut_arr_add_obj(doc, items), &row);
	}
	db_done(st);
	json_add_str(doc, obj, "next", n > l->page.limit ? page_cursor(a, row.id) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void agents_list(struct exchange *x)
{
	struct list_answer *l = arena_new_of(x->arena, struct list_answer);

	if (page_read(x, &l->page))
		answer_read(x, &l->answer, list_run);
}

static int versions_run(struct db_conn *c, struct exchange_job *job)
{
	struct list_answer *l = (struct list_answer *)job;
	struct arena *a = job->x->arena;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items"), *item;
	int64_t n = 0, version = 0;
	int r;
	struct db_stmt *st =
		db_query(c,
			 "select version, name, description, config, created_at from agent_versions where "
			 "agent_id = ? and version < ? order by version desc limit ?",
			 DB_TEXT(path_id(job->x)), DB_INT(l->page.after ? strtoll(l->page.after, NULL, 10) : INT64_MAX),
			 DB_INT(l->page.limit + 1));

	while ((r = db_step(c, st)) == 1 && n++ < l->page.limit) {
		item = yyjson_mut_arr_add_obj(doc, items);
		version = db_col_int(st, 0);
		yyjson_mut_obj_add_int(doc, item, "version", version);
		json_add_str(doc, item, "name", db_col_dup(st, 1, a));
		json_add_str(doc, item, "description", db_col_dup(st, 2, a));
		add_config(a, doc, item, db_col_dup(st, 3, a));
		add_time(doc, item, "created_at", db_col_int(st, 4));
	}
	db_done(st);
	if (r == 0 && n == 0 && !l->page.after)
		return answer_not_found(&l->answer, "agent");
	json_add_str(doc, obj, "next",
		     n > l->page.limit ? page_cursor(a, arena_printf(a, "%lld", (long long)version)) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void agents_list_versions(struct exchange *x)
{
	struct list_answer *l = arena_new_of(x->arena, struct list_answer);

	if (page_read(x, &l->page))
		answer_read(x, &l->answer, versions_run);
}

/* ---- The first agent ---- */

#define ASSISTANT_INSTRUCTIONS                                                                                         \
	"You are a helpful assistant with a Linux shell. The tool `shell` runs a command line in a sandbox; its "      \
	"working "                                                                                                     \
	"directory /workspace is a folder of this conversation and keeps its files between calls. When a question is " \
	"about this system, about files, or is best answered by computing, run a command and answer from its real "    \
	"output; do not guess. Keep commands simple, look at their exit status, and say so when something failed. "    \
	"Answer in Markdown, briefly, in the language of the question."

struct seed {
	struct db_job db;
	const struct agent *agent;
	char id[ID_SIZE];
	int result;
	bool is_done;
};

static int seed_run(struct db_conn *c, struct db_job *job)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct seed *s = container_of(job, struct seed, db);
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	int64_t one;
	int r = db_get_int(c, &one, "select 1 from agents limit 1");

	if (r)
		return MIN(r, 0);
	json_add_str(doc, obj, "instructions", ASSISTANT_INSTRUCTIONS);
	yyjson_mut_val *tools = yyjson_mut_obj_add_arr(doc, obj, "tools");
	yyjson_mut_arr_add_str(doc, tools, "shell");
	struct str text = json_text(a, doc);
	struct agent_row row = {
		.id = s->id,
		.slug = "assistant",
		.name = "Assistant",
		.description = "Answers questions and runs commands in a sandbox.",
		.config = make_config(s->agent, a, yyjson_doc_get_root(json_parse(a, text.p, text.n, NULL)), NULL),
		.version = 1,
		.created_at = clock_now_us(),
		.updated_at = clock_now_us(),
	};
	return insert_row(c, &row);
}

static void on_seeded(struct db_job *job, int result)
{
	struct seed *s = container_of(job, struct seed, db);

	s->result = result;
	s->is_done = true;
}

int agents_seed(struct agent *agent)
{
	struct seed s = {.db = {.run = seed_run, .done = on_seeded}, .agent = agent};

	id_new(s.id);
	db_write(agent->db, &s.db);
	while (!s.is_done)
		uv_run(service_loop(agent->service), UV_RUN_ONCE);
	return s.result;
}
