#include "feed.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "account.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "handlers.h"
#include "service/revocation.h"

#define PAGE "1000"
#define WAIT_MAX_MS 30000
#define POLL_MS 250                            /* what other auth processes on the same server do */
#define KEEP_US (25 * 3600 * INT64_C(1000000)) /* longer than any token lives */
#define SWEEP_EVERY 64                         /* rows, on average */
#define GRACE_S 60                             /* added to a token's life */

/* ---- What is revoked ---- */

static int sweep(struct db_conn *c, int64_t now)
{
	int64_t r = 0;

	if (!randombytes_uniform(SWEEP_EVERY))
		r = db_exec(c, "delete from revocations where revoked_at < ?", DB_INT(now - KEEP_US));
	return (int)MIN(r, 0);
}

static int add(struct db_conn *c, const char *kind, const char *subject, int64_t rights, const char *permissions,
	       const char *reason)
{
	int64_t number, now = clock_now_us();
	int64_t r = db_exec(c, "update revocation_counter set newest = newest + 1 where id = 1");

	if (r >= 0)
		r = db_get_int(c, &number, "select newest from revocation_counter where id = 1");
	if (r == 1)
		r = db_exec(c,
			    "insert into revocations (number, kind, subject, rights, permissions, reason, revoked_at) "
			    "values (?, ?, ?, ?, ?, ?, ?)",
			    DB_INT(number), DB_TEXT(kind), DB_TEXT(subject), DB_INT(rights), DB_TEXT(permissions),
			    DB_TEXT(reason), DB_INT(now));
	return r < 0 ? (int)r : sweep(c, now);
}

int feed_add_session(struct db_conn *c, const char *session_id, const char *reason)
{
	return add(c, "session", session_id, 0, NULL, reason);
}

int feed_add_token(struct db_conn *c, const char *token_id, const char *reason)
{
	return add(c, "token", token_id, 0, NULL, reason);
}

int feed_add_user(struct db_conn *c, const char *user_id, const char *reason)
{
	int64_t rights;
	int r = db_get_int(c, &rights, "select permission_epoch from users where id = ?", DB_TEXT(user_id));

	if (r < 0)
		return r;
	return add(c, "user", user_id, r ? rights : RIGHTS_GONE, NULL, reason);
}

int feed_add_rights(struct db_conn *c, const char *user_id)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct account account;
	yyjson_mut_doc *doc;
	yyjson_mut_val *list;
	int r = account_load(c, a, user_id, &account);

	if (r <= 0)
		return r;
	json_new_obj(a, &doc);
	list = yyjson_mut_arr(doc);
	for (const char **p = account.permissions; *p; p++)
		yyjson_mut_arr_add_str(doc, list, *p);
	yyjson_mut_doc_set_root(doc, list);
	return add(c, "user", user_id, account.rights, json_text(a, doc).p, "rights_changed");
}

int feed_add_role(struct db_conn *c, const char *role_id)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct member {
		struct member *next;
		const char *id;
	} *members = NULL;
	struct db_stmt *st;
	int64_t r = db_exec(c,
			    "update users set permission_epoch = permission_epoch + 1 where id in "
			    "(select user_id from user_roles where role_id = ?)",
			    DB_TEXT(role_id));

	if (r < 0)
		return (int)r;
	st = db_query(c, "select user_id from user_roles where role_id = ?", DB_TEXT(role_id));
	while ((r = db_step(c, st)) == 1) {
		struct member *m = arena_new_of(a, struct member);

		*m = (struct member){members, db_col_dup(st, 0, a)};
		members = m;
	}
	db_done(st);
	for (; r == 0 && members; members = members->next)
		r = feed_add_rights(c, members->id);
	return (int)r;
}

/* ---- Who follows ---- */

