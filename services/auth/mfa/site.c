#include "mfa/site.h"

#include "base/encode.h"
#include "client.h"

static struct str host_of(struct exchange *x)
{
	struct str host = http_header_get(&x->req->headers, "x-forwarded-host");

	return host.n ? host : http_header_get(&x->req->headers, "host");
}

/* Without the port; an address in brackets is none that a passkey could belong to, but is kept as it is. */
static struct str name_of(struct str authority)
{
	const char *colon = memrchr(authority.p, ':', authority.n), *bracket = memrchr(authority.p, ']', authority.n);

	return colon && (!bracket || colon > bracket) ? (struct str){authority.p, (size_t)(colon - authority.p)}
						      : authority;
}

/* Of "https://host:port/path". */
static struct str origin_of_url(struct str url)
{
	const char *after = memmem(url.p, url.n, "://", 3), *slash;

	if (!after)
		return url;
	after += 3;
	slash = memchr(after, '/', url.n - (size_t)(after - url.p));
	return slash ? (struct str){url.p, (size_t)(slash - url.p)} : url;
}

void site_of(struct exchange *x, struct site *ret)
{
	const struct auth *auth = x->self;
	struct str origin = origin_of_url(str_of(option_str(service_options(auth->service), "public_url"))),
		   host = host_of(x);
	struct client client;

	if (origin.n) {
		snprintf(ret->origin, sizeof(ret->origin), "%.*s", STR_ARG(origin));
	} else {
		client_read(x, &client);
		snprintf(ret->origin, sizeof(ret->origin), "%s://%.*s", client.is_https ? "https" : "http",
			 (int)MIN(host.n, 255u), host.p ? host.p : "");
	}
	origin = str_of(strstr(ret->origin, "://") + 3);
	snprintf(ret->rp_id, sizeof(ret->rp_id), "%.*s", STR_ARG(name_of(origin)));
}

static yyjson_mut_val *add_bytes(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, const void *data, size_t n)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	base64url_encode(&text, data, n);
	yyjson_mut_obj_add_strncpy(doc, obj, key, text.p, text.n);
	return obj;
}

yyjson_mut_val *site_request_options(yyjson_mut_doc *doc, const struct site *site,
				     const uint8_t challenge[static WEBAUTHN_CHALLENGE_SIZE], const char *const *ids,
				     size_t n, bool needs_verified_user)
{
	yyjson_mut_val *obj = yyjson_mut_obj(doc), *allowed, *one;

	add_bytes(doc, obj, "challenge", challenge, WEBAUTHN_CHALLENGE_SIZE);
	json_add_str(doc, obj, "rpId", site->rp_id);
	yyjson_mut_obj_add_int(doc, obj, "timeout", 300000);
	yyjson_mut_obj_add_str(doc, obj, "userVerification", needs_verified_user ? "required" : "preferred");
	allowed = yyjson_mut_obj_add_arr(doc, obj, "allowCredentials");
	for (size_t i = 0; i < n; i++) {
		one = yyjson_mut_arr_add_obj(doc, allowed);
		yyjson_mut_obj_add_str(doc, one, "type", "public-key");
		json_add_str(doc, one, "id", ids[i]);
	}
	return obj;
}

struct str site_decode(struct arena *a, yyjson_val *text)
{
	struct str in = {yyjson_get_str(text), yyjson_get_len(text)};
	void *out;
	ssize_t n;

	if (!in.p || in.n == 0 || in.n > WEBAUTHN_DATA_MAX * 4 / 3 + 4)
		return (struct str){0};
	out = arena_alloc(a, in.n);
	n = base64url_decode(in, out, in.n);
	return n > 0 ? (struct str){out, (size_t)n} : (struct str){0};
}

bool assertion_read(struct exchange *x, struct assertion *ret)
{
	yyjson_val *credential = json_get_obj(x->body, "credential"), *response = json_get_obj(credential, "response");
	struct str id = site_decode(x->arena, yyjson_obj_get(credential, "id"));
	char *hash = arena_alloc(x->arena, SHA256_HEX_SIZE);

	*ret = (struct assertion){
		.credential_hash = hash,
		.client_data = site_decode(x->arena, yyjson_obj_get(response, "clientDataJSON")),
		.auth_data = site_decode(x->arena, yyjson_obj_get(response, "authenticatorData")),
		.signature = site_decode(x->arena, yyjson_obj_get(response, "signature")),
	};
	if (!id.p || !ret->client_data.p || !ret->auth_data.p || !ret->signature.p) {
		reply_problem(x, 422, "invalid_field",
			      "credential must be what navigator.credentials.get() gave, as JSON.");
		return false;
	}
	sha256_hex(id.p, id.n, hash);
	return true;
}
