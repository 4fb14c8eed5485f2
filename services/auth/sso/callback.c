/* POST /api/auth/sso/{name}/callback: the answer of a provider, which its page of the web app passes on. The code is
 * turned into an ID token, the token is checked, and who it names is signed in, linked or asked for more. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/encode.h"
#include "feed.h"
#include "mail/outbox.h"
#include "mfa/second_step.h"
#include "oauth/form.h"
#include "oauth/oauth.h"
#include "sso/account.h"
#include "sso/handlers.h"
#include "sso/providers.h"
#include "sso/site.h"

#define QUERY_MAX 8192

/* What it waits for. */
enum callback_state {
	CALLBACK_FINDING,   /* the provider's row */
	CALLBACK_ASKING,    /* its description */
	CALLBACK_REDEEMING, /* the code at its token endpoint */
	CALLBACK_VERIFYING, /* its keys */
	CALLBACK_RENEWING,  /* its keys again, since the token names another one */
	CALLBACK_READING,   /* its userinfo */
	CALLBACK_SAVING,
	CALLBACK_ENDED
};

struct callback {
	struct exchange_job job;
	struct site_ask ask;
	struct site_fetch fetch;
	struct exchange *x; /* held until CALLBACK_ENDED */
	enum callback_state state;
	struct form form;
	struct flow flow;
	struct provider provider;
	const char *name, *public_url;
	const char *token_endpoint, *userinfo_endpoint;
	const char *id_token, *access_token;
	const char *headers[4];
	struct id_token token;
	struct arrival arrival;
	int found, err;
	bool is_asking, is_answered; /* within site_ask */
};

static enum callback_state end(struct callback *b)
{
	(void)b;
	return CALLBACK_ENDED;
}

/* Whatever is wrong with the answer: told to the user, kept in the audit log. */
static enum callback_state refuse(struct callback *b, int status, const char *code, const char *why)
{
	const struct auth *auth = b->x->self;
	struct audit_event e;

	metric_add(auth->metrics.logins_refused, 1);
	audit_event_of(b->x, "login.refused", &e);
	e.outcome = AUDIT_FAILURE;
	e.target = arena_printf(b->x->arena, "provider:%.32s", b->name);
	e.detail = audit_detail(b->x->arena, "code", code, "why", why, NULL);
	audit_note((struct auth *)auth, &e);
	reply_header(b->x, "Cache-Control", "no-store");
	reply_problem(b->x, status, code, "%s", why);
	return end(b);
}

static enum callback_state refuse_site(struct callback *b, const struct error *err)
{
	return refuse(b, b->ask.is_busy ? 503 : 502, err->code, err->message);
}

static void go_on(struct callback *b);

/* ---- Finding ---- */

static int find_run(struct db_conn *c, struct exchange_job *job)
{
	struct callback *b = container_of(job, struct callback, job);

	b->found = provider_load(c, job->x->arena, b->name, &b->provider);
	return MIN(b->found, 0);
}

static void job_done(struct exchange_job *job, int result)
{
	struct callback *b = container_of(job, struct callback, job);

	b->err = MIN(result, 0);
	go_on(b);
}

static enum callback_state find(struct callback *b)
{
	const struct auth *auth = b->x->self;

	b->job = (struct exchange_job){.x = b->x, .run = find_run, .done = job_done};
	exchange_read(auth->db, &b->job);
	return CALLBACK_FINDING;
}

/* ---- The description and the keys ---- */

static void site_done(struct site_ask *ask)
{
	struct callback *b = container_of(ask, struct callback, ask);

	if (b->is_asking)
		b->is_answered = true;
	else
		go_on(b);
}

static enum callback_state next(struct callback *b);

static enum callback_state ask(struct callback *b, enum callback_state state)
{
	b->ask = (struct site_ask){
		.auth = b->x->self,
		.arena = b->x->arena,
		.issuer = b->provider.issuer,
		.needs_keys = state != CALLBACK_ASKING,
		.needs_new_keys = state == CALLBACK_RENEWING,
		.done = site_done,
	};
	b->state = state;
	b->is_asking = true;
	b->is_answered = false;
	site_ask(&b->ask);
	b->is_asking = false;
	return b->is_answered ? next(b) : state;
}

/* ---- The code ---- */

static void fetch_done(struct site_fetch *f)
{
	go_on(container_of(f, struct callback, fetch));
}

