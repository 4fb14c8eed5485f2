/* What an agent was: its versions. */
#include <stdlib.h>

#include "agent/agent_config.h"
#include "agent/agent_shares.h"
#include "agent/agents.h"
#include "base/text_diff.h"

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
	int r = agent_find_to_change(c, a, AGENT_EDIT, &row);

	if (r)
		return r;
	r = str_to_u64(x->params[1], INT32_MAX, &version) < 0 ? 0 : find_version(c, x, (int64_t)version, &row);
	if (r == 0)
		return answer_not_found(a, "version");
	return r < 0 ? r : agent_row_store(c, a, &row);
}

void agents_restore(struct exchange *x)
{
	answer_write(x, arena_new_of(x->arena, struct answer), restore_run);
}

static int versions_run(struct db_conn *c, struct exchange_job *job)
{
	struct page_answer *l = (struct page_answer *)job;
	struct arena *a = job->x->arena;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items"), *item;
	struct agent_row row;
	int64_t n = 0, version = 0;
	int r = agent_find(c, &l->answer, &row);

	if (r)
		return r;
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
		agent_config_add(a, doc, item, db_col_dup(st, 3, a));
		add_time(doc, item, "created_at", db_col_int(st, 4));
	}
	db_done(st);
	json_add_str(doc, obj, "next",
		     n > l->page.limit ? page_cursor(a, arena_printf(a, "%lld", (long long)version)) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void agents_list_versions(struct exchange *x)
{
	answer_page(x, versions_run);
}

/* ---- What changed between two versions ---- */

struct compare {
	struct answer answer;
	int64_t from, to;
};

/* A version as clients see it, to be compared member by member. */
static int load_version(struct db_conn *c, struct exchange *x, struct agent_row *row, int64_t version, yyjson_val **ret)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);
	int r = find_version(c, x, version, row);

	if (r != 1)
		return r;
	json_add_str(doc, obj, "name", row->name);
	json_add_str(doc, obj, "description", row->description);
	agent_config_add(x->arena, doc, obj, row->config);
	struct str text = json_text(x->arena, doc);
	*ret = yyjson_doc_get_root(json_parse(x->arena, text.p, text.n, NULL));
	return 1;
}

static void add_change(yyjson_mut_doc *doc, yyjson_mut_val *list, const char *name, yyjson_val *from, yyjson_val *to)
{
	yyjson_mut_val *change = yyjson_mut_arr_add_obj(doc, list);

	json_add_str(doc, change, "name", name);
	yyjson_mut_obj_add_val(doc, change, "from", from ? yyjson_val_mut_copy(doc, from) : yyjson_mut_null(doc));
	yyjson_mut_obj_add_val(doc, change, "to", to ? yyjson_val_mut_copy(doc, to) : yyjson_mut_null(doc));
}

/* Members of objects one by one, "limits.max_steps"; anything else as a whole. */
static void add_changes(struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *list, const char *prefix,
			yyjson_val *from, yyjson_val *to)
{
	yyjson_val *key, *val;
	size_t i, n;

	yyjson_obj_foreach(from, i, n, key, val)
	{
		const char *name = arena_printf(a, "%s%s", prefix, yyjson_get_str(key) ?: "");
		yyjson_val *other = yyjson_obj_get(to, yyjson_get_str(key));

		if (yyjson_is_obj(val) && yyjson_is_obj(other))
			add_changes(a, doc, list, arena_printf(a, "%s.", name), val, other);
		else if (!other || !yyjson_equals(val, other))
			add_change(doc, list, name, val, other);
	}
	yyjson_obj_foreach(to, i, n, key, val)
	{
		if (!yyjson_obj_get(from, yyjson_get_str(key)))
			add_change(doc, list, arena_printf(a, "%s%s", prefix, yyjson_get_str(key) ?: ""), NULL, val);
	}
}

/* The instructions are a text: they are told by lines too. */
static void add_text_diff(struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *obj, yyjson_val *from, yyjson_val *to)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;

	text_diff(str_of(json_get_str(from, "instructions", "")), str_of(json_get_str(to, "instructions", "")), &out);
	json_add_str(doc, obj, "instructions_diff", out.n > 0 ? arena_strdup(a, out.p) : NULL);
}

static int diff_run(struct db_conn *c, struct exchange_job *job)
{
	struct compare *m = (struct compare *)job;
	struct exchange *x = job->x;
	struct agent_row row;
	yyjson_val *from, *to;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);
	int r = agent_find(c, &m->answer, &row);

	if (r)
		return r;
	r = load_version(c, x, &row, m->from, &from);
	if (r == 1)
		r = load_version(c, x, &row, m->to, &to);
	if (r == 0)
		return answer_not_found(&m->answer, "version");
	if (r < 0)
		return r;
	json_add_str(doc, obj, "agent_id", row.id);
	yyjson_mut_obj_add_int(doc, obj, "from", m->from);
	yyjson_mut_obj_add_int(doc, obj, "to", m->to);
	add_changes(x->arena, doc, yyjson_mut_obj_add_arr(doc, obj, "fields"), "", from, to);
	add_text_diff(x->arena, doc, obj, from, to);
	return answer_json(&m->answer, 200, doc);
}

void agents_diff_versions(struct exchange *x)
{
	struct compare *m = arena_new_of(x->arena, struct compare);
	const char *from = http_query_get(x->arena, x->req->query, "from");
	uint64_t to_version, from_version;

	if (str_to_u64(x->params[1], INT32_MAX, &to_version) < 0) {
		reply_problem(x, 404, "not_found", "There is no such version.");
		return;
	}
	from_version = to_version > 1 ? to_version - 1 : 1;
	if (from && *from && str_to_u64(str_of(from), INT32_MAX, &from_version) < 0) {
		reply_problem(x, 400, "bad_request", "\"from\" is the number of a version.");
		return;
	}
	m->from = (int64_t)from_version;
	m->to = (int64_t)to_version;
	answer_read(x, &m->answer, diff_run);
}
