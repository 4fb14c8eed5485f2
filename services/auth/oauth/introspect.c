/* POST /oauth/introspect (RFC 7662), for clients with a secret: their own tokens, and everybody's for those that an
 * administrator made (resource servers). */
#include "base/clock.h"
#include "oauth/client.h"
#include "oauth/handlers.h"
#include "oauth/issue.h"
#include "oauth/own_token.h"

struct introspection {
	struct exchange_job job;
	struct client_claim claim;
	struct own_token token;
	bool is_client, is_active;
	struct oauth_grant grant;
	int64_t ends_at; /* us, of the session */
};

static int load_session(struct db_conn *c, struct introspection *q)
{
	int64_t now = clock_now_us();
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c,
			 "select s.counter, s.idle_ends_at from sessions s join users u on u.id = s.user_id "
			 "where s.id = ? and s.revoked_at is null and s.ends_at > ? and s.idle_ends_at > ? "
			 "and u.disabled = 0",
			 DB_TEXT(q->token.session_id), DB_INT(now), DB_INT(now));
	int r = db_step(c, st);

	if (r != 1)
		return r;
	q->ends_at = db_col_int(st, 1);
	return !q->token.is_refresh || db_col_int(st, 0) == q->token.refresh.counter;
}

static int introspect_run(struct db_conn *c, struct exchange_job *job)
{
	struct introspection *q = (struct introspection *)job;
	struct oauth_client client;
	int r = client_claim_check(c, job->x->arena, &q->claim, &client);

	q->is_client = r == 1 && client.secret_hash;
	q->is_active = false;
	if (r <= 0 || !q->is_client || !*q->token.session_id)
		return MIN(r, 0);
	r = oauth_grant_load(c, job->x->arena, q->token.session_id, &q->grant);
	if (r <= 0 || (!client.is_managed && strcmp(q->grant.client_id, client.id)))
		return MIN(r, 0);
	r = load_session(c, q);
	q->is_active = r == 1;
	return MIN(r, 0);
}

static void add_facts(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct introspection *q)
{
	const char *url = service_public_url(q->job.x->service);
	const struct oauth_grant *g = &q->grant;

	json_add_str(doc, obj, "iss", url);
	json_add_str(doc, obj, "sub", g->user_id);
	json_add_str(doc, obj, "client_id", g->client_id);
	json_add_str(doc, obj, "scope", g->scope);
	json_add_str(doc, obj, "aud", g->resource ? g->resource : TOKEN_AUDIENCE);
	if (q->token.is_refresh) {
		yyjson_mut_obj_add_int(doc, obj, "exp", q->ends_at / 1000000);
		return;
	}
	yyjson_mut_obj_add_str(doc, obj, "token_type", "Bearer");
	yyjson_mut_obj_add_int(doc, obj, "exp", q->token.who.expires_at);
	yyjson_mut_obj_add_int(doc, obj, "iat", q->token.who.issued_at);
	json_add_str(doc, obj, "jti", q->token.who.token_id);
}

static void introspect_done(struct exchange_job *job)
{
	struct introspection *q = (struct introspection *)job;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;

	if (!q->is_client) {
		client_refuse(job->x);
		return;
	}
	obj = json_new_obj(job->x->arena, &doc);
	yyjson_mut_obj_add_bool(doc, obj, "active", q->is_active);
	if (q->is_active)
		add_facts(doc, obj, q);
	reply_header(job->x, "Cache-Control", "no-store");
	reply_json(job->x, 200, doc);
}

static void introspect(struct exchange *x, const struct form *form)
{
	const struct auth *auth = x->self;
	struct introspection *q = arena_new_of(x->arena, struct introspection);
	const char *token = form_get(form, "token");

	if (!client_claim_read(x, form, &q->claim))
		return;
	if (!token) {
		oauth_error(x, 400, "invalid_request", "token is missing.");
		return;
	}
	own_token_read(x, token, &q->token);
	q->job = (struct exchange_job){.x = x, .run = introspect_run, .done_ok = introspect_done};
	exchange_read(auth->db, &q->job);
}

void oauth_introspect(struct exchange *x)
{
	oauth_read_form(x, introspect);
}
