/* Slows guessing down: after some failures each further one doubles the time until the next try is looked at. What is
 * refused meanwhile does not count, the wait is at most a minute and failures are forgotten after a quiet time, so
 * nobody is locked out for ever. In memory, of a fixed size: where many names collide, the one quiet for longest goes.
 */
#pragma once

#include "base/str.h"

struct throttle;

struct throttle_policy {
	unsigned free;      /* failures before there is any wait */
	uint64_t first_ms;  /* the first wait; doubles each time */
	uint64_t max_ms;    /* the longest wait */
	uint64_t forget_ms; /* quiet time after which failures are forgotten */
};

struct throttle *throttle_new(const struct throttle_policy *policy, size_t slots);
void throttle_free(struct throttle *t);

/* Before a try. Returns 0 = try it, and tell the outcome with throttle_end; otherwise the milliseconds to wait. While
 * waits are due, one try at a time is let through, so that many at once gain nothing. */
uint64_t throttle_begin(struct throttle *t, struct str name, uint64_t now_ms);
enum throttle_outcome { THROTTLE_FAILED, THROTTLE_PASSED, THROTTLE_UNKNOWN };
/* PASSED forgets the failures; UNKNOWN (the try could not be made) changes nothing. */
void throttle_end(struct throttle *t, struct str name, enum throttle_outcome outcome, uint64_t now_ms);
/* Whether the last try known for this name passed within forget_ms. */
bool throttle_has_passed(struct throttle *t, struct str name, uint64_t now_ms);
