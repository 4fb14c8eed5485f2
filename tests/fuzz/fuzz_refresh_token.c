/* The refresh token parser: what it accepts must be what it makes. */
#include <stdlib.h>
#include <zlib.h>

#include "base/encode.h"
#include "refresh_token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct refresh_key key = {{7}};

static void check(struct str text)
{
	char again[REFRESH_TOKEN_SIZE];
	struct refresh_token token;

	if (refresh_token_parse(&key, text, &token) < 0)
		return;
	if (!id_is_valid(str_of(token.session_id)) && strlen(token.session_id) != ID_SIZE - 1)
		abort();
	refresh_token_format(&key, &token, again);
	if (!str_is(text, again))
		abort();
}

/* As text, and as the bytes inside with the right checksum, so that the fuzzer gets past that. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t raw[41] = {0};
	struct buf text = BUF_INIT;
	uint32_t sum;

	check((struct str){(const char *)data, n});
	memcpy(raw, data, n < 37 ? n : 37);
	sum = crc32(0, raw, 37);
	for (int i = 0; i < 4; i++)
		raw[37 + i] = sum >> (24 - 8 * i);
	buf_add_str(&text, "ogr_");
	base64url_encode(&text, raw, sizeof(raw));
	check(buf_str(&text));
	buf_deinit(&text);
	return 0;
}
