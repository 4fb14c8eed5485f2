/* What passkeys sign (WebAuthn level 3, sections 7.1 and 7.2): new credentials and assertions, checked against what we
 * asked for. No attestation is asked for: "none" is taken, and "packed" by the credential itself. Pure; challenges,
 * users and counters are the caller's. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#define WEBAUTHN_CHALLENGE_SIZE 32
#define WEBAUTHN_ID_MAX 1023          /* bytes of a credential's id */
#define WEBAUTHN_KEY_MAX 1200         /* bytes of a public key in COSE's form */
#define WEBAUTHN_DATA_MAX (16 * 1024) /* bytes of anything an authenticator sends */

/* What was asked. */
struct webauthn_request {
	const char *rp_id;        /* "example.org" */
	const char *origin;       /* "https://example.org" */
	const uint8_t *challenge; /* WEBAUTHN_CHALLENGE_SIZE */
	bool needs_verified_user; /* by PIN, finger or face */
};

/* Views of what was given. */
struct webauthn_credential {
	struct str id, key; /* key: COSE */
	uint8_t aaguid[16];
	uint32_t count;
	bool is_backed_up; /* also elsewhere, "synced" */
};

/* Each returns 0 or -EINVAL with err, code "webauthn_invalid". */
int webauthn_read_new(const struct webauthn_request *q, struct str client_data, struct str attestation,
		      struct webauthn_credential *ret, struct error *err);
/* key, count: of the credential as it was stored. A counter that does not rise tells of a copy (code
 * "webauthn_copied"). *ret_count is to be stored. */
int webauthn_check(const struct webauthn_request *q, struct str key, uint32_t count, struct str client_data,
		   struct str auth_data, struct str signature, uint32_t *ret_count, struct error *err);
