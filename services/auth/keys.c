#include "keys.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "handlers.h"
#include "mail/link.h"
#include "service/secret_file.h"

#define ALGORITHM "Ed25519"

int keys_load(struct auth *auth, struct error *err)
{
	uint8_t seed[crypto_sign_SEEDBYTES], hash[SHA256_SIZE];
	int r = secret_file_key(auth->secrets_dir, "auth-signing.key", seed, sizeof(seed), err);

	if (r < 0)
		return r;
	crypto_sign_seed_keypair(auth->key.public_key, auth->key.secret_key, seed);
	sodium_memzero(seed, sizeof(seed));
	sha256(auth->key.public_key, sizeof(auth->key.public_key), hash);
	hex_encode(hash, 8, auth->key.kid);
	r = secret_file_key(auth->secrets_dir, "auth-refresh.key", auth->refresh_key.bytes,
			    sizeof(auth->refresh_key.bytes), err);
	if (r == 0)
		link_key_derive(&auth->refresh_key, &auth->link_key);
	return r;
}

static int record(struct db_conn *c, const struct token_key *key)
{
	struct buf text = BUF_INIT;
	int64_t one, r = db_get_int(c, &one, "select 1 from signing_keys where kid = ?", DB_TEXT(key->kid));

	if (r != 0)
		return MIN(r, 0);
	base64url_encode(&text, key->public_key, sizeof(key->public_key));
	r = db_exec(c, "insert into signing_keys (kid, algorithm, public_key, created_at) values (?, ?, ?, ?)",
		    DB_TEXT(key->kid), DB_TEXT(ALGORITHM), DB_STR(buf_str(&text)), DB_INT(clock_now_us()));
	buf_deinit(&text);
	return MIN(r, 0);
}

/* One key of the table as a JWK. */
static int add_jwk(struct db_stmt *st, struct buf *out)
{
	struct token_key key = {0};
	struct str kid = db_col_str(st, 0);

	snprintf(key.kid, sizeof(key.kid), "%.*s", STR_ARG(kid));
	if (base64url_decode(db_col_str(st, 1), key.public_key, sizeof(key.public_key)) != sizeof(key.public_key))
		return -EIO;
	token_key_to_jwk(&key, out);
	return 0;
}

int keys_seed(struct db_conn *c, struct auth *auth, struct buf *ret_jwks)
{
	int r = record(c, &auth->key);
	_cleanup_(db_done_p) struct db_stmt *st = NULL;

	if (r < 0)
		return r;
	buf_clear(ret_jwks);
	buf_add_str(ret_jwks, "{\"keys\":[");
	st = db_query(c, "select kid, public_key from signing_keys where retired_at is null order by created_at desc");
	for (bool first = true; (r = db_step(c, st)) == 1; first = false) {
		if (!first)
			buf_add_char(ret_jwks, ',');
		r = add_jwk(st, ret_jwks);
		if (r < 0)
			return r;
	}
	buf_add_str(ret_jwks, "]}");
	return r;
}

int keys_publish(struct auth *auth, struct buf *jwks, struct error *err)
{
	char hash[SHA256_HEX_SIZE];
	int r = token_keys_load_jwks(service_keys(auth->service), TOKEN_ISSUER, buf_str(jwks), err);

	if (r < 0)
		return r;
	sha256_hex(jwks->p, jwks->n, hash);
	snprintf(auth->jwks_etag, sizeof(auth->jwks_etag), "\"%.16s\"", hash);
	auth->jwks.p = buf_steal(jwks, &auth->jwks.n);
	return 0;
}

void auth_jwks(struct exchange *x)
{
	const struct auth *auth = x->self;

	reply_header(x, "Cache-Control", "public, max-age=300");
	reply_header(x, "ETag", auth->jwks_etag);
	if (str_is(http_header_get(&x->req->headers, "if-none-match"), auth->jwks_etag))
		reply_empty(x, 304);
	else
		reply_raw_json(x, 200, auth->jwks);
}
