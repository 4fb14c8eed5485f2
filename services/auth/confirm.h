/* The password of who is signed in, asked for again: before the password is changed, and to make a session fresh for
 * acts that need it. A wrong one counts as a failed sign-in. */
#pragma once

#include "account.h"
#include "auth.h"
#include "guard.h"

struct confirm {
	struct exchange *x; /* held until `done` or the answer */
	struct guard guard;
	struct account account;
	const char *stored;               /* the hash that was right; arena */
	void (*done)(struct confirm *cf); /* it was right; otherwise the answer is out */

	/* Its own. */
	struct exchange_job job;
	struct hash_op hash;
	struct buf password;
	int actor;
	bool is_open;
};

/* `password` as the client sent it. */
void confirm_password(struct exchange *x, struct confirm *cf, const char *password, void (*done)(struct confirm *cf));
