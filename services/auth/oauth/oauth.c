#include "oauth/oauth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/encode.h"
#include "io/outbound.h"
#include "oauth/client_document.h"
#include "service/secret_file.h"

static const struct throttle_policy registration_policy = {
	.free = 100, .first_ms = 1000, .max_ms = 60 * 1000, .forget_ms = 60 * 60 * 1000};

int oauth_open(struct auth *auth, struct error *err)
{
	const struct options *options = service_options(auth->service);
	struct oauth *o = xcalloc(1, sizeof(*o));

	auth->oauth = o;
	o->may_register = option_bool(options, "oauth_registration");
	o->clients_max = option_int(options, "oauth_clients_max");
	o->outbound = outbound_new(service_loop(auth->service));
	o->registrations = throttle_new(&registration_policy, 4096);
	o->documents = client_documents_new();
	if (networks_parse(&o->inner, option_str(options, "oauth_inner_networks"), "oauth_inner_networks", err) < 0)
		return -EINVAL;
	return secret_file_key(auth->secrets_dir, "auth-sso.key", o->key.bytes, sizeof(o->key.bytes), err);
}

void oauth_close(struct auth *auth)
{
	struct oauth *o = auth->oauth;

	outbound_free(o->outbound);
	throttle_free(o->registrations);
	client_documents_free(o->documents);
	sodium_memzero(o, sizeof(*o));
	free(o);
	auth->oauth = NULL;
}

const char *oauth_issuer(struct exchange *x)
{
	const char *issuer = service_public_url(x->service);

	if (*issuer)
		return issuer;
	reply_problem(x, 404, "oauth_off",
		      "The platform listens on all addresses, so its own is not known: set the option public_url.");
	return NULL;
}

void oauth_error(struct exchange *x, int status, const char *error, const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	yyjson_mut_obj_add_str(doc, obj, "error", error);
	json_add_str(doc, obj, "error_description", text.p);
	buf_deinit(&text);
	reply_header(x, "Cache-Control", "no-store");
	reply_header(x, "Pragma", "no-cache");
	reply_json(x, status, doc);
}

struct form_reading {
	void (*then)(struct exchange *x, const struct form *form);
	struct form form;
};

static void on_body(struct http_request *r, int err, struct str body)
{
	struct exchange *x = r->owner;
	struct form_reading *f = x->data;

	if (err || http_reply_has_started(r))
		return;
	if (form_parse(x->arena, body, &f->form) < 0)
		oauth_error(x, 400, "invalid_request", "The body is no form.");
	else if (f->form.repeated && strcmp(f->form.repeated, "resource"))
		oauth_error(x, 400, "invalid_request", "A parameter is there more than once.");
	else if (f->form.repeated)
		oauth_error(x, 400, "invalid_target", "Name one resource only.");
	else
		f->then(x, &f->form);
}

static bool is_form(struct str type)
{
	struct str rest = type;

	return str_ieq(str_trim(str_cut(&rest, ';')), STR("application/x-www-form-urlencoded"));
}

void oauth_read_form(struct exchange *x, void (*then)(struct exchange *x, const struct form *form))
{
	struct form_reading *f = arena_new_of(x->arena, struct form_reading);

	f->then = then;
	x->data = f;
	if (!is_form(http_header_get(&x->req->headers, "content-type"))) {
		oauth_error(x, 400, "invalid_request",
			    "Send the parameters with Content-Type: application/x-www-form-urlencoded.");
		return;
	}
	http_set_max_body(x->req, OAUTH_BODY_MAX);
	http_read_body(x->req, on_body);
}

const char *oauth_seal(const struct oauth *o, struct arena *a, const char *purpose, struct str text)
{
	struct buf out = BUF_INIT;
	const char *ret;

	seal(&o->key, str_of(purpose), text, &out);
	ret = arena_strndup(a, out.p, out.n);
	buf_deinit(&out);
	return ret;
}

static void wipe(void *arg)
{
	buf_wipe(arg);
}

const char *oauth_unseal(const struct oauth *o, struct arena *a, const char *purpose, const char *sealed)
{
	struct buf *out = arena_new_of(a, struct buf);

	arena_defer(a, wipe, out);
	return unseal(&o->key, str_of(purpose), str_of(sealed), out) == 0 && out->n ? out->p : NULL;
}

const char *oauth_resource(struct arena *a, const char *issuer, const char *asked)
{
	static const char *const paths[] = {"", "/api", "/mcp"};
	struct str s = str_of(asked), base = str_of(issuer);

	if (!str_has_prefix(s, base))
		return NULL;
	s = (struct str){s.p + base.n, s.n - base.n};
	if (s.n > 0 && s.p[s.n - 1] == '/')
		s.n--;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (str_is(s, paths[i]))
			return arena_printf(a, "%s%s", issuer, i ? paths[i] : "/api");
	return NULL;
}

void oauth_add_param(struct buf *uri, const char *name, const char *value)
{
	if (!value)
		return;
	buf_add_char(uri, memchr(uri->p, '?', uri->n) ? '&' : '?');
	buf_add_str(uri, name);
	buf_add_char(uri, '=');
	percent_encode(str_of(value), uri);
}
