/* The administrator's list of addresses for security events: /api/auth/webhooks. */
#include <errno.h>
#include <sodium.h>

#include "audit/audit.h"
#include "base/clock.h"
#include "base/id.h"
#include "events/events.h"
#include "events/handlers.h"
#include "oauth/oauth.h"
#include "service/webhook.h"
#include "sessions.h"

#define WEBHOOKS_MAX 20
#define PATTERNS_MAX 32

struct hook_row {
	const char *id, *url, *description, *events; /* events: JSON */
	const char *secret;                          /* sealed */
	bool is_enabled;
	int64_t created_at, updated_at;
};

#define COLUMNS "id, url, description, events, enabled, created_at, updated_at"

static void read_row(struct db_stmt *st, struct arena *a, struct hook_row *ret)
{
	*ret = (struct hook_row){
		.id = db_col_dup(st, 0, a),
		.url = db_col_dup(st, 1, a),
		.description = db_col_dup(st, 2, a),
		.events = db_col_dup(st, 3, a),
		.is_enabled = db_col_int(st, 4) != 0,
		.created_at = db_col_int(st, 5),
		.updated_at = db_col_int(st, 6),
	};
}

static void add(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct hook_row *h)
{
	json_add_str(doc, obj, "id", h->id);
	json_add_str(doc, obj, "url", h->url);
	json_add_str(doc, obj, "description", h->description);
	json_add_raw(doc, obj, "events", h->events);
	yyjson_mut_obj_add_bool(doc, obj, "enabled", h->is_enabled);
	json_add_time(doc, obj, "created_at", h->created_at);
	json_add_time(doc, obj, "updated_at", h->updated_at);
}

enum act { ACT_LIST, ACT_CREATE, ACT_CHANGE, ACT_REMOVE, ACT_TEST, ACT_LOG };

struct hooks {
	struct exchange_job job;
	struct audit_event event;
	enum act act;
	const char *id;
	struct hook_row row; /* as it is, or as it is to be */
	char secret[WEBHOOK_SECRET_TEXT_SIZE];
	struct page page;
	yyjson_mut_doc *doc;
	yyjson_mut_val *root;
	int actor;
	bool is_full;
};

static void done(struct exchange_job *job)
{
	struct hooks *s = (struct hooks *)job;
	struct exchange *x = job->x;

	if (s->actor != ACTOR_OK) {
		actor_refuse(x, s->actor);
	} else if (s->is_full) {
		reply_problem(x, 409, "too_many_webhooks", "There are %d webhooks, and no more can be.", WEBHOOKS_MAX);
	} else if (s->act == ACT_REMOVE) {
		reply_empty(x, 204);
	} else if (s->act == ACT_TEST) {
		reply_empty(x, 202);
	} else {
		reply_header(x, "Cache-Control", "no-store");
		reply_json(x, s->act == ACT_CREATE ? 201 : 200, s->doc);
	}
	sodium_memzero(s->secret, sizeof(s->secret));
}

static struct hooks *begin(struct exchange *x, enum act act, int (*run)(struct db_conn *, struct exchange_job *))
{
	struct hooks *s = arena_new_of(x->arena, struct hooks);

	s->act = act;
	s->id = x->params[0].p;
	s->job = (struct exchange_job){.x = x, .run = run, .done_ok = done};
	return s;
}

static int load(struct db_conn *c, struct hooks *s)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select " COLUMNS " from security_webhooks where id = ?", DB_TEXT(s->id));
	int r = db_step(c, st);

	if (r == 1)
		read_row(st, s->job.x->arena, &s->row);
	return r == 1 ? 0 : r == 0 ? -ENOENT : r;
}

/* ---- GET ---- */

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct hooks *s = (struct hooks *)job;
	_cleanup_(db_done_p) struct db_stmt *st = NULL;
	yyjson_mut_val *items;
	struct hook_row row;
	int r;

	s->actor = actor_check(c, job->x, NULL);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	items = yyjson_mut_obj_add_arr(s->doc, json_new_obj(job->x->arena, &s->doc), "items");
	st = db_query(c, "select " COLUMNS " from security_webhooks order by created_at, id");
	while ((r = db_step(c, st)) == 1) {
		read_row(st, job->x->arena, &row);
		add(s->doc, yyjson_mut_arr_add_obj(s->doc, items), &row);
	}
	return r;
}

void webhooks_list(struct exchange *x)
{
	const struct auth *auth = x->self;

	exchange_read(auth->db, &begin(x, ACT_LIST, list_run)->job);
}

/* ---- Fields ---- */

