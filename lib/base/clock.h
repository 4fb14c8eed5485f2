/* Time. Wall time is microseconds since 1970 UTC as int64_t ("us"); durations are milliseconds unless named otherwise.
 */
#pragma once

#include "base/str.h"

#define TIME_TEXT_SIZE 32

int64_t clock_now_us(void);
/* Monotonic, for durations. */
uint64_t clock_mono_us(void);
uint64_t clock_mono_ms(void);
/* The wall time at a monotonic time that was just taken, for a tenth of what asking the clock costs. It is asked once a
 * millisecond for each thread, so that much later a clock that was set shows here. */
int64_t clock_wall_us(uint64_t mono_us);
/* In milliseconds, some late, for a quarter of the price. */
uint64_t clock_coarse_ms(void);
/* RFC 3339 UTC with microseconds: 2026-11-22T16:21:42.123456Z */
void time_format(int64_t us, char ret[static TIME_TEXT_SIZE]);
/* RFC 3339 with any offset. Returns 0 or -EINVAL. */
int time_parse(struct str s, int64_t *ret_us);
