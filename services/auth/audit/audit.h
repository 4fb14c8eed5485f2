/* The audit log: who did what to what, from where, in which request. Rows are chained by an HMAC, so that a changed,
 * removed or inserted one is found (verify.c).
 *
 * An act goes into the transaction that does it:
 *
 *	struct audit_event e;
 *	audit_event_of(x, "user.disabled", &e);        // on the loop, in the handler; kept in the job's struct
 *	…
 *	e.target = arena_printf(a, "user:%s", id);     // in the job
 *	r = audit_add(c, auth, &e);                    // after the change, as the job's last statement
 *
 * What has no transaction (a refused sign-in, a denial) is noted on the loop and written in batches: audit_note. */
#pragma once

#include "base/encode.h"
#include "service/service.h"

struct auth;

enum audit_outcome { AUDIT_SUCCESS, AUDIT_FAILURE, AUDIT_DENIED };

/* NULL is "" everywhere; what is longer than its column is cut. Names of events are OBJECT.PAST_TENSE in lower case:
 * "session.started", "login.refused", "user.created", "role.changed", "token.revoked", "key.rotated";
 * docs/accounts.md lists them. */
struct audit_event {
	const char *event;
	enum audit_outcome outcome;
	const char *actor_kind; /* "user", "service", "anonymous", "system" */
	const char *actor_id, *actor_name;
	const char *target; /* "user:ID", "role:NAME", "token:ID", "session:ID", "key:KID" */
	const char *address, *session_id, *request_id;
	const char *detail; /* an object of JSON, without secrets; audit_detail makes one */
};

/* Actor, address, session and request of x; on the loop's thread. Strings live in its arena. A sign-in, which has no
 * actor yet, sets actor_kind and actor_id itself. */
void audit_event_of(struct exchange *x, const char *event, struct audit_event *ret);
/* Pairs of name and value (const char *, NULL is null), ended by NULL → an object in the arena. */
const char *audit_detail(struct arena *a, ...) __attribute__((sentinel));

/* Inside a write job. Locks the end of the log until the commit, so it comes last; it is logged too. 0 or -errno. */
int audit_add(struct db_conn *c, const struct auth *auth, const struct audit_event *e);
/* On the loop: copies it and returns; it is logged at once and on disk within a second. While the database is away up
 * to some thousand wait; more are counted and lost. */
void audit_note(struct auth *auth, const struct audit_event *e);

/* On the loop, for the many acts of sign-in and accounts: audit_note of an event of x. actor_id: the user who has just
 * shown who he is (NULL: the request's own). target: kind and id, or NULL. */
void audit_act(struct exchange *x, const char *event, enum audit_outcome outcome, const char *actor_id,
	       const char *target_kind, const char *target_id);

/* ---- For auth.c and start.c ---- */

struct audit;

/* Loads secrets/auth-audit.key (made when missing). Returns 0, or -EINVAL with err. */
int audit_open(struct auth *auth, struct error *err);
/* Before db_close, which waits for it: what was noted goes to disk. */
void audit_close(struct auth *auth);
void audit_free(struct audit *a);
