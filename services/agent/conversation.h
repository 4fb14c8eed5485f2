/* A conversation as the files of the resources share it. */
#pragma once

#include "agent/handlers.h"

struct conversation_row {
	const char *id, *title, *agent_id, *agent_name, *user_id, *config;
	const char *agent_owner_id, *agent_shares;
	const char *variables, *user_name; /* for the instructions (variables.h): a JSON object, or NULL; may be NULL */
	int64_t pinned_version;            /* of a new one: its agent's version for ever; 0 = the newest */
	const char *active_execution_id, *last_execution_id, *last_status;
	int64_t agent_version, last_seq, created_at, updated_at;
	bool is_archived;                           /* its agent */
	const char *forked_from, *forked_execution; /* of a fork; NULL = it is none */
	int64_t forked_seq;
	bool is_kept; /* it stays, however old it is */
};

/* Worker thread: the conversation if the exchange's user may see it. 1 found, 0 none, or -errno. */
int conversation_find(struct db_conn *c, struct exchange *x, const char *id, struct conversation_row *ret);
/* The same in a write job: nobody else changes it meanwhile. */
int conversation_find_to_change(struct db_conn *c, struct exchange *x, const char *id, struct conversation_row *ret);
/* The same of anybody, for what acts by itself. */
int conversation_load_to_change(struct db_conn *c, struct arena *a, const char *id, struct conversation_row *ret);
/* Answers with it. */
int conversation_answer(struct answer *a, int status, const struct conversation_row *row);
/* A new one, with its id, user, agent, title, times and what is for the instructions. Returns 0 or -errno. */
int conversation_insert(struct db_conn *c, const struct conversation_row *row);
/* Whether the user may read conversations at all; otherwise answers 403 and returns false. */
bool conversation_may_read(struct exchange *x);
/* Whether it is his own, or he may change everybody's. */
bool conversation_may_change(const struct exchange *x, const struct conversation_row *row);
