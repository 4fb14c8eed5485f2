/* ogent_gateway_upstream_*: counters of the upstreams, state of their endpoints. Upstreams and endpoints come and go,
 * so these are written whole at each scrape. */
#include "base/alloc.h"
#include "service/metrics.h"
#include "upstream_internal.h"

static const struct {
	const char *name, *help;
} counters[UPSTREAM_COUNTERS] = {
	[UPSTREAM_REQUESTS] = {"requests_total", "Requests for an upstream"},
	[UPSTREAM_FAILURES] = {"failures_total", "Attempts that ended with a 5xx or without an answer"},
	[UPSTREAM_CONNECT_FAILURES] = {"connect_failures_total", "Attempts without a connection"},
	[UPSTREAM_RETRIES] = {"retries_total", "Requests tried once more on another endpoint"},
	[UPSTREAM_RETRIES_REFUSED] = {"retries_refused_total", "Retries for which the budget was spent"},
	[UPSTREAM_OVERFLOWS] = {"overflows_total", "Requests refused by the circuit breaker"},
	[UPSTREAM_NOBODY] = {"no_endpoint_total", "Requests for which no endpoint was known"},
	[UPSTREAM_EJECTIONS] = {"ejections_total", "Endpoints taken out for their failures"},
	[UPSTREAM_DNS_ANSWERS] = {"dns_answers_total", "Answers of DNS with addresses"},
	[UPSTREAM_DNS_FAILURES] = {"dns_failures_total", "Questions to DNS without such an answer"},
	[UPSTREAM_HEALTH_FAILURES] = {"health_failures_total", "Active checks that failed"},
};

static void write_head(struct buf *out, const char *name, const char *help, const char *type)
{
	buf_printf(out, "# HELP ogent_gateway_upstream_%s %s\n# TYPE ogent_gateway_upstream_%s %s\n", name, help, name,
		   type);
}

static void write_value(struct buf *out, const char *name, const struct upstream *u, const struct endpoint *e,
			uint64_t value)
{
	_cleanup_(buf_deinit) struct buf labels = BUF_INIT;

	metric_label(&labels, "upstream", u->settings.name);
	if (e)
		metric_label(&labels, "endpoint", e->address);
	buf_printf(out, "ogent_gateway_upstream_%s{%s} %llu\n", name, labels.p, (unsigned long long)value);
}

static void write_counter(struct buf *out, struct upstreams *us, enum upstream_counter c)
{
	write_head(out, counters[c].name, counters[c].help, "counter");
	for (struct upstream *u = upstreams_first(us); u; u = upstreams_next(us, u)) {
		pthread_mutex_lock(&u->lock);
		uint64_t value = u->counters[c];
		pthread_mutex_unlock(&u->lock);
		write_value(out, counters[c].name, u, NULL, value);
	}
}

static uint64_t active(struct upstream *u)
{
	return u->active;
}

static uint64_t pending(struct upstream *u)
{
	return u->pending;
}

static uint64_t stale(struct upstream *u)
{
	return u->stale_from != 0;
}

static const struct {
	const char *name, *help;
	uint64_t (*read)(struct upstream *u);
} gauges[] = {
	{"active", "Requests under way", active},
	{"pending", "Requests that wait for a connection", pending},
	{"dns_stale", "1 while the last answer of DNS is used though it has expired", stale},
};

static void write_gauge(struct buf *out, struct upstreams *us, size_t i)
{
	write_head(out, gauges[i].name, gauges[i].help, "gauge");
	for (struct upstream *u = upstreams_first(us); u; u = upstreams_next(us, u)) {
		pthread_mutex_lock(&u->lock);
		uint64_t value = gauges[i].read(u);
		pthread_mutex_unlock(&u->lock);
		write_value(out, gauges[i].name, u, NULL, value);
	}
}

static uint64_t endpoint_up(struct upstream *u, struct endpoint *e)
{
	return balance_is_available(&u->balancer, e, upstream_now());
}

static uint64_t endpoint_active(struct upstream *u, struct endpoint *e)
{
	return e->active;
}

static const struct {
	const char *name, *help;
	uint64_t (*read)(struct upstream *u, struct endpoint *e);
} endpoint_gauges[] = {
	{"endpoint_up", "1 while an endpoint gets requests: neither down by its check nor ejected", endpoint_up},
	{"endpoint_active", "Requests under way on an endpoint", endpoint_active},
};

static void write_endpoint_gauge(struct buf *out, struct upstreams *us, size_t i)
{
	write_head(out, endpoint_gauges[i].name, endpoint_gauges[i].help, "gauge");
	for (struct upstream *u = upstreams_first(us); u; u = upstreams_next(us, u)) {
		pthread_mutex_lock(&u->lock);
		for (size_t n = 0; n < u->balancer.n; n++)
			write_value(out, endpoint_gauges[i].name, u, u->balancer.items[n],
				    endpoint_gauges[i].read(u, u->balancer.items[n]));
		pthread_mutex_unlock(&u->lock);
	}
}

static void write_all(struct buf *out, void *arg)
{
	struct upstreams *us = arg;

	for (unsigned c = 0; c < UPSTREAM_COUNTERS; c++)
		write_counter(out, us, (enum upstream_counter)c);
	for (size_t i = 0; i < ARRAY_SIZE(gauges); i++)
		write_gauge(out, us, i);
	for (size_t i = 0; i < ARRAY_SIZE(endpoint_gauges); i++)
		write_endpoint_gauge(out, us, i);
}

void upstreams_watch(struct upstreams *us)
{
	metrics_on_write(write_all, us);
}
