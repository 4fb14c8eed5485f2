/* The consent page's two requests: what a program asks for, and the user's answer. Only the web app's and other
 * sign-ins by people may answer: a program that acts for somebody cannot let another one in. */
#include <errno.h>

#include "audit/audit.h"
#include "base/clock.h"
#include "base/encode.h"
#include "oauth/authorization.h"
#include "oauth/handlers.h"
#include "oauth/uri.h"
#include "sessions.h"

#define SWEEP_EVERY 64
#define KEEP_US (24 * 3600 * INT64_C(1000000)) /* codes behind their end, so that a late second use is noticed */

struct consent {
	struct exchange_job job;
	struct authorization request;
	struct scope_list scopes;
	const char *issuer;
	struct account account;
	struct audit_event event;
	int64_t signed_in_at; /* us */
	bool is_approved;     /* what the user says */
	int actor;
	bool is_stale;      /* he must sign in again first */
	bool is_remembered; /* he has allowed all of it before */
	char code[64];
};

/* Answers and returns false when the request is not good. */
static bool read_request(struct consent *s, struct exchange *x)
{
	const struct auth *auth = x->self;

	s->issuer = oauth_issuer(x);
	if (!s->issuer)
		return false;
	if (!x->who.session_id || !*x->who.session_id) {
		reply_problem(x, 403, "forbidden", "Only who has signed in can let a program in, not a token.");
		return false;
	}
	switch (authorization_unseal(auth->oauth, x->arena, json_get_str(x->body, "request", ""), &s->request)) {
	case 0: scope_read(s->request.scope, &s->scopes); return true;
	case -ETIMEDOUT:
		reply_problem(x, 410, "request_expired", "This is too old; start again from the program.");
		return false;
	default:
		reply_problem(x, 422, "invalid_request", "This address is not whole; start again from the program.");
		return false;
	}
}

/* ---- In the job ---- */

static int load_sign_in(struct db_conn *c, struct consent *s)
{
	int r = db_get_int(
		c, &s->signed_in_at,
		"select case when authenticated_at > 0 then authenticated_at else created_at end from sessions "
		"where id = ?",
		DB_TEXT(s->job.x->who.session_id));
	int64_t age = clock_now_us() - s->signed_in_at;

	s->is_stale = (s->request.must_sign_in && s->signed_in_at < s->request.created_at) ||
		      (s->request.max_age >= 0 && age > s->request.max_age * 1000000 &&
		       s->signed_in_at < s->request.created_at);
	return r == 0 ? -ENOENT : MIN(r, 0);
}

/* Returns 1 with what the user has allowed the client before, 0 or -errno. */
static int load_consent(struct db_conn *c, const struct consent *s, bool is_write, struct scope_list *ret)
{
	static const char read[] = "select scope from oauth_consents where user_id = ? and client_id = ?";
	static const char lock[] = "select scope from oauth_consents where user_id = ? and client_id = ?" DB_FOR_UPDATE;
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, is_write ? lock : read, DB_TEXT(s->account.id), DB_TEXT(s->request.client_id));
	int r = db_step(c, st);

	if (r == 1)
		scope_read(db_col_dup(st, 0, s->job.x->arena), ret);
	return r;
}

static int begin(struct db_conn *c, struct consent *s)
{
	s->actor = actor_check(c, s->job.x, &s->account);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	scope_read(s->request.scope, &s->scopes);
	scope_keep_held(&s->scopes, s->account.permissions);
	return load_sign_in(c, s);
}

static int show_run(struct db_conn *c, struct exchange_job *job)
{
	struct consent *s = (struct consent *)job;
	struct scope_list before;
	int r = begin(c, s);

	if (r < 0 || s->actor != ACTOR_OK)
		return r;
	r = load_consent(c, s, false, &before);
	s->is_remembered =
		r == 1 && s->request.is_proven && !s->request.must_ask && scope_is_within(&s->scopes, &before);
	return MIN(r, 0);
}

static int remember(struct db_conn *c, struct consent *s)
{
	struct arena *a = s->job.x->arena;
	int64_t now = clock_now_us(), changed;
	struct scope_list all;
	char id[ID_SIZE];
	int r = load_consent(c, s, true, &all);

	if (r < 0)
		return r;
	if (r == 1) {
		scope_join(&all, &s->scopes);
		changed = db_exec(
			c,
			"update oauth_consents set scope = ?, client_name = ?, client_uri = ?, updated_at = ? "
			"where user_id = ? and client_id = ?",
			DB_TEXT(scope_text(a, &all)), DB_TEXT(s->request.client_name), DB_TEXT(s->request.client_uri),
			DB_INT(now), DB_TEXT(s->account.id), DB_TEXT(s->request.client_id));
		return (int)MIN(changed, 0);
	}
	id_new(id);
	changed = db_exec(c,
			  "insert into oauth_consents (id, user_id, client_id, client_name, client_uri, scope, "
			  "created_at, updated_at) values (?, ?, ?, ?, ?, ?, ?, ?)",
			  DB_TEXT(id), DB_TEXT(s->account.id), DB_TEXT(s->request.client_id),
			  DB_TEXT(s->request.client_name), DB_TEXT(s->request.client_uri),
			  DB_TEXT(scope_text(a, &s->scopes)), DB_INT(now), DB_INT(now));
	return (int)MIN(changed, 0);
}

static int sweep(struct db_conn *c, int64_t now)
{
	int64_t r = 0;

	if (randombytes_uniform(SWEEP_EVERY))
		return 0;
	r = db_exec(c, "delete from oauth_codes where expires_at < ?", DB_INT(now - KEEP_US));
	if (r >= 0)
		r = db_exec(c, "delete from oauth_grants where ends_at < ?", DB_INT(now));
	return (int)MIN(r, 0);
}

