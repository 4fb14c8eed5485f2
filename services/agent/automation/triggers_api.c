/* Triggers as people see and change them. */
#include "agent/automation/triggers.h"

#include "agent/agent_shares.h"
#include "agent/automation/automation.h"
#include "agent/automation/hooks.h"
#include "agent/handlers.h"
#include "agent/post.h"
#include "base/clock.h"

#define PER_USER_MAX 50

static const struct json_field fields[] = {
	{"name", JSON_STRING, false, 1, 200},      {"agent_id", JSON_STRING, false, 36, 36},
	{"message", JSON_STRING, false, 1, 20000}, {"conversation", JSON_STRING, false, 3, 4},
	{"per_minute", JSON_INT, false, 1, 600},   {"status", JSON_STRING, false, 1, 16},
};

struct change {
	struct answer answer;
	char secret[WEBHOOK_SECRET_TEXT_SIZE];
};

#define COLUMNS                                                                                                \
	"id, user_id, agent_id, name, message, conversation, conversation_id, secret_sealed, status, reason, " \
	"per_minute, version, created_at, updated_at"
#define SELECT_ONE "select " COLUMNS " from triggers where id = ?"

static void read_row(struct db_stmt *st, struct arena *a, struct trigger *ret)
{
	*ret = (struct trigger){
		.id = db_col_dup(st, 0, a),
		.user_id = db_col_dup(st, 1, a),
		.agent_id = db_col_dup(st, 2, a),
		.name = db_col_dup(st, 3, a),
		.message = db_col_dup(st, 4, a),
		.conversation = db_col_dup(st, 5, a),
		.conversation_id = db_col_dup(st, 6, a),
		.secret_sealed = db_col_dup(st, 7, a),
		.status = db_col_dup(st, 8, a),
		.reason = db_col_dup(st, 9, a),
		.per_minute = db_col_int(st, 10),
		.version = db_col_int(st, 11),
		.created_at = db_col_int(st, 12),
		.updated_at = db_col_int(st, 13),
	};
}

int trigger_find(struct db_conn *c, struct arena *a, const char *id, bool to_change, struct trigger *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		to_change ? db_query(c, SELECT_ONE DB_FOR_UPDATE, DB_TEXT(id)) : db_query(c, SELECT_ONE, DB_TEXT(id));
	int r = db_step(c, st);

	if (r == 1)
		read_row(st, a, ret);
	return r;
}

static void add_trigger(struct exchange *x, yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct trigger *t,
			const char *secret)
{
	json_add_str(doc, obj, "id", t->id);
	json_add_str(doc, obj, "user_id", t->user_id);
	json_add_str(doc, obj, "agent_id", t->agent_id);
	json_add_str(doc, obj, "name", t->name);
	json_add_str(doc, obj, "message", t->message);
	json_add_str(doc, obj, "conversation", t->conversation);
	json_add_str(doc, obj, "conversation_id", t->conversation_id);
	yyjson_mut_obj_add_int(doc, obj, "per_minute", t->per_minute);
	json_add_str(doc, obj, "status", t->status);
	json_add_str(doc, obj, "reason", t->reason);
	json_add_str(doc, obj, "url",
		     arena_printf(x->arena, "%s/api/webhooks/incoming/%s", service_public_url(x->service), t->id));
	yyjson_mut_obj_add_int(doc, obj, "version", t->version);
	add_time(doc, obj, "created_at", t->created_at);
	add_time(doc, obj, "updated_at", t->updated_at);
	if (secret)
		json_add_str(doc, obj, "secret", secret);
}

static int answer_trigger(struct answer *a, int status, const struct trigger *t, const char *secret)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a->job.x->arena, &doc);

	add_trigger(a->job.x, doc, obj, t, secret);
	return answer_json(a, status, doc);
}

static bool sees_all(const struct exchange *x)
{
	return identity_may(&x->who, "webhooks.use_any");
}

