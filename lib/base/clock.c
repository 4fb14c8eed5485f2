#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define SECOND_SIZE 19 /* without NUL */
#define ASK_EVERY_US 1000
#define ASK_WITHIN_US 10
#define ASK_TRIES 10

int64_t clock_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

uint64_t clock_mono_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* The wall clock, of the monotonic one. A thread can lose its processor between the two: then once more. */
static int64_t how_far_ahead(void)
{
	int64_t wall;
	uint64_t before, after;
	unsigned tries = 0;

	do {
		before = clock_mono_us();
		wall = clock_now_us();
		after = clock_mono_us();
	} while (after - before > ASK_WITHIN_US && ++tries < ASK_TRIES);
	return wall - (int64_t)before;
}

int64_t clock_wall_us(uint64_t mono_us)
{
	static _Thread_local uint64_t asked_at;
	static _Thread_local int64_t ahead; /* of the monotonic clock */

	if (!asked_at || (int64_t)(mono_us - asked_at) >= ASK_EVERY_US) {
		asked_at = clock_mono_us();
		ahead = how_far_ahead();
	}
	return (int64_t)mono_us + ahead;
}

uint64_t clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

uint64_t clock_coarse_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* `width` decimal digits. */
static char *put_digits(char *at, unsigned n, unsigned width)
{
	for (unsigned i = width; i > 0; i--, n /= 10)
		at[i - 1] = (char)('0' + n % 10);
	return at + width;
}

static char *put_part(char *at, char before, int n)
{
	*at = before;
	return put_digits(at + 1, (unsigned)n, 2);
}

/* 2026-11-22T16:21:42 */
static void put_second(char *at, time_t seconds)
{
	struct tm tm;

	gmtime_r(&seconds, &tm);
	at = put_digits(at, (unsigned)(tm.tm_year + 1900), 4);
	at = put_part(at, '-', tm.tm_mon + 1);
	at = put_part(at, '-', tm.tm_mday);
	at = put_part(at, 'T', tm.tm_hour);
	at = put_part(at, ':', tm.tm_min);
	put_part(at, ':', tm.tm_sec);
}

/* Every log line has a time: digit by digit this takes a tenth of what printf takes, and most lines are of the same
 * second as the one before. */
void time_format(int64_t us, char ret[static TIME_TEXT_SIZE])
{
	static _Thread_local time_t last = -1;
	static _Thread_local char text[SECOND_SIZE];
	int64_t fraction = us % 1000000;
	time_t seconds = us / 1000000;

	if (fraction < 0) {
		fraction += 1000000;
		seconds--;
	}
	if (seconds != last || !text[0])
		put_second(text, seconds);
	last = seconds;
	memcpy(ret, text, SECOND_SIZE);
	ret[SECOND_SIZE] = '.';
	memcpy(put_digits(ret + SECOND_SIZE + 1, (unsigned)fraction, 6), "Z", 2);
}

/* Reads exactly `digits` digits and the separator behind them (0 = none). */
static bool take_number(struct str *s, size_t digits, char sep, int min, int max, int *ret)
{
	size_t n = digits + (sep ? 1 : 0);
	uint64_t v;

	if (s->n < n || str_to_u64((struct str){s->p, digits}, (uint64_t)max, &v) < 0 || (int)v < min)
		return false;
	if (sep && (s->p[digits] & ~(sep >= 'A' ? 0x20 : 0)) != sep)
		return false;
	s->p += n;
	s->n -= n;
	*ret = (int)v;
	return true;
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* Digits behind the dot; those beyond microseconds are cut off. */
static bool take_fraction(struct str *s, int64_t *ret)
{
	int64_t scale = 100000;
	size_t i = 1;

	*ret = 0;
	if (s->n == 0 || s->p[0] != '.')
		return true;
	for (; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++) {
		*ret += (s->p[i] - '0') * scale;
		scale /= 10;
	}
	s->p += i;
	s->n -= i;
	return i > 1;
}

static bool take_offset(struct str *s, int64_t *ret_seconds)
{
	int hours, minutes;

	*ret_seconds = 0;
	if (s->n == 1 && (s->p[0] == 'Z' || s->p[0] == 'z'))
		return true;
	if (s->n != 6 || (s->p[0] != '+' && s->p[0] != '-'))
		return false;
	int sign = s->p[0] == '-' ? -1 : 1;
	s->p++;
	s->n--;
	if (!take_number(s, 2, ':', 0, 23, &hours) || !take_number(s, 2, 0, 0, 59, &minutes))
		return false;
	*ret_seconds = sign * (hours * 3600 + minutes * 60);
	return true;
}

int time_parse(struct str s, int64_t *ret_us)
{
	int year, month, day, hour, minute, second;
	int64_t fraction, offset;

	if (!take_number(&s, 4, '-', 1, 9999, &year) || !take_number(&s, 2, '-', 1, 12, &month) ||
	    !take_number(&s, 2, 'T', 1, days_in_month(year, month), &day) || !take_number(&s, 2, ':', 0, 23, &hour) ||
	    !take_number(&s, 2, ':', 0, 59, &minute) || !take_number(&s, 2, 0, 0, 60, &second) ||
	    !take_fraction(&s, &fraction) || !take_offset(&s, &offset))
		return -EINVAL;
	struct tm tm = {.tm_year = year - 1900,
			.tm_mon = month - 1,
			.tm_mday = day,
			.tm_hour = hour,
			.tm_min = minute,
			.tm_sec = second};
	*ret_us = ((int64_t)timegm(&tm) - offset) * 1000000 + fraction;
	return 0;
}
