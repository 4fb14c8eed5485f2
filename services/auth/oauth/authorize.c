/* GET and POST /oauth/authorize: a client sends its user here. What is wrong with the client or its redirect URI is
 * told to the user on a page; everything else goes back to the client (RFC 6749 section 4.1.2.1). A good request is
 * sealed and shown by the web app at /consent. */
#include <errno.h>

#include "base/clock.h"
#include "base/encode.h"
#include "oauth/authorization.h"
#include "oauth/client.h"
#include "oauth/client_document.h"
#include "oauth/handlers.h"

#define STATE_MAX 2000
#define NONCE_MAX 500
#define CHALLENGE_SIZE 43 /* base64url of a SHA-256 */

/* What an authorization waits for. */
struct authorize {
	struct exchange_job job;         /* the look-up of a client */
	struct document_reading reading; /* or the reading of its document */
	struct exchange *x;
	const char *issuer;
	const struct form *form;
	struct oauth_client client;
	int found;
};

static void show_page(struct exchange *x, int status, const char *what)
{
	struct buf page = BUF_INIT;

	/* `what` is ours or was read from the Internet. */
	buf_add_str(&page,
		    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Not possible</title><h1>This "
		    "program cannot be connected</h1><p>");
	for (const char *p = what; *p; p++) {
		if (strchr("<>&\"'", *p))
			buf_printf(&page, "&#%d;", *p);
		else
			buf_add_char(&page, *p);
	}
	buf_add_str(&page,
		    "</p><p>Nothing was sent to it. Close this page and look into the program's settings.</p></html>");
	reply_header(x, "Cache-Control", "no-store");
	reply_header(x, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
	reply_page(x, status, (struct str){arena_strndup(x->arena, page.p, page.n), page.n});
	buf_deinit(&page);
}

/* 303: whatever the method was, the next is a GET without a body. */
static void go_to(struct exchange *x, const char *location)
{
	reply_header(x, "Cache-Control", "no-store");
	reply_header(x, "Referrer-Policy", "no-referrer");
	reply_header(x, "Location", location);
	reply_empty(x, 303);
}

static void answer(struct authorize *a, const char *error, const char *description)
{
	const char *state = form_get(a->form, "state");

	go_to(a->x, authorization_answer(a->x->arena, a->issuer, form_get(a->form, "redirect_uri"),
					 state && strlen(state) <= STATE_MAX ? state : NULL, NULL, error, description));
}

static bool challenge_is_fine(const char *challenge)
{
	uint8_t hash[SHA256_SIZE];

	return strlen(challenge) == CHALLENGE_SIZE &&
	       base64url_decode(str_of(challenge), hash, sizeof(hash)) == sizeof(hash);
}

/* What the protocol asks of every request. Returns NULL, or the error with *ret_description. */
static const char *check_protocol(const struct form *f, const char **ret_description)
{
	const char *type = form_get(f, "response_type"), *mode = form_get(f, "response_mode");
	const char *method = form_get(f, "code_challenge_method"), *challenge = form_get(f, "code_challenge");

	*ret_description = NULL;
	if (f->repeated && !form_is_repeated(f, "resource")) {
		*ret_description = "A parameter is there more than once.";
		return "invalid_request";
	}
	if (form_get(f, "request"))
		return "request_not_supported";
	if (form_get(f, "request_uri"))
		return "request_uri_not_supported";
	if (!type) {
		*ret_description = "response_type is missing.";
		return "invalid_request";
	}
	if (strcmp(type, "code"))
		return "unsupported_response_type";
	*ret_description = "response_mode can be query.";
	if (mode && strcmp(mode, "query"))
		return "invalid_request";
	*ret_description = "PKCE with code_challenge_method S256 is needed.";
	if (!challenge || !method || strcmp(method, "S256") || !challenge_is_fine(challenge))
		return "invalid_request";
	*ret_description = "state or nonce is too long.";
	if (strlen(form_get(f, "state") ? form_get(f, "state") : "") > STATE_MAX ||
	    strlen(form_get(f, "nonce") ? form_get(f, "nonce") : "") > NONCE_MAX)
		return "invalid_request";
	*ret_description = NULL;
	return NULL;
}

static bool has_word(const char *list, const char *word)
{
	struct str rest = str_of(list);

	while (rest.n > 0)
		if (str_is(str_cut(&rest, ' '), word))
			return true;
	return false;
}

/* What this request asks for. Returns NULL, or the error. */
static const char *read_wishes(struct authorize *a, struct authorization *ret)
{
	const char *prompt = form_get(a->form, "prompt"), *resource = form_get(a->form, "resource");
	const char *max_age = form_get(a->form, "max_age"), *scope = form_get(a->form, "scope");
	struct scope_list scopes;
	uint64_t seconds;

	if (scope_read(scope, &scopes) < 0 || scopes.n == 0)
		return "invalid_scope";
	if (a->form->repeated)
		return "invalid_target";
	if (resource) {
		resource = oauth_resource(a->x->arena, a->issuer, resource);
		if (!resource)
			return "invalid_target";
	}
	if (max_age && str_to_u64(str_of(max_age), INT32_MAX, &seconds) < 0)
		return "invalid_request";
	/* Whether somebody is signed in is not to be seen from here: the cookie does not come along from elsewhere. */
	if (prompt && has_word(prompt, "none"))
		return "login_required";
	ret->scope = scope_text(a->x->arena, &scopes);
	ret->resource = resource;
	ret->max_age = max_age ? (int64_t)seconds : -1;
	ret->must_ask = prompt && has_word(prompt, "consent");
	ret->must_sign_in = prompt && has_word(prompt, "login");
	return NULL;
}

static void go_on(struct authorize *a)
{
	const char *redirect = form_get(a->form, "redirect_uri"), *error, *description;
	const struct auth *auth = a->x->self;
	struct authorization request = {
		.client_id = a->client.id,
		.client_name = a->client.name,
		.client_uri = a->client.uri,
		.is_document = client_is_document(a->client.id),
		.redirect_uri = redirect,
		.state = form_get(a->form, "state"),
		.nonce = form_get(a->form, "nonce"),
		.challenge = form_get(a->form, "code_challenge"),
		.created_at = clock_now_us(),
	};

	if (!redirect || !client_has_redirect(&a->client, a->x->arena, redirect)) {
		show_page(a->x, 400,
			  "The program asks for answers at an address that is not one of its own "
			  "(redirect_uri).");
		return;
	}
	request.is_proven = client_is_proven(&a->client, redirect);
	error = check_protocol(a->form, &description);
	if (!error)
		error = read_wishes(a, &request);
	if (error)
		answer(a, error, description);
	else
		go_to(a->x, arena_printf(a->x->arena, "%s/consent#request=%s", a->issuer,
					 authorization_seal(auth->oauth, a->x->arena, &request)));
}

/* ---- Who the client is ---- */

static int find_run(struct db_conn *c, struct exchange_job *job)
{
	struct authorize *a = container_of(job, struct authorize, job);

	a->found = client_load(c, job->x->arena, form_get(a->form, "client_id"), &a->client);
	return MIN(a->found, 0);
}

static void find_done(struct exchange_job *job)
{
	struct authorize *a = container_of(job, struct authorize, job);

	if (a->found)
		go_on(a);
	else
		show_page(a->x, 400, "The program is not known here (client_id); it may have to register again.");
}

static void take_document(struct authorize *a, const struct client_metadata *m)
{
	a->client = (struct oauth_client){
		.id = form_get(a->form, "client_id"),
		.name = m->name,
		.uri = m->uri,
		.auth_method = "none",
		.redirect_uris = m->redirect_uris,
	};
	go_on(a);
}

static void document_done(struct document_reading *d)
{
	struct authorize *a = container_of(d, struct authorize, reading);
	struct exchange *x = a->x;

	if (d->is_good)
		take_document(a, &d->metadata);
	else
		show_page(x, 400,
			  arena_printf(x->arena, "The document that describes the program is not good. %s",
				       d->err.message));
	exchange_drop(x);
}

static void find_document(struct authorize *a, const char *url)
{
	const struct auth *auth = a->x->self;
	struct client_metadata kept;

	if (!document_url_is_fine(url)) {
		show_page(a->x, 400, "The program's client_id is no address of a document.");
		return;
	}
	if (client_document_kept(auth->oauth, a->x->arena, url, &kept)) {
		take_document(a, &kept);
		return;
	}
	a->reading.arena = a->x->arena;
	a->reading.url = url;
	a->reading.done = document_done;
	exchange_hold(a->x);
	if (client_document_read(auth->oauth, &a->reading) == 0)
		return;
	exchange_drop(a->x);
	reply_header(a->x, "Retry-After", "1");
	show_page(a->x, 503, "Too many programs are being connected right now; try again in a second.");
}

static void authorize(struct exchange *x, const struct form *form)
{
	const char *id = form_get(form, "client_id"), *issuer = oauth_issuer(x);
	const struct auth *auth = x->self;
	struct authorize *a = arena_new_of(x->arena, struct authorize);

	if (!issuer)
		return;
	a->x = x;
	a->issuer = issuer;
	a->form = form;
	if (form_is_repeated(form, "client_id") || form_is_repeated(form, "redirect_uri")) {
		show_page(x, 400, "The program says twice who it is or where answers go.");
	} else if (!id || strlen(id) > CLIENT_ID_MAX) {
		show_page(x, 400, "The program does not say who it is (client_id).");
	} else if (client_is_document(id)) {
		find_document(a, id);
	} else {
		a->job = (struct exchange_job){.x = x, .run = find_run, .done_ok = find_done};
		exchange_read(auth->db, &a->job);
	}
}

void oauth_authorize(struct exchange *x)
{
	struct form *form = arena_new_of(x->arena, struct form);

	if (form_parse(x->arena, x->req->query, form) < 0)
		show_page(x, 400, "The program's request cannot be read.");
	else
		authorize(x, form);
}

void oauth_authorize_post(struct exchange *x)
{
	oauth_read_form(x, authorize);
}
