/* Passkeys that are there: what is asked of the authenticator, and its answer checked. */
#pragma once

#include "mfa/factors.h"
#include "mfa/site.h"
#include "mfa/ticket.h"

struct stored_passkey {
	const char *id, *user_id;
	struct str key; /* COSE */
	int64_t counter;
};

/* Those of a user, for what an authenticator is asked. */
struct passkey_ids {
	const char *list[PASSKEYS_MAX]; /* base64url */
	size_t n;
};

/* Inside jobs; strings live in the arena. 0 or -errno. */
int passkey_list(struct db_conn *c, struct arena *a, const char *user_id, struct passkey_ids *ret);
/* 1, 0 or -errno. */
int passkey_find(struct db_conn *c, struct arena *a, const struct assertion *given, struct stored_passkey *ret);
/* Inside a write job: whether the answer is good; the counter is moved by a compare. 1, 0 (err says why, or is empty)
 * or -errno. */
int passkey_check(struct db_conn *c, const struct webauthn_request *q, const struct stored_passkey *k,
		  const struct assertion *given, struct error *err);

/* On the loop: 200 {ticket, public_key}. user_id "": whoever has one. */
void passkey_reply_options(struct exchange *x, enum ticket_kind kind, const char *user_id,
			   const uint8_t challenge[static WEBAUTHN_CHALLENGE_SIZE], const struct passkey_ids *ids,
			   bool needs_verified_user);
