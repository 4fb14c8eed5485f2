/* The text of a refresh token: "ogr_" and base64url of
 *
 *	version (1) | session id (16) | counter (4, big endian) | HMAC-SHA-256 cut to 128 bits (16) | CRC-32 (4)
 *
 * The checksum turns typing errors and junk away cheaply, the HMAC everything that auth did not make, both before the
 * database is asked. The HMAC's key is derived from the service's secret for each session. As the text follows from
 * session and counter alone, nothing of a token is stored and the same successor can be given out twice. */
#pragma once

#include "base/id.h"

#define REFRESH_TOKEN_SIZE 60 /* 59 characters and a NUL */
#define REFRESH_COUNTER_MAX UINT32_MAX

struct refresh_key {
	uint8_t bytes[32];
};

struct refresh_token {
	char session_id[ID_SIZE];
	uint32_t counter;
};

void refresh_token_format(const struct refresh_key *key, const struct refresh_token *token,
			  char ret[static REFRESH_TOKEN_SIZE]);
/* Returns 0, -EINVAL (not the text of a token) or -EBADMSG (not made with this key). */
int refresh_token_parse(const struct refresh_key *key, struct str text, struct refresh_token *ret);
