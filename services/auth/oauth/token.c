/* POST /oauth/token: codes and refresh tokens become tokens (RFC 6749 sections 4.1.3 and 6). A code is good once: the
 * test is the UPDATE that marks it as used. Whoever brings it again ends what the first use began. */
#include "audit/audit.h"
#include "base/clock.h"
#include "base/encode.h"
#include "client.h"
#include "feed.h"
#include "oauth/client.h"
#include "oauth/handlers.h"
#include "oauth/issue.h"

/* How a request ends. */
enum token_outcome {
	OUTCOME_GRANTED,
	OUTCOME_NO_CLIENT,
	OUTCOME_INVALID_GRANT,
	OUTCOME_REUSED, /* and what it led to has ended */
	OUTCOME_INVALID_SCOPE,
	OUTCOME_INVALID_TARGET,
};

struct token_request {
	struct exchange_job job;
	const struct form *form;
	struct client_claim claim;
	struct client from;
	const char *resource; /* asked for, or NULL */
	struct refresh_token refresh;

	struct oauth_client client;
	struct oauth_grant grant;
	struct session_grant session;
	const char *scope;
	enum token_outcome outcome;
};

/* A row of oauth_codes. */
struct code {
	const char *client_id, *client_name, *user_id, *redirect_uri, *scope, *resource, *challenge, *nonce,
		*session_id;
	int64_t auth_time, expires_at;
	bool is_used;
};

static int code_load(struct db_conn *c, struct arena *a, const char *hash, struct code *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c,
		"select client_id, client_name, user_id, redirect_uri, scope, resource, challenge, nonce, "
		"session_id, auth_time, expires_at, used_at from oauth_codes where code_hash = ?" DB_FOR_UPDATE,
		DB_TEXT(hash));
	int r = db_step(c, st);

	if (r == 1)
		*ret = (struct code){
			.client_id = db_col_dup(st, 0, a),
			.client_name = db_col_dup(st, 1, a),
			.user_id = db_col_dup(st, 2, a),
			.redirect_uri = db_col_dup(st, 3, a),
			.scope = db_col_dup(st, 4, a),
			.resource = db_col_dup(st, 5, a),
			.challenge = db_col_dup(st, 6, a),
			.nonce = db_col_dup(st, 7, a),
			.session_id = db_col_dup(st, 8, a),
			.auth_time = db_col_int(st, 9),
			.expires_at = db_col_int(st, 10),
			.is_used = !db_col_is_null(st, 11),
		};
	return r;
}

static bool verifier_fits(const char *verifier, const char *challenge)
{
	struct buf text = BUF_INIT;
	uint8_t hash[SHA256_SIZE];
	bool fits;

	if (!verifier || strlen(verifier) < 43 || strlen(verifier) > 128)
		return false;
	sha256(verifier, strlen(verifier), hash);
	base64url_encode(&text, hash, sizeof(hash));
	fits = text.n == strlen(challenge) && sodium_memcmp(text.p, challenge, text.n) == 0;
	buf_deinit(&text);
	return fits;
}

static bool code_is_good(const struct token_request *t, const struct code *code)
{
	const char *redirect = form_get(t->form, "redirect_uri");

	return code->expires_at > clock_now_us() && (!redirect || !strcmp(redirect, code->redirect_uri)) &&
	       verifier_fits(form_get(t->form, "code_verifier"), code->challenge);
}

static int store_grant(struct db_conn *c, const struct token_request *t, int64_t now)
{
	const struct auth *auth = t->job.x->self;
	const struct oauth_grant *g = &t->grant;
	int64_t r =
		db_exec(c,
			"insert into oauth_grants (session_id, client_id, user_id, scope, resource, nonce, auth_time, "
			"created_at, ends_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
			DB_TEXT(g->session_id), DB_TEXT(g->client_id), DB_TEXT(g->user_id), DB_TEXT(g->scope),
			DB_TEXT(g->resource), DB_TEXT(g->nonce), DB_INT(g->auth_time), DB_INT(now),
			DB_INT(now + auth->session_max_us));

	return (int)MIN(r, 0);
}

