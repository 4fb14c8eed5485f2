/* The sessions that are open: one's own (/api/auth/sessions) and, for administrators, anybody's
 * (/api/users/{id}/sessions). Ending others than the present one needs a password given a short while ago. */
#include "audit/audit.h"
#include "base/clock.h"
#include "feed.h"
#include "handlers.h"
#include "sessions.h"
#include "users.h"

#define MOST 500 /* of one list, newest first */

struct session_item {
	const char *id, *client, *address, *user_agent;
	int64_t created_at, used_at, authenticated_at, ends_at;
};

struct session_job {
	struct exchange_job job;
	const char *user_id; /* whose */
	const char *id;      /* the one to be ended; NULL: all others */
	bool is_admin, is_ending, is_found;
	int actor;
	struct session_item *items;
	int n;
};

static bool is_present(const struct session_job *s, const char *id)
{
	const char *own = s->job.x->who.session_id;

	return own && !strcmp(own, id);
}

/* Sets whose sessions are meant. Returns 1, 0 (s->actor or is_found says why not) or -errno. */
static int begin(struct db_conn *c, struct session_job *s)
{
	struct exchange *x = s->job.x;
	bool needs_fresh = s->is_ending && !(s->id && is_present(s, s->id));
	struct account account;
	int64_t one;

	s->actor = needs_fresh ? actor_check_fresh(c, x, &account) : actor_check(c, x, &account);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	s->is_found = true;
	if (!s->is_admin) {
		s->user_id = account.id;
		return 1;
	}
	s->is_found = db_get_int(c, &one, "select 1 from users where id = ?", DB_TEXT(s->user_id)) == 1;
	return s->is_found;
}

static int load(struct db_conn *c, struct session_job *s)
{
	struct arena *a = s->job.x->arena;
	int64_t now = clock_now_us();
	struct db_stmt *st =
		db_query(c,
			 "select id, client, address, user_agent, created_at, rotated_at, authenticated_at, "
			 "idle_ends_at from sessions where user_id = ? and revoked_at is null and ends_at > ? and "
			 "idle_ends_at > ? order by rotated_at desc, id desc limit ?",
			 DB_TEXT(s->user_id), DB_INT(now), DB_INT(now), DB_INT(MOST));
	int r;

	s->items = arena_alloc(a, MOST * sizeof(*s->items));
	for (s->n = 0; (r = db_step(c, st)) == 1; s->n++)
		s->items[s->n] = (struct session_item){
			.id = db_col_dup(st, 0, a),
			.client = db_col_dup(st, 1, a),
			.address = db_col_dup(st, 2, a),
			.user_agent = db_col_dup(st, 3, a),
			.created_at = db_col_int(st, 4),
			.used_at = db_col_int(st, 5),
			.authenticated_at = db_col_int(st, 6),
			.ends_at = db_col_int(st, 7),
		};
	db_done(st);
	return r;
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct session_job *s = (struct session_job *)job;
	int r = begin(c, s);

	return r == 1 ? load(c, s) : r;
}

static int end_run(struct db_conn *c, struct exchange_job *job)
{
	struct session_job *s = (struct session_job *)job;
	int64_t one;
	int r = begin(c, s);

	if (r != 1)
		return r;
	if (!s->id) {
		r = session_revoke_others(c, s->user_id, s->is_admin ? NULL : job->x->who.session_id, "ended");
		return MIN(r, 0);
	}
	r = db_get_int(c, &one, "select 1 from sessions where id = ? and user_id = ? and revoked_at is null",
		       DB_TEXT(s->id), DB_TEXT(s->user_id));
	s->is_found = r == 1;
	return r == 1 ? session_revoke(c, s->id, "ended") : r;
}

static void reply_list(struct session_job *s)
{
	struct exchange *x = s->job.x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items"), *item;

	for (int i = 0; i < s->n; i++) {
		const struct session_item *from = &s->items[i];

		item = yyjson_mut_arr_add_obj(doc, items);
		json_add_str(doc, item, "id", from->id);
		json_add_str(doc, item, "client", from->client);
		json_add_str(doc, item, "address", from->address);
		json_add_str(doc, item, "user_agent", from->user_agent);
		yyjson_mut_obj_add_bool(doc, item, "current", is_present(s, from->id));
		json_add_time(doc, item, "created_at", from->created_at);
		json_add_time(doc, item, "used_at", from->used_at);
		json_add_time(doc, item, "authenticated_at", from->authenticated_at);
		json_add_time(doc, item, "ends_at", from->ends_at);
	}
	yyjson_mut_obj_add_null(doc, obj, "next");
	reply_header(x, "Cache-Control", "no-store");
	reply_json(x, 200, doc);
}

static void on_done(struct exchange_job *job)
{
	struct session_job *s = (struct session_job *)job;
	struct exchange *x = job->x;

	if (s->actor != ACTOR_OK) {
		actor_refuse(x, s->actor);
	} else if (!s->is_found) {
		reply_problem(x, 404, "not_found", s->id ? "There is no such session." : "There is no such user.");
	} else if (!s->is_ending) {
		reply_list(s);
	} else {
		if (s->id)
			audit_act(x, "session.ended", AUDIT_SUCCESS, NULL, "session", s->id);
		else
			audit_act(x, "session.others_ended", AUDIT_SUCCESS, NULL, "user", s->user_id);
		feed_wake(x->self);
		reply_empty(x, 204);
	}
}

static void start(struct exchange *x, bool is_admin, bool is_ending, const char *id)
{
	const struct auth *auth = x->self;
	struct session_job *s = arena_new_of(x->arena, struct session_job);

	s->is_admin = is_admin;
	s->is_ending = is_ending;
	s->id = id;
	s->user_id = is_admin ? x->params[0].p : NULL;
	s->job = (struct exchange_job){.x = x, .run = is_ending ? end_run : list_run, .done_ok = on_done};
	if (is_ending)
		exchange_write(auth->db, &s->job);
	else
		exchange_read(auth->db, &s->job);
}

void sessions_list(struct exchange *x)
{
	start(x, false, false, NULL);
}

void sessions_end(struct exchange *x)
{
	start(x, false, true, x->params[0].p);
}

void sessions_end_others(struct exchange *x)
{
	start(x, false, true, NULL);
}

void users_sessions_list(struct exchange *x)
{
	start(x, true, false, NULL);
}

void users_sessions_end(struct exchange *x)
{
	start(x, true, true, x->params[1].p);
}

void users_sessions_end_all(struct exchange *x)
{
	start(x, true, true, NULL);
}