static int store_code(struct db_conn *c, struct consent *s)
{
	const struct authorization *q = &s->request;
	int64_t now = clock_now_us(), r;
	char hash[SHA256_HEX_SIZE];

	secret_new(s->code, sizeof(s->code), "ogc_", 32);
	sha256_hex(s->code, strlen(s->code), hash);
	r = db_exec(
		c,
		"insert into oauth_codes (code_hash, client_id, client_name, user_id, redirect_uri, scope, resource, "
		"challenge, nonce, auth_time, expires_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		DB_TEXT(hash), DB_TEXT(q->client_id), DB_TEXT(q->client_name), DB_TEXT(s->account.id),
		DB_TEXT(q->redirect_uri), DB_TEXT(scope_text(s->job.x->arena, &s->scopes)), DB_TEXT(q->resource),
		DB_TEXT(q->challenge), DB_TEXT(q->nonce), DB_INT(s->signed_in_at / 1000000),
		DB_INT(now + OAUTH_CODE_LIFE_S * INT64_C(1000000)));
	return r < 0 ? (int)r : sweep(c, now);
}

static int decide_run(struct db_conn *c, struct exchange_job *job)
{
	struct consent *s = (struct consent *)job;
	int r = begin(c, s);

	if (r < 0 || s->actor != ACTOR_OK || s->is_stale)
		return r;
	if (s->is_approved) {
		r = remember(c, s);
		if (r == 0)
			r = store_code(c, s);
	}
	return r < 0 ? r : audit_add(c, job->x->self, &s->event);
}

/* ---- Answers ---- */

/* The host that gets the answer, or the name of the program's own scheme. */
static const char *redirect_host(struct arena *a, const char *redirect_uri)
{
	struct uri u;

	if (uri_parse(str_of(redirect_uri), &u) < 0)
		return "";
	if (uri_is_loopback(&u))
		return "this computer";
	if (str_is(u.scheme, "https"))
		return arena_strndup(a, u.host.p, u.host.n);
	return arena_printf(a, "a program that opens %.*s: links", STR_ARG(u.scheme));
}

static void add_client(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct consent *s)
{
	yyjson_mut_val *client = yyjson_mut_obj_add_obj(doc, obj, "client");

	json_add_str(doc, client, "id", s->request.client_id);
	json_add_str(doc, client, "name", s->request.client_name);
	json_add_str(doc, client, "uri", s->request.client_uri);
	json_add_str(doc, client, "answers_go_to", redirect_host(s->job.x->arena, s->request.redirect_uri));
	yyjson_mut_obj_add_bool(doc, client, "is_proven", s->request.is_proven);
}

static void add_scopes(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct consent *s)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, obj, "scopes"), *item;

	for (size_t i = 0; i < s->scopes.n; i++) {
		item = yyjson_mut_arr_add_obj(doc, list);
		json_add_str(doc, item, "name", s->scopes.names[i]);
		json_add_str(doc, item, "description", scope_description(s->scopes.names[i]));
	}
}

static void show_done(struct exchange_job *job)
{
	struct consent *s = (struct consent *)job;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;

	if (s->actor != ACTOR_OK) {
		actor_refuse(job->x, s->actor);
		return;
	}
	obj = json_new_obj(job->x->arena, &doc);
	add_client(doc, obj, s);
	add_scopes(doc, obj, s);
	json_add_str(doc, obj, "resource", s->request.resource);
	yyjson_mut_obj_add_bool(doc, obj, "is_remembered", s->is_remembered);
	yyjson_mut_obj_add_bool(doc, obj, "must_sign_in", s->is_stale);
	reply_header(job->x, "Cache-Control", "no-store");
	reply_json(job->x, 200, doc);
}

static void decide_done(struct exchange_job *job)
{
	struct consent *s = (struct consent *)job;
	const struct authorization *q = &s->request;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;

	if (s->actor != ACTOR_OK) {
		actor_refuse(x, s->actor);
		return;
	}
	if (s->is_stale) {
		reply_problem(x, 403, "reauth_required", "The program wants a fresh sign-in: sign out and in again.");
		return;
	}
	obj = json_new_obj(x->arena, &doc);
	json_add_str(doc, obj, "redirect_to",
		     authorization_answer(x->arena, s->issuer, q->redirect_uri, q->state,
					  s->is_approved ? s->code : NULL, s->is_approved ? NULL : "access_denied",
					  s->is_approved ? NULL : "The user said no."));
	reply_header(x, "Cache-Control", "no-store");
	reply_json(x, 200, doc);
}

void oauth_authorization_show(struct exchange *x)
{
	static const struct json_field fields[] = {{"request", JSON_STRING, .required = true, .max = 12000}};
	struct consent *s = arena_new_of(x->arena, struct consent);
	const struct auth *auth = x->self;
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (!read_request(s, x))
		return;
	s->job = (struct exchange_job){.x = x, .run = show_run, .done_ok = show_done};
	exchange_read(auth->db, &s->job);
}

void oauth_authorization_decide(struct exchange *x)
{
	static const struct json_field fields[] = {{"request", JSON_STRING, .required = true, .max = 12000},
						   {"approve", JSON_BOOL, .required = true}};
	struct consent *s = arena_new_of(x->arena, struct consent);
	const struct auth *auth = x->self;
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x) || !read_request(s, x))
		return;
	s->is_approved = json_get_bool(x->body, "approve", false);
	audit_event_of(x, s->is_approved ? "consent.given" : "consent.refused", &s->event);
	s->event.detail = audit_detail(x->arena, "client_id", s->request.client_id, "scope", s->request.scope, NULL);
	s->job = (struct exchange_job){.x = x, .run = decide_run, .done_ok = decide_done};
	exchange_write(auth->db, &s->job);
}