/* The code is good and ours: a session begins. */
static int begin_session(struct db_conn *c, struct token_request *t, const struct code *code, const char *hash)
{
	struct exchange *x = t->job.x;
	int64_t now = clock_now_us(), r;

	r = db_exec(c, "update oauth_codes set used_at = ? where code_hash = ? and used_at is null", DB_INT(now),
		    DB_TEXT(hash));
	if (r <= 0)
		return (int)r;
	r = session_create(c, x->self, x->arena, code->user_id, &t->from, &t->session);
	if (r < 0)
		return r == -ENOENT ? 0 : (int)r;
	if (t->session.account.disabled)
		return session_revoke(c, t->session.token.session_id, "user_disabled");
	t->grant = (struct oauth_grant){
		.session_id = t->session.token.session_id,
		.client_id = code->client_id,
		.user_id = code->user_id,
		.scope = code->scope,
		.resource = code->resource ? code->resource : t->resource,
		.nonce = code->nonce,
		.auth_time = code->auth_time,
	};
	t->scope = code->scope;
	t->outcome = OUTCOME_GRANTED;
	r = store_grant(c, t, now);
	if (r == 0)
		r = db_exec(c, "update oauth_codes set session_id = ? where code_hash = ?",
			    DB_TEXT(t->grant.session_id), DB_TEXT(hash));
	if (r >= 0 && !client_is_document(code->client_id))
		r = db_exec(c, "update oauth_clients set used_at = ? where id = ?", DB_INT(now),
			    DB_TEXT(code->client_id));
	return (int)MIN(r, 0);
}

static int by_code(struct db_conn *c, struct token_request *t)
{
	const char *text = form_get(t->form, "code");
	char hash[SHA256_HEX_SIZE];
	struct code code = {0};
	int r;

	sha256_hex(text, strlen(text), hash);
	r = code_load(c, t->job.x->arena, hash, &code);
	if (r <= 0 || strcmp(code.client_id, t->client.id))
		return MIN(r, 0);
	if (code.is_used) {
		t->outcome = OUTCOME_REUSED;
		return code.session_id ? session_revoke(c, code.session_id, "code_reuse") : 0;
	}
	if (!code_is_good(t, &code))
		return 0;
	if (t->resource && code.resource && strcmp(t->resource, code.resource)) {
		t->outcome = OUTCOME_INVALID_TARGET;
		return 0;
	}
	snprintf(t->from.user_agent, sizeof(t->from.user_agent), "%.200s", code.client_name);
	return begin_session(c, t, &code, hash);
}

/* Less than was granted may be asked for (RFC 6749 section 6). */
static bool narrow_scope(struct token_request *t)
{
	const char *asked = form_get(t->form, "scope");
	struct scope_list wanted, granted;

	t->scope = t->grant.scope;
	if (!asked)
		return true;
	scope_read(t->grant.scope, &granted);
	if (scope_read(asked, &wanted) < 0 || wanted.n == 0 || !scope_is_within(&wanted, &granted))
		return false;
	t->scope = scope_text(t->job.x->arena, &wanted);
	return true;
}

static int by_refresh_token(struct db_conn *c, struct token_request *t)
{
	struct exchange *x = t->job.x;
	enum refresh_outcome outcome;
	int r = oauth_grant_load(c, x->arena, t->refresh.session_id, &t->grant);

	if (r <= 0 || strcmp(t->grant.client_id, t->client.id))
		return MIN(r, 0);
	if (!narrow_scope(t)) {
		t->outcome = OUTCOME_INVALID_SCOPE;
		return 0;
	}
	if (t->resource && t->grant.resource && strcmp(t->resource, t->grant.resource)) {
		t->outcome = OUTCOME_INVALID_TARGET;
		return 0;
	}
	r = session_rotate(c, x->self, x->arena, &t->refresh, true, &outcome, &t->session);
	if (r < 0)
		return r;
	t->outcome = outcome == REFRESH_GRANTED  ? OUTCOME_GRANTED
		     : outcome == REFRESH_REUSED ? OUTCOME_REUSED
						 : OUTCOME_INVALID_GRANT;
	return 0;
}

