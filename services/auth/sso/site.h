/* What a provider says of itself (OpenID Connect Discovery) and its keys: read from its issuer's address, kept for an
 * hour, the keys read again when a token names one that is not there, at most once a second. Only public addresses are
 * asked, without redirects; option outbound_allow opens others. */
#pragma once

#include "base/str.h"
#include "sso/id_token.h"
#include "sso/sso.h"

#define SITE_DOCUMENT_MAX (256 * 1024)

/* One request to a provider and its JSON answer. Embedded; alive until done. */
struct site_fetch {
	/* Filled by the caller. */
	const char *what; /* "Its key set", for sentences */
	void (*done)(struct site_fetch *f);

	/* Results. err.code is "" when there is an answer of any status that is JSON. */
	int status;
	struct str body; /* lives during done */
	struct error err;

	/* Its own. */
	struct sso *sso;
};

/* method "GET" or "POST". Returns 0 or -EBUSY: too many are under way. */
int site_fetch(struct auth *auth, struct site_fetch *f, const char *method, const char *url, const char *const *headers,
	       struct str body);

/* A provider's own description; belongs to the cache, valid until the loop's next turn. */
struct site {
	struct list link; /* in sso.sites */
	char *issuer;
	uint64_t read_us, keys_us; /* monotonic */
	char *authorization_endpoint, *token_endpoint, *jwks_uri;
	char *userinfo_endpoint; /* may be NULL */
	bool says_iss;           /* its answers have `iss` (RFC 9207) */
	struct provider_keys keys;
};

/* Asks for it. Embedded; alive until done. */
struct site_ask {
	/* Filled by the caller. */
	struct auth *auth;
	struct arena *arena;
	const char *issuer;
	bool needs_keys;
	bool needs_new_keys; /* those that are kept do not have the one */
	void (*done)(struct site_ask *ask);

	/* Results. site NULL: err says why. */
	const struct site *site;
	struct error err;
	bool is_busy;

	/* Its own. */
	struct site_fetch fetch;
};

/* done comes at once when all is there. */
void site_ask(struct site_ask *ask);
/* What was read of an issuer goes. */
void site_drop(struct auth *auth, const char *issuer);
