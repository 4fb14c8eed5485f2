#include "oauth/authorization.h"

#include <errno.h>

#include "base/clock.h"

#define PURPOSE "authorization"
#define LIFE_US (30 * 60 * INT64_C(1000000))

const char *authorization_seal(const struct oauth *o, struct arena *a, const struct authorization *r)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);

	json_add_str(doc, obj, "client_id", r->client_id);
	json_add_str(doc, obj, "client_name", r->client_name);
	json_add_str(doc, obj, "client_uri", r->client_uri);
	yyjson_mut_obj_add_bool(doc, obj, "is_proven", r->is_proven);
	yyjson_mut_obj_add_bool(doc, obj, "is_document", r->is_document);
	json_add_str(doc, obj, "redirect_uri", r->redirect_uri);
	json_add_str(doc, obj, "state", r->state);
	json_add_str(doc, obj, "resource", r->resource);
	json_add_str(doc, obj, "nonce", r->nonce);
	json_add_str(doc, obj, "scope", r->scope);
	json_add_str(doc, obj, "challenge", r->challenge);
	yyjson_mut_obj_add_bool(doc, obj, "must_ask", r->must_ask);
	yyjson_mut_obj_add_bool(doc, obj, "must_sign_in", r->must_sign_in);
	yyjson_mut_obj_add_int(doc, obj, "max_age", r->max_age);
	yyjson_mut_obj_add_int(doc, obj, "created_at", r->created_at);
	return oauth_seal(o, a, PURPOSE, json_text(a, doc));
}

int authorization_unseal(const struct oauth *o, struct arena *a, const char *sealed, struct authorization *ret)
{
	const char *text = oauth_unseal(o, a, PURPOSE, sealed);
	yyjson_doc *doc = text ? json_parse(a, text, strlen(text), NULL) : NULL;
	yyjson_val *obj = yyjson_doc_get_root(doc);

	if (!doc)
		return -EINVAL;
	*ret = (struct authorization){
		.client_id = json_get_str(obj, "client_id", ""),
		.client_name = json_get_str(obj, "client_name", ""),
		.client_uri = json_get_str(obj, "client_uri", NULL),
		.is_proven = json_get_bool(obj, "is_proven", false),
		.is_document = json_get_bool(obj, "is_document", false),
		.redirect_uri = json_get_str(obj, "redirect_uri", ""),
		.state = json_get_str(obj, "state", NULL),
		.resource = json_get_str(obj, "resource", NULL),
		.nonce = json_get_str(obj, "nonce", NULL),
		.scope = json_get_str(obj, "scope", ""),
		.challenge = json_get_str(obj, "challenge", ""),
		.must_ask = json_get_bool(obj, "must_ask", true),
		.must_sign_in = json_get_bool(obj, "must_sign_in", true),
		.max_age = json_get_int(obj, "max_age", 0),
		.created_at = json_get_int(obj, "created_at", 0),
	};
	return clock_now_us() - ret->created_at < LIFE_US ? 0 : -ETIMEDOUT;
}

const char *authorization_answer(struct arena *a, const char *issuer, const char *redirect_uri, const char *state,
				 const char *code, const char *error, const char *description)
{
	struct buf uri = BUF_INIT;
	const char *copy;

	buf_add_str(&uri, redirect_uri);
	oauth_add_param(&uri, "code", code);
	oauth_add_param(&uri, "error", error);
	oauth_add_param(&uri, "error_description", description);
	oauth_add_param(&uri, "state", state);
	oauth_add_param(&uri, "iss", issuer);
	copy = arena_strndup(a, uri.p, uri.n);
	buf_deinit(&uri);
	return copy;
}
