/* The rotation of refresh tokens. A session is one counter; a refresh token says which value it stands for. The test
 * whether a token is the newest is the UPDATE that makes the next one: of many at once exactly one changes the row. The
 * others find themselves one behind and, within the grace time, get the same successor (its text follows from the
 * counter). A token further behind, or one behind later, has been copied: the whole family ends. */
#include "sessions.h"

#include "base/clock.h"

/* The session as the database has it. */
struct session_row {
	const char *user_id;
	int64_t counter, rotated_at, ends_at, idle_ends_at;
	bool is_revoked, is_oauth;
};

static int session_load(struct db_conn *c, struct arena *a, const char *id, struct session_row *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c,
			 "select user_id, counter, rotated_at, ends_at, idle_ends_at, revoked_at, client "
			 "from sessions where id = ?",
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
			.is_oauth = str_is(db_col_str(st, 6), SESSION_OAUTH),
		};
	return r;
}

static int64_t rotate(struct db_conn *c, const struct auth *auth, const struct refresh_token *token, bool is_oauth,
		      int64_t now)
{
	return db_exec(c,
		       "update sessions set counter = counter + 1, rotated_at = ?, "
		       "idle_ends_at = case when ends_at < ? then ends_at else ? end "
		       "where id = ? and counter = ? and revoked_at is null and ends_at > ? and idle_ends_at > ? "
		       "and case when client = 'oauth' then 1 else 0 end = ?",
		       DB_INT(now), DB_INT(now + auth->session_idle_us), DB_INT(now + auth->session_idle_us),
		       DB_TEXT(token->session_id), DB_INT(token->counter), DB_INT(now), DB_INT(now), DB_INT(is_oauth));
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

static int grant(struct db_conn *c, struct arena *a, const struct session_row *row, const struct refresh_token *token,
		 enum refresh_outcome *ret, struct session_grant *ret_grant)
{
	int r = account_load(c, a, row->user_id, &ret_grant->account);

	if (r < 0)
		return r;
	if (r == 0 || ret_grant->account.disabled) {
		*ret = REFRESH_REFUSED;
		return session_revoke(c, token->session_id, "user_disabled");
	}
	ret_grant->token = *token;
	ret_grant->token.counter = row->counter;
	ret_grant->idle_ends_at = row->idle_ends_at;
	return 0;
}

int session_rotate(struct db_conn *c, const struct auth *auth, struct arena *a, const struct refresh_token *token,
		   bool is_oauth, enum refresh_outcome *ret, struct session_grant *ret_grant)
{
	int64_t now = clock_now_us(), rotated = rotate(c, auth, token, is_oauth, now);
	struct session_row row = {0};
	int r;

	if (rotated < 0)
		return (int)rotated;
	r = session_load(c, a, token->session_id, &row);
	if (r < 0)
		return r;
	if (r == 0 || row.is_oauth != is_oauth)
		*ret = REFRESH_REFUSED;
	else
		*ret = rotated == 1 ? REFRESH_GRANTED : judge(auth, &row, token->counter, now);
	switch (*ret) {
	case REFRESH_GRANTED: return grant(c, a, &row, token, ret, ret_grant);
	case REFRESH_REUSED: return session_revoke(c, token->session_id, "refresh_reuse");
	case REFRESH_REFUSED: break;
	}
	return 0;
}