static void add_field(struct buf *form, const char *name, const char *value)
{
	if (form->n)
		buf_add_char(form, '&');
	buf_printf(form, "%s=", name);
	percent_encode(str_of(value), form);
}

static const char *basic(struct callback *b, const char *secret)
{
	struct buf pair = BUF_INIT, text = BUF_INIT;
	const char *ret;

	percent_encode(str_of(b->provider.client_id), &pair);
	buf_add_char(&pair, ':');
	percent_encode(str_of(secret), &pair);
	base64_encode(&text, pair.p, pair.n);
	ret = arena_printf(b->x->arena, "Authorization: Basic %s", text.p);
	buf_wipe(&pair);
	buf_wipe(&text);
	return ret;
}

static enum callback_state redeem(struct callback *b)
{
	const struct provider *p = &b->provider;
	const struct auth *auth = b->x->self;
	struct arena *a = b->x->arena;
	const char *secret = "";
	struct buf form = BUF_INIT;
	struct str body;

	if (p->secret)
		secret = oauth_unseal(auth->oauth, a, provider_secret_context(a, p->id), p->secret);
	if (!secret)
		return refuse(b, 502, "provider_failed", "The secret of this provider cannot be read; set it again.");
	add_field(&form, "grant_type", "authorization_code");
	add_field(&form, "code", form_get(&b->form, "code"));
	add_field(&form, "redirect_uri", provider_redirect_uri(a, b->public_url, p->name));
	add_field(&form, "code_verifier", b->flow.verifier);
	b->headers[0] = "Content-Type: application/x-www-form-urlencoded";
	b->headers[1] = "Accept: application/json";
	if (!strcmp(p->auth_method, "client_secret_basic"))
		b->headers[2] = basic(b, secret);
	else
		add_field(&form, "client_id", p->client_id);
	if (!strcmp(p->auth_method, "client_secret_post"))
		add_field(&form, "client_secret", secret);
	body = arena_str(a, buf_str(&form));
	buf_wipe(&form);
	b->fetch = (struct site_fetch){.what = "Its token endpoint", .done = fetch_done};
	if (site_fetch(b->x->self, &b->fetch, "POST", b->token_endpoint, b->headers, body) < 0)
		return refuse(b, 503, "provider_busy", "Too many sign-ins are under way; try again in a second.");
	return CALLBACK_REDEEMING;
}

static enum callback_state redeemed(struct callback *b)
{
	struct arena *a = b->x->arena;
	yyjson_doc *doc = json_parse_depth(a, b->fetch.body.p, b->fetch.body.n, 16, NULL);
	yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL;

	if (b->fetch.err.code[0])
		return refuse_site(b, &b->fetch.err);
	if (b->fetch.status != 200 || !root)
		return refuse(b, 502, "provider_failed",
			      arena_printf(a, "The provider did not take its own code (status %d, %.64s).",
					   b->fetch.status, json_get_str(root, "error", "no reason")));
	b->id_token = json_get_str(root, "id_token", NULL);
	b->access_token = json_get_str(root, "access_token", NULL);
	if (!b->id_token)
		return refuse(b, 502, "provider_failed", "The provider's answer has no ID token.");
	return ask(b, CALLBACK_VERIFYING);
}

/* ---- The token ---- */

static enum callback_state save(struct callback *b);

