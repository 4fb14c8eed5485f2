#include "base/cron.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"

/* A zone of version 2 with no change in its table: only the rule. */
static struct zone *zone_of(const char *rule)
{
	static const char header[] =
		"TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\4"
		"\0\0\0\0\0\0UTC";
	struct buf file = BUF_INIT;
	struct error err;
	struct zone *z;

	for (int i = 0; i < 2; i++)
		buf_add(&file, header, sizeof(header));
	buf_printf(&file, "\n%s\n", rule);
	z = zone_parse(buf_str(&file), &err);
	buf_deinit(&file);
	return z;
}

#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"
#define NEW_YORK "EST5EDT,M3.2.0,M11.1.0"
#define LORD_HOWE "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"

static int64_t at(const char *text)
{
	int64_t us;

	assert_int_equal(time_parse(str_of(text), &us), 0);
	return us / 1000000;
}

static void zones_know_what_their_rule_says(void **state)
{
	struct zone *z = zone_of(BERLIN);
	int64_t two[2];

	assert_int_equal(zone_offset(z, at("2026-03-29T00:59:59Z")), 3600);
	assert_int_equal(zone_offset(z, at("2026-03-29T01:00:00Z")), 7200);
	assert_int_equal(zone_offset(z, at("2026-10-25T00:59:59Z")), 7200);
	assert_int_equal(zone_offset(z, at("2026-10-25T01:00:00Z")), 3600);
	assert_int_equal(zone_next_change(z, at("2026-10-25T01:00:00Z")), at("2027-03-28T01:00:00Z"));
	assert_int_equal(zone_resolve(z, at("2026-07-01T12:00:00Z"), two), 1);
	assert_int_equal(two[0], at("2026-07-01T10:00:00Z"));
	assert_int_equal(zone_resolve(z, at("2026-10-25T02:30:00Z"), two), 2);
	assert_int_equal(two[0], at("2026-10-25T00:30:00Z"));
	assert_int_equal(two[1], at("2026-10-25T01:30:00Z"));
	assert_int_equal(zone_resolve(z, at("2026-03-29T02:30:00Z"), two), 0);
	assert_int_equal(two[0], at("2026-03-29T01:00:00Z"));
	zone_free(z);
}

static void wrong_zone_files_are_refused(void **state)
{
	static const char *const rules[] = {"CET",
					    "CET-1CEST",
					    "-1",
					    "CET-1CEST,M13.1.0,M1.1.0",
					    "CET-25",
					    "CET-1x y",
					    "CET-1CEST,M3.5.0,M10.5.0/3,"};
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		assert_null(zone_of(rules[i]));
	assert_null(zone_parse(STR("TZif2"), &err));
	assert_string_equal(err.code, "zone_invalid");
	assert_null(zone_parse(STR(""), &err));
}

