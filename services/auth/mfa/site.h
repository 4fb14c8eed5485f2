/* The site that passkeys belong to: the option public_url, or the address that the request came to. */
#pragma once

#include "auth.h"
#include "mfa/webauthn.h"

struct site {
	char rp_id[256];
	char origin[300];
};

void site_of(struct exchange *x, struct site *ret);

/* The options of navigator.credentials.get(), in the JSON form of WebAuthn level 3 (parseRequestOptionsFromJSON). A new
 * object of the document. `ids`: base64url, those that may answer; n 0 = any. */
yyjson_mut_val *site_request_options(yyjson_mut_doc *doc, const struct site *site,
				     const uint8_t challenge[static WEBAUTHN_CHALLENGE_SIZE], const char *const *ids,
				     size_t n, bool needs_verified_user);

/* The members of an answer, decoded; views of arena memory. Returns false after answering 422. */
struct assertion {
	const char *credential_hash; /* SHA-256 of the id, hex */
	struct str client_data, auth_data, signature;
};
bool assertion_read(struct exchange *x, struct assertion *ret);
/* base64url text of at most WEBAUTHN_DATA_MAX bytes, decoded into the arena; p NULL: it is none. */
struct str site_decode(struct arena *a, yyjson_val *text);
