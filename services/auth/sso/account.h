/* What an ID token leads to here: an account, a new one, a link, or a refusal. */
#pragma once

#include "audit/audit.h"
#include "guard.h"
#include "mfa/factors.h"
#include "mfa/ticket.h"
#include "sign_in.h"
#include "sso/flow.h"
#include "sso/id_token.h"

enum arrival_outcome {
	ARRIVAL_SIGNED_IN,    /* sign_in.grant */
	ARRIVAL_SECOND,       /* a second factor is asked for: factors */
	ARRIVAL_LINKED,       /* to who is signed in */
	ARRIVAL_USED,         /* the answer was here before */
	ARRIVAL_OFF,          /* the provider is not on any more */
	ARRIVAL_NO_ACCOUNT,   /* nobody, and no account is made */
	ARRIVAL_NOT_VERIFIED, /* an account would be made, but the address is not proved to be his */
	ARRIVAL_OTHER_DOMAIN, /* … or is of a domain that is not let in */
	ARRIVAL_EMAIL_TAKEN,  /* … or is another account's */
	ARRIVAL_DISABLED,
	ARRIVAL_OTHER_USER,    /* the identity is somebody else's */
	ARRIVAL_NOT_SIGNED_IN, /* who began to link is not signed in any more */
	ARRIVAL_NOT_FRESH,     /* the provider did not ask him again */
};

struct arrival {
	/* Filled by the caller. */
	const struct flow *flow;
	const struct provider *provider;
	const struct id_token *token;
	struct guard guard;
	struct sign_in sign_in;
	struct audit_event made, linked; /* of a new user, of an identity */

	/* Results. */
	enum arrival_outcome outcome;
	const char *stored; /* the password's hash, "" without one */
	struct factors factors;
	bool is_new_user, is_new_identity;
};

/* Inside a write job. 0, 1 (roll back; the outcome says why) or -errno. */
int arrival_save(struct db_conn *c, struct exchange *x, struct arrival *v);
