/* Tokens as they come from outside, checked against a fixed key set; and key sets. */
#include <stdlib.h>
#include <string.h>

#include "service/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const audiences[] = {TOKEN_AUDIENCE, "agent", NULL};
	static struct token_keys *keys;
	static struct token_key key;
	static const uint8_t seed[crypto_sign_SEEDBYTES] = "the seed of a key known to all..";
	_cleanup_(buf_deinit) struct buf token = BUF_INIT;
	struct token_key read;
	struct identity id;
	struct arena *a = arena_new();
	struct str text = {(const char *)data, n};

	if (!keys) {
		keys = token_keys_new();
		strcpy(key.kid, "k");
		crypto_sign_seed_keypair(key.public_key, key.secret_key, seed);
		token_keys_add(keys, TOKEN_ISSUER, &key);
	}
	if (token_check(keys, text, audiences, 1800000000, a, &id) == TOKEN_OK && !*id.user_id)
		abort();
	token_keys_knows(keys, text);

	/* The same bytes as claims behind a good signature. */
	token_sign(&key, text, &token);
	if (token_check(keys, buf_str(&token), audiences, 1800000000, a, &id) == TOKEN_OK && !*id.user_id)
		abort();

	struct token_keys *others = token_keys_new();
	token_keys_load_jwks(others, TOKEN_ISSUER, text, NULL);
	token_keys_free(others);
	token_key_from_jwk(text, true, &read, NULL);
	arena_free(a);
	return 0;
}
