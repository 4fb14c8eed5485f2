/* A client's request for authorization, checked by authorize.c and sealed into the address of the consent page, so that
 * nothing is stored before the user has said yes. */
#pragma once

#include "oauth/oauth.h"

struct authorization {
	const char *client_id, *client_name, *client_uri; /* client_uri may be NULL */
	bool is_proven;                                   /* see client_is_proven */
	bool is_document;
	const char *redirect_uri;
	const char *state, *resource, *nonce; /* may be NULL */
	const char *scope;
	const char *challenge;
	bool must_ask, must_sign_in; /* prompt=consent, prompt=login */
	int64_t max_age;             /* seconds since the sign-in at most; -1: any */
	int64_t created_at;          /* us */
};

/* In the arena. */
const char *authorization_seal(const struct oauth *o, struct arena *a, const struct authorization *request);
/* Returns 0, -EINVAL (not sealed by us), or -ETIMEDOUT (older than half an hour). */
int authorization_unseal(const struct oauth *o, struct arena *a, const char *sealed, struct authorization *ret);
/* The redirect URI with an answer: a code, or an error with its description (both may be NULL). In the arena. */
const char *authorization_answer(struct arena *a, const char *issuer, const char *redirect_uri, const char *state,
				 const char *code, const char *error, const char *description);
