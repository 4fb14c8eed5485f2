/* The system's time zones, in $TZDIR or /usr/share/zoneinfo. Blocking, but short. */
#pragma once

#include "base/zone.h"

#define ZONE_NAME_MAX 64

/* By its IANA name, such as "Europe/Berlin"; "UTC" is always there. NULL with err (code "zone_unknown"). */
struct zone *zone_load(const char *name, struct error *err);
