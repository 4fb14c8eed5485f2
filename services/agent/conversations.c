/* Conversations. */
#include "agent/conversation.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/agent_shares.h"
#include "agent/bus.h"
#include "agent/retention.h"
#include "agent/runner.h"
#include "agent/variables.h"

#define COLUMNS                                                                                                     \
	"c.id, c.title, c.agent_id, a.name, c.user_id, c.active_execution_id, c.last_execution_id, e.status, "      \
	"c.last_seq, c.created_at, c.updated_at, coalesce(c.agent_version, a.version), a.archived_at, a.owner_id, " \
	"a.shares, c.variables, c.user_name, c.forked_from, c.forked_execution, c.forked_seq, c.is_kept"
#define TABLES                                                                                       \
	" from conversations c join agents a on a.id = c.agent_id left join executions e on e.id = " \
	"c.last_execution_id "

static void read_row(struct db_stmt *st, struct arena *a, struct conversation_row *ret)
{
	*ret = (struct conversation_row){
		.id = db_col_dup(st, 0, a),
		.title = db_col_dup(st, 1, a),
		.agent_id = db_col_dup(st, 2, a),
		.agent_name = db_col_dup(st, 3, a),
		.user_id = db_col_dup(st, 4, a),
		.active_execution_id = db_col_dup(st, 5, a),
		.last_execution_id = db_col_dup(st, 6, a),
		.last_status = db_col_dup(st, 7, a),
		.last_seq = db_col_int(st, 8),
		.created_at = db_col_int(st, 9),
		.updated_at = db_col_int(st, 10),
		.agent_version = db_col_int(st, 11),
		.is_archived = !db_col_is_null(st, 12),
		.agent_owner_id = db_col_dup(st, 13, a),
		.agent_shares = db_col_dup(st, 14, a),
		.variables = db_col_dup(st, 15, a),
		.user_name = db_col_dup(st, 16, a),
		.forked_from = db_col_dup(st, 17, a),
		.forked_execution = db_col_dup(st, 18, a),
		.forked_seq = db_col_int(st, 19),
		.is_kept = db_col_int(st, 20) != 0,
	};
}

bool conversation_may_read(struct exchange *x)
{
	if (identity_may(&x->who, "conversations.read") || identity_may(&x->who, "conversations.use"))
		return true;
	reply_problem(x, 403, "forbidden", "This needs the permission conversations.read or conversations.use.");
	return false;
}

bool conversation_may_change(const struct exchange *x, const struct conversation_row *row)
{
	return strcmp(row->user_id, x->who.user_id) == 0 || identity_may(&x->who, "conversations.use_any");
}

#define SELECT_ONE "select " COLUMNS TABLES "where c.id = ?"

#define SELECT_TO_CHANGE SELECT_ONE " /*! for update of c */"

static int load(struct db_conn *c, struct arena *a, const char *sql, const char *id, struct conversation_row *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c, sql, DB_TEXT(id));
	int r = db_step(c, st);

	if (r == 1)
		read_row(st, a, ret);
	return r;
}

static int find(struct db_conn *c, struct exchange *x, const char *sql, const char *id, struct conversation_row *ret)
{
	int r = load(c, x->arena, sql, id, ret);

	return r != 1 ? r : strcmp(ret->user_id, x->who.user_id) == 0 || sees_all_conversations(x);
}

int conversation_find(struct db_conn *c, struct exchange *x, const char *id, struct conversation_row *ret)
{
	return find(c, x, SELECT_ONE, id, ret);
}

int conversation_find_to_change(struct db_conn *c, struct exchange *x, const char *id, struct conversation_row *ret)
{
	return find(c, x, SELECT_TO_CHANGE, id, ret);
}

int conversation_load_to_change(struct db_conn *c, struct arena *a, const char *id, struct conversation_row *ret)
{
	return load(c, a, SELECT_TO_CHANGE, id, ret);
}

