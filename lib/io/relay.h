/* Two streams joined: what one gets, the other sends; a full one stops the other. An end of one side is passed on and
 * the other way stays open (TCP's half-close), unless the whole is told to end with its first end. */
#pragma once

#include "io/stream.h"

struct relay;

enum relay_flags { RELAY_END_WITH_FIRST = 1 }; /* what has no half-open state, such as WebSocket */

struct relay_events {
	/* Bytes that came from side 0 or 1, before they are passed on; may be NULL. */
	void (*on_bytes)(void *owner, unsigned side, const char *data, size_t n);
	/* Both are closed, the last callback. err: 0, -ETIMEDOUT after idle_ms without a byte, or the first error. */
	void (*on_end)(void *owner, int err);
};

/* Takes both streams. early: bytes that were read already and belong to the other side. idle_ms 0 = none. */
struct relay *relay_start(struct wheel *wheel, struct stream *const sides[2], const struct str early[2],
			  uint64_t idle_ms, unsigned flags, const struct relay_events *events, void *owner);
/* From then on nothing may be written to its sides. */
bool relay_is_closing(const struct relay *r);
struct stream *relay_side(const struct relay *r, unsigned side);
/* Writes out what is under way and closes both; on_end follows. */
void relay_close(struct relay *r);
