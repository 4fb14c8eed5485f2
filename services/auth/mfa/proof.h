/* A second factor of who is signed in, given for one thing: a code (of the app, or a recovery code), or an answer of a
 * passkey. The order: proof_read and proof_begin in the handler, proof_check in the write job, proof_end when it is
 * done. */
#pragma once

#include "account.h"
#include "audit/audit.h"
#include "client.h"
#include "mfa/passkey.h"

enum proof_outcome {
	PROOF_OK,
	PROOF_WRONG,   /* the code */
	PROOF_REFUSED, /* the passkey; err may say why */
	PROOF_TICKET   /* what the passkey answers was used before */
};

struct proof {
	bool is_given;   /* the body has one */
	struct str code; /* p NULL: a passkey answers */
	struct ticket ticket;
	struct assertion assertion;
	struct site site;
	bool needs_verified_user; /* set by the caller */
	struct client client;
	struct audit_event event; /* of a recovery code */

	/* Results. */
	enum proof_outcome outcome;
	bool is_recovery;
	struct error err;
};

/* The members `code`, or `ticket` (of this kind) and `credential`; neither: is_given is false. Returns false after
 * answering 422 or 401. */
bool proof_read(struct exchange *x, enum ticket_kind kind, struct proof *ret);
/* Returns false after answering 429: too many codes of this user were wrong. */
bool proof_begin(struct exchange *x, const struct proof *p);
/* Inside a write job, for the user of x->who: sets the outcome; a good code or ticket is used up. A caller whose job
 * fails otherwise returns what rolls it back. 0 or -errno. */
int proof_check(struct db_conn *c, struct exchange *x, struct proof *p);
/* Inside the job, after what it was for: who used a recovery code is told; outbox_wake when committed. Last. */
int proof_tell(struct db_conn *c, struct exchange *x, const struct account *account, struct proof *p);
/* After the job, whatever became of it (`result` < 0: it failed). */
void proof_end(struct exchange *x, const struct proof *p, int result);
/* 401 `code_wrong`, `passkey_refused` or `ticket_invalid`. */
void proof_refuse(struct exchange *x, const struct proof *p);

/* The methods of a user, in a new array member `methods`. */
void proof_add_methods(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct factors *f);
