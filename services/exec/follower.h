/* The events of a command on their way to one client, as server-sent events: started, output…, waiting…, ended. Output
 * is read from the spool as fast as the client takes it; for one who cannot keep up, what fell out of the spool is
 * skipped. */
#pragma once

#include "base/utf8.h"
#include "command.h"
#include "spool.h"

struct follower {
	struct watcher watcher; /* of the command, while it runs */
	struct exchange *x;
	struct command *command; /* held; NULL: spec lives in the exchange's arena */
	struct spec spec;
	struct result result;
	bool has_ended;            /* result is set */
	bool is_blocked;           /* the client has not taken enough */
	bool is_exact;             /* output as base64 of its bytes, otherwise as clean text */
	bool is_waiting;           /* for input, as told */
	struct spool_reader spool; /* fd -1 until there is output */
	uint64_t offset;
	struct utf8_carry carry[3]; /* by enum spool_stream */
};

/* Answers the exchange with the stream of a live command, or of one that ended: `keep` holds the memory of spec, or is
 * NULL when that is in the exchange's arena. */
void follower_live(struct exchange *x, struct command *c, uint64_t offset);
void follower_ended(struct exchange *x, const struct spec *spec, const struct result *result, uint64_t offset,
		    struct command *keep);
