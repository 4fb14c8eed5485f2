/* What a request counts for: which limits, as whose, and what the answer says of them. */
#include "gateway.h"

#include <stdio.h>
#include <string.h>

#include "fields.h"

/* Paths with a limit of their own; {} stands for one segment. */
static const struct limited_path {
	enum http_method method;
	const char *pattern;
	const char *limit;
	bool is_alone; /* instead of the default: what a client does to end something must not wait for what he began */
} limited_paths[] = {
	{HTTP_POST_, "/api/auth/login", "login", false},
	{HTTP_POST_, "/api/auth/register", "login", false},
	{HTTP_POST_, "/api/auth/login/code", "login", false},
	{HTTP_POST_, "/api/auth/login/passkey", "login", false},
	{HTTP_POST_, "/api/auth/verify", "login", false},
	{HTTP_POST_, "/api/auth/forgot", "login", false},
	{HTTP_POST_, "/api/auth/reset", "login", false},
	{HTTP_POST_, "/api/auth/accept", "login", false},
	{HTTP_POST_, "/api/auth/link", "login", false},
	{HTTP_POST_, "/api/auth/email/confirm", "login", false},
	{HTTP_POST_, "/api/auth/setup", "login", false},
	{HTTP_POST_, "/api/conversations/{}/messages", "messages", false},
	{HTTP_POST_, "/api/executions/{}/cancel", "stop", true},
	{HTTP_POST_, "/api/commands/{}/cancel", "stop", true},
	{HTTP_POST_, "/api/commands/{}/signal", "stop", true},
	{HTTP_POST_, "/api/auth/logout", "stop", true},
};

static bool matches(struct str path, const char *pattern)
{
	struct str rest = path, wanted = str_of(pattern);

	while (rest.p && wanted.p) {
		struct str segment = str_cut(&rest, '/'), want = str_cut(&wanted, '/');

		if (str_is(want, "{}") ? !segment.n : !str_eq(segment, want))
			return false;
	}
	return !rest.p && !wanted.p;
}

static const struct limited_path *find(const struct http_request *r)
{
	if (r->method != HTTP_POST_)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(limited_paths); i++)
		if (limited_paths[i].method == r->method && matches(r->path, limited_paths[i].pattern))
			return &limited_paths[i];
	return NULL;
}

/* A token that is not good is nobody's, so that a new one each time is no way around. */
static struct str client_of(const struct visit *v, enum limit_by by)
{
	switch (by) {
	case LIMIT_BY_USER:
		if (v->who.user_id)
			return str_of(v->who.user_id);
		break;
	case LIMIT_BY_TOKEN:
		if (v->who.user_id)
			return v->token;
		break;
	case LIMIT_BY_ROUTE: return STR("*");
	case LIMIT_BY_ADDRESS: break;
	}
	return v->client.key;
}

static void claim(struct visit *v, const struct limit_rule *rule)
{
	for (size_t i = 0; i < v->n_claims; i++)
		if (v->claims[i].rule == rule)
			return;
	if (rule && v->n_claims < LIMITS_MAX)
		v->claims[v->n_claims++] = (struct limit_claim){rule, client_of(v, rule->by)};
}

static void find_claims(struct visit *v)
{
	const struct limit_rules *rules = &v->gateway->limits;
	const struct limited_path *path = find(v->r);

	if (path)
		claim(v, limit_rules_find(rules, str_of(path->limit)));
	if (path && path->is_alone && v->n_claims)
		return;
	if (v->path && v->path->rate_limit)
		claim(v, limit_rules_find(rules, str_of(v->path->rate_limit)));
	claim(v, rules->by_default);
}

static uint64_t seconds_up(uint64_t us)
{
	return (us + 999999) / 1000000;
}

/* "login";r=59;t=1, "default";r=199;t=1 */
static void write_fields(struct visit *v, const struct limit_verdict *verdicts)
{
	char text[LIMITS_MAX * (LIMIT_NAME_MAX + 40)], *at = text;
	size_t policy = 0;

	for (size_t i = 0; i < v->n_claims; i++) {
		at = stpcpy(at, i ? ", \"" : "\"");
		at = stpcpy(at, v->claims[i].rule->name);
		at = stpcpy(at, "\";r=");
		at = put_number(at, verdicts[i].remaining);
		at = stpcpy(at, ";t=");
		at = put_number(at, seconds_up(verdicts[i].full_us));
		policy += strlen(v->claims[i].rule->policy) + 2;
	}
	v->rate = arena_str(v->arena, (struct str){text, (size_t)(at - text)});
	v->rate_policy = str_of(v->claims[0].rule->policy);
	if (v->n_claims < 2)
		return;
	v->rate_policy.p = at = arena_alloc_raw(v->arena, policy + 1);
	for (size_t i = 0; i < v->n_claims; i++)
		at = stpcpy(stpcpy(at, i ? ", " : ""), v->claims[i].rule->policy);
	v->rate_policy.n = (size_t)(at - v->rate_policy.p);
}

