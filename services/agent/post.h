/* Posting a message into a conversation, which makes an execution: the one way in which a run begins, for a person's
 * request and for what starts runs by itself. Message, execution and first event are one transaction. */
#pragma once

#include "agent/agent.h"
#include "agent/conversation.h"
#include "base/id.h"

/* What becomes of a message that comes while an execution is on. */
enum when_busy {
	BUSY_REJECT,
	BUSY_QUEUE,     /* it waits for the end */
	BUSY_INTERRUPT, /* the execution is stopped, what it has done stays */
	BUSY_ROLLBACK,  /* the execution is stopped and taken away with its messages */
	BUSY_STEER,     /* the execution is told at its next step */
};

#define POST_CONTENT_MAX 200000

enum post_result {
	POST_OK,
	POST_BUSY = 1,   /* BUSY_REJECT, and an execution is on */
	POST_ARCHIVED,   /* the agent */
	POST_QUEUE_FULL, /* too many messages wait there */
	POST_NO_FILE,    /* one of the attachments is not there */
};

struct post {
	/* Filled by the caller; strings live as long as the post. */
	struct arena *arena;
	const char *content;
	const char *traceparent, *request_id; /* may be NULL */
	const char *output_schema;            /* JSON Schema that the answer must fit; NULL = the agent's, if any */
	const char *const *attachments;       /* ids of files of the conversation */
	size_t n_attachments;
	enum when_busy when_busy;
	struct conversation_row conversation; /* found in the same transaction, to be changed */

	/* By post_prepare. */
	char message_id[ID_SIZE], execution_id[ID_SIZE], draft_id[ID_SIZE];
	struct agent *agent;
	const char *owner;
	int64_t lease_until, now;
	/* By post_store. */
	struct run_preload *preload; /* by post_preload, or NULL */
	const char *active;          /* the execution that is on, when the message waits for it; otherwise NULL */
};

/* On the loop, before the transaction: ids, and whether this process takes the run. */
void post_prepare(struct post *p, struct agent *agent);
/* Worker thread, in a write job. An enum post_result or -errno. */
int post_store(struct db_conn *c, struct post *p);
/* Behind it, when nothing of the execution changes any more: reads what the run needs in the same transaction, so that
 * it begins without one of its own. 0 or -errno. */
int post_preload(struct db_conn *c, struct post *p);
/* On the loop, after the commit: the run begins, and whoever looks on hears of it. */
void post_begin(struct agent *agent, struct post *p);
/* The same when the commit's outcome is not known (-ECONNRESET): the run finds out when it is loaded. */
void post_begin_unsure(struct agent *agent, struct post *p);
