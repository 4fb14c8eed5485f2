/* What a browser keeps between its way to a provider and back: a cookie with a sealed text, bound to the `state` of the
 * request, so that an answer that belongs to another browser or another request is nothing here. */
#pragma once

#include "client.h"
#include "sso/sso.h"

#define FLOW_US (10 * 60 * INT64_C(1000000))
#define FLOW_SECRET_SIZE 44 /* 32 random bytes as base64url, a NUL */

enum flow_kind { FLOW_SIGN_IN, FLOW_LINK, FLOW_REAUTH };

struct flow {
	enum flow_kind kind;
	const char *provider_id;
	const char *user_id, *session_id; /* of who links or shows himself again; "" otherwise */
	const char *state, *nonce, *verifier;
	int64_t started_at; /* us */
	char hash[65];      /* of the sealed text: it is good once */
};

/* A new one with fresh secrets, in the arena. */
void flow_new(struct arena *a, enum flow_kind kind, const char *provider_id, struct flow *ret);
/* Sets the cookie; it goes with the next answer. */
void flow_keep(struct exchange *x, const struct client *client, const struct flow *f);
/* That of this browser. Returns false when it has none, or it is too old. */
bool flow_of(struct exchange *x, const struct client *client, struct flow *ret);
/* Takes the cookie away with the next answer. */
void flow_forget(struct exchange *x, const struct client *client);
