/* Security events by webhook: whatever goes into the audit log also goes to the addresses that administrators have
 * named, signed by the rules of Standard Webhooks (service/webhook.h). A delivery is a row, written in the transaction
 * of its event; it is tried until it is taken, at most WEBHOOK_TRIES times, also after a crash, and may come twice with
 * the same webhook-id. */
#pragma once

#include "audit/audit.h"
#include "auth.h"

/* Inside a write job: the deliveries of an event, one for each webhook that wants it. 0 or -errno. */
int events_add(struct db_conn *c, const struct auth *auth, const struct audit_event *e, int64_t at);
/* Inside a write job: one delivery for one webhook, whatever it wants. ret_id may be NULL. 0 or -errno. */
int events_add_one(struct db_conn *c, const struct auth *auth, const char *webhook_id, const struct audit_event *e,
		   int64_t at);

/* What a webhook's secret is sealed for. In the arena. */
const char *events_secret_context(struct arena *a, const char *webhook_id);
/* Whether an address may be asked at all. Returns 0, or -EINVAL with err. On the loop. */
int events_url_check(const struct auth *auth, struct arena *a, const char *url, struct error *err);

/* ---- For auth.c ---- */

/* Returns 0, or -EINVAL with err. */
int events_open(struct auth *auth, struct error *err);
/* Nothing begins any more; what is under way is left, and delivered after the next start. Before oauth_close. */
void events_close(struct auth *auth);
/* After db_close: no job says any more that something was written. */
void events_free(struct auth *auth);
