#include "base/cron.h"

#include "base/civil.h"

#define DAY 86400
#define DAYS_AHEAD (50 * 366)

/* ---- Reading ---- */

enum field { MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK, FIELDS };

static const struct {
	const char *name;
	unsigned min, max;
	const char *words; /* of three letters each, from min on */
} fields[FIELDS] = {
	[MINUTE] = {"minute", 0, 59, ""},
	[HOUR] = {"hour", 0, 23, ""},
	[DAY_OF_MONTH] = {"day of the month", 1, 31, ""},
	[MONTH] = {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
	[DAY_OF_WEEK] = {"day of the week", 0, 7, "sunmontuewedthufrisat"},
};

static const struct {
	const char *name, *text;
} nicknames[] = {
	{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
	{"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@hourly", "0 * * * *"},
};

static int refuse(enum field f, struct str item, struct error *err)
{
	return error_set(err, "cron_invalid", "\"%.*s\" is no %s: write %u to %u, a range 1-5, a step */2, or a list.",
			 (int)MIN(item.n, 40), item.p ? item.p : "", fields[f].name, fields[f].min, fields[f].max);
}

static int read_value(enum field f, struct str s, unsigned *ret)
{
	uint64_t n;

	for (unsigned i = 0; s.n == 3 && fields[f].words[i * 3]; i++) {
		if (str_ieq(s, (struct str){fields[f].words + (size_t)i * 3, 3})) {
			*ret = fields[f].min + i;
			return 0;
		}
	}
	if (s.n == 0 || s.n > 2 || str_to_u64(s, fields[f].max, &n) < 0 || n < fields[f].min)
		return -1;
	*ret = (unsigned)n;
	return 0;
}

static bool is_star(enum field f, struct str s)
{
	return str_is(s, "*") || (str_is(s, "?") && (f == DAY_OF_MONTH || f == DAY_OF_WEEK));
}

/* Its own of the day fields. Returns 1 when it is one, 0 when not, -1 when it is a wrong one. */
static int read_special(struct cron *c, enum field f, struct str s)
{
	unsigned v;
	uint64_t nth;
	char last = s.n ? (char)(s.p[s.n - 1] & ~32) : '\0';
	struct str head = {s.p, s.n ? s.n - 1 : 0}, tail = s;

	if (f == DAY_OF_MONTH && str_ieq(s, STR("L")))
		return c->last_day = true;
	if (f == DAY_OF_MONTH && str_ieq(s, STR("LW")))
		return c->last_workday = true;
	if (f == DAY_OF_MONTH && last == 'W') {
		if (read_value(f, head, &v) < 0)
			return -1;
		c->near_workdays |= 1u << v;
		return 1;
	}
	if (f != DAY_OF_WEEK)
		return 0;
	if (last == 'L' && s.n > 1) {
		if (read_value(f, head, &v) < 0)
			return -1;
		c->last_weekdays |= (uint8_t)(1u << v % 7);
		return 1;
	}
	head = str_cut(&tail, '#');
	if (!tail.p)
		return 0;
	if (read_value(f, head, &v) < 0 || str_to_u64(tail, 5, &nth) < 0 || nth < 1)
		return -1;
	c->nth_weekdays[nth - 1] |= (uint8_t)(1u << v % 7);
	return 1;
}

static int read_range(enum field f, struct str range, bool has_step, unsigned *from, unsigned *to)
{
	struct str head, tail = range;

	*from = fields[f].min;
	*to = f == DAY_OF_WEEK ? 6 : fields[f].max;
	if (is_star(f, range))
		return 0;
	head = str_cut(&tail, '-');
	if (read_value(f, head, from) < 0)
		return -1;
	if (!tail.p) {
		/* "5/15" is from 5 on. */
		if (!has_step)
			*to = *from;
		return 0;
	}
	/* "fri-sun" */
	if (read_value(f, tail, to) < 0)
		return -1;
	if (f == DAY_OF_WEEK && *to == 0 && *from > 0)
		*to = 7;
	return *from > *to ? -1 : 0;
}

static int read_item(struct cron *c, enum field f, struct str item, uint64_t *bits)
{
	struct str range, step = item;
	unsigned from, to;
	uint64_t by = 1;
	int r = read_special(c, f, item);

	if (r != 0)
		return r < 0 ? -1 : 0;
	range = str_cut(&step, '/');
	if (step.p && (step.n > 2 || str_to_u64(step, fields[f].max, &by) < 0 || by == 0))
		return -1;
	if (read_range(f, range, step.p, &from, &to) < 0)
		return -1;
	if (f <= HOUR && (step.p || is_star(f, range)))
		c->is_rhythm = true;
	for (unsigned v = from; v <= to; v += (unsigned)by)
		*bits |= 1ull << (f == DAY_OF_WEEK ? v % 7 : v);
	return 0;
}

static int read_field(struct cron *c, enum field f, struct str text, struct error *err)
{
	uint64_t bits = 0;
	struct str rest = text;

	do {
		struct str item = str_cut(&rest, ',');

		if (read_item(c, f, item, &bits) < 0)
			return refuse(f, item, err);
	} while (rest.p);
	switch (f) {
	case MINUTE: c->minutes = bits; break;
	case HOUR: c->hours = (uint32_t)bits; break;
	case DAY_OF_MONTH:
		c->days = (uint32_t)bits;
		c->any_day = is_star(f, text);
		break;
	case MONTH: c->months = (uint32_t)bits; break;
	default: c->weekdays = (uint8_t)bits; c->any_weekday = is_star(f, text);
	}
	return 0;
}

static struct str next_word(struct str *s)
{
	struct str word;

	while (s->n > 0 && (*s->p == ' ' || *s->p == '\t')) {
		s->p++;
		s->n--;
	}
	word = (struct str){s->p, 0};
	while (s->n > 0 && *s->p != ' ' && *s->p != '\t') {
		s->p++;
		s->n--;
		word.n++;
	}
	return word;
}

int cron_parse(struct str text, struct cron *ret, struct error *err)
{
	struct str rest = str_trim(text), word;
	int r = 0;

	*ret = (struct cron){0};
	if (text.n > CRON_TEXT_MAX)
		return error_set(err, "cron_invalid", "A schedule has at most %d characters.", CRON_TEXT_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(nicknames); i++)
		if (str_ieq(rest, str_of(nicknames[i].name)))
			rest = str_of(nicknames[i].text);
	for (int f = 0; r == 0 && f < FIELDS; f++) {
		word = next_word(&rest);
		if (word.n == 0)
			return error_set(err, "cron_invalid",
					 "A schedule has five fields: minute, hour, day of the month, month, day of "
					 "the week; or is @hourly, @daily, @weekly, @monthly or @yearly.");
		r = read_field(ret, f, word, err);
	}
	if (r == 0 && next_word(&rest).n > 0)
		return error_set(err, "cron_invalid",
				 "A schedule has five fields, without seconds: there is more behind the day of the "
				 "week.");
	return r;
}

/* ---- Its days ---- */

/* The day from Monday to Friday next to it in the same month. */
static int near_workday(int64_t year, int month, int day)
{
	int last = civil_month_days(year, month), weekday;

	if (day > last)
		return 0;
	weekday = civil_weekday(civil_to_days(year, month, day));
	if (weekday == 6)
		return day == 1 ? 3 : day - 1;
	if (weekday == 0)
		return day == last ? day - 2 : day + 1;
	return day;
}

static bool fits_day_of_month(const struct cron *c, const struct civil *d)
{
	int last = civil_month_days(d->year, d->month);

	if (c->days >> d->day & 1 || (c->last_day && d->day == last))
		return true;
	if (c->last_workday) {
		int weekday = civil_weekday(civil_to_days(d->year, d->month, last));

		if (d->day == last - (weekday == 6 ? 1 : weekday == 0 ? 2 : 0))
			return true;
	}
	for (int day = 1; c->near_workdays && day <= 31; day++)
		if (c->near_workdays >> day & 1 && near_workday(d->year, d->month, day) == d->day)
			return true;
	return false;
}

static bool fits_weekday(const struct cron *c, const struct civil *d, int weekday)
{
	uint8_t bit = (uint8_t)(1u << weekday);

	return c->weekdays & bit || c->nth_weekdays[(d->day - 1) / 7] & bit ||
	       (c->last_weekdays & bit && d->day + 7 > civil_month_days(d->year, d->month));
}

static bool fits(const struct cron *c, int64_t day)
{
	struct civil d = civil_of_days(day);
	bool by_day, by_weekday;

	if (!(c->months >> d.month & 1))
		return false;
	by_day = fits_day_of_month(c, &d);
	by_weekday = fits_weekday(c, &d, civil_weekday(day));
	if (c->any_day || c->any_weekday)
		return by_day && by_weekday;
	return by_day || by_weekday;
}

/* ---- Its moments ---- */

/* The first moment after `after` that the schedule has on a day of the zone's calendar. Local times before `from` are
 * known to be over. */
static int64_t first_on_day(const struct cron *c, const struct zone *z, int64_t day, int64_t from, int64_t after)
{
	int64_t best = INT64_MAX, at[2];

	for (int minute = 0; minute < 24 * 60; minute++) {
		int64_t local = day * DAY + minute * 60ll;
		int n;

		if (!(c->hours >> minute / 60 & 1) || !(c->minutes >> minute % 60 & 1) || local < from)
			continue;
		n = zone_resolve(z, local, at);
		if (n == 0 && c->is_rhythm)
			continue;
		for (int i = 0; i < (n == 2 && c->is_rhythm ? 2 : 1); i++)
			if (at[i] > after)
				best = MIN(best, at[i]);
		/* A clock that is set back is so by less than a day: what comes later today is later. */
		if (best != INT64_MAX && n == 1 && at[0] > best)
			break;
	}
	return best;
}

int64_t cron_next(const struct cron *c, const struct zone *z, int64_t after)
{
	int64_t from = after + zone_offset(z, after) + 1, first;

	/* Only near a change does the local time not rise with time. */
	if (zone_next_change(z, after - 2 * DAY) < after + 2 * DAY)
		from -= 2 * DAY;
	first = from / DAY - (from % DAY < 0);
	for (int64_t day = first; day < first + DAYS_AHEAD; day++) {
		int64_t at = fits(c, day) ? first_on_day(c, z, day, from, after) : INT64_MAX;

		if (at == INT64_MAX)
			continue;
		/* What is set back around midnight brings a part of this day after the next one has begun. */
		return fits(c, day + 1) ? MIN(at, first_on_day(c, z, day + 1, from, after)) : at;
	}
	return INT64_MAX;
}
