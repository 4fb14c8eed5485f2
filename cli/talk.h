/* One message to an agent and the run it starts, as chat and run show it. */
#pragma once

#include "session.h"

enum talk_mode {
	TALK_STREAM, /* the answer's text as it comes, commands and their output to stderr */
	TALK_FINAL,  /* the final answer alone */
	TALK_EVENTS, /* each event as one line of JSON */
};

struct talk {
	struct session *session;
	enum talk_mode mode;
	char conversation[64]; /* its id, empty until there is one */
	const char *attach;    /* a file that goes with the next message; NULL = none */
	const char *schema;    /* JSON Schema that the answer must fit, which is printed as JSON then; NULL = none */
};

/* Continues a conversation, or starts one with the agent of that name, slug or id (NULL: the default one). Returns
 * EXIT_OK or another exit code after printing why. */
int talk_open(struct talk *t, const char *agent, const char *conversation);
/* Sends the message and shows the run to its end. Ctrl-C cancels it. Returns the exit code for how it ended. */
int talk_send(struct talk *t, struct str message);
/* All of stdin. Returns false, with *ret_exit, when there is nothing or too much. */
bool talk_read_stdin(struct buf *ret, int *ret_exit);