/* One GET /revocations. */
struct follower {
	struct exchange_job job;
	struct list link;         /* in auth.followers while it waits */
	struct deadline deadline; /* of the wait */
	int64_t after, newest;
	uint64_t wakes; /* of auth when its job began */
	bool has_waited;
	struct buf items; /* JSON, in the arena's care */
	unsigned n;
};

static void look(struct follower *f);

static void add_item(struct follower *f, struct db_stmt *st)
{
	buf_printf(&f->items, "%s{\"number\":%" PRId64 ",\"kind\":", f->n++ ? "," : "", db_col_int(st, 0));
	json_quote(&f->items, db_col_str(st, 1));
	buf_add_str(&f->items, ",\"subject\":");
	json_quote(&f->items, db_col_str(st, 2));
	buf_printf(&f->items, ",\"rights\":%" PRId64 ",\"reason\":", db_col_int(st, 3));
	json_quote(&f->items, db_col_str(st, 4));
	buf_printf(&f->items, ",\"at_us\":%" PRId64, db_col_int(st, 5));
	if (!db_col_is_null(st, 6))
		buf_printf(&f->items, ",\"permissions\":%.*s", STR_ARG(db_col_str(st, 6)));
	buf_add_char(&f->items, '}');
}

/* Those that a token could still fall under. */
static int look_run(struct db_conn *c, struct exchange_job *job)
{
	struct follower *f = (struct follower *)job;
	const struct auth *auth = job->x->self;
	int64_t from = clock_now_us() - (auth->access_s + GRACE_S) * 1000000;
	struct db_stmt *st;
	int r;

	f->n = 0;
	buf_clear(&f->items);
	r = db_get_int(c, &f->newest, "select newest from revocation_counter where id = 1");
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	st = db_query(c,
		      "select number, kind, subject, rights, reason, revoked_at, permissions from revocations "
		      "where number > ? and revoked_at > ? order by number limit " PAGE,
		      DB_INT(f->after), DB_INT(from));
	while ((r = db_step(c, st)) == 1)
		add_item(f, st);
	db_done(st);
	return r;
}

static void answer(struct follower *f)
{
	const struct auth *auth = f->job.x->self;
	struct buf text = BUF_INIT;

	buf_printf(&text, "{\"newest\":%" PRId64 ",\"window_s\":%" PRId64 ",\"items\":[%.*s]}", f->newest,
		   auth->access_s + GRACE_S, STR_ARG(buf_str(&f->items)));
	reply_header(f->job.x, "Cache-Control", "no-store");
	reply_raw_json(f->job.x, 200, arena_str(f->job.x->arena, buf_str(&text)));
	buf_deinit(&text);
	buf_deinit(&f->items);
	f->items = BUF_INIT;
}

static void wait(struct auth *auth, struct follower *f)
{
	list_append(&auth->followers, &f->link);
	if (!auth->is_polling && strcmp(db_url_dialect(auth->db), "sqlite")) {
		auth->is_polling = true;
		deadline_set(service_wheel(auth->service), &auth->follower_poll, POLL_MS);
	}
}

static void look_done(struct exchange_job *job, int result)
{
	struct follower *f = (struct follower *)job;
	struct auth *auth = job->x->self;

	if (!job->x->req || result < 0) {
		deadline_clear(&f->deadline);
		buf_deinit(&f->items);
		f->items = BUF_INIT;
		if (result < 0)
			reply_db_failure(job->x, result);
		return;
	}
	if (f->n || f->newest < f->after || f->has_waited || service_is_draining(auth->service)) {
		deadline_clear(&f->deadline);
		answer(f);
	} else if (f->wakes != auth->follower_wakes) {
		look(f); /* something was committed since */
	} else {
		wait(auth, f);
	}
}

static void look(struct follower *f)
{
	struct auth *auth = f->job.x->self;

	f->wakes = auth->follower_wakes;
	f->job = (struct exchange_job){.x = f->job.x, .run = look_run, .done = look_done};
	exchange_read(auth->db, &f->job);
}

