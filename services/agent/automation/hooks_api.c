/* Webhooks as people see and change them. */
#include <stdio.h>

#include "agent/automation/automation.h"
#include "agent/automation/hooks.h"
#include "agent/handlers.h"
#include "base/clock.h"
#include "io/safe_fetch.h"

#define PER_USER_MAX 50
#define URL_MAX 2000
#define OLD_SECRET_US (86400 * 1000000ll)

static const struct json_field fields[] = {
	{"name", JSON_STRING, false, 1, 200},
	{"url", JSON_STRING, false, 8, URL_MAX},
	{"agent_id", JSON_STRING_OR_NULL, false, 36, 36},
	{"events", JSON_ARRAY, false, 1, 10},
	{"status", JSON_STRING, false, 1, 16},
};

struct hook {
	const char *id, *user_id, *agent_id, *name, *url, *events, *status, *reason;
	int64_t old_until, failing_since, version, created_at, updated_at;
};

struct change {
	struct answer answer;
	struct str if_match;
	char secret[WEBHOOK_SECRET_TEXT_SIZE];
};

/* ---- Rows ---- */

#define COLUMNS                                                                                                     \
	"id, user_id, agent_id, name, url, events, status, reason, old_until, failing_since, version, created_at, " \
	"updated_at"

static void read_row(struct db_stmt *st, struct arena *a, struct hook *ret)
{
	*ret = (struct hook){
		.id = db_col_dup(st, 0, a),
		.user_id = db_col_dup(st, 1, a),
		.agent_id = db_col_dup(st, 2, a),
		.name = db_col_dup(st, 3, a),
		.url = db_col_dup(st, 4, a),
		.events = db_col_dup(st, 5, a),
		.status = db_col_dup(st, 6, a),
		.reason = db_col_dup(st, 7, a),
		.old_until = db_col_int(st, 8),
		.failing_since = db_col_int(st, 9),
		.version = db_col_int(st, 10),
		.created_at = db_col_int(st, 11),
		.updated_at = db_col_int(st, 12),
	};
}

static void add_hook(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct hook *h, const char *secret)
{
	json_add_str(doc, obj, "id", h->id);
	json_add_str(doc, obj, "user_id", h->user_id);
	json_add_str(doc, obj, "agent_id", h->agent_id);
	json_add_str(doc, obj, "name", h->name);
	json_add_str(doc, obj, "url", h->url);
	json_add_raw(doc, obj, "events", h->events);
	json_add_str(doc, obj, "status", h->status);
	json_add_str(doc, obj, "reason", h->reason);
	add_time(doc, obj, "failing_since", h->failing_since);
	add_time(doc, obj, "old_secret_until", h->old_until);
	yyjson_mut_obj_add_int(doc, obj, "version", h->version);
	add_time(doc, obj, "created_at", h->created_at);
	add_time(doc, obj, "updated_at", h->updated_at);
	if (secret)
		json_add_str(doc, obj, "secret", secret);
}

static int answer_hook(struct answer *a, int status, const struct hook *h, const char *secret)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a->job.x->arena, &doc);

	add_hook(doc, obj, h, secret);
	a->etag = arena_printf(a->job.x->arena, "\"%lld\"", (long long)h->version);
	return answer_json(a, status, doc);
}

static bool sees_all(const struct exchange *x)
{
	return identity_may(&x->who, "webhooks.use_any");
}

#define SELECT_ONE "select " COLUMNS " from webhooks where id = ?"

static int find(struct db_conn *c, struct answer *a, const char *sql, struct hook *ret)
{
	struct exchange *x = a->job.x;
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c, sql, DB_TEXT(path_id(x)));
	int r = db_step(c, st);

	if (r < 0)
		return r;
	if (r == 1)
		read_row(st, x->arena, ret);
	if (r == 0 || (strcmp(ret->user_id, x->who.user_id) != 0 && !sees_all(x)))
		return answer_not_found(a, "webhook");
	return 0;
}

static int find_own(struct db_conn *c, struct answer *a, struct hook *ret)
{
	return find(c, a, SELECT_ONE, ret);
}

static int find_to_change(struct db_conn *c, struct answer *a, struct hook *ret)
{
	return find(c, a, SELECT_ONE DB_FOR_UPDATE, ret);
}