int conversation_insert(struct db_conn *c, const struct conversation_row *row)
{
	return error_only(
		db_exec(c,
			"insert into conversations (id, user_id, agent_id, title, last_seq, created_at, updated_at, "
			"variables, user_name, agent_version, forked_from, forked_execution, forked_seq) values (?, ?, "
			"?, "
			"?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			DB_TEXT(row->id), DB_TEXT(row->user_id), DB_TEXT(row->agent_id), DB_TEXT(row->title),
			DB_INT(row->last_seq), DB_INT(row->created_at), DB_INT(row->updated_at),
			DB_TEXT(row->variables), DB_TEXT(row->user_name),
			row->pinned_version ? DB_INT(row->pinned_version) : DB_NULL(), DB_TEXT(row->forked_from),
			DB_TEXT(row->forked_execution), row->forked_from ? DB_INT(row->forked_seq) : DB_NULL()));
}

static void add_row(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct conversation_row *row)
{
	yyjson_mut_val *last;

	json_add_str(doc, obj, "id", row->id);
	json_add_str(doc, obj, "title", row->title);
	json_add_str(doc, obj, "agent_id", row->agent_id);
	json_add_str(doc, obj, "agent_name", row->agent_name);
	json_add_str(doc, obj, "user_id", row->user_id);
	json_add_raw(doc, obj, "variables", row->variables ?: "{}");
	add_time(doc, obj, "created_at", row->created_at);
	add_time(doc, obj, "updated_at", row->updated_at);
	yyjson_mut_obj_add_bool(doc, obj, "kept", row->is_kept);
	if (row->forked_from) {
		yyjson_mut_val *from = yyjson_mut_obj_add_obj(doc, obj, "forked_from");

		json_add_str(doc, from, "conversation_id", row->forked_from);
		json_add_str(doc, from, "execution_id", row->forked_execution);
		yyjson_mut_obj_add_int(doc, from, "message_seq", row->forked_seq);
	} else {
		yyjson_mut_obj_add_null(doc, obj, "forked_from");
	}
	if (!row->last_status) {
		yyjson_mut_obj_add_null(doc, obj, "last_execution");
		return;
	}
	last = yyjson_mut_obj_add_obj(doc, obj, "last_execution");
	json_add_str(doc, last, "id", row->last_execution_id);
	json_add_str(doc, last, "status", row->last_status);
}

int conversation_answer(struct answer *a, int status, const struct conversation_row *row)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a->job.x->arena, &doc);

	add_row(doc, obj, row);
	return answer_json(a, status, doc);
}

/* ---- Making one ---- */

static const struct json_field create_fields[] = {
	{"agent_id", JSON_STRING, false, 1, 36},
	{"agent", JSON_STRING, false, 1, 200},
	{"title", JSON_STRING, false, 0, 200},
	{"variables", JSON_OBJECT},
};

struct create {
	struct answer answer;
	char id[ID_SIZE];
};

#define AGENTS "select id, name, owner_id, shares, config from agents where archived_at is null "

/* By id, by slug or name, or all. */
static struct db_stmt *query_agent(struct db_conn *c, yyjson_val *body)
{
	const char *id = json_get_str(body, "agent_id", NULL), *name = json_get_str(body, "agent", NULL);

	if (id)
		return db_query(c, AGENTS "and id = ?", DB_TEXT(id));
	if (name)
		return db_query(c,
				AGENTS "and (slug = ? or name = ?) order by case when slug = ? then 0 else 1 end, id",
				DB_TEXT(name), DB_TEXT(name), DB_TEXT(name));
	return db_query(c, AGENTS "order by id");
}

