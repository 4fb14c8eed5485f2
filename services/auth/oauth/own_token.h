/* A token that somebody brings to be revoked or explained. */
#pragma once

#include "oauth/oauth.h"

struct own_token {
	const char *session_id; /* "" when it is none of ours, or not good any more */
	bool is_refresh;
	struct refresh_token refresh; /* of a refresh token */
	struct identity who;          /* of an access token */
};

/* On the loop. Strings live in the exchange's arena. */
void own_token_read(struct exchange *x, const char *text, struct own_token *ret);
