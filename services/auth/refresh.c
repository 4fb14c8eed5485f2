/* POST /api/auth/refresh. A session is one counter; a refresh token says which value it stands for. The test whether a
 * token is the newest is the UPDATE that makes the next one: of many at once exactly one changes the row. The others
 * find themselves one behind and, within the grace time, get the same successor (its text follows from the counter). A
 * token further behind, or one behind later, has been copied: the whole family ends. */
#include "feed.h"
#include "handlers.h"
#include "sessions.h"

#include "base/clock.h"

enum refresh_outcome { REFRESH_GRANTED, REFRESH_REFUSED, REFRESH_REUSED };

struct refresh {
	struct exchange_job job;
	struct client client;
	bool by_cookie;
	struct refresh_token token;
	enum refresh_outcome outcome;
	struct session_grant grant;
};

/* The session as the database has it. */
struct session_row {
	const char *user_id;
	int64_t counter, rotated_at, ends_at, idle_ends_at;
	bool is_revoked;
};

static int session_load(struct db_conn *c, struct arena *a, const char *id, struct session_row *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c, "select user_id, counter, rotated_at, ends_at, idle_ends_at, revoked_at from sessions where id = ?",
		DB_TEXT(id));
	int r = db_step(c, st);

	if (r == 1)
		*ret = (struct session_row){
			.user_id = db_col_dup(st, 0, a),
			.counter = db_col_int(st, 1),
			.rotated_at = db_col_int(st, 2),
			.ends_at = db_col_int(st, 3),
			.idle_ends_at = db_col_int(st, 4),
			.is_revoked = !db_col_is_null(st, 5),
		};
	return r;
}

static int64_t rotate(struct db_conn *c, const struct auth *auth, const struct refresh_token *token, int64_t now)
{
	return db_exec(c,
		       "update sessions set counter = counter + 1, rotated_at = ?, "
		       "idle_ends_at = case when ends_at < ? then ends_at else ? end "
		       "where id = ? and counter = ? and revoked_at is null and ends_at > ? and idle_ends_at > ?",
		       DB_INT(now), DB_INT(now + auth->session_idle_us), DB_INT(now + auth->session_idle_us),
		       DB_TEXT(token->session_id), DB_INT(token->counter), DB_INT(now), DB_INT(now));
}

/* For a token that did not rotate its session. */
static enum refresh_outcome judge(const struct auth *auth, const struct session_row *row, uint32_t counter, int64_t now)
{
	if (row->is_revoked || row->ends_at <= now || row->idle_ends_at <= now || counter >= row->counter)
		return REFRESH_REFUSED;
	if (counter + 1 == row->counter && now - row->rotated_at <= auth->refresh_grace_us)
		return REFRESH_GRANTED;
	return REFRESH_REUSED;
}

static int grant(struct db_conn *c, struct refresh *f, const struct session_row *row)
{
	int r = account_load(c, f->job.x->arena, row->user_id, &f->grant.account);

	if (r < 0)
		return r;
	if (r == 0 || f->grant.account.disabled) {
		f->outcome = REFRESH_REFUSED;
		return session_revoke(c, f->token.session_id, "user_disabled");
	}
	f->grant.token = f->token;
	f->grant.token.counter = row->counter;
	f->grant.idle_ends_at = row->idle_ends_at;
	return 0;
}

static int refresh_run(struct db_conn *c, struct exchange_job *job)
{
	struct refresh *f = (struct refresh *)job;
	const struct auth *auth = job->x->self;
	int64_t now = clock_now_us(), rotated = rotate(c, auth, &f->token, now);
	struct session_row row = {0};
	int r;

	if (rotated < 0)
		return rotated;
	r = session_load(c, job->x->arena, f->token.session_id, &row);
	if (r < 0)
		return r;
	if (r == 0)
		f->outcome = REFRESH_REFUSED;
	else
		f->outcome = rotated == 1 ? REFRESH_GRANTED : judge(auth, &row, f->token.counter, now);
	switch (f->outcome) {
	case REFRESH_GRANTED: return grant(c, f, &row);
	case REFRESH_REUSED: return session_revoke(c, f->token.session_id, "refresh_reuse");
	case REFRESH_REFUSED: break;
	}
	return 0;
}

static void refuse(struct exchange *x, const struct client *client, bool by_cookie)
{
	if (by_cookie)
		client_set_cookie(x, client, NULL, 0);
	reply_header(x, "Cache-Control", "no-store");
	reply_problem(x, 401, "invalid_refresh_token", "The session has ended; sign in again.");
}

static void refresh_done(struct exchange_job *job)
{
	struct refresh *f = (struct refresh *)job;
	const struct auth *auth = job->x->self;

	metric_add(auth->metrics.refreshes[f->outcome], 1);
	if (f->outcome != REFRESH_GRANTED)
		feed_wake(job->x->self);
	if (f->outcome == REFRESH_GRANTED) {
		session_reply(job->x, 200, &f->client, &f->grant);
		return;
	}
	if (f->outcome == REFRESH_REUSED)
		log_event(LOG_WARN, "security event: a used refresh token came again, the session has ended", "event",
			  "refresh_reuse", "session_id", f->token.session_id, "address", f->client.address,
			  "request_id", job->x->request_id, NULL);
	refuse(job->x, &f->client, f->by_cookie);
}

void auth_refresh(struct exchange *x)
{
	static const struct json_field fields[] = {{"refresh_token", JSON_STRING, .max = 1024}};
	const struct auth *auth = x->self;
	struct refresh *f = arena_new_of(x->arena, struct refresh);
	const char *text = NULL;
	struct error err = {0};

	if (x->body && json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x))
		return;
	client_read(x, &f->client);
	if (x->body)
		text = json_get_str(x->body, "refresh_token", NULL);
	if (!text) {
		text = client_cookie(x, &f->client);
		f->by_cookie = text != NULL;
	}
	if (f->by_cookie && !f->client.is_web) {
		reply_problem(x, 403, "cross_site", "With the cookie, the header X-Ogent-Client: web is needed.");
		return;
	}
	if (!text || refresh_token_parse(&auth->refresh_key, str_of(text), &f->token) < 0) {
		refuse(x, &f->client, f->by_cookie);
		return;
	}
	f->job.x = x;
	f->job.run = refresh_run;
	f->job.done_ok = refresh_done;
	exchange_write(auth->db, &f->job);
}
