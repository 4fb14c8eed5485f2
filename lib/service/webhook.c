#include "service/webhook.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <time.h>

#include "base/encode.h"

#define PREFIX STR("whsec_")
#define VERSION STR("v1,")
#define NEW_BYTES 32
#define SIGNATURES_MAX 16 /* looked at in one request */
#define DAY_S (24 * 3600)

/* Seconds before the try with that number, as the specification proposes. */
static const int waits_s[WEBHOOK_TRIES] = {0,        5,         5 * 60,    30 * 60,   2 * 3600,
					   5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600};

typedef uint8_t mac[crypto_auth_hmacsha256_BYTES];

void webhook_secret_new(char ret[static WEBHOOK_SECRET_TEXT_SIZE])
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	uint8_t bytes[NEW_BYTES];

	randombytes_buf(bytes, sizeof(bytes));
	buf_add_str(&text, PREFIX.p);
	base64_encode(&text, bytes, sizeof(bytes));
	snprintf(ret, WEBHOOK_SECRET_TEXT_SIZE, "%s", text.p);
	sodium_memzero(bytes, sizeof(bytes));
	sodium_memzero(text.p, text.n);
}

int webhook_secret_parse(struct str text, struct webhook_secret *ret)
{
	if (!str_has_prefix(text, PREFIX))
		return -EINVAL;
	if (sodium_base642bin(ret->bytes, sizeof(ret->bytes), text.p + PREFIX.n, text.n - PREFIX.n, NULL, &ret->n, NULL,
			      sodium_base64_VARIANT_ORIGINAL) != 0)
		return -EINVAL;
	return ret->n < WEBHOOK_SECRET_MIN ? -EINVAL : 0;
}

static void sign(const struct webhook_secret *secret, struct str id, struct str timestamp, struct str body, mac ret)
{
	crypto_auth_hmacsha256_state h;

	crypto_auth_hmacsha256_init(&h, secret->bytes, secret->n);
	crypto_auth_hmacsha256_update(&h, (const uint8_t *)id.p, id.n);
	crypto_auth_hmacsha256_update(&h, (const uint8_t *)".", 1);
	crypto_auth_hmacsha256_update(&h, (const uint8_t *)timestamp.p, timestamp.n);
	crypto_auth_hmacsha256_update(&h, (const uint8_t *)".", 1);
	if (body.n)
		crypto_auth_hmacsha256_update(&h, (const uint8_t *)body.p, body.n);
	crypto_auth_hmacsha256_final(&h, ret);
	sodium_memzero(&h, sizeof(h));
}

void webhook_sign(const struct webhook_secret *secrets, size_t n, struct str id, int64_t timestamp_s, struct str body,
		  struct buf *out)
{
	char timestamp[24];
	mac m;

	snprintf(timestamp, sizeof(timestamp), "%lld", (long long)timestamp_s);
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_add_char(out, ' ');
		sign(&secrets[i], id, str_of(timestamp), body, m);
		buf_add_str(out, VERSION.p);
		base64_encode(out, m, sizeof(m));
	}
}

static bool fits_any(struct str signatures, const mac want)
{
	mac given;
	size_t n;

	for (int i = 0; signatures.p && i < SIGNATURES_MAX; i++) {
		struct str one = str_cut(&signatures, ' ');

		if (str_has_prefix(one, VERSION) &&
		    sodium_base642bin(given, sizeof(given), one.p + VERSION.n, one.n - VERSION.n, NULL, &n, NULL,
				      sodium_base64_VARIANT_ORIGINAL) == 0 &&
		    n == sizeof(given) && sodium_memcmp(given, want, sizeof(given)) == 0)
			return true;
	}
	return false;
}

enum webhook_check webhook_verify(const struct webhook_secret *secrets, size_t n, struct str id, struct str timestamp,
				  struct str signatures, struct str body, int64_t now_s)
{
	uint64_t at;
	mac want;

	if (id.n == 0 || signatures.n == 0 || timestamp.n == 0 || str_to_u64(timestamp, INT64_MAX / 2, &at) < 0)
		return WEBHOOK_UNSIGNED;
	if ((int64_t)at > now_s + WEBHOOK_TOLERANCE_S || (int64_t)at < now_s - WEBHOOK_TOLERANCE_S)
		return WEBHOOK_OUT_OF_TIME;
	for (size_t i = 0; i < n; i++) {
		sign(&secrets[i], id, timestamp, body, want);
		if (fits_any(signatures, want))
			return WEBHOOK_GOOD;
	}
	return WEBHOOK_BAD_SIGNATURE;
}

bool webhook_verify_hub(struct str secret, struct str signature, struct str body)
{
	crypto_auth_hmacsha256_state h;
	mac want, given;
	size_t n;

	if (!str_has_prefix(signature, STR("sha256=")) || signature.n != 7 + 2 * sizeof(given))
		return false;
	if (sodium_hex2bin(given, sizeof(given), signature.p + 7, signature.n - 7, NULL, &n, NULL) != 0 ||
	    n != sizeof(given))
		return false;
	crypto_auth_hmacsha256_init(&h, (const uint8_t *)secret.p, secret.n);
	if (body.n)
		crypto_auth_hmacsha256_update(&h, (const uint8_t *)body.p, body.n);
	crypto_auth_hmacsha256_final(&h, want);
	sodium_memzero(&h, sizeof(h));
	return sodium_memcmp(given, want, sizeof(given)) == 0;
}

enum webhook_outcome webhook_outcome_of(int status)
{
	if (status >= 200 && status < 300)
		return WEBHOOK_DELIVERED;
	return status == 410 ? WEBHOOK_ENDED : WEBHOOK_AGAIN;
}

int64_t webhook_wait_ms(unsigned tries, uint32_t random, int64_t retry_after_s)
{
	int64_t wait, spread;

	if (tries == 0 || tries >= WEBHOOK_TRIES)
		return tries == 0 ? 0 : -1;
	wait = waits_s[tries] * INT64_C(1000);
	spread = wait / 10;
	wait += (int64_t)(random % (uint32_t)(2 * spread + 1)) - spread;
	return MAX(wait, MIN(retry_after_s, DAY_S) * 1000);
}

int64_t webhook_retry_after(struct str value, int64_t now_s)
{
	char text[40];
	struct tm tm = {0};
	uint64_t s;
	int64_t wait;

	value = str_trim(value);
	if (value.n == 0 || value.n >= sizeof(text))
		return 0;
	if (str_to_u64(value, INT32_MAX, &s) == 0)
		return (int64_t)MIN(s, (uint64_t)DAY_S);
	snprintf(text, sizeof(text), "%.*s", STR_ARG(value));
	if (!strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm))
		return 0;
	wait = (int64_t)timegm(&tm) - now_s;
	return MAX(MIN(wait, DAY_S), 0);
}
