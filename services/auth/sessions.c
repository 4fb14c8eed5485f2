#include "sessions.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/id.h"
#include "feed.h"
#include "guard.h"

#define KEEP_US (30 * 24 * 3600 * INT64_C(1000000)) /* after its end, so that a late token still tells of a theft */
#define SWEEP_EVERY 256                             /* new sessions, on average */

/* Sessions that ended a while ago go now and then, in the transaction of a new one. */
static int sweep(struct db_conn *c, int64_t now)
{
	int64_t limit = now - KEEP_US, r;

	if (randombytes_uniform(SWEEP_EVERY))
		return 0;
	r = db_exec(c, "delete from sessions where ends_at < ? or idle_ends_at < ? or revoked_at < ?", DB_INT(limit),
		    DB_INT(limit), DB_INT(limit));
	return MIN(r, 0);
}

int session_create(struct db_conn *c, const struct auth *auth, struct arena *a, const char *user_id,
		   const struct client *client, struct session_grant *ret)
{
	int64_t now = clock_now_us(), ends = now + auth->session_max_us, idle = now + auth->session_idle_us;
	struct session_grant grant = {.token.counter = 1, .idle_ends_at = MIN(ends, idle), .is_new = true};
	int64_t r;

	id_new(grant.token.session_id);
	r = db_exec(c,
		    "insert into sessions (id, user_id, counter, rotated_at, created_at, ends_at, idle_ends_at, "
		    "client, address, user_agent, authenticated_at) values (?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?)",
		    DB_TEXT(grant.token.session_id), DB_TEXT(user_id), DB_INT(now), DB_INT(now), DB_INT(ends),
		    DB_INT(grant.idle_ends_at),
		    DB_TEXT(client->is_oauth ? SESSION_OAUTH
			    : client->is_web ? "web"
					     : "api"),
		    DB_TEXT(client->address), DB_TEXT(client->user_agent), DB_INT(client->is_oauth ? 0 : now));
	if (r >= 0)
		r = sweep(c, now);
	if (r < 0)
		return r;
	r = account_load(c, a, user_id, &grant.account);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	*ret = grant;
	return 0;
}

int session_revoke(struct db_conn *c, const char *session_id, const char *reason)
{
	int64_t r =
		db_exec(c, "update sessions set revoked_at = ?, revoked_reason = ? where id = ? and revoked_at is null",
			DB_INT(clock_now_us()), DB_TEXT(reason), DB_TEXT(session_id));

	return r == 1 ? feed_add_session(c, session_id, reason) : (int)MIN(r, 0);
}

int session_revoke_all(struct db_conn *c, const char *user_id, const char *reason)
{
	int64_t r = db_exec(
		c, "update sessions set revoked_at = ?, revoked_reason = ? where user_id = ? and revoked_at is null",
		DB_INT(clock_now_us()), DB_TEXT(reason), DB_TEXT(user_id));

	return MIN(r, 0);
}

int session_revoke_others(struct db_conn *c, const char *user_id, const char *but, const char *reason)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct open_session {
		struct open_session *next;
		const char *id;
	} *open = NULL, *s;
	struct db_stmt *st = db_query(c, "select id from sessions where user_id = ? and revoked_at is null and id <> ?",
				      DB_TEXT(user_id), DB_TEXT(but ? but : ""));
	int r, n = 0;

	while ((r = db_step(c, st)) == 1) {
		s = arena_new_of(a, struct open_session);
		*s = (struct open_session){open, db_col_dup(st, 0, a)};
		open = s;
	}
	db_done(st);
	for (s = open; r == 0 && s; s = s->next, n++)
		r = session_revoke(c, s->id, reason);
	return r < 0 ? r : n;
}

