/* What waits for a person, on a terminal. */
#pragma once

#include "session.h"

/* Prints what is asked: `approval` is an item of GET /api/approvals, or the data of approval.requested. */
void decision_print(struct arena *a, yyjson_val *approval);
/* Decides: `decision` is approve, reject, answer or edit; text is the message, or the changed arguments as JSON or, of
 * a command, as the command line; NULL = none. Returns EXIT_OK or another exit code after printing why. */
int decision_send(struct session *s, struct arena *a, yyjson_val *approval, const char *id, const char *decision,
		  const char *text);
/* Asks on the terminal and decides. Returns -EINTR after Ctrl-C, otherwise an exit code. */
int decision_ask(struct session *s, struct arena *a, yyjson_val *approval, const char *id);
