/* Webhooks by the rules of Standard Webhooks (https://www.standardwebhooks.com): a request with the fields webhook-id
 * (the same for every try), webhook-timestamp (seconds of this try) and webhook-signature, "v1," and the base64 of
 * HMAC-SHA256 over "ID.TIMESTAMP.BODY". While a secret is being replaced both sign, with a blank between.
 *
 * A secret is written "whsec_" and the base64 of 24 to 64 bytes. Who keeps one keeps it sealed (base/seal.h). */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#define WEBHOOK_SECRET_MIN 24 /* bytes */
#define WEBHOOK_SECRET_MAX 64
#define WEBHOOK_SECRET_TEXT_SIZE 96
#define WEBHOOK_SECRETS 2 /* that sign at one time */
#define WEBHOOK_TOLERANCE_S 300
#define WEBHOOK_TRIES 10 /* over some three days */

struct webhook_secret {
	uint8_t bytes[WEBHOOK_SECRET_MAX];
	size_t n;
};

/* A fresh one of 32 bytes, as text. */
void webhook_secret_new(char ret[static WEBHOOK_SECRET_TEXT_SIZE]);
/* Returns 0 or -EINVAL. The caller wipes it. */
int webhook_secret_parse(struct str text, struct webhook_secret *ret);

/* Appends the value of webhook-signature. */
void webhook_sign(const struct webhook_secret *secrets, size_t n, struct str id, int64_t timestamp_s, struct str body,
		  struct buf *out);

enum webhook_check {
	WEBHOOK_GOOD,
	WEBHOOK_UNSIGNED,      /* a field is missing or is none */
	WEBHOOK_OUT_OF_TIME,   /* more than WEBHOOK_TOLERANCE_S from now */
	WEBHOOK_BAD_SIGNATURE, /* none of those that are there */
};
/* A request that came in, by its three fields (p NULL: not there). */
enum webhook_check webhook_verify(const struct webhook_secret *secrets, size_t n, struct str id, struct str timestamp,
				  struct str signatures, struct str body, int64_t now_s);
/* The same as GitHub signs (X-Hub-Signature-256): "sha256=" and hex of HMAC-SHA256 over the body, under the secret's
 * text as it stands. There is no time in it. */
bool webhook_verify_hub(struct str secret, struct str signature, struct str body);

/* ---- What an answer means, and when to try again ---- */

enum webhook_outcome {
	WEBHOOK_DELIVERED, /* 2xx */
	WEBHOOK_AGAIN,     /* anything else: redirects (they are not followed), 4xx, 5xx, no answer */
	WEBHOOK_ENDED,     /* 410: whoever is there does not want any more */
};
/* status 0: no answer. */
enum webhook_outcome webhook_outcome_of(int status);
/* Milliseconds until the next try after `tries` of them (1 after the first), spread by a tenth to both sides by
 * `random`; -1: it was the last. retry_after_s: as 429 and 503 said, 0 = they did not; it can only make the wait
 * longer, up to a day. */
int64_t webhook_wait_ms(unsigned tries, uint32_t random, int64_t retry_after_s);
/* The value of Retry-After in seconds from now (a number or a date of HTTP), 0 when it is none, at most a day. */
int64_t webhook_retry_after(struct str value, int64_t now_s);