static bool is_pattern(const char *s, size_t n)
{
	if (n == 0 || n > 64)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!(s[i] >= 'a' && s[i] <= 'z') && s[i] != '.' && s[i] != '_' && !(s[i] == '*' && i == n - 1))
			return false;
	return true;
}

static int take(struct exchange *x, struct hook_row *row, struct error *err)
{
	yyjson_val *events = json_get_arr(x->body, "events"), *item;
	const char *url = json_get_str(x->body, "url", NULL);
	size_t i, n;

	if (url && events_url_check(x->self, x->arena, url, err) < 0)
		return -EINVAL;
	row->url = url ? url : row->url;
	row->description = json_get_str(x->body, "description", row->description);
	row->is_enabled = json_get_bool(x->body, "enabled", row->is_enabled);
	yyjson_arr_foreach(events, i, n, item)
	{
		if (!yyjson_is_str(item) || !is_pattern(yyjson_get_str(item), yyjson_get_len(item)))
			return error_set(err, "invalid_field",
					 "`events` must be names of events, or patterns such as factor.*");
	}
	if (events)
		row->events = json_val_text(x->arena, events).p;
	return 0;
}

#define HOOK_FIELDS                                                                            \
	{"description", JSON_STRING, .max = 400}, {"events", JSON_ARRAY, .max = PATTERNS_MAX}, \
	{                                                                                      \
		"enabled", JSON_BOOL                                                           \
	}

/* ---- POST ---- */

static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct hooks *s = (struct hooks *)job;
	const struct hook_row *h = &s->row;
	int64_t n, r;

	s->actor = actor_check_fresh(c, job->x, NULL);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	r = db_get_int(c, &n, "select count(*) from security_webhooks");
	s->is_full = r == 1 && n >= WEBHOOKS_MAX;
	if (r < 0 || s->is_full)
		return (int)MIN(r, 0);
	r = db_exec(c,
		    "insert into security_webhooks (id, url, description, secret, events, enabled, created_at, "
		    "updated_at) values (?, ?, ?, ?, ?, ?, ?, ?)",
		    DB_TEXT(h->id), DB_TEXT(h->url), DB_TEXT(h->description), DB_TEXT(h->secret), DB_TEXT(h->events),
		    DB_INT(h->is_enabled), DB_INT(h->created_at), DB_INT(h->updated_at));
	s->root = json_new_obj(job->x->arena, &s->doc);
	add(s->doc, s->root, h);
	json_add_str(s->doc, s->root, "secret", s->secret);
	return r < 0 ? (int)r : audit_add(c, job->x->self, &s->event);
}

