#include "oauth/client.h"

#include <errno.h>
#include <stdlib.h>

#include "base/encode.h"
#include "oauth/uri.h"

bool client_is_document(const char *id)
{
	return !strncmp(id, "https://", 8);
}

int client_load(struct db_conn *c, struct arena *a, const char *id, struct oauth_client *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c,
			 "select id, name, uri, auth_method, secret_hash, redirect_uris, kind from oauth_clients "
			 "where id = ?",
			 DB_TEXT(id));
	int r = db_step(c, st);

	if (r == 1)
		*ret = (struct oauth_client){
			.id = db_col_dup(st, 0, a),
			.name = db_col_dup(st, 1, a),
			.uri = db_col_dup(st, 2, a),
			.auth_method = db_col_dup(st, 3, a),
			.secret_hash = db_col_dup(st, 4, a),
			.redirect_uris = db_col_dup(st, 5, a),
			.is_managed = str_is(db_col_str(st, 6), "managed"),
		};
	return r;
}

bool client_has_redirect(const struct oauth_client *client, struct arena *a, const char *uri)
{
	yyjson_doc *doc = json_parse(a, client->redirect_uris, strlen(client->redirect_uris), NULL);
	yyjson_val *item;
	size_t i, n;

	if (!doc)
		return false;
	yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, item)
	{
		if (redirect_uri_matches(str_of(yyjson_get_str(item)), str_of(uri)))
			return true;
	}
	return false;
}

bool client_is_proven(const struct oauth_client *client, const char *redirect_uri)
{
	return client->secret_hash || !strncmp(redirect_uri, "https://", 8);
}

/* Name and password are form-encoded first (RFC 6749 section 2.3.1). Returns NULL when it is not so. */
static const char *basic_part(struct arena *a, struct str s)
{
	struct buf out = BUF_INIT;
	const char *ret = percent_decode(s, true, &out) == 0 ? arena_strndup(a, out.n ? out.p : "", out.n) : NULL;

	buf_deinit(&out);
	return ret;
}

static bool read_basic(struct arena *a, struct str text, struct client_claim *ret)
{
	char *plain = arena_alloc(a, text.n + 1);
	struct str rest, id;
	size_t n;

	if (sodium_base642bin((uint8_t *)plain, text.n, text.p, text.n, NULL, &n, NULL,
			      sodium_base64_VARIANT_ORIGINAL) != 0)
		return false;
	rest = (struct str){plain, n};
	id = str_cut(&rest, ':');
	if (!rest.p)
		return false;
	ret->id = basic_part(a, id);
	ret->secret = basic_part(a, rest);
	ret->method = "client_secret_basic";
	return ret->id && ret->secret;
}

bool client_claim_read(struct exchange *x, const struct form *form, struct client_claim *ret)
{
	struct str header = http_header_get(&x->req->headers, "authorization"), scheme = str_cut(&header, ' ');
	const char *id = form_get(form, "client_id"), *secret = form_get(form, "client_secret");

	*ret = (struct client_claim){.id = id, .secret = secret, .method = secret ? "client_secret_post" : "none"};
	if (scheme.p && header.p && str_ieq(scheme, STR("Basic"))) {
		if (secret) {
			oauth_error(x, 400, "invalid_request", "Send the client's secret in one way only.");
			return false;
		}
		if (!read_basic(x->arena, str_trim(header), ret) || (id && strcmp(id, ret->id))) {
			client_refuse(x);
			return false;
		}
	}
	if (!ret->id || strlen(ret->id) > CLIENT_ID_MAX) {
		client_refuse(x);
		return false;
	}
	return true;
}

static bool secret_is_right(const struct oauth_client *client, const char *secret)
{
	char hash[SHA256_HEX_SIZE];

	sha256_hex(secret, strlen(secret), hash);
	return strlen(client->secret_hash) == sizeof(hash) - 1 &&
	       sodium_memcmp(hash, client->secret_hash, sizeof(hash) - 1) == 0;
}

int client_claim_check(struct db_conn *c, struct arena *a, const struct client_claim *claim, struct oauth_client *ret)
{
	int r;

	if (client_is_document(claim->id)) {
		*ret = (struct oauth_client){.id = claim->id, .name = "", .auth_method = "none", .redirect_uris = "[]"};
		return !strcmp(claim->method, "none");
	}
	r = client_load(c, a, claim->id, ret);
	if (r <= 0)
		return r;
	if (strcmp(claim->method, ret->auth_method))
		return 0;
	return !ret->secret_hash || secret_is_right(ret, claim->secret);
}

void client_refuse(struct exchange *x)
{
	reply_header(x, "WWW-Authenticate", "Basic realm=\"ogent\"");
	oauth_error(x, 401, "invalid_client", "The client is not known, or did not prove who it is.");
}