static void refuse(struct visit *v, const struct limit_verdict *verdicts)
{
	char *seconds = arena_alloc_raw(v->arena, 24);
	uint64_t retry_us = 0;

	for (size_t i = 0; i < v->n_claims; i++) {
		if (verdicts[i].retry_us)
			metric_add(v->gateway->limited[v->claims[i].rule - v->gateway->limits.items], 1);
		retry_us = MAX(retry_us, verdicts[i].retry_us);
	}
	v->answer.arena = v->arena;
	put_number(seconds, MAX(seconds_up(retry_us), (uint64_t)1));
	fields_add(&v->answer, STR("Retry-After"), str_of(seconds));
	visit_problem(v, 429, "rate_limited", "Too many requests. Wait as long as Retry-After says.");
}

bool allowance_take(struct visit *v)
{
	struct limit_verdict verdicts[LIMITS_MAX];
	enum limit_outcome r;

	if (v->is_health)
		return true;
	if (!v->n_claims)
		find_claims(v);
	if (!v->n_claims)
		return true;
	r = limit_share_take(v->worker->share, v->gateway->limit_table, v->claims, v->n_claims, v->r->started_us,
			     verdicts, &v->limit_wait);
	if (r == LIMIT_ASK) {
		http_body_pause(v->r);
		return false;
	}
	write_fields(v, verdicts);
	if (r == LIMIT_REFUSED)
		refuse(v, verdicts);
	return r == LIMIT_OK;
}

/* ---- Start and end ---- */

static double count_calls(void *gateway)
{
	const struct gateway *g = gateway;
	struct limit_share_stats stats;
	double n = 0;

	for (unsigned i = 0; i < g->n_workers; i++) {
		limit_share_stats(g->workers[i].share, &stats);
		n += (double)stats.calls;
	}
	return n;
}

static double count_failed(void *gateway)
{
	const struct gateway *g = gateway;
	struct limit_share_stats stats;
	double n = 0;

	for (unsigned i = 0; i < g->n_workers; i++) {
		limit_share_stats(g->workers[i].share, &stats);
		n += (double)stats.failed;
	}
	return n;
}

static double count_sharing(void *gateway)
{
	const struct gateway *g = gateway;
	struct limit_share_stats stats;
	unsigned n = 0;

	for (unsigned i = 0; i < g->n_workers; i++) {
		limit_share_stats(g->workers[i].share, &stats);
		n += stats.is_on;
	}
	return n && n == g->n_workers;
}

static void add_health(void *gateway, yyjson_mut_doc *doc, yyjson_mut_val *obj)
{
	yyjson_mut_obj_add_str(doc, obj, "rate_limits", count_sharing(gateway) ? "shared" : "local, Redis is away");
}

void allowance_init(struct gateway *g, const struct options *options)
{
	struct error err = {0};

	if (limit_rules_read(&g->limits, options, &err))
		fatal("%s", err.message);
	g->limit_table = limit_table_new();
	for (size_t i = 0; i < g->limits.n; i++) {
		_cleanup_(buf_deinit) struct buf labels = BUF_INIT;

		metric_label(&labels, "limit", g->limits.items[i].name);
		g->limited[i] =
			metric_counter("ogent_gateway_limited_total", "Requests refused by a rate limit", labels.p);
	}
	if (!*option_str(options, "redis_url"))
		return;
	metric_counter_fn("ogent_gateway_limit_calls_total", "Calls to Redis for shared rate limits", "", count_calls,
			  g);
	metric_counter_fn("ogent_gateway_limit_calls_failed_total",
			  "Calls to Redis for shared rate limits that were not answered in time", "", count_failed, g);
	metric_gauge_fn("ogent_gateway_limits_shared", "1: rate limits are shared through Redis; 0: it is away", "",
			count_sharing, g);
	service_health_info(g->service, add_health, g);
}

static void on_share(void *worker, bool is_on, const char *why)
{
	struct gateway_worker *w = worker;

	if (w != &w->gateway->workers[0])
		return; /* one says it for all */
	if (is_on)
		log_info("rate limits are shared through Redis");
	else
		log_event(LOG_WARN, "rate limits count here alone until Redis is back", "reason", why, NULL);
}

void allowance_open(struct gateway_worker *w)
{
	const char *url = option_str(service_options(w->gateway->service), "redis_url");
	struct error err = {0};

	if (*url && limit_share_new(w->gateway->limit_table, w->loop, w->wheel, url, on_share, w, &w->share, &err))
		fatal("%s", err.message);
}

void allowance_deinit(struct gateway *g)
{
	limit_table_free(g->limit_table);
}