static void stop_waiting(struct follower *f)
{
	list_remove(&f->link);
	deadline_clear(&f->deadline);
}

static void on_deadline(struct deadline *d)
{
	struct follower *f = container_of(d, struct follower, deadline);

	f->has_waited = true;
	if (list_is_empty(&f->link))
		return; /* its job is under way, and answers */
	stop_waiting(f);
	answer(f);
}

static void on_gone(struct exchange *x)
{
	struct follower *f = x->data;

	stop_waiting(f);
	buf_deinit(&f->items);
	f->items = BUF_INIT;
}

/* Returns false when it is no number. */
static bool read_number(struct exchange *x, const char *name, uint64_t max, uint64_t *ret)
{
	const char *text = http_query_get(x->arena, x->req->query, name);

	*ret = 0;
	if (!text || str_to_u64(str_of(text), max, ret) == 0)
		return true;
	reply_problem(x, 400, "bad_request", "%s is a number.", name);
	return false;
}

void auth_revocations(struct exchange *x)
{
	struct follower *f = arena_new_of(x->arena, struct follower);
	uint64_t after, wait_ms;

	if (!read_number(x, "after", INT64_MAX, &after) || !read_number(x, "wait_ms", WAIT_MAX_MS, &wait_ms))
		return;
	if (service_is_draining(x->service)) {
		reply_problem(x, 503, "unavailable", "This service is about to stop.");
		return;
	}
	x->data = f;
	x->on_gone = on_gone;
	f->job.x = x;
	f->after = (int64_t)after;
	f->has_waited = !wait_ms;
	list_init(&f->link);
	deadline_init(&f->deadline, on_deadline);
	if (wait_ms)
		deadline_set(service_wheel(x->service), &f->deadline, wait_ms);
	look(f);
}

/* ---- Word to those who wait ---- */

void feed_wake(struct auth *auth)
{
	struct list waiting;

	auth->follower_wakes++;
	list_init(&waiting);
	list_splice(&waiting, &auth->followers);
	while (!list_is_empty(&waiting)) {
		struct follower *f = list_first(&waiting, struct follower, link);

		list_remove(&f->link);
		look(f);
	}
}

/* Other processes on the same server tell nobody here. */
struct poll_job {
	struct db_job db;
	struct auth *auth;
	int64_t newest;
};

static int poll_run(struct db_conn *c, struct db_job *job)
{
	struct poll_job *p = container_of(job, struct poll_job, db);

	return error_only(db_get_int(c, &p->newest, "select newest from revocation_counter where id = 1"));
}

static void poll_done(struct db_job *job, int result)
{
	struct poll_job *p = container_of(job, struct poll_job, db);
	struct auth *auth = p->auth;

	if (result == 0 && p->newest != auth->polled_newest) {
		auth->polled_newest = p->newest;
		feed_wake(auth);
	}
	/* It ends when nobody waits; whoever waits next begins it anew. */
	auth->is_polling = !list_is_empty(&auth->followers) && !service_is_draining(auth->service);
	if (auth->is_polling)
		deadline_set(service_wheel(auth->service), &auth->follower_poll, POLL_MS);
	free(p);
}

static void on_poll(struct deadline *d)
{
	struct auth *auth = container_of(d, struct auth, follower_poll);
	struct poll_job *p = xcalloc(1, sizeof(*p));

	p->auth = auth;
	p->db.run = poll_run;
	p->db.done = poll_done;
	db_read(auth->db, &p->db);
}

void feed_init(struct auth *auth)
{
	list_init(&auth->followers);
	deadline_init(&auth->follower_poll, on_poll);
}

void feed_drain(struct auth *auth)
{
	deadline_clear(&auth->follower_poll);
	while (!list_is_empty(&auth->followers)) {
		struct follower *f = list_first(&auth->followers, struct follower, link);

		stop_waiting(f);
		answer(f);
	}
}