static bool is_fine_in_header(const char *s)
{
	for (; *s; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	return true;
}

static enum callback_state read_userinfo(struct callback *b)
{
	b->headers[0] = arena_printf(b->x->arena, "Authorization: Bearer %s", b->access_token);
	b->headers[1] = "Accept: application/json";
	b->headers[2] = NULL;
	b->fetch = (struct site_fetch){.what = "Its userinfo", .done = fetch_done};
	if (site_fetch(b->x->self, &b->fetch, "GET", b->userinfo_endpoint, b->headers, (struct str){0}) < 0)
		return refuse(b, 503, "provider_busy", "Too many sign-ins are under way; try again in a second.");
	return CALLBACK_READING;
}

static enum callback_state check_token(struct callback *b)
{
	struct id_token_request q = {
		.issuer = b->provider.issuer,
		.client_id = b->provider.client_id,
		.nonce = b->flow.nonce,
		.now = clock_now_us() / 1000000,
		.code = form_get(&b->form, "code"),
		.access_token = b->access_token,
	};
	bool has_renewed = b->state == CALLBACK_RENEWING;
	enum id_token_result r;
	struct error err = {0};

	if (!b->ask.site)
		return refuse_site(b, &b->ask.err);
	r = id_token_check(b->x->arena, str_of(b->id_token), &q, &b->ask.site->keys, &b->token, &err);
	if (r == ID_TOKEN_UNKNOWN_KEY && !has_renewed)
		return ask(b, CALLBACK_RENEWING);
	if (r != ID_TOKEN_GOOD)
		return refuse(b, 401, "provider_refused", err.message);
	if (!b->token.email && b->userinfo_endpoint && b->access_token && is_fine_in_header(b->access_token))
		return read_userinfo(b);
	return save(b);
}

/* Who it is about must be the one of the token (OpenID Connect Core section 5.3.2). */
static enum callback_state userinfo_read(struct callback *b)
{
	struct arena *a = b->x->arena;
	yyjson_doc *doc = json_parse_depth(a, b->fetch.body.p, b->fetch.body.n, 16, NULL);
	yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL;

	if (b->fetch.err.code[0])
		return refuse_site(b, &b->fetch.err);
	if (b->fetch.status == 200 && root && strcmp(json_get_str(root, "sub", ""), b->token.subject) != 0)
		return refuse(b, 401, "provider_refused", "The provider's userinfo is about somebody else (sub).");
	if (b->fetch.status == 200 && root)
		id_token_read_user(root, &b->token);
	return save(b);
}

/* ---- Saving ---- */

static int save_run(struct db_conn *c, struct exchange_job *job)
{
	struct callback *b = container_of(job, struct callback, job);

	return arrival_save(c, job->x, &b->arrival);
}

static enum callback_state save(struct callback *b)
{
	const struct auth *auth = b->x->self;
	struct arrival *v = &b->arrival;

	v->flow = &b->flow;
	v->provider = &b->provider;
	v->token = &b->token;
	v->sign_in.guard = &v->guard;
	v->sign_in.replaced = session_of_cookie(b->x, &v->guard.client);
	audit_event_of(b->x, "user.created", &v->made);
	v->made.detail = audit_detail(b->x->arena, "provider", b->provider.name, NULL);
	audit_event_of(b->x, "identity.linked", &v->linked);
	v->linked.target = arena_printf(b->x->arena, "provider:%s", b->provider.name);
	b->job = (struct exchange_job){.x = b->x, .run = save_run, .done = job_done};
	exchange_write(auth->db, &b->job);
	return CALLBACK_SAVING;
}

static enum callback_state linked(struct callback *b)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(b->x->arena, &doc);

	outbox_wake(b->x->self);
	json_add_str(doc, obj, "linked", b->provider.name);
	json_add_str(doc, obj, "label", b->provider.label);
	reply_header(b->x, "Cache-Control", "no-store");
	reply_json(b->x, 200, doc);
	return end(b);
}

static enum callback_state saved(struct callback *b)
{
	static const struct {
		int status;
		const char *code, *why;
	} refusals[] = {
		[ARRIVAL_USED] = {401, "sign_in_expired", "This sign-in was used before; begin again."},
		[ARRIVAL_OFF] = {403, "provider_off", "This provider is switched off."},
		[ARRIVAL_NO_ACCOUNT] = {403, "no_account",
					"No account here belongs to this one. Who has an account signs in to it and "
					"links this provider on the account page; others ask an administrator."},
		[ARRIVAL_NOT_VERIFIED] = {403, "email_not_verified",
					  "The provider does not say that your e-mail address is verified; verify it "
					  "there first."},
		[ARRIVAL_OTHER_DOMAIN] = {403, "domain_not_allowed",
					  "Addresses of this domain are not let in; ask an administrator."},
		[ARRIVAL_EMAIL_TAKEN] = {409, "email_taken",
					 "An account here has your e-mail address. Sign in to it and link this "
					 "provider on the account page."},
		[ARRIVAL_DISABLED] = {403, "account_disabled", "This account is disabled; ask an administrator."},
		[ARRIVAL_OTHER_USER] = {409, "identity_taken",
					"This is not linked to your account, but to another one or to none."},
		[ARRIVAL_NOT_SIGNED_IN] = {401, "sign_in_expired",
					   "The session in which this began is over; sign in and begin again."},
		[ARRIVAL_NOT_FRESH] = {403, "reauth_failed",
				       "The provider did not ask you to sign in again, so it does not count."},
	};
	struct arrival *v = &b->arrival;

