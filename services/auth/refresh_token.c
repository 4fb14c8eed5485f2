#include "refresh_token.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <zlib.h>

#include "base/encode.h"

#define PREFIX "ogr_"
#define VERSION 1
#define UUID_BYTES 16
#define MAC_BYTES 16

/* Offsets in the binary form. */
enum {
	AT_SESSION = 1,
	AT_COUNTER = AT_SESSION + UUID_BYTES,
	AT_MAC = AT_COUNTER + 4,
	AT_CHECKSUM = AT_MAC + MAC_BYTES,
	RAW_SIZE = AT_CHECKSUM + 4
};

static void put_u32(uint8_t *p, uint32_t v)
{
	p[0] = v >> 24;
	p[1] = v >> 16;
	p[2] = v >> 8;
	p[3] = v;
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t checksum(const uint8_t *raw)
{
	return crc32(0, raw, AT_CHECKSUM);
}

static void mac(const struct refresh_key *key, const uint8_t *raw, uint8_t ret[static MAC_BYTES])
{
	static const char context[] = "ogent refresh token";
	uint8_t session_key[crypto_auth_hmacsha256_BYTES], full[crypto_auth_hmacsha256_BYTES];
	crypto_auth_hmacsha256_state st;

	crypto_auth_hmacsha256_init(&st, key->bytes, sizeof(key->bytes));
	crypto_auth_hmacsha256_update(&st, (const uint8_t *)context, sizeof(context));
	crypto_auth_hmacsha256_update(&st, raw + AT_SESSION, UUID_BYTES);
	crypto_auth_hmacsha256_final(&st, session_key);
	crypto_auth_hmacsha256(full, raw, AT_MAC, session_key);
	memcpy(ret, full, MAC_BYTES);
	sodium_memzero(session_key, sizeof(session_key));
}

static void session_id_to_text(const uint8_t *raw, char ret[static ID_SIZE])
{
	char hex[2 * UUID_BYTES + 1];

	hex_encode(raw, UUID_BYTES, hex);
	snprintf(ret, ID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

void refresh_token_format(const struct refresh_key *key, const struct refresh_token *token,
			  char ret[static REFRESH_TOKEN_SIZE])
{
	uint8_t raw[RAW_SIZE] = {VERSION};
	struct buf text = BUF_INIT;

	sodium_hex2bin(raw + AT_SESSION, UUID_BYTES, token->session_id, strlen(token->session_id), "-", NULL, NULL);
	put_u32(raw + AT_COUNTER, token->counter);
	mac(key, raw, raw + AT_MAC);
	put_u32(raw + AT_CHECKSUM, checksum(raw));
	base64url_encode(&text, raw, sizeof(raw));
	snprintf(ret, REFRESH_TOKEN_SIZE, PREFIX "%.*s", STR_ARG(buf_str(&text)));
	buf_deinit(&text);
}

int refresh_token_parse(const struct refresh_key *key, struct str text, struct refresh_token *ret)
{
	uint8_t raw[RAW_SIZE], expected[MAC_BYTES];
	struct str prefix = STR(PREFIX);

	if (text.n != REFRESH_TOKEN_SIZE - 1 || !str_has_prefix(text, prefix))
		return -EINVAL;
	text.p += prefix.n;
	text.n -= prefix.n;
	if (base64url_decode(text, raw, sizeof(raw)) != RAW_SIZE || raw[0] != VERSION ||
	    get_u32(raw + AT_CHECKSUM) != checksum(raw))
		return -EINVAL;
	mac(key, raw, expected);
	if (sodium_memcmp(expected, raw + AT_MAC, MAC_BYTES) != 0)
		return -EBADMSG;
	session_id_to_text(raw + AT_SESSION, ret->session_id);
	ret->counter = get_u32(raw + AT_COUNTER);
	return 0;
}
