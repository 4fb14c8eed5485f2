/* The log of an execution that has ended takes few rows, and no text that a message has too. What is read back are the
 * same numbered events, down to each piece of a text. */
#pragma once

#include "agent/event.h"

/* The type of such a row. */
#define EVENT_LOG "log"

/* Worker thread, in the transaction that ends the execution, behind its messages: stores the last rows and folds them
 * with those that are stored. Returns 0 or -errno. */
int event_rows_fold(struct db_conn *c, const char *execution_id, const char *conversation_id,
		    const struct event_row *rows, size_t n);

/* Sets the parts of a row of type "log", from the one on that has a number above `after`. Returns 0 or -EBADMSG. */
int event_log_read(struct arena *a, struct event_row *log, uint64_t after);
/* Makes a part text.delta that names a message's place a row with its text, as event_row_split reads them. Returns 0
 * or -EBADMSG. */
int event_pieces_fill(struct arena *a, struct event_row *row, const char *message_id, struct str content);
/* Worker thread: the data of the last execution.state up to a number. 1, 0 or -errno. */
int event_state_at(struct db_conn *c, struct arena *a, const char *execution_id, uint64_t up_to, const char **ret);