/* The first that the user may use. */
static int find_agent(struct db_conn *c, const struct exchange *x, struct conversation_row *row)
{
	_cleanup_(db_done_p) struct db_stmt *st = query_agent(c, x->body);
	int r;

	while ((r = db_step(c, st)) == 1) {
		if (!agent_rights(&x->who, db_col_dup(st, 2, x->arena), db_col_dup(st, 3, x->arena)))
			continue;
		row->agent_id = db_col_dup(st, 0, x->arena);
		row->agent_name = db_col_dup(st, 1, x->arena);
		row->config = db_col_dup(st, 4, x->arena);
		return 1;
	}
	return r;
}

/* NULL = none. */
static const char *variables_text(const struct exchange *x)
{
	yyjson_val *variables = json_get_obj(x->body, "variables");

	return yyjson_obj_size(variables) > 0 ? json_val_text(x->arena, variables).p : NULL;
}

static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct create *m = (struct create *)job;
	struct exchange *x = job->x;
	struct error err = {0};
	struct conversation_row row = {
		.id = m->id,
		.title = json_get_str(x->body, "title", ""),
		.user_id = x->who.user_id,
		.user_name = x->who.name,
		.created_at = clock_now_us(),
	};
	int r = answer_known(c, &m->answer);

	if (r)
		return r;
	row.updated_at = row.created_at;
	r = find_agent(c, x, &row);
	if (r == 0)
		return answer_problem(&m->answer, 404, "agent_not_found",
				      "There is no such agent: GET /api/agents lists them.");
	if (r < 0)
		return r;
	if (variables_check_values(x->arena, row.config, json_get_obj(x->body, "variables"), &err) < 0)
		return answer_problem(&m->answer, 422, arena_strdup(x->arena, err.code),
				      arena_strdup(x->arena, err.message));
	row.variables = variables_text(x);
	r = conversation_insert(c, &row);
	if (r < 0)
		return r;
	m->answer.location = arena_printf(x->arena, "/api/conversations/%s", m->id);
	conversation_answer(&m->answer, 201, &row);
	return answer_keep(c, &m->answer);
}

