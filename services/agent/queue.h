/* Messages that wait for the end of an execution, or for its next step. Worker thread. */
#pragma once

#include "base/id.h"
#include "data/db.h"

/* The execution that begins now that the one before has ended; id empty = none. The strings are in the arena. */
struct queue_next {
	char id[ID_SIZE], message_id[ID_SIZE];
	const char *content, *traceparent;
	int64_t at;
};

/* A message that is said to the execution that is on. */
struct queue_steering {
	char id[ID_SIZE];
	struct str content;
	int64_t seq;
};

/* The first that waits in the conversation begins: its message stands behind *last_seq, and any process may take it.
 * Returns 0 or -errno. */
int queue_begin_next(struct db_conn *c, struct arena *a, const char *conversation_id, const char *owner,
		     int64_t *last_seq, struct queue_next *ret);
/* What is to be said to this execution becomes messages of it, behind *last_seq. Returns how many, or -errno. */
int queue_steer(struct db_conn *c, struct arena *a, const char *conversation_id, const char *execution_id, int64_t now,
		int64_t *last_seq, struct queue_steering **ret);
/* The same messages once they are there: those of the execution behind *last_seq. */
int queue_steered(struct db_conn *c, struct arena *a, const char *conversation_id, const char *execution_id,
		  int64_t *last_seq, struct queue_steering **ret);
/* Takes back one that has not begun: it is cancelled. 1 done, 0 it was not waiting, or -errno. */
int queue_take_back(struct db_conn *c, struct arena *a, const char *execution_id);
/* Whether the ended execution was to leave no trace; then it leaves none. 1, 0, or -errno. */
int queue_roll_back(struct db_conn *c, const char *conversation_id, const char *execution_id);