	switch (v->outcome) {
	case ARRIVAL_SIGNED_IN: sign_in_reply(b->x, &v->sign_in); return end(b);
	case ARRIVAL_SECOND: second_step_ask(b->x, v->sign_in.user_id, v->stored, &v->factors); return end(b);
	case ARRIVAL_LINKED: return linked(b);
	default: return refuse(b, refusals[v->outcome].status, refusals[v->outcome].code, refusals[v->outcome].why);
	}
}

/* ---- The answer ---- */

/* state binds it to this browser's request; iss (RFC 9207) to the provider that was asked, so that another one's answer
 * is not brought to it. */
static enum callback_state check_answer(struct callback *b)
{
	const char *state = form_get(&b->form, "state"), *iss = form_get(&b->form, "iss");
	const char *error = form_get(&b->form, "error");
	const struct site *site = b->ask.site;

	if (!site)
		return refuse_site(b, &b->ask.err);
	b->token_endpoint = arena_strdup(b->x->arena, site->token_endpoint);
	b->userinfo_endpoint = site->userinfo_endpoint ? arena_strdup(b->x->arena, site->userinfo_endpoint) : NULL;
	if (!state || strlen(state) != strlen(b->flow.state) || sodium_memcmp(state, b->flow.state, strlen(state)) != 0)
		return refuse(b, 401, "sign_in_expired", "This answer belongs to another sign-in; begin again.");
	if (iss ? strcmp(iss, b->provider.issuer) != 0 : site->says_iss)
		return refuse(b, 401, "provider_refused", "The answer comes from another provider (iss).");
	if (error)
		return refuse(b, 401, "provider_refused",
			      !strcmp(error, "access_denied")
				      ? "The provider says that you declined."
				      : arena_printf(b->x->arena, "The provider says no: %.64s.", error));
	if (!form_get(&b->form, "code"))
		return refuse(b, 401, "provider_refused", "The provider's answer has no code.");
	return redeem(b);
}

static enum callback_state found(struct callback *b)
{
	if (!b->found || strcmp(b->provider.id, b->flow.provider_id) != 0)
		return refuse(b, 401, "sign_in_expired", "This answer belongs to another sign-in; begin again.");
	if (!b->provider.is_enabled)
		return refuse(b, 403, "provider_off", "This provider is switched off.");
	return ask(b, CALLBACK_ASKING);
}

/* The whole flow. */
static enum callback_state next(struct callback *b)
{
	if (b->err < 0) {
		reply_db_failure(b->x, b->err);
		return end(b);
	}
	switch (b->state) {
	case CALLBACK_FINDING: return found(b);
	case CALLBACK_ASKING: return check_answer(b);
	case CALLBACK_REDEEMING: return redeemed(b);
	case CALLBACK_VERIFYING:
	case CALLBACK_RENEWING: return check_token(b);
	case CALLBACK_READING: return userinfo_read(b);
	case CALLBACK_SAVING: return saved(b);
	case CALLBACK_ENDED: break;
	}
	abort();
}

static void go_on(struct callback *b)
{
	struct exchange *x = b->x;

	b->state = next(b);
	if (b->state == CALLBACK_ENDED)
		exchange_drop(x);
}

void sso_callback(struct exchange *x)
{
	static const struct json_field fields[] = {{"query", JSON_STRING, .required = true, .max = QUERY_MAX}};
	struct callback *b = arena_new_of(x->arena, struct callback);
	struct str query = str_of(json_get_str(x->body, "query", ""));
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	b->public_url = oauth_issuer(x);
	if (!b->public_url || client_refuse_cross_site(x))
		return;
	b->x = x;
	b->name = x->params[0].p;
	exchange_hold(x);
	client_read(x, &b->arrival.guard.client);
	if (query.n && query.p[0] == '?')
		query = (struct str){query.p + 1, query.n - 1};
	if (form_parse(x->arena, query, &b->form) < 0 || b->form.repeated)
		b->state = refuse(b, 422, "invalid_field", "The provider's answer cannot be read.");
	else if (!flow_of(x, &b->arrival.guard.client, &b->flow))
		b->state = refuse(b, 401, "sign_in_expired",
				  "This browser has not begun this sign-in, or too long ago; begin again.");
	else {
		flow_forget(x, &b->arrival.guard.client);
		b->state = find(b);
	}
	if (b->state == CALLBACK_ENDED)
		exchange_drop(x);
}
