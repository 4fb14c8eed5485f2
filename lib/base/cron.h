/* When something recurs, in the notation of cron: minute, hour, day of the month, month, day of the week.
 *
 * A field is a list with commas of: a number, a range "1-5", either with a step "/2", or "*" (also "?" for days).
 * Months and days of the week have names (jan, mon; Sunday is 0 or 7). Days of the month: "L" the last, "LW" the last
 * from Monday to Friday, "15W" the one from Monday to Friday next to the 15th within its month. Days of the week: "5L"
 * the last Friday of the month, "5#2" the second. When both days are restricted, either is enough, as cron has always
 * had it. And @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly.
 *
 * Where clocks are changed: a schedule with neither "*" nor a step in minute and hour means times of the day: one that
 * the clocks leap over happens once, right after the leap, and one that comes twice happens the first time. Any other
 * one means a rhythm: what is leapt over does not happen, what comes twice happens twice. (As Vixie cron, and the npm
 * package croner with fixedTimeRule "no-wildcard".) */
#pragma once

#include "base/error.h"
#include "base/str.h"
#include "base/zone.h"

#define CRON_TEXT_MAX 200

struct cron {
	uint64_t minutes; /* bits */
	uint32_t hours, days, months, near_workdays;
	uint8_t weekdays, last_weekdays, nth_weekdays[5];
	bool any_day, any_weekday; /* "*" */
	bool last_day, last_workday;
	bool is_rhythm;
};

/* Returns 0 or -EINVAL with err (code "cron_invalid", the sentence names the field). */
int cron_parse(struct str text, struct cron *ret, struct error *err);
/* The first moment after `after` (seconds since 1970), INT64_MAX: none within 50 years. */
int64_t cron_next(const struct cron *c, const struct zone *z, int64_t after);