void webhooks_create(struct exchange *x)
{
	static const struct json_field fields[] = {{"url", JSON_STRING, .required = true, .max = 500}, HOOK_FIELDS};
	const struct auth *auth = x->self;
	struct hooks *s = begin(x, ACT_CREATE, create_run);
	char *id = arena_alloc(x->arena, ID_SIZE);
	struct error err = {0};

	id_new(id);
	s->row = (struct hook_row){.id = id, .description = "", .events = "[]", .is_enabled = true};
	s->row.created_at = s->row.updated_at = clock_now_us();
	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0 || take(x, &s->row, &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	webhook_secret_new(s->secret);
	s->row.secret = oauth_seal(auth->oauth, x->arena, events_secret_context(x->arena, id), str_of(s->secret));
	audit_event_of(x, "webhook.created", &s->event);
	s->event.target = arena_printf(x->arena, "webhook:%s", id);
	exchange_write(auth->db, &s->job);
}

/* ---- PATCH ---- */

static int change_run(struct db_conn *c, struct exchange_job *job)
{
	struct hooks *s = (struct hooks *)job;
	struct hook_row *h = &s->row;
	int64_t r;

	s->actor = actor_check_fresh(c, job->x, NULL);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	r = load(c, s);
	if (r < 0)
		return (int)r;
	h->description = json_get_str(job->x->body, "description", h->description);
	h->is_enabled = json_get_bool(job->x->body, "enabled", h->is_enabled);
	if (json_get_arr(job->x->body, "events"))
		h->events = json_val_text(job->x->arena, json_get_arr(job->x->body, "events")).p;
	h->updated_at = clock_now_us();
	r = db_exec(
		c, "update security_webhooks set description = ?, events = ?, enabled = ?, updated_at = ? where id = ?",
		DB_TEXT(h->description), DB_TEXT(h->events), DB_INT(h->is_enabled), DB_INT(h->updated_at),
		DB_TEXT(h->id));
	add(s->doc, json_new_obj(job->x->arena, &s->doc), h);
	return r < 0 ? (int)r : audit_add(c, job->x->self, &s->event);
}

void webhooks_patch(struct exchange *x)
{
	static const struct json_field fields[] = {HOOK_FIELDS};
	const struct auth *auth = x->self;
	struct hooks *s = begin(x, ACT_CHANGE, change_run);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0 || take(x, &s->row, &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	audit_event_of(x, "webhook.changed", &s->event);
	s->event.target = arena_printf(x->arena, "webhook:%.36s", s->id);
	exchange_write(auth->db, &s->job);
}

/* ---- DELETE ---- */

static int remove_run(struct db_conn *c, struct exchange_job *job)
{
	struct hooks *s = (struct hooks *)job;
	int64_t r;

	s->actor = actor_check_fresh(c, job->x, NULL);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	r = db_exec(c, "delete from security_deliveries where webhook_id = ?", DB_TEXT(s->id));
	if (r >= 0)
		r = db_exec(c, "delete from security_webhooks where id = ?", DB_TEXT(s->id));
	if (r <= 0)
		return r < 0 ? (int)r : -ENOENT;
	return audit_add(c, job->x->self, &s->event);
}

void webhooks_delete(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct hooks *s = begin(x, ACT_REMOVE, remove_run);

	audit_event_of(x, "webhook.removed", &s->event);
	s->event.target = arena_printf(x->arena, "webhook:%.36s", s->id);
	exchange_write(auth->db, &s->job);
}

/* ---- POST …/test ---- */

static int test_run(struct db_conn *c, struct exchange_job *job)
{
	struct hooks *s = (struct hooks *)job;
	int r;

	s->actor = actor_check(c, job->x, NULL);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	r = load(c, s);
	return r < 0 ? r : events_add_one(c, job->x->self, s->id, &s->event, clock_now_us());
}

void webhooks_test(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct hooks *s = begin(x, ACT_TEST, test_run);

	audit_event_of(x, "webhook.test", &s->event);
	s->event.target = arena_printf(x->arena, "webhook:%.36s", s->id);
	exchange_write(auth->db, &s->job);
}

/* ---- GET …/deliveries ---- */

static int log_run(struct db_conn *c, struct exchange_job *job)
{
	struct hooks *s = (struct hooks *)job;
	struct arena *a = job->x->arena;
	_cleanup_(db_done_p) struct db_stmt *st = NULL;
	yyjson_mut_val *items, *item;
	const char *last = NULL;
	int64_t n = 0;
	int r;

	s->actor = actor_check(c, job->x, NULL);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	r = load(c, s);
	if (r < 0)
		return r;
	s->root = json_new_obj(a, &s->doc);
	items = yyjson_mut_obj_add_arr(s->doc, s->root, "items");
	st = db_query(c,
		      "select id, event, state, tries, status, error, created_at, next_at, ended_at from "
		      "security_deliveries where webhook_id = ? and id < ? order by id desc limit ?",
		      DB_TEXT(s->id), DB_TEXT(s->page.after ? s->page.after : "z"), DB_INT(s->page.limit + 1));
	while ((r = db_step(c, st)) == 1 && n++ < s->page.limit) {
		bool is_open = str_is(db_col_str(st, 2), "waiting");

		item = yyjson_mut_arr_add_obj(s->doc, items);
		last = db_col_dup(st, 0, a);
		json_add_str(s->doc, item, "id", last);
		json_add_str(s->doc, item, "event", db_col_dup(st, 1, a));
		json_add_str(s->doc, item, "state", db_col_dup(st, 2, a));
		yyjson_mut_obj_add_int(s->doc, item, "tries", db_col_int(st, 3));
		if (db_col_is_null(st, 4))
			yyjson_mut_obj_add_null(s->doc, item, "status");
		else
			yyjson_mut_obj_add_int(s->doc, item, "status", db_col_int(st, 4));
		json_add_str(s->doc, item, "error", db_col_dup(st, 5, a));
		json_add_time(s->doc, item, "created_at", db_col_int(st, 6));
		json_add_time(s->doc, item, "next_at", is_open ? db_col_int(st, 7) : 0);
		json_add_time(s->doc, item, "ended_at", db_col_int(st, 8));
	}
	json_add_str(s->doc, s->root, "next", r == 1 ? page_cursor(a, last) : NULL);
	return MIN(r, 0);
}

void webhooks_deliveries(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct hooks *s = begin(x, ACT_LOG, log_run);

	if (page_read(x, &s->page))
		exchange_read(auth->db, &s->job);
}
