/* Sections [upstream NAME] of the file of routes. */
#include <errno.h>
#include <string.h>

#include "io/address.h"
#include "io/dns.h"
#include "routes_loader.h"

struct upstream_draft {
	struct upstream_settings s;
	struct texts endpoints;
	const char *dns, *srv;
};

#define UPSTREAM_FIELD(name, type, field, ...)                                            \
	{                                                                                 \
		name, FIELD_##type, offsetof(struct upstream_draft, s.field), __VA_ARGS__ \
	}

static const struct field upstream_fields[] = {
	{"endpoint", FIELD_LIST, offsetof(struct upstream_draft, endpoints)},
	{"dns", FIELD_TEXT, offsetof(struct upstream_draft, dns)},
	{"srv", FIELD_TEXT, offsetof(struct upstream_draft, srv)},
	UPSTREAM_FIELD("dns_stale", MS, dns_stale_ms, 0, 7 * DAY_MS),
	UPSTREAM_FIELD("health_path", TEXT, health_path),
	UPSTREAM_FIELD("health_interval", MS, health_interval_ms, 100, DAY_MS),
	UPSTREAM_FIELD("health_timeout", MS, health_timeout_ms, 50, 600000),
	UPSTREAM_FIELD("health_rise", NUMBER, health_rise, 1, 100),
	UPSTREAM_FIELD("health_fall", NUMBER, health_fall, 1, 100),
	UPSTREAM_FIELD("eject_after", NUMBER, balance.eject_after, 0, 10000),
	UPSTREAM_FIELD("eject_time", MS, balance.eject_ms, 100, 300000),
	UPSTREAM_FIELD("slow_start", MS, balance.slow_start_ms, 0, 3600000),
	UPSTREAM_FIELD("retry_budget", NUMBER, balance.retry_percent, 0, 100),
	UPSTREAM_FIELD("retry_floor", NUMBER, balance.retry_floor, 0, 10000),
	UPSTREAM_FIELD("max_requests", NUMBER, max_requests, 1, 1000000),
	UPSTREAM_FIELD("max_pending", NUMBER, max_pending, 1, 1000000),
	UPSTREAM_FIELD("max_connections", NUMBER, max_connections, 1, 1000000),
	UPSTREAM_FIELD("max_idle", NUMBER, max_idle, 1, 100000),
	UPSTREAM_FIELD("idle_timeout", MS, idle_ms, 100, DAY_MS),
	UPSTREAM_FIELD("max_age", MS, max_age_ms, 100, 30 * DAY_MS),
};

/* ADDRESS, and weight=N behind an address. */
static int take_endpoints(struct loader *l, struct upstream_draft *d, unsigned line)
{
	struct upstream_address *items = arena_alloc(l->arena, d->endpoints.n * sizeof(*items)), *last = NULL;
	struct address parsed;
	size_t n = 0;

	for (size_t i = 0; i < d->endpoints.n; i++) {
		struct str word = str_of(d->endpoints.items[i]);
		uint64_t weight;

		if (last && str_has_prefix(word, STR("weight="))) {
			if (str_to_u64((struct str){word.p + 7, word.n - 7}, 1000, &weight) || !weight)
				return sections_fail(&l->file, line, "endpoint: a weight is a number from 1 to 1000");
			last->weight = (unsigned)weight;
			continue;
		}
		if (address_parse(word.p, &parsed))
			return sections_fail(&l->file, line,
					     "endpoint: \"%s\" is no address: write HOST:PORT or unix:PATH, and "
					     "weight=N behind it",
					     word.p);
		last = &items[n++];
		*last = (struct upstream_address){word.p, 1, 0};
	}
	if (n > DNS_MAX_ENDPOINTS * 4)
		return sections_fail(&l->file, line, "more than %d endpoints", DNS_MAX_ENDPOINTS * 4);
	d->s.kind = DISCOVER_LIST;
	d->s.addresses = items;
	d->s.n_addresses = n;
	return 0;
}

static int take_name(struct loader *l, struct upstream_draft *d, unsigned line)
{
	char *name = arena_strdup(l->arena, d->dns ? d->dns : d->srv), *colon = strrchr(name, ':');
	uint64_t port = 0;

	d->s.kind = d->dns ? DISCOVER_HOST : DISCOVER_SRV;
	d->s.n_addresses = 0;
	if (d->dns && (!colon || str_to_u64(str_of(colon + 1), 65535, &port) || !port))
		return sections_fail(&l->file, line, "dns: write NAME:PORT");
	if (d->dns)
		*colon = '\0';
	if (!*name || strlen(name) > 253 || strpbrk(name, ":/ "))
		return sections_fail(&l->file, line, "%s: \"%s\" is no name", d->dns ? "dns" : "srv", name);
	d->s.dns_name = name;
	d->s.dns_port = (unsigned)port;
	return 0;
}

int loader_make_upstream(void *loader, const char *name)
{
	struct loader *l = loader;
	struct upstream_draft d = {.s = upstream_defaults};
	unsigned line = sections_line(&l->file, SECTION_UPSTREAM, name), ways;

	for (size_t i = 0; i < l->source->n_upstreams; i++)
		if (!strcmp(l->source->upstreams[i].name, name))
			d.s = l->source->upstreams[i];
	d.s.name = name;
	if (sections_apply(&l->file, SECTION_UPSTREAM, name, upstream_fields, ARRAY_SIZE(upstream_fields), &d))
		return -EINVAL;
	if (d.s.health_path && d.s.health_path[0] != '/')
		return sections_fail(&l->file, sections_line_of(&l->file, SECTION_UPSTREAM, name, "health_path"),
				     "health_path begins with /");
	ways = (d.endpoints.n > 0) + (d.dns != NULL) + (d.srv != NULL);
	if (ways > 1)
		return sections_fail(&l->file, line,
				     "[upstream %s]: endpoint, dns and srv do not go together: keep one kind", name);
	if (d.endpoints.n && take_endpoints(l, &d, sections_line_of(&l->file, SECTION_UPSTREAM, name, "endpoint")))
		return -EINVAL;
	if ((d.dns || d.srv) &&
	    take_name(l, &d, sections_line_of(&l->file, SECTION_UPSTREAM, name, d.dns ? "dns" : "srv")))
		return -EINVAL;
	if (d.s.kind == DISCOVER_LIST && !d.s.n_addresses)
		return sections_fail(&l->file, line, "[upstream %s]: say where it is: endpoint, dns or srv", name);
	l->upstreams[l->n_upstreams++] = d.s;
	return 0;
}
