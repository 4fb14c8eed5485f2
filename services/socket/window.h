/* An acknowledged window, for output that may come faster than a terminal shows it: at most so many bytes of a
 * channel's events are on their way to the client; what comes meanwhile stays in the channel's history, is joined into
 * few messages, and is skipped with a notice when the history has lost it. */
#pragma once

#include "client.h"

#define WINDOW_MIN 1024
#define WINDOW_MAX (4 << 20)

/* Begins behind `offset`. */
struct window *window_new(size_t size, uint64_t offset);
void window_free(struct window *w);
/* Sends what may go now. */
void window_pump(struct place *p);
/* The client has everything up to `offset`. */
void window_ack(struct place *p, uint64_t offset);
