/* The numbered events of an execution: how they are made, shown and stored.
 *
 * An event is shown as {seq, execution_id, conversation_id, type, at, data}. In the database a row is one event, with
 * two exceptions. Consecutive pieces of one text or output are one row, whose data is that of the first piece with the
 * whole text and "cuts": the bytes and the microseconds since the piece before, of each piece. And what stands in a
 * message already is not stored twice: execution.started, message.added, message.done and execution.ended hold the
 * message's place ("message_seq") and get its text when they are read. When the execution has ended, its rows are
 * folded into few (event_fold.h). */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/list.h"
#include "data/db.h"

enum event_type {
	EVENT_STARTED,
	EVENT_STATE,
	EVENT_TEXT_DELTA,
	EVENT_TEXT_RESET,
	EVENT_MESSAGE_DONE,
	EVENT_CALL_STARTED,
	EVENT_CALL_OUTPUT,
	EVENT_CALL_OUTPUT_SKIPPED,
	EVENT_CALL_DONE,
	EVENT_MODEL_RETRY,
	EVENT_MODEL_FALLBACK,
	EVENT_MODEL_WAITING,
	EVENT_MODEL_WARNING,
	EVENT_CONTEXT_COMPACTED,
	EVENT_APPROVAL_REQUESTED,
	EVENT_APPROVAL_DECIDED,
	EVENT_MESSAGE_ADDED,
	EVENT_BUDGET_WARNING,
	EVENT_BUDGET_PAUSED,
	EVENT_ENDED,
};

const char *event_type_name(enum event_type t);
/* -EINVAL for an unknown name. */
int event_type_from_name(struct str name);

/* One event in memory, from its making until it is stored. */
struct event {
	struct list link; /* in its run_log */
	uint64_t seq;
	int64_t at;
	enum event_type type;
	bool is_held; /* shown only once it is stored */
	/* A piece of text or output: data is made of these. */
	char *id; /* of the message or call */
	const char *stream;
	uint64_t offset;
	char *text;
	size_t text_n;
	/* Otherwise: the data as JSON, and as it is stored if that differs (else NULL). */
	char *data;
	char *stored;
};

/* A piece of a message's text, or of a call's output (stream "stdout" or "stderr"). */
struct event *event_new_piece(enum event_type type, const char *id, const char *stream, uint64_t offset,
			      struct str text);
/* Takes over data and stored. */
struct event *event_new(enum event_type type, char *data, char *stored);
void event_free(struct event *e);

/* Appends the event as clients see it. data: JSON text. */
void event_write(struct buf *out, const char *execution_id, const char *conversation_id, uint64_t seq, const char *type,
		 int64_t at, struct str data);
/* Appends the data of an event in memory. */
void event_write_data(struct buf *out, const struct event *e);

/* The data of the three that refer to a message, the same for the live event and the one read back. */
void event_data_started(struct buf *out, const char *message_id, struct str input);
void event_data_message_added(struct buf *out, const char *message_id, struct str content);
void event_data_message_done(struct buf *out, const char *message_id, struct str content, struct str tool_calls,
			     struct str citations);
/* error, usage: JSON; output p NULL = null. */
void event_data_ended(struct buf *out, const char *status, const char *output, struct str error, struct str usage,
		      int64_t duration_ms);

/* A row of execution_events. */
struct event_row {
	uint64_t seq, last_seq;
	int64_t at;
	enum event_type type;
	struct str data; /* in the arena of whoever made the row */
	/* Of a row that stands for several: those that were asked for. Type and data are of no meaning then. */
	struct event_row *parts;
	size_t n_parts;
};

/* Makes rows of the events in `events` (a list of struct event) up to number `up_to`, consecutive pieces merged. The
 * rows and their text are in the arena. Returns their number. */
size_t event_rows_make(struct arena *a, const struct list *events, uint64_t up_to, struct event_row **ret);
/* Whether the piece `b` continues the piece `a` in one row. */
bool event_continues(const struct event *a, const struct event *b);

/* One event read back. */
typedef void event_fn(void *arg, uint64_t seq, const char *type, int64_t at, struct str data);
/* Calls fn for each event of the row with a number above `after`. The data is valid during the call. Returns 0 or
 * -EBADMSG for a row that cannot be understood. */
int event_row_split(const struct event_row *row, uint64_t after, event_fn *fn, void *arg);

/* Worker thread: rows of an execution whose last number is above `after`, at most max_rows, references to messages
 * filled in. Returns their number or -errno. */
int event_rows_read(struct db_conn *c, struct arena *a, const char *execution_id, const char *conversation_id,
		    uint64_t after, size_t max_rows, struct event_row **ret);
/* Worker thread: inserts them. Returns 0 or -errno. */
int event_rows_insert(struct db_conn *c, const char *execution_id, const struct event_row *rows, size_t n);
