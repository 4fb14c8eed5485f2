#include "sso/site.h"

#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "io/safe_fetch.h"
#include "oauth/oauth.h"
#include "oauth/uri.h"

#define FETCHING_MAX 64
#define TOTAL_MS 10000
#define KEEP_US (3600 * UINT64_C(1000000))
#define NEW_KEYS_US UINT64_C(1000000)

struct sso {
	struct list sites; /* struct site, link */
	struct networks inner;
	unsigned n_fetching;
};

static void site_free(struct site *s)
{
	list_remove(&s->link);
	free(s->issuer);
	free(s->authorization_endpoint);
	free(s->token_endpoint);
	free(s->jwks_uri);
	free(s->userinfo_endpoint);
	provider_keys_deinit(&s->keys);
	free(s);
}

int sso_open(struct auth *auth, struct error *err)
{
	auth->sso = xcalloc(1, sizeof(*auth->sso));
	list_init(&auth->sso->sites);
	return networks_parse(&auth->sso->inner, option_str(service_options(auth->service), "outbound_allow"),
			      "outbound_allow", err);
}

void sso_close(struct auth *auth)
{
	while (!list_is_empty(&auth->sso->sites))
		site_free(list_first(&auth->sso->sites, struct site, link));
	free(auth->sso);
	auth->sso = NULL;
}

/* ---- One request ---- */

static void on_done(void *arg, int err, const struct error *error, const struct safe_fetch_answer *answer)
{
	struct site_fetch *f = arg;

	f->sso->n_fetching--;
	if (err) {
		error_set(&f->err, "provider_failed", "%s cannot be read: %s", f->what, error->message);
	} else {
		f->status = answer->status;
		f->body = answer->body;
	}
	f->done(f);
}

int site_fetch(struct auth *auth, struct site_fetch *f, const char *method, const char *url, const char *const *headers,
	       struct str body)
{
	struct safe_fetch_request request = {
		.method = method,
		.url = url,
		.headers = headers,
		.body = body,
		.inner = &auth->sso->inner,
		.max_body = SITE_DOCUMENT_MAX,
		.total_ms = TOTAL_MS,
	};

	if (auth->sso->n_fetching >= FETCHING_MAX)
		return -EBUSY;
	auth->sso->n_fetching++;
	f->sso = auth->sso;
	f->status = 0;
	f->body = (struct str){0};
	f->err = (struct error){0};
	safe_fetch_start(auth->oauth->outbound, &request, on_done, f);
	return 0;
}

/* ---- The description and the keys ---- */

bool provider_url_is_fine(const char *url, bool is_issuer)
{
	struct uri u;

	return uri_parse(str_of(url), &u) == 0 && uri_is_web(&u) && strlen(url) <= 500 &&
	       !(is_issuer && memchr(u.path.p, '?', u.path.n));
}

static struct site *find(struct sso *sso, const char *issuer)
{
	struct site *s;

	list_foreach (s, &sso->sites, struct site, link)
		if (!strcmp(s->issuer, issuer))
			return s;
	return NULL;
}

void site_drop(struct auth *auth, const char *issuer)
{
	struct site *s = find(auth->sso, issuer);

	if (s)
		site_free(s);
}

static void end(struct site_ask *ask, const struct site *s)
{
	ask->site = s;
	ask->done(ask);
}

/* An endpoint of the description: where the issuer is https, so is all of it. */
static char *endpoint(yyjson_val *doc, const char *issuer, const char *name)
{
	const char *url = json_get_str(doc, name, NULL);

	if (!url || !provider_url_is_fine(url, false) ||
	    (!strncmp(issuer, "https:", 6) && strncmp(url, "https:", 6) != 0))
		return NULL;
	return xstrdup(url);
}

static bool has_s256(yyjson_val *doc)
{
	yyjson_val *list = json_get_arr(doc, "code_challenge_methods_supported"), *item;
	size_t i, n;

	if (!list)
		return true; /* many that can do it do not say so */
	yyjson_arr_foreach(list, i, n, item) if (yyjson_equals_str(item, "S256")) return true;
	return false;
}

/* NULL with ask->err for what is no good description. */
static struct site *read_description(struct site_ask *ask, struct str body)
{
	yyjson_doc *doc = json_parse_depth(ask->arena, body.p, body.n, 16, NULL);
	yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL;
	struct site *s;

