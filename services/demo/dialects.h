/* The demo model in other dialects: their requests become chat completions, its answers are written in their words.
 * They are streamed only. */
#pragma once

#include "wire.h"

enum demo_dialect { DEMO_CHAT, DEMO_RESPONSES, DEMO_ANTHROPIC, DEMO_OLLAMA };

#define DEMO_SIGNATURE "demo-signature" /* of thoughts: what comes back must have it */

/* The body as one of chat completions, in the arena; as it is when it cannot be read. */
struct str dialect_to_chat(enum demo_dialect d, struct arena *a, struct str body);
/* The events or lines of an answer. */
void dialect_stream(enum demo_dialect d, struct wire_events *e, const struct wire_answer *a);
/* An error document of the dialect; in_stream: as an event or a line. */
void dialect_error(enum demo_dialect d, bool in_stream, struct buf *out, int status, const char *code,
		   const char *message);
