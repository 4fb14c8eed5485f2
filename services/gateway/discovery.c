/* The addresses of an upstream from DNS: asked for at the start, when the answer has expired, and soon after a
 * connection has failed. While no server answers, the last answer stays good for a limited time. */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "io/address.h"
#include "upstream_internal.h"

#define TTL_MIN_MS 1000
#define TTL_MAX_MS 30000
#define HURRY_MS 1000 /* between two questions, however many connections fail */

struct discovery {
	struct upstream *upstream; /* outlives it */
	struct dns *dns;
	struct wheel *wheel;
	struct dns_query *query; /* under way, or NULL */
	struct deadline next;    /* the next question */
	uint64_t asked_at;       /* ms */
	unsigned failures;       /* in a row */
	int last_err;
};

static void ask(struct discovery *d);

static void on_next(struct deadline *at)
{
	ask(container_of(at, struct discovery, next));
}

static void tell_failure(struct discovery *d, int err)
{
	const struct upstream_settings *s = &d->upstream->settings;

	if (err != d->last_err)
		log_event(LOG_WARN, "the addresses of an upstream cannot be found by DNS", "upstream", s->name, "name",
			  s->dns_name, "reason",
			  err == -ENOENT      ? "there is no such name"
			  : err == -ETIMEDOUT ? "no server answers"
					      : "the servers cannot tell",
			  NULL);
	d->last_err = err;
}

/* That there are none is an answer too; without one, the last stays for a while. */
static void take_failure(struct discovery *d, int err)
{
	struct upstream *u = d->upstream;
	uint64_t now = upstream_now();
	bool is_over;

	pthread_mutex_lock(&u->lock);
	if (!u->stale_from)
		u->stale_from = now;
	is_over = u->balancer.n && (err == -ENOENT || now - u->stale_from > u->settings.dns_stale_ms);
	pthread_mutex_unlock(&u->lock);
	upstream_count(u, UPSTREAM_DNS_FAILURES);
	tell_failure(d, err);
	if (is_over)
		upstream_set_endpoints(u, NULL, 0);
	d->failures++;
	deadline_set(d->wheel, &d->next, MIN(TTL_MIN_MS << MIN(d->failures - 1, 5), TTL_MAX_MS));
}

static void take_answer(struct discovery *d, const struct dns_answer *a)
{
	struct upstream *u = d->upstream;
	uint64_t ttl = MAX(TTL_MIN_MS, MIN((uint64_t)a->ttl * 1000, TTL_MAX_MS));
	struct upstream_address found[DNS_MAX_ENDPOINTS];
	char texts[DNS_MAX_ENDPOINTS][64];

	for (size_t i = 0; i < a->n; i++) {
		address_format(&a->items[i].ip, texts[i], sizeof(texts[i]));
		found[i] = (struct upstream_address){texts[i], a->items[i].weight, a->items[i].priority};
	}
	upstream_set_endpoints(u, found, a->n);
	upstream_count(u, UPSTREAM_DNS_ANSWERS);
	pthread_mutex_lock(&u->lock);
	u->stale_from = 0;
	u->dns_ttl_ms = ttl;
	pthread_mutex_unlock(&u->lock);
	if (d->last_err)
		log_event(LOG_INFO, "the addresses of an upstream are found again", "upstream", u->settings.name, NULL);
	d->last_err = 0;
	d->failures = 0;
	deadline_set(d->wheel, &d->next, ttl);
}

static void on_answer(void *arg, int err, const struct dns_answer *a)
{
	struct discovery *d = arg;

	d->query = NULL;
	if (err)
		take_failure(d, err);
	else
		take_answer(d, a);
}

static void ask(struct discovery *d)
{
	const struct upstream_settings *s = &d->upstream->settings;

	if (d->query)
		return;
	d->asked_at = upstream_now();
	d->query = dns_lookup(d->dns, s->kind == DISCOVER_SRV ? DNS_SRV : DNS_HOST, s->dns_name, (uint16_t)s->dns_port,
			      on_answer, d);
}

struct discovery *discovery_new(struct upstream *u, struct dns *dns, struct wheel *wheel)
{
	struct discovery *d = xcalloc(1, sizeof(*d));

	d->upstream = u;
	d->dns = dns;
	d->wheel = wheel;
	deadline_init(&d->next, on_next);
	ask(d);
	return d;
}

void discovery_hurry(struct discovery *d)
{
	uint64_t age = upstream_now() - d->asked_at;

	if (!d->query)
		deadline_set(d->wheel, &d->next, age >= HURRY_MS ? 0 : HURRY_MS - age);
}

void discovery_free(struct discovery *d)
{
	if (!d)
		return;
	if (d->query)
		dns_cancel(d->query);
	deadline_clear(&d->next);
	free(d);
}
