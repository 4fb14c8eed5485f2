/* The way to a provider: GET /api/auth/sso, POST /api/auth/sso/{name}/start to sign in, POST /api/auth/identities to
 * link, POST /api/auth/sso/{name}/reauth to show oneself again. */
#include <errno.h>

#include "base/encode.h"
#include "oauth/oauth.h"
#include "sessions.h"
#include "sso/flow.h"
#include "sso/handlers.h"
#include "sso/site.h"

/* ---- GET /api/auth/sso ---- */

struct button_list {
	struct exchange_job job;
	yyjson_mut_doc *doc;
};

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct button_list *l = (struct button_list *)job;
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select name, label from identity_providers where enabled = 1 order by label, name");
	yyjson_mut_val *items = yyjson_mut_obj_add_arr(l->doc, json_new_obj(job->x->arena, &l->doc), "items"), *item;
	int r;

	while ((r = db_step(c, st)) == 1) {
		item = yyjson_mut_arr_add_obj(l->doc, items);
		json_add_str(l->doc, item, "name", db_col_dup(st, 0, job->x->arena));
		json_add_str(l->doc, item, "label", db_col_dup(st, 1, job->x->arena));
	}
	return r;
}

static void list_done(struct exchange_job *job)
{
	reply_json(job->x, 200, ((struct button_list *)job)->doc);
}

void sso_list(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct button_list *l = arena_new_of(x->arena, struct button_list);

	l->job = (struct exchange_job){.x = x, .run = list_run, .done_ok = list_done};
	exchange_read(auth->db, &l->job);
}

/* ---- The three ways ---- */

struct start {
	struct exchange_job job;
	struct site_ask ask;
	struct exchange *x; /* held while the provider is asked */
	enum flow_kind kind;
	const char *name, *public_url;
	struct provider provider;
	struct account account;
	int actor, found;
};

static int find_run(struct db_conn *c, struct exchange_job *job)
{
	struct start *s = container_of(job, struct start, job);

	s->actor = s->kind == FLOW_LINK     ? actor_check_fresh(c, job->x, &s->account)
		   : s->kind == FLOW_REAUTH ? actor_check(c, job->x, &s->account)
					    : ACTOR_OK;
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	s->found = provider_load(c, job->x->arena, s->name, &s->provider);
	return MIN(s->found, 0);
}

/* The request of OpenID Connect Core section 3.1.2.1 with RFC 7636. */
static const char *authorization_url(struct start *s, const struct flow *f)
{
	struct arena *a = s->x->arena;
	struct buf url = BUF_INIT, challenge = BUF_INIT;
	uint8_t hash[SHA256_SIZE];
	const char *ret;

	sha256(f->verifier, strlen(f->verifier), hash);
	base64url_encode(&challenge, hash, sizeof(hash));
	buf_add_str(&url, s->ask.site->authorization_endpoint);
	oauth_add_param(&url, "response_type", "code");
	oauth_add_param(&url, "client_id", s->provider.client_id);
	oauth_add_param(&url, "redirect_uri", provider_redirect_uri(a, s->public_url, s->provider.name));
	oauth_add_param(&url, "scope", s->provider.scopes);
	oauth_add_param(&url, "state", f->state);
	oauth_add_param(&url, "nonce", f->nonce);
	oauth_add_param(&url, "code_challenge", challenge.p);
	oauth_add_param(&url, "code_challenge_method", "S256");
	if (s->kind == FLOW_REAUTH) {
		oauth_add_param(&url, "prompt", "login");
		oauth_add_param(&url, "max_age", "0");
	}
	ret = arena_strndup(a, url.p, url.n);
	buf_deinit(&url);
	buf_deinit(&challenge);
	return ret;
}

static void asked(struct site_ask *ask)
{
	struct start *s = container_of(ask, struct start, ask);
	struct exchange *x = s->x;
	struct client client;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;
	struct flow f;

	if (!ask->site) {
		reply_problem(x, ask->is_busy ? 503 : 502, ask->err.code, "%s", ask->err.message);
	} else {
		client_read(x, &client);
		flow_new(x->arena, s->kind, s->provider.id, &f);
		if (s->kind != FLOW_SIGN_IN) {
			f.user_id = s->account.id;
			f.session_id = x->who.session_id;
		}
		flow_keep(x, &client, &f);
		obj = json_new_obj(x->arena, &doc);
		json_add_str(doc, obj, "authorization_url", authorization_url(s, &f));
		reply_header(x, "Cache-Control", "no-store");
		reply_json(x, 200, doc);
	}
	exchange_drop(x);
}

static void find_done(struct exchange_job *job)
{
	struct start *s = container_of(job, struct start, job);
	struct exchange *x = job->x;

	if (s->actor != ACTOR_OK) {
		actor_refuse(x, s->actor);
	} else if (!s->found || !s->provider.is_enabled) {
		reply_problem(x, 404, "not_found", "There is no such provider, or it is switched off.");
	} else {
		exchange_hold(x);
		s->ask = (struct site_ask){
			.auth = x->self, .arena = x->arena, .issuer = s->provider.issuer, .done = asked};
		site_ask(&s->ask);
	}
}

static void begin(struct exchange *x, enum flow_kind kind, const char *name)
{
	const struct auth *auth = x->self;
	struct start *s = arena_new_of(x->arena, struct start);

	s->public_url = oauth_issuer(x);
	if (!s->public_url || client_refuse_cross_site(x))
		return;
	if (kind != FLOW_SIGN_IN && (!x->who.session_id || !*x->who.session_id)) {
		reply_problem(x, 403, "forbidden", "Only who has signed in can do this, not a token.");
		return;
	}
	s->x = x;
	s->kind = kind;
	s->name = name;
	s->job = (struct exchange_job){.x = x, .run = find_run, .done_ok = find_done};
	exchange_read(auth->db, &s->job);
}

void sso_start(struct exchange *x)
{
	begin(x, FLOW_SIGN_IN, x->params[0].p);
}

void sso_reauth(struct exchange *x)
{
	begin(x, FLOW_REAUTH, x->params[0].p);
}

void identities_link(struct exchange *x)
{
	static const struct json_field fields[] = {{"provider", JSON_STRING, .required = true, .max = 32}};
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0)
		reply_error(x, 422, &err);
	else
		begin(x, FLOW_LINK, json_get_str(x->body, "provider", ""));
}
