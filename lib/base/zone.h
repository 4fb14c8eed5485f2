/* Time zones as the system has them: TZif (RFC 8536) of version 2 or later with its rule for the time after the last
 * change. Times are seconds since 1970 UTC; a local time is the same count on the zone's clock.
 *
 * The C library's own functions know one zone for each process, set by the environment, which no thread may change
 * while others look. These have none. */
#pragma once

#include "base/error.h"
#include "base/str.h"

#define ZONE_FILE_MAX (128 * 1024)

struct zone;

/* NULL with err (code "zone_invalid"). Nothing of `tzif` is kept. Files that count leap seconds are refused. */
struct zone *zone_parse(struct str tzif, struct error *err);
struct zone *zone_utc(void);
void zone_free(struct zone *z);
DEFINE_CLEANUP(struct zone *, zone_free)

/* Seconds east of UTC at that moment. */
int32_t zone_offset(const struct zone *z, int64_t at);
/* The first change of the offset after that moment, INT64_MAX: none. */
int64_t zone_next_change(const struct zone *z, int64_t at);
/* The moments at which the zone's clock shows `local`, in order: 1, 2 where a clock was set back, or 0 where it was set
 * forward over it: then ret[0] is the moment at which that was done. */
int zone_resolve(const struct zone *z, int64_t local, int64_t ret[static 2]);
