/* What clients read first: RFC 8414, OpenID Connect Discovery 1.0, RFC 9728. */
#include "oauth/handlers.h"
#include "oauth/oauth.h"

static void add_url(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct arena *a, const char *name, const char *issuer,
		    const char *path)
{
	json_add_str(doc, obj, name, arena_printf(a, "%s%s", issuer, path));
}

static void add_list(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *name, const char *const *list)
{
	yyjson_mut_val *arr = yyjson_mut_obj_add_arr(doc, obj, name);

	for (; *list; list++)
		yyjson_mut_arr_add_str(doc, arr, *list);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void add_scopes(yyjson_mut_doc *doc, yyjson_mut_val *obj, bool is_resource)
{
	yyjson_mut_val *arr = yyjson_mut_obj_add_arr(doc, obj, "scopes_supported");
	const char *name;

	for (size_t i = 0; (name = scope_name(i)); i++)
		if (!is_resource || strchr(name, '.') || !strcmp(name, "mcp"))
			yyjson_mut_arr_add_str(doc, arr, name);
}

static void add_server(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct auth *auth, struct arena *a,
		       const char *issuer)
{
	json_add_str(doc, obj, "issuer", issuer);
	add_url(doc, obj, a, "authorization_endpoint", issuer, "/oauth/authorize");
	add_url(doc, obj, a, "token_endpoint", issuer, "/oauth/token");
	add_url(doc, obj, a, "revocation_endpoint", issuer, "/oauth/revoke");
	add_url(doc, obj, a, "introspection_endpoint", issuer, "/oauth/introspect");
	if (auth->oauth->may_register)
		add_url(doc, obj, a, "registration_endpoint", issuer, "/oauth/register");
	add_url(doc, obj, a, "jwks_uri", issuer, "/.well-known/jwks.json");
	add_scopes(doc, obj, false);
	add_list(doc, obj, "response_types_supported", LIST("code"));
	add_list(doc, obj, "response_modes_supported", LIST("query"));
	add_list(doc, obj, "grant_types_supported", LIST("authorization_code", "refresh_token"));
	add_list(doc, obj, "code_challenge_methods_supported", LIST("S256"));
	add_list(doc, obj, "token_endpoint_auth_methods_supported",
		 LIST("none", "client_secret_basic", "client_secret_post"));
	add_list(doc, obj, "revocation_endpoint_auth_methods_supported",
		 LIST("none", "client_secret_basic", "client_secret_post"));
	add_list(doc, obj, "introspection_endpoint_auth_methods_supported",
		 LIST("client_secret_basic", "client_secret_post"));
	yyjson_mut_obj_add_bool(doc, obj, "authorization_response_iss_parameter_supported", true);
	yyjson_mut_obj_add_bool(doc, obj, "client_id_metadata_document_supported", true);
	add_list(doc, obj, "protected_resources",
		 LIST(arena_printf(a, "%s/mcp", issuer), arena_printf(a, "%s/api", issuer)));
	add_url(doc, obj, a, "service_documentation", issuer, "/api-docs");
}

static void add_openid(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct auth *auth, struct arena *a,
		       const char *issuer)
{
	add_url(doc, obj, a, "userinfo_endpoint", issuer, "/oauth/userinfo");
	add_list(doc, obj, "subject_types_supported", LIST("public"));
	add_list(doc, obj, "id_token_signing_alg_values_supported", LIST(token_key_alg(&auth->key)));
	add_list(doc, obj, "claim_types_supported", LIST("normal"));
	add_list(doc, obj, "claims_supported",
		 LIST("iss", "sub", "aud", "iat", "exp", "auth_time", "nonce", "at_hash", "sid", "name", "email"));
	add_list(doc, obj, "prompt_values_supported", LIST("none", "login", "consent"));
	yyjson_mut_obj_add_bool(doc, obj, "claims_parameter_supported", false);
	yyjson_mut_obj_add_bool(doc, obj, "request_parameter_supported", false);
	yyjson_mut_obj_add_bool(doc, obj, "request_uri_parameter_supported", false);
}

static void reply_metadata(struct exchange *x, yyjson_mut_doc *doc)
{
	reply_header(x, "Cache-Control", "public, max-age=300");
	reply_header(x, "Access-Control-Allow-Origin", "*");
	reply_json(x, 200, doc);
}

/* One document at both addresses: who knows one standard only passes over the members of the other. */
void oauth_server_metadata(struct exchange *x)
{
	const char *issuer = oauth_issuer(x);
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;

	if (!issuer)
		return;
	obj = json_new_obj(x->arena, &doc);
	add_server(doc, obj, x->self, x->arena, issuer);
	add_openid(doc, obj, x->self, x->arena, issuer);
	reply_metadata(x, doc);
}

void oauth_resource_metadata(struct exchange *x)
{
	const char *issuer = oauth_issuer(x), *path = strrchr(x->route->pattern, '/');
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;

	if (!issuer)
		return;
	/* Without a path it is that of the API. */
	if (strcmp(path, "/mcp"))
		path = "/api";
	obj = json_new_obj(x->arena, &doc);
	add_url(doc, obj, x->arena, "resource", issuer, path);
	json_add_str(doc, obj, "resource_name", strcmp(path, "/mcp") ? "Ogent API" : "Ogent MCP");
	add_list(doc, obj, "authorization_servers", LIST(issuer));
	add_list(doc, obj, "bearer_methods_supported", LIST("header"));
	add_scopes(doc, obj, true);
	reply_metadata(x, doc);
}