static const struct {
	const char *rule, *cron, *after, *next[4]; /* in order, NULL at the end */
} cases[] = {
	/* Ordinary days. */
	{"UTC0", "* * * * *", "2026-11-23T05:00:00Z", {"2026-11-23T05:01:00Z", "2026-11-23T05:02:00Z"}},
	{"UTC0", "*/15 9-17 * * mon-fri", "2026-11-20T17:44:00Z", {"2026-11-20T17:45:00Z", "2026-11-23T09:00:00Z"}},
	{"UTC0", "5/20 0 * * *", "2026-01-01T00:05:00Z", {"2026-01-01T00:25:00Z", "2026-01-01T00:45:00Z"}},
	{"UTC0", "@daily", "2026-12-31T00:00:00Z", {"2027-01-01T00:00:00Z"}},
	{"UTC0", "@hourly", "2026-12-31T23:00:01Z", {"2027-01-01T00:00:00Z"}},
	{"UTC0", "0 0 29 2 *", "2097-01-01T00:00:00Z", {"2104-02-29T00:00:00Z"}},
	{"UTC0", "0 0 31 * *", "2026-01-31T00:00:00Z", {"2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z"}},
	/* Both days: either. */
	{"UTC0", "0 12 13 * fri", "2026-11-01T00:00:00Z", {"2026-11-06T12:00:00Z", "2026-11-13T12:00:00Z"}},
	{"UTC0", "0 12 13 * 5", "2026-12-11T12:00:00Z", {"2026-12-13T12:00:00Z", "2026-12-18T12:00:00Z"}},
	{"UTC0", "0 0 * * 0", "2026-11-23T00:00:00Z", {"2026-11-29T00:00:00Z"}},
	{"UTC0", "0 0 ? * 7", "2026-11-23T00:00:00Z", {"2026-11-29T00:00:00Z"}},
	{"UTC0",
	 "0 0 * * fri-sun",
	 "2026-11-23T00:00:00Z",
	 {"2026-11-27T00:00:00Z", "2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z"}},
	/* Last, near, nth. */
	{"UTC0", "0 0 L * *", "2028-02-01T00:00:00Z", {"2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z"}},
	{"UTC0", "0 0 LW * *", "2026-01-01T00:00:00Z", {"2026-01-30T00:00:00Z", "2026-02-27T00:00:00Z"}},
	{"UTC0", "0 0 1W * *", "2026-07-15T00:00:00Z", {"2026-08-03T00:00:00Z", "2026-09-01T00:00:00Z"}},
	{"UTC0", "0 0 15W * *", "2026-11-01T00:00:00Z", {"2026-11-16T00:00:00Z", "2026-12-15T00:00:00Z"}},
	{"UTC0", "0 0 * * 5L", "2026-11-01T00:00:00Z", {"2026-11-27T00:00:00Z", "2026-12-25T00:00:00Z"}},
	{"UTC0", "0 0 * * tue#2", "2026-11-11T00:00:00Z", {"2026-12-08T00:00:00Z"}},
	/* Set forward at 2:00: a time of the day comes right after, once. */
	{BERLIN, "30 2 * * *", "2026-03-28T12:00:00Z", {"2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"}},
	{BERLIN, "0,30 2 * * *", "2026-03-28T12:00:00Z", {"2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"}},
	{BERLIN, "0 3 * * *", "2026-03-28T12:00:00Z", {"2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"}},
	/* A rhythm leaves it out. */
	{BERLIN, "30 * * * *", "2026-03-29T00:00:00Z", {"2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"}},
	{BERLIN, "*/30 2 * * *", "2026-03-28T12:00:00Z", {"2026-03-30T00:00:00Z"}},
	/* Set back at 3:00: a time of the day comes the first time, a rhythm both times. */
	{BERLIN, "30 2 * * *", "2026-10-24T12:00:00Z", {"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
	{BERLIN,
	 "30 * * * *",
	 "2026-10-25T00:00:00Z",
	 {"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"}},
	{BERLIN,
	 "*/20 2 * * *",
	 "2026-10-25T00:30:00Z",
	 {"2026-10-25T00:40:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:20:00Z"}},
	{NEW_YORK, "30 1 * * *", "2026-10-31T12:00:00Z", {"2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"}},
	{NEW_YORK, "15 2 * * *", "2026-03-07T12:00:00Z", {"2026-03-08T07:00:00Z", "2026-03-09T06:15:00Z"}},
	/* By half an hour, in the south. */
	{LORD_HOWE, "15 2 * * *", "2026-10-03T00:00:00Z", {"2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"}},
	{LORD_HOWE, "45 1 * * *", "2026-04-04T00:00:00Z", {"2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"}},
};

static void schedules_have_their_moments_in_every_zone(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct zone *z = zone_of(cases[i].rule);
		int64_t t = at(cases[i].after);
		struct cron c;

		assert_non_null(z);
		assert_int_equal(cron_parse(str_of(cases[i].cron), &c, NULL), 0);
		for (int k = 0; k < 4 && cases[i].next[k]; k++) {
			char text[TIME_TEXT_SIZE];

			t = cron_next(&c, z, t);
			time_format(t * 1000000, text);
			strcpy(text + 19, "Z");
			if (strcmp(text, cases[i].next[k]) != 0)
				print_message("# %s in %s after %s\n", cases[i].cron, cases[i].rule, cases[i].after);
			assert_string_equal(text, cases[i].next[k]);
		}
		zone_free(z);
	}
}

static void what_never_comes_is_known(void **state)
{
	struct zone *z = zone_utc();
	struct cron c;

	assert_int_equal(cron_parse(STR("0 0 30 2 *"), &c, NULL), 0);
	assert_true(cron_next(&c, z, 0) == INT64_MAX);
	zone_free(z);
}

static void what_is_wrong_is_refused_with_the_field(void **state)
{
	static const char *const wrong[] = {
		"",           "* * * *",     "* * * * * *", "60 * * * *",  "* 24 * * *",  "* * 0 * *",
		"* * 32 * *", "* * * 13 *",  "* * * * 8",   "*/0 * * * *", "5-1 * * * *", "1,,2 * * * *",
		"a * * * *",  "* * L-3 * *", "* * * * 5#6", "* * * * 5#0", "* ? * * *",   "@reboot",
		"-1 * * * *", "1- * * * *",  "* * 32W * *", "1/ * * * *",  "* * * foo *", "+1 * * * *"};
	struct error err;
	struct cron c;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		assert_int_equal(cron_parse((struct str){wrong[i], strlen(wrong[i])}, &c, &err), -EINVAL);
		assert_string_equal(err.code, "cron_invalid");
	}
	cron_parse(STR("* 24 * * *"), &c, &err);
	assert_non_null(strstr(err.message, "hour"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zones_know_what_their_rule_says),
		cmocka_unit_test(wrong_zone_files_are_refused),
		cmocka_unit_test(schedules_have_their_moments_in_every_zone),
		cmocka_unit_test(what_never_comes_is_known),
		cmocka_unit_test(what_is_wrong_is_refused_with_the_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