/* ---- In ---- */

static int read_events(yyjson_val *body, struct arena *a, const char **ret, struct error *err)
{
	yyjson_val *list = json_get_arr(body, "events"), *item;
	size_t i, n;

	if (!list)
		return 0;
	yyjson_arr_foreach(list, i, n, item)
	{
		const char *const *e = hook_events;

		while (*e && !yyjson_equals_str(item, *e))
			e++;
		if (!*e)
			return error_set(err, "invalid_field",
					 "\"events\" are some of: execution.succeeded, execution.failed, "
					 "execution.cancelled, execution.waiting, execution.paused.");
	}
	*ret = json_val_text(a, list).p;
	return 0;
}

static int read_status(yyjson_val *body, struct hook *h, struct error *err)
{
	const char *status = json_get_str(body, "status", NULL);

	if (!status)
		return 0;
	if (strcmp(status, "active") != 0 && strcmp(status, "paused") != 0)
		return error_set(err, "invalid_field", "\"status\" is one of: active, paused.");
	h->status = status;
	h->reason = NULL;
	h->failing_since = 0;
	return 0;
}

/* On the loop, since the URL's check is. Answers and returns false when it is wrong. */
static bool check_body(struct exchange *x)
{
	struct agent *agent = x->self;
	const char *url = json_get_str(x->body, "url", NULL);
	struct error err = {0};
	int r = json_check(x->body, fields, ARRAY_SIZE(fields), &err);

	if (r == 0 && url)
		r = safe_url_check(url, &agent->outbound_allow, x->arena, NULL, &err);
	if (r < 0)
		reply_error(x, 422, &err);
	return r == 0;
}

static int take_body(struct hook *h, struct exchange *x, struct error *err)
{
	yyjson_val *agent_id = yyjson_obj_get(x->body, "agent_id");
	int r = read_events(x->body, x->arena, &h->events, err);

	h->name = json_get_str(x->body, "name", h->name);
	h->url = json_get_str(x->body, "url", h->url);
	if (agent_id)
		h->agent_id = yyjson_get_str(agent_id);
	return r ? r : read_status(x->body, h, err);
}

static int check(struct answer *a, int r, const struct error *err)
{
	struct arena *arena = a->job.x->arena;

	return r == 0 ? 0 : answer_problem(a, 422, arena_strdup(arena, err->code), arena_strdup(arena, err->message));
}

/* ---- Making ---- */

static const char *seal_new(struct change *m, const char *id)
{
	struct exchange *x = m->answer.job.x;
	struct agent *agent = x->self;

	return hook_seal(automation_key(agent->automation), x->arena, "webhooks", id, str_of(m->secret));
}

/* With an Idempotency-Key the answer is kept, so the secret would be: it is told in the first answer only. */
static int keep_answer(struct db_conn *c, struct change *m, const struct hook *h)
{
	int r;

	answer_hook(&m->answer, 201, h, NULL);
	r = answer_keep(c, &m->answer);
	return r ? r : answer_hook(&m->answer, 201, h, m->secret);
}

static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct change *m = (struct change *)job;
	struct exchange *x = job->x;
	char *id = arena_alloc(x->arena, ID_SIZE);
	int64_t now = clock_now_us(), n = 0;
	struct hook h = {.id = id,
			 .user_id = x->who.user_id,
			 .events = "[\"execution.succeeded\",\"execution.failed\"]",
			 .status = "active",
			 .version = 1,
			 .created_at = now,
			 .updated_at = now};
	struct error err = {0};
	int r = answer_known(c, &m->answer);

	id_new(id);
	if (r == 0)
		r = check(&m->answer, take_body(&h, x, &err), &err);
	if (r == 0)
		r = error_only(
			db_get_int(c, &n, "select count(*) from webhooks where user_id = ?", DB_TEXT(h.user_id)));
	if (r)
		return r;
	if (n >= PER_USER_MAX)
		return answer_problem(&m->answer, 409, "too_many_webhooks",
				      "There are too many webhooks already: remove some that are not needed.");
	n = db_exec(c,
		    "insert into webhooks (id, user_id, agent_id, name, url, events, secret_sealed, status, version, "
		    "created_at, updated_at) values (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
		    DB_TEXT(h.id), DB_TEXT(h.user_id), DB_TEXT(h.agent_id), DB_TEXT(h.name), DB_TEXT(h.url),
		    DB_TEXT(h.events), DB_TEXT(seal_new(m, id)), DB_TEXT(h.status), DB_INT(now), DB_INT(now));
	if (n < 0)
		return (int)n;
	m->answer.location = arena_printf(x->arena, "/api/webhooks/%s", id);
	return keep_answer(c, m, &h);
}