int actor_check_fresh(struct db_conn *c, struct exchange *x, struct account *ret)
{
	int64_t one;
	int state = actor_check(c, x, ret), r;

	if (state != ACTOR_OK)
		return state;
	if (x->who.is_scoped || (x->who.client_id && *x->who.client_id))
		return ACTOR_STALE;
	if (!x->who.session_id || !*x->who.session_id)
		return ACTOR_OK;
	r = db_get_int(c, &one, "select 1 from sessions where id = ? and authenticated_at > ?",
		       DB_TEXT(x->who.session_id), DB_INT(clock_now_us() - SESSION_FRESH_US));
	return r < 0 ? r : r == 1 ? ACTOR_OK : ACTOR_STALE;
}

const char *session_of_cookie(struct exchange *x, const struct client *client)
{
	const struct auth *auth = x->self;
	const char *cookie = client->is_web ? client_cookie(x, client) : NULL;
	struct refresh_token token;

	if (!cookie || refresh_token_parse(&auth->refresh_key, str_of(cookie), &token) < 0)
		return NULL;
	return arena_strdup(x->arena, token.session_id);
}

const char *session_client_token(const struct auth *auth, struct arena *a, const struct account *account,
				 const char *session_id, int64_t life_s, const struct token_client *client)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *claims = json_new_obj(a, &doc);
	int64_t now = clock_now_us() / 1000000;
	struct buf token = BUF_INIT;
	const char *text;
	char jti[ID_SIZE];

	id_new(jti);
	yyjson_mut_obj_add_str(doc, claims, "iss", TOKEN_ISSUER);
	json_add_str(doc, claims, "aud", client && client->audience ? client->audience : TOKEN_AUDIENCE);
	json_add_str(doc, claims, "sub", account->id);
	json_add_str(doc, claims, "name", account->name);
	json_add_str(doc, claims, "sid", session_id);
	yyjson_mut_obj_add_int(doc, claims, "pe", account->rights);
	account_add_names(doc, claims, "permissions", client ? client->permissions : account->permissions);
	account_add_names(doc, claims, "roles", account->roles);
	if (client) {
		json_add_str(doc, claims, "client_id", client->id);
		json_add_str(doc, claims, "scope", client->scope);
	}
	yyjson_mut_obj_add_int(doc, claims, "iat", now);
	yyjson_mut_obj_add_int(doc, claims, "exp", now + life_s);
	json_add_str(doc, claims, "jti", jti);
	token_sign(&auth->key, json_text(a, doc), &token);
	text = arena_strndup(a, token.p, token.n);
	buf_deinit(&token);
	return text;
}

const char *session_access_token(const struct auth *auth, struct arena *a, const struct account *account,
				 const char *session_id, int64_t life_s)
{
	return session_client_token(auth, a, account, session_id, life_s, NULL);
}

void session_add_access_token(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct auth *auth, struct arena *a,
			      const struct account *account, const char *session_id, int64_t life_s)
{
	json_add_str(doc, obj, "access_token", session_access_token(auth, a, account, session_id, life_s));
	yyjson_mut_obj_add_str(doc, obj, "token_type", "Bearer");
	yyjson_mut_obj_add_int(doc, obj, "expires_in", life_s);
}

void session_reply(struct exchange *x, int status, const struct client *client, const struct session_grant *grant)
{
	const struct auth *auth = x->self;
	char refresh[REFRESH_TOKEN_SIZE], email_key[EMAIL_SIZE];
	int64_t left_s = (grant->idle_ends_at - clock_now_us()) / 1000000; /* no token outlives the session */
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	refresh_token_format(&auth->refresh_key, &grant->token, refresh);
	session_add_access_token(doc, obj, auth, x->arena, &grant->account, grant->token.session_id,
				 MAX(MIN(auth->access_s, left_s), 1));
	if (client->is_web)
		client_set_cookie(x, client, refresh, left_s);
	else
		json_add_str(doc, obj, "refresh_token", refresh);
	if (grant->is_new && grant->account.email && email_canonical(str_of(grant->account.email), email_key) == 0)
		guard_set_device(x, client, email_key);
	account_add_me(doc, yyjson_mut_obj_add_obj(doc, obj, "user"), &grant->account);
	reply_header(x, "Cache-Control", "no-store");
	reply_json(x, status, doc);
}
