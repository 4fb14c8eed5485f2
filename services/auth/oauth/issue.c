#include "oauth/issue.h"

#include "base/clock.h"
#include "base/encode.h"

int oauth_grant_load(struct db_conn *c, struct arena *a, const char *session_id, struct oauth_grant *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c,
			 "select session_id, client_id, user_id, scope, resource, nonce, auth_time from oauth_grants "
			 "where session_id = ?",
			 DB_TEXT(session_id));
	int r = db_step(c, st);

	if (r == 1)
		*ret = (struct oauth_grant){
			.session_id = db_col_dup(st, 0, a),
			.client_id = db_col_dup(st, 1, a),
			.user_id = db_col_dup(st, 2, a),
			.scope = db_col_dup(st, 3, a),
			.resource = db_col_dup(st, 4, a),
			.nonce = db_col_dup(st, 5, a),
			.auth_time = db_col_int(st, 6),
		};
	return r;
}

#define ENDED_AT_ONCE 256

/* Some of the sessions that have not ended. Returns their number or -errno. */
static int find_sessions(struct db_conn *c, struct arena *a, const char *client_id, const char *user_id,
			 const char *ret_ids[static ENDED_AT_ONCE])
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c,
			 "select g.session_id from oauth_grants g join sessions s on s.id = g.session_id "
			 "where g.client_id = ? and (? = '' or g.user_id = ?) and s.revoked_at is null limit 256",
			 DB_TEXT(client_id), DB_TEXT(user_id), DB_TEXT(user_id));
	int n = 0, r;

	while ((r = db_step(c, st)) == 1)
		ret_ids[n++] = db_col_dup(st, 0, a);
	return r < 0 ? r : n;
}

int oauth_end_sessions(struct db_conn *c, struct arena *a, const char *client_id, const char *user_id,
		       const char *reason)
{
	const char *ids[ENDED_AT_ONCE];
	int n, r = 0;

	do {
		n = find_sessions(c, a, client_id, user_id ? user_id : "", ids);
		for (int i = 0; r == 0 && i < n; i++)
			r = session_revoke(c, ids[i], reason);
	} while (r == 0 && n == ENDED_AT_ONCE);
	return n < 0 ? n : r;
}

int oauth_forget_user(struct db_conn *c, const char *user_id)
{
	int64_t r = db_exec(c, "delete from oauth_codes where user_id = ?", DB_TEXT(user_id));

	if (r >= 0)
		r = db_exec(c, "delete from oauth_grants where user_id = ?", DB_TEXT(user_id));
	if (r >= 0)
		r = db_exec(c, "delete from oauth_consents where user_id = ?", DB_TEXT(user_id));
	return (int)MIN(r, 0);
}

/* The left half of the hash that belongs to the signature's algorithm: SHA-512 for Ed25519, else SHA-256 (OpenID
 * Connect Core section 3.1.3.6). */
static const char *half_hash(const struct token_key *key, struct arena *a, const char *token)
{
	uint8_t hash[crypto_hash_sha512_BYTES];
	bool is_long = !strncmp(token_key_alg(key), "Ed", 2);
	struct buf text = BUF_INIT;
	const char *copy;

	if (is_long)
		crypto_hash_sha512(hash, (const uint8_t *)token, strlen(token));
	else
		sha256(token, strlen(token), hash);
	base64url_encode(&text, hash, (is_long ? sizeof(hash) : SHA256_SIZE) / 2);
	copy = arena_strndup(a, text.p, text.n);
	buf_deinit(&text);
	return copy;
}

static const char *id_token(struct exchange *x, const struct oauth_grant *grant, const struct account *account,
			    const struct scope_list *scopes, const char *access_token)
{
	const struct auth *auth = x->self;
	int64_t now = clock_now_us() / 1000000;
	yyjson_mut_doc *doc;
	yyjson_mut_val *claims = json_new_obj(x->arena, &doc);
	struct buf token = BUF_INIT;
	const char *text;

	json_add_str(doc, claims, "iss", service_public_url(x->service));
	json_add_str(doc, claims, "sub", account->id);
	json_add_str(doc, claims, "aud", grant->client_id);
	yyjson_mut_obj_add_int(doc, claims, "iat", now);
	yyjson_mut_obj_add_int(doc, claims, "exp", now + auth->access_s);
	yyjson_mut_obj_add_int(doc, claims, "auth_time", grant->auth_time);
	json_add_str(doc, claims, "sid", grant->session_id);
	json_add_str(doc, claims, "at_hash", half_hash(&auth->key, x->arena, access_token));
	if (grant->nonce)
		json_add_str(doc, claims, "nonce", grant->nonce);
	if (scope_has(scopes, "profile"))
		json_add_str(doc, claims, "name", account->name);
	if (scope_has(scopes, "email") && account->email)
		json_add_str(doc, claims, "email", account->email);
	token_sign_as(&auth->key, "JWT", json_text(x->arena, doc), &token);
	text = arena_strndup(x->arena, token.p, token.n);
	buf_deinit(&token);
	return text;
}

void oauth_reply_tokens(struct exchange *x, const struct oauth_grant *grant, const struct session_grant *session,
			const char *scope)
{
	const struct auth *auth = x->self;
	const struct account *account = &session->account;
	/* No token outlives the session. */
	int64_t left_s = (session->idle_ends_at - clock_now_us()) / 1000000,
		life_s = MAX(MIN(auth->access_s, left_s), 1);
	char refresh[REFRESH_TOKEN_SIZE];
	struct scope_list scopes;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);
	const char *access;

	scope_read(scope, &scopes);
	access = session_client_token(auth, x->arena, account, grant->session_id, life_s,
				      &(struct token_client){
					      .id = grant->client_id,
					      .scope = scope,
					      .audience = grant->resource,
					      .permissions = scope_permissions(x->arena, &scopes, account->permissions),
				      });
	refresh_token_format(&auth->refresh_key, &session->token, refresh);
	json_add_str(doc, obj, "access_token", access);
	yyjson_mut_obj_add_str(doc, obj, "token_type", "Bearer");
	yyjson_mut_obj_add_int(doc, obj, "expires_in", life_s);
	json_add_str(doc, obj, "refresh_token", refresh);
	json_add_str(doc, obj, "scope", scope);
	if (scope_has(&scopes, "openid"))
		json_add_str(doc, obj, "id_token", id_token(x, grant, account, &scopes, access));
	reply_header(x, "Cache-Control", "no-store");
	reply_header(x, "Pragma", "no-cache");
	reply_json(x, 200, doc);
}