static int find_own(struct db_conn *c, struct answer *a, struct trigger *ret)
{
	struct exchange *x = a->job.x;
	int r = trigger_find(c, x->arena, path_id(x), true, ret);

	if (r < 0)
		return r;
	return r == 1 && (strcmp(ret->user_id, x->who.user_id) == 0 || sees_all(x)) ? 0
										    : answer_not_found(a, "trigger");
}

static int take_body(struct trigger *t, yyjson_val *body, struct error *err)
{
	int r = json_check(body, fields, ARRAY_SIZE(fields), err);
	const char *status = json_get_str(body, "status", NULL);

	t->name = json_get_str(body, "name", t->name);
	t->agent_id = json_get_str(body, "agent_id", t->agent_id);
	t->message = json_get_str(body, "message", t->message);
	t->conversation = json_get_str(body, "conversation", t->conversation);
	t->per_minute = json_get_int(body, "per_minute", t->per_minute);
	if (r == 0 && strcmp(t->conversation, "new") != 0 && strcmp(t->conversation, "keep") != 0)
		r = error_set(err, "invalid_field", "\"conversation\" is one of: new, keep.");
	if (r == 0 && status && strcmp(status, "active") != 0 && strcmp(status, "paused") != 0)
		r = error_set(err, "invalid_field", "\"status\" is one of: active, paused.");
	if (status) {
		t->status = status;
		t->reason = NULL;
	}
	return r;
}

static int check(struct answer *a, int r, const struct error *err)
{
	struct arena *arena = a->job.x->arena;

	return r == 0 ? 0 : answer_problem(a, 422, arena_strdup(arena, err->code), arena_strdup(arena, err->message));
}

static int check_agent(struct db_conn *c, struct answer *a, const char *agent_id)
{
	struct arena *arena = a->job.x->arena;
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c, "select owner_id, shares from agents where id = ? and archived_at is null", DB_TEXT(agent_id));
	int r = db_step(c, st);

	if (r < 0)
		return r;
	return r == 1 && agent_rights(&a->job.x->who, db_col_dup(st, 0, arena), db_col_dup(st, 1, arena))
		       ? 0
		       : answer_problem(a, 404, "agent_not_found",
					"There is no such agent: GET /api/agents lists them.");
}

static const char *seal_new(struct change *m, const char *id)
{
	struct exchange *x = m->answer.job.x;
	struct agent *agent = x->self;

	return hook_seal(automation_key(agent->automation), x->arena, "triggers", id, str_of(m->secret));
}

static int insert(struct db_conn *c, const struct trigger *t)
{
	return error_only(
		db_exec(c,
			"insert into triggers (id, user_id, agent_id, name, message, conversation, per_minute, "
			"secret_sealed, status, version, created_at, updated_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, "
			"?, ?)",
			DB_TEXT(t->id), DB_TEXT(t->user_id), DB_TEXT(t->agent_id), DB_TEXT(t->name),
			DB_TEXT(t->message), DB_TEXT(t->conversation), DB_INT(t->per_minute), DB_TEXT(t->secret_sealed),
			DB_TEXT(t->status), DB_INT(t->created_at), DB_INT(t->updated_at)));
}