void conversations_create(struct exchange *x)
{
	struct create *m = arena_new_of(x->arena, struct create);
	struct error err = {0};

	if (x->body && json_check(x->body, create_fields, ARRAY_SIZE(create_fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	id_new(m->id);
	answer_write(x, &m->answer, create_run);
}

/* ---- Reading ---- */

static int get_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct conversation_row row;
	int r = conversation_find(c, job->x, path_id(job->x), &row);

	if (r == 0)
		return answer_not_found(a, "conversation");
	return r < 0 ? r : conversation_answer(a, 200, &row);
}

void conversations_get(struct exchange *x)
{
	if (conversation_may_read(x))
		answer_read(x, arena_new_of(x->arena, struct answer), get_run);
}

/* Last changed first; the cursor is "TIME ID" of the last one shown. Everybody sees his own here. */
static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct page_answer *l = (struct page_answer *)job;
	struct arena *a = job->x->arena;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	struct conversation_row row = {0};
	char last[] = ID_LAST, *id = last;
	int64_t n = 0, at = l->page.after ? strtoll(l->page.after, &id, 10) : INT64_MAX;
	int r;
	struct db_stmt *st =
		db_query(c,
			 "select " COLUMNS TABLES "where c.user_id = ? and c.batch_id is null and c.updated_at <= ? "
			 "and (c.updated_at < ? or c.id < ?) order "
			 "by c.updated_at desc, c.id desc limit ?",
			 DB_TEXT(job->x->who.user_id), DB_INT(at), DB_INT(at), DB_TEXT(*id == ' ' ? id + 1 : id),
			 DB_INT(l->page.limit + 1));

	while ((r = db_step(c, st)) == 1 && n++ < l->page.limit) {
		read_row(st, a, &row);
		add_row(doc, yyjson_mut_arr_add_obj(doc, items), &row);
	}
	db_done(st);
	json_add_str(doc, obj, "next",
		     n > l->page.limit ? page_cursor(a, arena_printf(a, "%lld %s", (long long)row.updated_at, row.id))
				       : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void conversations_list(struct exchange *x)
{
	if (conversation_may_read(x))
		answer_page(x, list_run);
}

/* ---- Changing ---- */

static const struct json_field patch_fields[] = {
	{"title", JSON_STRING, false, 1, 200}, {"variables", JSON_OBJECT}, {"kept", JSON_BOOL}};

static int find_to_change(struct db_conn *c, struct answer *a, struct conversation_row *row)
{
	int r = conversation_find_to_change(c, a->job.x, path_id(a->job.x), row);

	if (r < 0)
		return r;
	if (r == 0)
		return answer_not_found(a, "conversation");
	if (!conversation_may_change(a->job.x, row))
		return answer_problem(a, 403, "forbidden", "Only its owner may change this conversation.");
	return 0;
}

/* Of the agent as it is now: all values at once. */
static int set_variables(struct db_conn *c, struct answer *a, struct conversation_row *row)
{
	struct exchange *x = a->job.x;
	yyjson_val *variables = json_get_obj(x->body, "variables");
	struct error err = {0};
	int r;

	if (!variables)
		return 0;
	struct db_stmt *st = db_query(c, "select config from agents where id = ?", DB_TEXT(row->agent_id));
	r = db_step(c, st);
	row->config = r == 1 ? db_col_dup(st, 0, x->arena) : "{}";
	db_done(st);
	row->variables = variables_text(x);
	if (r >= 0 && variables_check_values(x->arena, row->config, variables, &err) < 0)
		return answer_problem(a, 422, arena_strdup(x->arena, err.code), arena_strdup(x->arena, err.message));
	return MIN(r, 0);
}

static int patch_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct conversation_row row = {0};
	int r = find_to_change(c, a, &row);

	if (r)
		return r;
	r = set_variables(c, a, &row);
	if (r)
		return r;
	row.title = json_get_str(job->x->body, "title", row.title);
	row.updated_at = clock_now_us();
	row.is_kept = json_get_bool(job->x->body, "kept", row.is_kept);
	int64_t n = db_exec(
		c, "update conversations set title = ?, updated_at = ?, variables = ?, is_kept = ? where id = ?",
		DB_TEXT(row.title), DB_INT(row.updated_at), DB_TEXT(row.variables), DB_INT(row.is_kept),
		DB_TEXT(row.id));
	return n < 0 ? (int)n : conversation_answer(a, 200, &row);
}

void conversations_patch(struct exchange *x)
{
	struct error err = {0};

	if (json_check(x->body, patch_fields, ARRAY_SIZE(patch_fields), &err) < 0)
		reply_error(x, 422, &err);
	else
		answer_write(x, arena_new_of(x->arena, struct answer), patch_run);
}

struct delete
{
	struct answer answer;
	const char *active; /* the execution that is to be stopped */
};

/* A run of it finds its rows gone at its next write and ends. */
static int delete_run(struct db_conn *c, struct exchange_job *job)
{
	struct delete *d = (struct delete *)job;
	struct conversation_row row = {0};
	int r = find_to_change(c, &d->answer, &row);

	if (r == 0)
		r = conversation_erase(c, row.id, row.user_id);
	d->answer.status = r ? d->answer.status : 204;
	d->active = row.active_execution_id;
	if (r == 0 && d->active)
		r = bus_tell(c, BUS_CANCEL, d->active);
	return r;
}

static void on_deleted(struct exchange_job *job, int result)
{
	struct delete *d = (struct delete *)job;
	struct agent *agent = job->x->self;

	if (result == 0 && d->active)
		runner_cancel(agent->runner, d->active);
	if (result == 0)
		retention_wake(agent->retention);
	answer_send(job, result);
}

void conversations_delete(struct exchange *x)
{
	struct delete *d = arena_new_of(x->arena, struct delete);

	d->answer.job.done = on_deleted;
	answer_write(x, &d->answer, delete_run);
}
