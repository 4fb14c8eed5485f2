/* Webhooks: addresses that are told what becomes of runs, by the rules of lib/service/webhook.h.
 *
 * What is to be told is a row of webhook_deliveries, written in the transaction of what has happened, so that nothing
 * is told that was not and nothing is forgotten. A process claims rows, sends them and stores each try; one that dies
 * in between leaves its claim, which runs out, so that a request may come twice, with the same webhook-id. */
#pragma once

#include "agent/agent.h"
#include "base/id.h"
#include "base/seal.h"
#include "service/webhook.h"

/* Names of events, NULL at the end. "ping" is none of them: it is sent when somebody asks for it. */
extern const char *const hook_events[];

/* What a run's transaction tells. */
struct hook_news {
	const char *event; /* of hook_events */
	const char *execution_id, *conversation_id, *agent_id, *agent_name, *user_id;
	const char *status;
	const char *output;                     /* or NULL */
	const char *error_code, *error_message; /* or NULL */
	int64_t steps, input_tokens, output_tokens, cost_nano, created_at, at;
};
/* Worker thread, in a write job: rows for every webhook that wants it. Returns 0 or -errno. */
int hooks_tell(struct db_conn *c, struct arena *a, const struct hook_news *news);
/* The same with any data for one webhook: a ping. *ret_id is the delivery's. */
int hooks_add(struct db_conn *c, const char *webhook_id, const char *event, const char *execution_id, struct str body,
	      int64_t now, char ret_id[static ID_SIZE]);
/* The body of a ping. In the arena. */
struct str hooks_ping_body(struct arena *a, const char *webhook_id, int64_t now);

/* ---- Secrets ---- */

/* Reads the key. Returns 0 or -EINVAL with err. */
int hook_key_load(struct agent *agent, struct seal_key *ret, struct error *err);
/* In the arena. kind: the table. */
const char *hook_seal(const struct seal_key *key, struct arena *a, const char *kind, const char *id, struct str secret);
/* NULL: not with this key. Wiped with the arena. */
const char *hook_unseal(const struct seal_key *key, struct arena *a, const char *kind, const char *id,
			const char *sealed);

/* ---- hook_sender.c ---- */

struct hook_sender;
struct hook_sender *hook_sender_new(struct agent *agent, const struct seal_key *key);
void hook_sender_start(struct hook_sender *s);
void hook_sender_stop(struct hook_sender *s);
void hook_sender_free(struct hook_sender *s);
void hook_sender_wake(struct hook_sender *s);
