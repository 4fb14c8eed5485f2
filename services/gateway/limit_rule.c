#include "limit_rule.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define COUNT_MAX 1000000
#define TIME_MAX_S 86400
#define SLICE_PART 16  /* of the burst that is asked for at once */
#define SLICE_US 50000 /* or of the time, where that is more */
#define DEFAULT_WINDOW_S 1

static int refuse(struct error *err, struct str item, const char *what)
{
	return error_set(err, "rate_limits",
			 "rate_limits: \"%.*s\" is not of the form NAME=REQUESTS/TIME[/KEY[/BURST]], such as "
			 "login=60/1m/address: %s",
			 (int)MIN(item.n, 80u), item.p ? item.p : "", what);
}

static bool is_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !(i && s.p[i] >= '0' && s.p[i] <= '9') &&
		    !(i && (s.p[i] == '_' || s.p[i] == '-')))
			return false;
	return s.n && s.n <= LIMIT_NAME_MAX;
}

/* "10s", "1m", "1h" in seconds. */
static int read_time(struct str s, uint64_t *ret)
{
	uint64_t factor = 0;

	if (!s.n)
		return -EINVAL;
	switch (s.p[s.n - 1]) {
	case 's': factor = 1; break;
	case 'm': factor = 60; break;
	case 'h': factor = 3600; break;
	case 'd': factor = 86400; break;
	default: return -EINVAL;
	}
	s.n--;
	if (!s.n || str_to_u64(s, TIME_MAX_S / factor, ret) < 0 || !*ret)
		return -EINVAL;
	*ret *= factor;
	return 0;
}

static int read_key(struct str s, enum limit_by *ret)
{
	static const char *const names[] = {"user", "token", "address", "route"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (str_is(s, names[i])) {
			*ret = (enum limit_by)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* Requests per `seconds` in the long run, `burst` at once. */
static void add(struct limit_rules *rules, struct str name, uint64_t requests, uint64_t seconds, enum limit_by by,
		uint64_t burst)
{
	struct limit_rule *r = &rules->items[rules->n++];
	uint64_t window_s;

	*r = (struct limit_rule){.by = by, .burst = (uint32_t)burst};
	memcpy(r->name, name.p, name.n);
	r->interval_us = MAX(seconds * 1000000 / requests, (uint64_t)1);
	r->window_us = r->interval_us * burst;
	r->slice = (uint32_t)MIN(MAX(MAX(burst / SLICE_PART, SLICE_US / r->interval_us), (uint64_t)1),
				 MAX(burst / 4, (uint64_t)1));
	r->salt = UINT64_C(0x9e3779b97f4a7c15) * rules->n;
	window_s = MAX((r->window_us + 999999) / 1000000, (uint64_t)DEFAULT_WINDOW_S);
	snprintf(r->policy, sizeof(r->policy), "\"%.*s\";q=%u;w=%" PRIu64, STR_ARG(name), r->burst, window_s);
}

static int add_item(struct limit_rules *rules, struct str item, struct error *err)
{
	struct str rest = item, name = str_trim(str_cut(&rest, '=')), count = str_trim(str_cut(&rest, '/')),
		   time = str_trim(str_cut(&rest, '/')), key = str_trim(str_cut(&rest, '/')), most = str_trim(rest);
	uint64_t requests, seconds, burst;
	enum limit_by by = LIMIT_BY_USER;

	if (!is_name(name))
		return refuse(err, item, "a name is made of a-z, 0-9, - and _");
	if (!count.n || str_to_u64(count, COUNT_MAX, &requests) < 0)
		return refuse(err, item, "the requests are a number up to 1000000");
	if (read_time(time, &seconds) < 0)
		return refuse(err, item, "the time is such as 10s, 1m or 1h");
	if (key.n && read_key(key, &by) < 0)
		return refuse(err, item, "the key is user, token, address or route");
	burst = requests;
	if (most.n && (str_to_u64(most, COUNT_MAX, &burst) < 0 || !burst))
		return refuse(err, item, "the burst is a number from 1 to 1000000");
	if (limit_rules_find(rules, name) || str_is(name, "default"))
		return refuse(err, item, "there is one of that name already (default is rate_limit and rate_burst)");
	if (rules->n == LIMIT_RULES_MAX)
		return refuse(err, item, "there are too many");
	if (requests)
		add(rules, name, requests, seconds, by, burst);
	return 0;
}

const struct limit_rule *limit_rules_find(const struct limit_rules *rules, struct str name)
{
	for (size_t i = 0; i < rules->n; i++)
		if (str_is(name, rules->items[i].name))
			return &rules->items[i];
	return NULL;
}

int limit_rules_parse(struct limit_rules *ret, int64_t rate, int64_t burst, const char *more, struct error *err)
{
	struct str rest = str_of(more);

	memset(ret, 0, sizeof(*ret));
	if (rate)
		add(ret, STR("default"), (uint64_t)rate, 1, LIMIT_BY_USER, (uint64_t)burst);
	while (rest.n) {
		struct str item = str_trim(str_cut(&rest, ','));

		if (item.n && add_item(ret, item, err) < 0)
			return -EINVAL;
	}
	ret->by_default = limit_rules_find(ret, STR("default"));
	ret->stop = limit_rules_find(ret, STR("stop"));
	return 0;
}

int limit_rules_read(struct limit_rules *ret, const struct options *o, struct error *err)
{
	return limit_rules_parse(ret, option_int(o, "rate_limit"), option_int(o, "rate_burst"),
				 option_str(o, "rate_limits"), err);
}
