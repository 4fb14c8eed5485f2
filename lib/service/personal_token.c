#include "service/personal_token.h"

#include <sodium.h>
#include <stdio.h>
#include <zlib.h>

#define ID_AT 4
#define SECRET_AT (ID_AT + 32)
#define SECRET_LEN 30
#define CRC_AT (SECRET_AT + SECRET_LEN)
#define CRC_LEN 6

static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

bool personal_token_is(struct str token)
{
	return str_has_prefix(token, STR(PERSONAL_TOKEN_PREFIX));
}

static void write_crc(const char *token, char ret[static CRC_LEN])
{
	unsigned long crc = crc32(crc32(0, NULL, 0), (const Bytef *)token, CRC_AT);

	for (int i = CRC_LEN - 1; i >= 0; i--, crc /= 62)
		ret[i] = letters[crc % 62];
}

void personal_token_new(const char *id, char ret[static PERSONAL_TOKEN_SIZE])
{
	char *at = ret + ID_AT;

	memcpy(ret, PERSONAL_TOKEN_PREFIX, ID_AT);
	for (const char *p = id; *p; p++)
		if (*p != '-')
			*at++ = *p;
	for (size_t i = 0; i < SECRET_LEN; i++)
		*at++ = letters[randombytes_uniform(62)];
	write_crc(ret, at);
	ret[PERSONAL_TOKEN_LEN] = '\0';
}

bool personal_token_read(struct str token, char ret_id[static ID_SIZE])
{
	char crc[CRC_LEN];
	const char *id = token.p + ID_AT;

	if (token.n != PERSONAL_TOKEN_LEN || !personal_token_is(token))
		return false;
	write_crc(token.p, crc);
	if (memcmp(crc, token.p + CRC_AT, CRC_LEN) != 0)
		return false;
	snprintf(ret_id, ID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", id, id + 8, id + 12, id + 16, id + 20);
	return id_is_valid(str_of(ret_id));
}