	if (!yyjson_is_obj(root) || strcmp(json_get_str(root, "issuer", ""), ask->issuer) != 0) {
		error_set(&ask->err, "provider_failed",
			  "Its description names another issuer than %s; every character counts.", ask->issuer);
		return NULL;
	}
	if (!has_s256(root)) {
		error_set(&ask->err, "provider_failed", "It cannot do PKCE with S256, which is needed.");
		return NULL;
	}
	s = xcalloc(1, sizeof(*s));
	list_init(&s->link);
	s->issuer = xstrdup(ask->issuer);
	s->read_us = clock_mono_us();
	s->authorization_endpoint = endpoint(root, ask->issuer, "authorization_endpoint");
	s->token_endpoint = endpoint(root, ask->issuer, "token_endpoint");
	s->jwks_uri = endpoint(root, ask->issuer, "jwks_uri");
	s->userinfo_endpoint = endpoint(root, ask->issuer, "userinfo_endpoint");
	s->says_iss = json_get_bool(root, "authorization_response_iss_parameter_supported", false);
	if (s->authorization_endpoint && s->token_endpoint && s->jwks_uri)
		return s;
	site_free(s);
	error_set(&ask->err, "provider_failed", "Its description lacks an https address of one of its endpoints.");
	return NULL;
}

static bool failed(struct site_ask *ask)
{
	const struct site_fetch *f = &ask->fetch;

	if (f->err.code[0])
		ask->err = f->err;
	else if (f->status != 200)
		error_set(&ask->err, "provider_failed", "%s cannot be read: it answers with status %d.", f->what,
			  f->status);
	return ask->err.code[0];
}

static void on_keys(struct site_fetch *f)
{
	struct site_ask *ask = container_of(f, struct site_ask, fetch);
	struct site *s = find(ask->auth->sso, ask->issuer);
	struct provider_keys keys;

	if (failed(ask) || !s || provider_keys_read(f->body, &keys, &ask->err) < 0) {
		if (!s)
			error_set(&ask->err, "provider_failed", "It was changed meanwhile; try again.");
		end(ask, NULL);
		return;
	}
	provider_keys_deinit(&s->keys);
	s->keys = keys;
	s->keys_us = clock_mono_us();
	end(ask, s);
}

static void fetch(struct site_ask *ask, const char *what, const char *url, void (*done)(struct site_fetch *f))
{
	static const char *const headers[] = {"Accept: application/json", NULL};

	ask->fetch = (struct site_fetch){.what = what, .done = done};
	if (site_fetch(ask->auth, &ask->fetch, "GET", url, headers, (struct str){0}) == 0)
		return;
	ask->is_busy = true;
	error_set(&ask->err, "provider_busy", "Too many sign-ins are under way; try again in a second.");
	end(ask, NULL);
}

static void go_on(struct site_ask *ask, const struct site *s)
{
	uint64_t age = clock_mono_us() - s->keys_us;
	bool has_keys = s->keys.n && age < KEEP_US;

	if (!ask->needs_keys || (has_keys && !(ask->needs_new_keys && age >= NEW_KEYS_US)))
		end(ask, s);
	else
		fetch(ask, "Its key set", arena_strdup(ask->arena, s->jwks_uri), on_keys);
}

static void on_description(struct site_fetch *f)
{
	struct site_ask *ask = container_of(f, struct site_ask, fetch);
	struct site *s = failed(ask) ? NULL : read_description(ask, f->body);

	if (!s) {
		end(ask, NULL);
		return;
	}
	site_drop(ask->auth, ask->issuer);
	list_append(&ask->auth->sso->sites, &s->link);
	go_on(ask, s);
}

void site_ask(struct site_ask *ask)
{
	struct site *s = find(ask->auth->sso, ask->issuer);
	size_t n = strlen(ask->issuer);

	ask->err = (struct error){0};
	ask->is_busy = false;
	if (s && clock_mono_us() - s->read_us < KEEP_US) {
		go_on(ask, s);
		return;
	}
	fetch(ask, "Its description",
	      arena_printf(ask->arena, "%.*s/.well-known/openid-configuration",
			   (int)(n && ask->issuer[n - 1] == '/' ? n - 1 : n), ask->issuer),
	      on_description);
}
