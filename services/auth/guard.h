/* Who may try a password now. Tries are counted for the account and for the address; a device that has signed in to the
 * account before, by its cookie or by its address, has a count of its own, so that nobody's guessing keeps it out. */
#pragma once

#include "auth.h"
#include "client.h"
#include "email.h"

#define GUARD_NAME_SIZE (EMAIL_SIZE + CLIENT_ADDRESS_SIZE)
/* Failures in a row after which only known devices may sign in, until the password is reset by mail. (NIST SP 800-63B-4
 * section 3.2.2) */
#define GUARD_MAX_FAILURES 100

struct guard {
	struct client client;
	char email_key[EMAIL_SIZE]; /* or the raw text of what is no address */
	char own_name[GUARD_NAME_SIZE];
	bool is_known;   /* this device or address has signed in to the account before */
	bool has_cookie; /* it is the device's cookie that says so: the address does not count */
};

/* Before a try; g->client and g->email_key are set. Returns false after answering 429; otherwise guard_end must come.
 */
bool guard_begin(struct exchange *x, struct guard *g);
void guard_end(const struct auth *auth, struct guard *g, enum throttle_outcome outcome);
/* 429 with Retry-After. */
void reply_throttled(struct exchange *x, uint64_t wait_ms, const char *detail);
/* One more failure of this user since the last good sign-in: on disk soon, after the answer. */
void guard_count_failure(struct auth *auth, const char *user_id);

/* Sets the cookie by which this device is known at the account's next sign-in, unless it has it. */
void guard_set_device(struct exchange *x, const struct client *client, const char *email_key);
