#include "base/zone.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/civil.h"

#define HEADER 44
#define MAX_CHANGES 4096
#define MAX_TYPES 256
#define DAY 86400
#define MAX_OFFSET (26 * 3600) /* east or west (RFC 8536 3.2 allows -25 h to 26 h) */

/* When clocks are changed each year, by local time (POSIX TZ). */
struct rule {
	enum { RULE_JULIAN, RULE_DAY, RULE_WEEKDAY } kind; /* Jn without 29 February, n with it, Mm.w.d */
	int day, month, week;
	int32_t time;
};

struct zone {
	int64_t *changes; /* rising */
	int32_t *offsets; /* from each change on */
	size_t n;
	int32_t first; /* before all changes */
	/* After the last change; without has_rules: as it was then. */
	bool has_footer, has_rules;
	int32_t std, dst;
	struct rule to_dst, to_std;
};

/* ---- Reading the file ---- */

static uint32_t be32(const char *p)
{
	const uint8_t *u = (const uint8_t *)p;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static int64_t be64(const char *p)
{
	return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

struct counts {
	size_t isut, isstd, leap, changes, types, chars;
};

static int read_header(struct str s, struct counts *ret)
{
	if (s.n < HEADER || memcmp(s.p, "TZif", 4) != 0 || s.p[4] < '2')
		return -1;
	*ret = (struct counts){be32(s.p + 20), be32(s.p + 24), be32(s.p + 28),
			       be32(s.p + 32), be32(s.p + 36), be32(s.p + 40)};
	if (ret->changes > MAX_CHANGES || ret->types > MAX_TYPES || ret->types == 0 || ret->chars > 1024 ||
	    ret->isut > MAX_TYPES || ret->isstd > MAX_TYPES || ret->leap > 1024)
		return -1;
	return 0;
}

/* Bytes behind the header; `width` of a time. */
static size_t body_size(const struct counts *c, size_t width)
{
	return c->changes * (width + 1) + c->types * 6 + c->chars + c->leap * (width + 4) + c->isstd + c->isut;
}

static int read_changes(struct zone *z, const char *p, const struct counts *c)
{
	const char *index = p + c->changes * 8, *types = index + c->changes;

	for (size_t i = 0; i < c->types; i++)
		if (labs((long)(int32_t)be32(types + i * 6)) > MAX_OFFSET)
			return -1;
	z->n = c->changes;
	z->changes = xcalloc(c->changes + 1, sizeof(*z->changes));
	z->offsets = xcalloc(c->changes + 1, sizeof(*z->offsets));
	z->first = (int32_t)be32(types);
	for (size_t i = 0; i < c->changes; i++) {
		uint8_t type = (uint8_t)index[i];

		z->changes[i] = be64(p + i * 8);
		if (type >= c->types || (i > 0 && z->changes[i] <= z->changes[i - 1]))
			return -1;
		z->offsets[i] = (int32_t)be32(types + type * 6);
	}
	return 0;
}

/* ---- The rule behind it ---- */

static int read_number(struct str *s, int max, int *ret)
{
	int v = 0, digits = 0;

	for (; s->n > 0 && *s->p >= '0' && *s->p <= '9'; s->p++, s->n--, digits++) {
		v = v * 10 + (*s->p - '0');
		if (v > max)
			return -1;
	}
	*ret = v;
	return digits ? 0 : -1;
}

static bool take(struct str *s, char c)
{
	if (s->n == 0 || *s->p != c)
		return false;
	s->p++;
	s->n--;
	return true;
}

/* [+-]h[:m[:s]] */
static int read_time(struct str *s, int max_hours, int32_t *ret)
{
	int sign = take(s, '-') ? -1 : 1, h, m = 0, sec = 0;

	if (sign == 1)
		take(s, '+');
	if (read_number(s, max_hours, &h) < 0)
		return -1;
	if (take(s, ':') && read_number(s, 59, &m) < 0)
		return -1;
	if (m >= 0 && take(s, ':') && read_number(s, 59, &sec) < 0)
		return -1;
	*ret = sign * (h * 3600 + m * 60 + sec);
	return 0;
}

static int skip_name(struct str *s)
{
	size_t n = 0;
	bool is_quoted = take(s, '<');

	while (s->n > 0 && (is_quoted ? *s->p != '>' : (*s->p | 32) >= 'a' && (*s->p | 32) <= 'z')) {
		s->p++;
		s->n--;
		n++;
	}
	return n < 1 || (is_quoted && !take(s, '>')) ? -1 : 0;
}

static int read_rule(struct str *s, struct rule *ret)
{
	*ret = (struct rule){.time = 2 * 3600};
	if (!take(s, ','))
		return -1;
	if (take(s, 'M')) {
		ret->kind = RULE_WEEKDAY;
		if (read_number(s, 12, &ret->month) < 0 || ret->month < 1 || !take(s, '.') ||
		    read_number(s, 5, &ret->week) < 0 || ret->week < 1 || !take(s, '.') ||
		    read_number(s, 6, &ret->day) < 0)
			return -1;
	} else {
		ret->kind = take(s, 'J') ? RULE_JULIAN : RULE_DAY;
		if (read_number(s, 365, &ret->day) < 0 || (ret->kind == RULE_JULIAN && ret->day < 1))
			return -1;
	}
	return take(s, '/') ? read_time(s, 167, &ret->time) : 0;
}

static int read_footer(struct zone *z, struct str s)
{
	int32_t west;

	if (s.n == 0)
		return 0;
	z->has_footer = true;
	if (skip_name(&s) < 0 || read_time(&s, 24, &west) < 0)
		return -1;
	z->std = -west;
	if (s.n == 0)
		return 0;
	z->has_rules = true;
	z->dst = z->std + 3600;
	if (skip_name(&s) < 0)
		return -1;
	if (s.n > 0 && *s.p != ',') {
		if (read_time(&s, 24, &west) < 0)
			return -1;
		z->dst = -west;
	}
	return read_rule(&s, &z->to_dst) < 0 || read_rule(&s, &z->to_std) < 0 || s.n > 0 ? -1 : 0;
}

static int read_file(struct zone *z, struct str s)
{
	struct counts c;
	size_t n;

	if (s.n > ZONE_FILE_MAX || read_header(s, &c) < 0)
		return -1;
	n = HEADER + body_size(&c, 4);
	if (n > s.n)
		return -1;
	s = (struct str){s.p + n, s.n - n};
	if (read_header(s, &c) < 0 || c.leap > 0)
		return -1;
	n = HEADER + body_size(&c, 8);
	if (n + 2 > s.n || read_changes(z, s.p + HEADER, &c) < 0)
		return -1;
	s = (struct str){s.p + n, s.n - n};
	if (*s.p != '\n' || s.p[s.n - 1] != '\n')
		return -1;
	return read_footer(z, (struct str){s.p + 1, s.n - 2});
}

struct zone *zone_parse(struct str tzif, struct error *err)
{
	struct zone *z = xcalloc(1, sizeof(*z));

	if (read_file(z, tzif) == 0)
		return z;
	error_set(err, "zone_invalid", "The time zone's file is not understood: reinstall tzdata.");
	zone_free(z);
	return NULL;
}

struct zone *zone_utc(void)
{
	return xcalloc(1, sizeof(struct zone));
}

void zone_free(struct zone *z)
{
	if (!z)
		return;
	free(z->changes);
	free(z->offsets);
	free(z);
}

/* ---- What it says ---- */

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* The day of a year on which a rule changes the clocks. */
static int64_t rule_day(const struct rule *r, int64_t year)
{
	int64_t first;
	int back;

	switch (r->kind) {
	case RULE_JULIAN: return civil_to_days(year, 1, 1) + r->day - 1 + (civil_is_leap(year) && r->day >= 60);
	case RULE_DAY: return civil_to_days(year, 1, 1) + r->day;
	case RULE_WEEKDAY: break;
	}
	first = civil_to_days(year, r->month, 1);
	first += (r->day - civil_weekday(first) + 7) % 7 + 7ll * (r->week - 1);
	back = first - civil_to_days(year, r->month, 1) >= civil_month_days(year, r->month) ? 7 : 0;
	return first - back;
}

static int64_t rule_at(const struct rule *r, int64_t year, int32_t offset)
{
	return rule_day(r, year) * DAY + r->time - offset;
}

static int64_t year_of(int64_t at)
{
	return civil_of_days(floor_div(at, DAY)).year;
}

static bool is_by_rules(const struct zone *z, int64_t at)
{
	return z->has_footer && (z->n == 0 || at >= z->changes[z->n - 1]);
}

/* The last change by rule at or before, or the first after. Returns the offset from it on. */
static int32_t rule_change(const struct zone *z, int64_t at, bool is_after, int64_t *ret)
{
	int32_t offset = z->std;
	int64_t year = year_of(at), best = is_after ? INT64_MAX : INT64_MIN;

	for (int64_t y = year - 1; y <= year + 1; y++) {
		int64_t on = rule_at(&z->to_dst, y, z->std), off = rule_at(&z->to_std, y, z->dst);

		if (is_after ? on > at && on < best : on <= at && on >= best) {
			best = on;
			offset = z->dst;
		}
		/* At the same moment: daylight time all year round (RFC 8536 3.3.1). */
		if (is_after ? off > at && off < best : off <= at && off > best) {
			best = off;
			offset = z->std;
		}
	}
	*ret = best;
	return offset;
}

/* The number of changes at or before. */
static size_t changes_before(const struct zone *z, int64_t at)
{
	size_t low = 0, high = z->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (z->changes[middle] <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int32_t zone_offset(const struct zone *z, int64_t at)
{
	int64_t when;
	size_t n;

	if (is_by_rules(z, at))
		return z->has_rules ? rule_change(z, at, false, &when) : z->std;
	n = changes_before(z, at);
	return n ? z->offsets[n - 1] : z->first;
}

int64_t zone_next_change(const struct zone *z, int64_t at)
{
	int64_t when = INT64_MAX;

	if (!is_by_rules(z, at)) {
		size_t n = changes_before(z, at);

		return n < z->n ? z->changes[n] : INT64_MAX;
	}
	if (z->has_rules)
		rule_change(z, at, true, &when);
	return when;
}

int zone_resolve(const struct zone *z, int64_t local, int64_t ret[static 2])
{
	int64_t from = local - MAX_OFFSET - 1, gap = local - zone_offset(z, local), change;
	int32_t offset = zone_offset(z, from), next;
	int n = 0;

	/* Each stretch with one offset that could have this local time in it. */
	for (;; from = change, offset = next) {
		int64_t at = local - offset;

		change = zone_next_change(z, from);
		if (at >= from && at < change && n < 2)
			ret[n++] = at;
		if (change > local + MAX_OFFSET)
			break;
		next = zone_offset(z, change);
		if (change + offset <= local && local < change + next)
			gap = change;
	}
	if (n == 0)
		ret[0] = gap;
	return n;
}