void hooks_create(struct exchange *x)
{
	struct change *m = arena_new_of(x->arena, struct change);

	if (!yyjson_obj_get(x->body, "name") || !yyjson_obj_get(x->body, "url")) {
		reply_problem(x, 422, "invalid_field", "\"name\" and \"url\" are needed.");
		return;
	}
	if (!check_body(x))
		return;
	webhook_secret_new(m->secret);
	answer_write(x, &m->answer, create_run);
}

/* ---- Reading ---- */

static int get_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct hook h;
	int r = find_own(c, a, &h);

	return r ? r : answer_hook(a, 200, &h, NULL);
}

void hooks_get(struct exchange *x)
{
	answer_read(x, arena_new_of(x->arena, struct answer), get_run);
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct page_answer *l = (struct page_answer *)job;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	struct hook h = {0};
	int64_t n = 0;
	int r;
	struct db_stmt *st =
		db_query(c,
			 "select " COLUMNS " from webhooks where (user_id = ? or ? = 1) and id < ? order by id "
			 "desc limit ?",
			 DB_TEXT(x->who.user_id), DB_INT(sees_all(x)), DB_TEXT(l->page.after ? l->page.after : ID_LAST),
			 DB_INT(l->page.limit + 1));

	while ((r = db_step(c, st)) == 1 && n++ < l->page.limit) {
		read_row(st, x->arena, &h);
		add_hook(doc, yyjson_mut_arr_add_obj(doc, items), &h, NULL);
	}
	db_done(st);
	json_add_str(doc, obj, "next", n > l->page.limit ? page_cursor(x->arena, h.id) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void hooks_list(struct exchange *x)
{
	answer_page(x, list_run);
}

/* ---- Changing ---- */

/* What waits for one that is paused waits on. */
static int hold_deliveries(struct db_conn *c, const struct hook *h, int64_t now)
{
	bool is_paused = strcmp(h->status, "active") != 0;

	return error_only(
		db_exec(c,
			"update webhook_deliveries set status = ?, next_at = ? where webhook_id = ? and status = "
			"?",
			DB_TEXT(is_paused ? "held" : "pending"), DB_INT(now), DB_TEXT(h->id),
			DB_TEXT(is_paused ? "pending" : "held")));
}

static int patch_run(struct db_conn *c, struct exchange_job *job)
{
	struct change *m = (struct change *)job;
	struct exchange *x = job->x;
	int64_t now = clock_now_us(), n;
	struct error err = {0};
	struct hook h;
	int r = find_to_change(c, &m->answer, &h);

	if (r)
		return r;
	if (m->if_match.n && !str_is(m->if_match, arena_printf(x->arena, "\"%lld\"", (long long)h.version)))
		return answer_problem(&m->answer, 412, "version_changed",
				      "It was changed meanwhile: read it again and repeat the change.");
	r = check(&m->answer, take_body(&h, x, &err), &err);
	if (r)
		return r;
	h.version++;
	h.updated_at = now;
	n = db_exec(c,
		    "update webhooks set agent_id = ?, name = ?, url = ?, events = ?, status = ?, reason = ?, "
		    "failing_since = ?, version = ?, updated_at = ? where id = ?",
		    DB_TEXT(h.agent_id), DB_TEXT(h.name), DB_TEXT(h.url), DB_TEXT(h.events), DB_TEXT(h.status),
		    DB_TEXT(h.reason), h.failing_since ? DB_INT(h.failing_since) : DB_NULL(), DB_INT(h.version),
		    DB_INT(now), DB_TEXT(h.id));
	if (n >= 0 && yyjson_obj_get(x->body, "status"))
		n = hold_deliveries(c, &h, now);
	return n < 0 ? (int)n : answer_hook(&m->answer, 200, &h, NULL);
}

static void on_changed(struct exchange_job *job, int result)
{
	answer_send(job, result);
	automation_wake(((struct agent *)job->x->self)->automation);
}

void hooks_patch(struct exchange *x)
{
	struct change *m = arena_new_of(x->arena, struct change);

	if (!check_body(x))
		return;
	m->if_match = arena_str(x->arena, http_header_get(&x->req->headers, "If-Match"));
	m->answer.job.done = on_changed;
	answer_write(x, &m->answer, patch_run);
}

static int delete_run(struct db_conn *c, struct exchange_job *job)
{
	static const char *const statements[] = {
		("delete from webhook_tries where delivery_id in "
		 "(select id from webhook_deliveries where webhook_id = ?)"),
		"delete from webhook_deliveries where webhook_id = ?",
		"delete from webhooks where id = ?",
	};
	struct answer *a = (struct answer *)job;
	struct hook h;
	int r = find_to_change(c, a, &h);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(statements); i++)
		r = error_only(db_exec(c, statements[i], DB_TEXT(h.id)));
	if (r == 0)
		a->status = 204;
	return r;
}

void hooks_delete(struct exchange *x)
{
	answer_write(x, arena_new_of(x->arena, struct answer), delete_run);
}

static int rotate_run(struct db_conn *c, struct exchange_job *job)
{
	struct change *m = (struct change *)job;
	int64_t now = clock_now_us(), n;
	struct hook h;
	int r = find_to_change(c, &m->answer, &h);

	if (r)
		return r;
	h.old_until = now + OLD_SECRET_US;
	h.version++;
	n = db_exec(
		c,
		"update webhooks set old_secret_sealed = secret_sealed, secret_sealed = ?, old_until = ?, version = "
		"version + 1, updated_at = ? where id = ?",
		DB_TEXT(seal_new(m, h.id)), DB_INT(h.old_until), DB_INT(now), DB_TEXT(h.id));
	return n < 0 ? (int)n : answer_hook(&m->answer, 200, &h, m->secret);
}

void hooks_rotate(struct exchange *x)
{
	struct change *m = arena_new_of(x->arena, struct change);

	webhook_secret_new(m->secret);
	answer_write(x, &m->answer, rotate_run);
}

/* ---- Deliveries ---- */

#define DELIVERY_COLUMNS                                                                                           \
	"d.id, d.event, d.execution_id, d.status, d.tries, d.next_at, d.created_at, d.ended_at, (select t.status " \
	"from webhook_tries t where t.delivery_id = d.id and t.number = d.tries), d.body"

static void add_delivery(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct db_stmt *st, struct arena *a)
{
	const char *status = db_col_dup(st, 3, a);

	json_add_str(doc, obj, "id", db_col_dup(st, 0, a));
	json_add_str(doc, obj, "event", db_col_dup(st, 1, a));
	json_add_str(doc, obj, "execution_id", db_col_dup(st, 2, a));
	json_add_str(doc, obj, "status", status);
	yyjson_mut_obj_add_int(doc, obj, "tries", db_col_int(st, 4));
	add_time(doc, obj, "next_at", strcmp(status, "pending") == 0 ? db_col_int(st, 5) : 0);
	add_time(doc, obj, "created_at", db_col_int(st, 6));
	add_time(doc, obj, "ended_at", db_col_int(st, 7));
	if (db_col_is_null(st, 8))
		yyjson_mut_obj_add_null(doc, obj, "last_status");
	else
		yyjson_mut_obj_add_int(doc, obj, "last_status", db_col_int(st, 8));
}

static int deliveries_run(struct db_conn *c, struct exchange_job *job)
{
	struct page_answer *l = (struct page_answer *)job;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	const char *last = NULL;
	struct hook h;
	struct db_stmt *st;
	int64_t n = 0;
	int r = find_own(c, &l->answer, &h);

	if (r)
		return r;
	st = db_query(c,
		      "select " DELIVERY_COLUMNS
		      " from webhook_deliveries d where d.webhook_id = ? and d.id < ? order by "
		      "d.id desc limit ?",
		      DB_TEXT(h.id), DB_TEXT(l->page.after ? l->page.after : ID_LAST), DB_INT(l->page.limit + 1));
	while ((r = db_step(c, st)) == 1 && n++ < l->page.limit) {
		last = db_col_dup(st, 0, x->arena);
		add_delivery(doc, yyjson_mut_arr_add_obj(doc, items), st, x->arena);
	}
	db_done(st);
	json_add_str(doc, obj, "next", n > l->page.limit ? page_cursor(x->arena, last) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void hooks_deliveries(struct exchange *x)
{
	answer_page(x, deliveries_run);
}

static int add_tries(struct db_conn *c, struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *items, const char *id)
{
	struct db_stmt *st =
		db_query(c,
			 "select number, at, duration_ms, status, error, response from webhook_tries where "
			 "delivery_id = ? order by number",
			 DB_TEXT(id));
	int r;

	while ((r = db_step(c, st)) == 1) {
		yyjson_mut_val *obj = yyjson_mut_arr_add_obj(doc, items);

		yyjson_mut_obj_add_int(doc, obj, "number", db_col_int(st, 0));
		add_time(doc, obj, "at", db_col_int(st, 1));
		yyjson_mut_obj_add_int(doc, obj, "duration_ms", db_col_int(st, 2));
		if (db_col_is_null(st, 3))
			yyjson_mut_obj_add_null(doc, obj, "status");
		else
			yyjson_mut_obj_add_int(doc, obj, "status", db_col_int(st, 3));
		json_add_str(doc, obj, "error", db_col_dup(st, 4, a));
		json_add_str(doc, obj, "response", db_col_dup(st, 5, a));
	}
	db_done(st);
	return r;
}

/* The delivery of the path, with its tries. */
static int answer_delivery(struct db_conn *c, struct answer *a, int status, const char *webhook_id, const char *id)
{
	struct arena *arena = a->job.x->arena;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(arena, &doc);
	struct db_stmt *st =
		db_query(c,
			 "select " DELIVERY_COLUMNS " from webhook_deliveries d where d.webhook_id = ? and "
			 "d.id = ?",
			 DB_TEXT(webhook_id), DB_TEXT(id));
	int r = db_step(c, st);

	if (r == 1) {
		add_delivery(doc, obj, st, arena);
		json_add_raw(doc, obj, "body", db_col_dup(st, 9, arena));
	}
	db_done(st);
	if (r != 1)
		return r < 0 ? r : answer_not_found(a, "delivery");
	r = add_tries(c, arena, doc, yyjson_mut_obj_add_arr(doc, obj, "attempts"), id);
	return r < 0 ? r : answer_json(a, status, doc);
}

static int delivery_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct hook h;
	int r = find_own(c, a, &h);

	return r ? r : answer_delivery(c, a, 200, h.id, job->x->params[1].p);
}

void hooks_delivery(struct exchange *x)
{
	answer_read(x, arena_new_of(x->arena, struct answer), delivery_run);
}

static int redeliver_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	const char *id = job->x->params[1].p;
	struct hook h;
	int64_t n;
	int r = find_to_change(c, a, &h);

	if (r)
		return r;
	n = db_exec(c,
		    "update webhook_deliveries set status = 'pending', next_at = ?, ended_at = null where id = ? and "
		    "webhook_id = ? and claimed_until < ?",
		    DB_INT(clock_now_us()), DB_TEXT(id), DB_TEXT(h.id), DB_INT(clock_now_us()));
	return n < 0 ? (int)n : answer_delivery(c, a, 202, h.id, id);
}

void hooks_redeliver(struct exchange *x)
{
	struct answer *a = arena_new_of(x->arena, struct answer);

	a->job.done = on_changed;
	answer_write(x, a, redeliver_run);
}

static int ping_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	int64_t now = clock_now_us();
	char id[ID_SIZE];
	struct hook h;
	int r = find_to_change(c, a, &h);

	if (r == 0)
		r = hooks_add(c, h.id, "ping", NULL, hooks_ping_body(job->x->arena, h.id, now), now, id);
	return r ? r : answer_delivery(c, a, 202, h.id, arena_strdup(job->x->arena, id));
}

void hooks_ping(struct exchange *x)
{
	struct answer *a = arena_new_of(x->arena, struct answer);

	a->job.done = on_changed;
	answer_write(x, a, ping_run);
}
