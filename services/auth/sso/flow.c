#include "sso/flow.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/encode.h"
#include "oauth/oauth.h"

static const char purpose[] = "sign-in by a provider";

static const char *secret(struct arena *a)
{
	uint8_t bytes[32];
	struct buf text = BUF_INIT;
	const char *ret;

	randombytes_buf(bytes, sizeof(bytes));
	base64url_encode(&text, bytes, sizeof(bytes));
	ret = arena_strndup(a, text.p, text.n);
	buf_deinit(&text);
	return ret;
}

void flow_new(struct arena *a, enum flow_kind kind, const char *provider_id, struct flow *ret)
{
	*ret = (struct flow){
		.kind = kind,
		.provider_id = provider_id,
		.user_id = "",
		.session_id = "",
		.state = secret(a),
		.nonce = secret(a),
		.verifier = secret(a),
		.started_at = clock_now_us(),
	};
}

static const char *cookie_name(const struct client *client)
{
	return client->is_https ? "__Host-ogent_sso" : "ogent_sso";
}

static void set_cookie(struct exchange *x, const struct client *client, const char *value, int64_t age_s)
{
	reply_header_add(x, "Set-Cookie",
			 arena_printf(x->arena, "%s=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%" PRId64 "%s",
				      cookie_name(client), value, age_s, client->is_https ? "; Secure" : ""));
}

void flow_keep(struct exchange *x, const struct client *client, const struct flow *f)
{
	const struct auth *auth = x->self;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	yyjson_mut_obj_add_int(doc, obj, "k", f->kind);
	json_add_str(doc, obj, "p", f->provider_id);
	json_add_str(doc, obj, "u", f->user_id);
	json_add_str(doc, obj, "d", f->session_id);
	json_add_str(doc, obj, "s", f->state);
	json_add_str(doc, obj, "n", f->nonce);
	json_add_str(doc, obj, "v", f->verifier);
	yyjson_mut_obj_add_int(doc, obj, "t", f->started_at);
	set_cookie(x, client, oauth_seal(auth->oauth, x->arena, purpose, json_text(x->arena, doc)), FLOW_US / 1000000);
}

bool flow_of(struct exchange *x, const struct client *client, struct flow *ret)
{
	const struct auth *auth = x->self;
	const char *cookie = client_named_cookie(x, cookie_name(client));
	const char *text = cookie ? oauth_unseal(auth->oauth, x->arena, purpose, cookie) : NULL;
	yyjson_doc *doc = text ? json_parse(x->arena, text, strlen(text), NULL) : NULL;
	yyjson_val *obj = doc ? yyjson_doc_get_root(doc) : NULL;

	if (!obj)
		return false;
	*ret = (struct flow){
		.kind = (enum flow_kind)json_get_int(obj, "k", FLOW_SIGN_IN),
		.provider_id = json_get_str(obj, "p", ""),
		.user_id = json_get_str(obj, "u", ""),
		.session_id = json_get_str(obj, "d", ""),
		.state = json_get_str(obj, "s", ""),
		.nonce = json_get_str(obj, "n", ""),
		.verifier = json_get_str(obj, "v", ""),
		.started_at = json_get_int(obj, "t", 0),
	};
	sha256_hex(cookie, strlen(cookie), ret->hash);
	return *ret->state && ret->started_at > clock_now_us() - FLOW_US;
}

void flow_forget(struct exchange *x, const struct client *client)
{
	set_cookie(x, client, "", 0);
}