static int token_run(struct db_conn *c, struct exchange_job *job)
{
	struct token_request *t = (struct token_request *)job;
	int r = client_claim_check(c, job->x->arena, &t->claim, &t->client);

	t->outcome = r == 0 ? OUTCOME_NO_CLIENT : OUTCOME_INVALID_GRANT;
	if (r <= 0)
		return r;
	return form_get(t->form, "code") ? by_code(c, t) : by_refresh_token(c, t);
}

static void note(struct token_request *t, const char *what, enum audit_outcome outcome)
{
	struct exchange *x = t->job.x;
	struct audit_event event;

	audit_event_of(x, what, &event);
	event.outcome = outcome;
	event.actor_id = t->grant.user_id;
	event.detail = audit_detail(x->arena, "client_id", t->claim.id, NULL);
	audit_note(x->self, &event);
}

static void token_done(struct exchange_job *job)
{
	struct token_request *t = (struct token_request *)job;
	struct exchange *x = job->x;

	switch (t->outcome) {
	case OUTCOME_GRANTED: oauth_reply_tokens(x, &t->grant, &t->session, t->scope); return;
	case OUTCOME_NO_CLIENT: client_refuse(x); return;
	case OUTCOME_REUSED:
		feed_wake(x->self);
		note(t, "grant.reused", AUDIT_DENIED);
		break;
	case OUTCOME_INVALID_SCOPE: oauth_error(x, 400, "invalid_scope", "This is more than was granted."); return;
	case OUTCOME_INVALID_TARGET:
		oauth_error(x, 400, "invalid_target", "The grant is for another resource.");
		return;
	case OUTCOME_INVALID_GRANT: feed_wake(x->self); break;
	}
	oauth_error(x, 400, "invalid_grant", "What was granted is used, too old, or not for this client; start again.");
}

/* Returns false after answering. */
static bool read_grant(struct exchange *x, struct token_request *t)
{
	const struct auth *auth = x->self;
	const char *type = form_get(t->form, "grant_type"), *refresh = form_get(t->form, "refresh_token");
	bool is_code = type && !strcmp(type, "authorization_code");

	if (!type) {
		oauth_error(x, 400, "invalid_request", "grant_type is missing.");
		return false;
	}
	if (!is_code && strcmp(type, "refresh_token")) {
		oauth_error(x, 400, "unsupported_grant_type", "grant_type can be authorization_code or refresh_token.");
		return false;
	}
	if (is_code ? !form_get(t->form, "code") || refresh : !refresh || form_get(t->form, "code")) {
		oauth_error(x, 400, "invalid_request", "Send the code, or the refresh token, of the grant_type.");
		return false;
	}
	if (!is_code && refresh_token_parse(&auth->refresh_key, str_of(refresh), &t->refresh) < 0) {
		oauth_error(x, 400, "invalid_grant", "This is no refresh token.");
		return false;
	}
	return true;
}

static bool read_resource(struct exchange *x, struct token_request *t, const char *issuer)
{
	const char *asked = form_get(t->form, "resource");

	t->resource = asked ? oauth_resource(x->arena, issuer, asked) : NULL;
	if (!asked || t->resource)
		return true;
	oauth_error(x, 400, "invalid_target", "There is no such resource here.");
	return false;
}

static void token(struct exchange *x, const struct form *form)
{
	const struct auth *auth = x->self;
	struct token_request *t = arena_new_of(x->arena, struct token_request);
	const char *issuer = oauth_issuer(x);

	t->form = form;
	if (!issuer)
		return;
	if (!read_grant(x, t) || !client_claim_read(x, form, &t->claim) || !read_resource(x, t, issuer))
		return;
	client_read(x, &t->from);
	t->from.is_oauth = true;
	t->job = (struct exchange_job){.x = x, .run = token_run, .done_ok = token_done};
	exchange_write(auth->db, &t->job);
}

void oauth_token(struct exchange *x)
{
	reply_header(x, "Access-Control-Allow-Origin", "*");
	oauth_read_form(x, token);
}