static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct change *m = (struct change *)job;
	struct exchange *x = job->x;
	char *id = arena_alloc(x->arena, ID_SIZE);
	int64_t now = clock_now_us(), n = 0;
	struct trigger t = {.id = id,
			    .user_id = x->who.user_id,
			    .message = "{{body}}",
			    .conversation = "new",
			    .per_minute = 30,
			    .status = "active",
			    .version = 1,
			    .created_at = now,
			    .updated_at = now};
	struct error err = {0};
	int r = answer_known(c, &m->answer);

	id_new(id);
	if (r == 0)
		r = check(&m->answer, take_body(&t, x->body, &err), &err);
	if (r == 0)
		r = check_agent(c, &m->answer, t.agent_id);
	if (r == 0)
		r = error_only(
			db_get_int(c, &n, "select count(*) from triggers where user_id = ?", DB_TEXT(t.user_id)));
	if (r)
		return r;
	if (n >= PER_USER_MAX)
		return answer_problem(&m->answer, 409, "too_many_triggers",
				      "There are too many triggers already: remove some that are not needed.");
	t.secret_sealed = seal_new(m, id);
	r = insert(c, &t);
	if (r)
		return r;
	m->answer.location = arena_printf(x->arena, "/api/webhooks/triggers/%s", id);
	/* A repeated request is told everything but the secret. */
	answer_trigger(&m->answer, 201, &t, NULL);
	r = answer_keep(c, &m->answer);
	return r ? r : answer_trigger(&m->answer, 201, &t, m->secret);
}

void triggers_create(struct exchange *x)
{
	struct change *m = arena_new_of(x->arena, struct change);

	if (!yyjson_obj_get(x->body, "name") || !yyjson_obj_get(x->body, "agent_id")) {
		reply_problem(x, 422, "invalid_field", "\"name\" and \"agent_id\" are needed.");
		return;
	}
	webhook_secret_new(m->secret);
	answer_write(x, &m->answer, create_run);
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct page_answer *l = (struct page_answer *)job;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	struct trigger t = {0};
	int64_t n = 0;
	int r;
	struct db_stmt *st =
		db_query(c,
			 "select " COLUMNS " from triggers where (user_id = ? or ? = 1) and id < ? order by id "
			 "desc limit ?",
			 DB_TEXT(x->who.user_id), DB_INT(sees_all(x)), DB_TEXT(l->page.after ? l->page.after : ID_LAST),
			 DB_INT(l->page.limit + 1));

	while ((r = db_step(c, st)) == 1 && n++ < l->page.limit) {
		read_row(st, x->arena, &t);
		add_trigger(x, doc, yyjson_mut_arr_add_obj(doc, items), &t, NULL);
	}
	db_done(st);
	json_add_str(doc, obj, "next", n > l->page.limit ? page_cursor(x->arena, t.id) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void triggers_list(struct exchange *x)
{
	answer_page(x, list_run);
}

static int patch_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct exchange *x = job->x;
	struct error err = {0};
	struct trigger t;
	int64_t n;
	int r = find_own(c, a, &t);

	if (r == 0)
		r = check(a, take_body(&t, x->body, &err), &err);
	if (r == 0 && yyjson_obj_get(x->body, "agent_id"))
		r = check_agent(c, a, t.agent_id);
	if (r)
		return r;
	t.version++;
	t.updated_at = clock_now_us();
	n = db_exec(
		c,
		"update triggers set name = ?, agent_id = ?, message = ?, conversation = ?, per_minute = ?, status = "
		"?, reason = ?, version = ?, updated_at = ? where id = ?",
		DB_TEXT(t.name), DB_TEXT(t.agent_id), DB_TEXT(t.message), DB_TEXT(t.conversation), DB_INT(t.per_minute),
		DB_TEXT(t.status), DB_TEXT(t.reason), DB_INT(t.version), DB_INT(t.updated_at), DB_TEXT(t.id));
	return n < 0 ? (int)n : answer_trigger(a, 200, &t, NULL);
}

void triggers_patch(struct exchange *x)
{
	answer_write(x, arena_new_of(x->arena, struct answer), patch_run);
}

static int delete_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct trigger t;
	int64_t n;
	int r = find_own(c, a, &t);

	if (r)
		return r;
	a->status = 204;
	n = db_exec(c, "delete from trigger_calls where trigger_id = ?", DB_TEXT(t.id));
	if (n >= 0)
		n = db_exec(c, "delete from triggers where id = ?", DB_TEXT(t.id));
	return (int)MIN(n, 0);
}

void triggers_delete(struct exchange *x)
{
	answer_write(x, arena_new_of(x->arena, struct answer), delete_run);
}
