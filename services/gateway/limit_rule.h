/* The named rate limits: what the options say of them. A limit lets `burst` requests through at once and, in the long
 * run, one in each interval (the generic cell rate algorithm). */
#pragma once

#include "base/error.h"
#include "base/options.h"

#define LIMIT_RULES_MAX 32
#define LIMIT_NAME_MAX 32

/* Whose requests count together. */
enum limit_by {
	LIMIT_BY_USER,    /* the user; whoever is not signed in: his address */
	LIMIT_BY_TOKEN,   /* the access token; without one: the address */
	LIMIT_BY_ADDRESS, /* the address, an IPv6 one by its first half */
	LIMIT_BY_ROUTE,   /* everybody's */
};

struct limit_rule {
	char name[LIMIT_NAME_MAX + 1];
	enum limit_by by;
	uint32_t burst;
	uint64_t interval_us, window_us; /* of one request, and of the whole burst */
	uint32_t slice;                  /* most requests that are asked for at once where gateways share a limit */
	uint64_t salt;                   /* tells its clients apart from those of the others */
	char policy[80];                 /* its item in RateLimit-Policy: "login";q=60;w=60 */
};

struct limit_rules {
	struct limit_rule items[LIMIT_RULES_MAX];
	size_t n;
	const struct limit_rule *by_default; /* NULL: rate_limit is 0 */
	const struct limit_rule *stop;       /* for what ends runs and commands, instead of the default; or NULL */
};

/* From rate_limit, rate_burst and rate_limits: NAME=REQUESTS/TIME[/KEY[/BURST]], separated by commas. A limit of 0
 * requests is none. Returns 0 or -EINVAL with err set. */
int limit_rules_read(struct limit_rules *ret, const struct options *o, struct error *err);
/* The same from the texts themselves. */
int limit_rules_parse(struct limit_rules *ret, int64_t rate, int64_t burst, const char *more, struct error *err);
/* NULL: there is none of that name. */
const struct limit_rule *limit_rules_find(const struct limit_rules *rules, struct str name);
