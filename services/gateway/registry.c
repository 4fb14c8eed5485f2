/* The upstreams that are in use, and what is done for them on the service's loop. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "upstream_internal.h"

struct upstreams {
	uv_loop_t *loop;
	struct wheel *wheel;
	char *dns_servers; /* "" = the system's */
	struct dns *dns;   /* made when the first upstream needs it */
	struct list list;  /* struct upstream, referenced: in use */
	atomic_uint generation;
	uv_async_t wake;
};

static void start(struct upstreams *us, struct upstream *u)
{
	if (u->settings.kind != DISCOVER_LIST && !u->discovery)
		u->discovery = discovery_new(u, us->dns, us->wheel);
	if (u->settings.health_path && !u->health)
		u->health = health_new(u, us->loop, us->wheel);
}

static void stop(struct upstream *u)
{
	discovery_free(u->discovery);
	health_free(u->health);
	u->discovery = NULL;
	u->health = NULL;
	list_remove(&u->link);
	upstream_retire(u);
	upstream_unref(u);
}

static void on_wake(uv_async_t *a)
{
	struct upstreams *us = container_of(a, struct upstreams, wake);
	struct upstream *u;

	list_foreach (u, &us->list, struct upstream, link)
		if (u->discovery && atomic_exchange(&u->wants_dns, false))
			discovery_hurry(u->discovery);
}

struct upstreams *upstreams_new(uv_loop_t *loop, struct wheel *wheel, const char *dns_servers)
{
	struct upstreams *us = xcalloc(1, sizeof(*us));

	us->loop = loop;
	us->wheel = wheel;
	us->dns_servers = xstrdup(dns_servers);
	list_init(&us->list);
	atomic_init(&us->generation, 0);
	uv_async_init(loop, &us->wake, on_wake);
	uv_unref((uv_handle_t *)&us->wake);
	return us;
}

static void on_closed(uv_handle_t *h)
{
	struct upstreams *us = container_of((uv_async_t *)h, struct upstreams, wake);

	free(us->dns_servers);
	free(us);
}

void upstreams_free(struct upstreams *us)
{
	if (!us)
		return;
	upstreams_use(us, NULL, 0);
	dns_free(us->dns);
	uv_close((uv_handle_t *)&us->wake, on_closed);
}

static struct upstream *find_named(struct upstreams *us, const char *name)
{
	struct upstream *u;

	list_foreach (u, &us->list, struct upstream, link)
		if (!strcmp(u->settings.name, name))
			return u;
	return NULL;
}

struct upstream *upstreams_get(struct upstreams *us, const struct upstream_settings *settings, struct error *err)
{
	struct upstream *before = find_named(us, settings->name), *u;
	char *text = upstream_settings_text(settings);
	bool is_same = before && !strcmp(before->text, text);

	free(text);
	if (is_same)
		return upstream_ref(before);
	if (settings->kind != DISCOVER_LIST && !us->dns &&
	    dns_new(us->loop, us->wheel, *us->dns_servers ? us->dns_servers : NULL, &us->dns, err))
		return NULL;
	u = upstream_new(settings);
	u->registry = us;
	if (before)
		upstream_inherit(u, before);
	return u;
}

void upstreams_use(struct upstreams *us, struct upstream *const *items, size_t n)
{
	struct upstream *u;

	list_foreach (u, &us->list, struct upstream, link)
		u->is_wanted = false;
	for (size_t i = 0; i < n; i++) {
		items[i]->is_wanted = true;
		if (list_is_empty(&items[i]->link)) {
			list_append(&us->list, &upstream_ref(items[i])->link);
			start(us, items[i]);
		}
	}
	list_foreach (u, &us->list, struct upstream, link)
		if (!u->is_wanted)
			stop(u);
	upstreams_endpoints_gone(us);
}

unsigned upstreams_generation(const struct upstreams *us)
{
	return atomic_load_explicit(&us->generation, memory_order_relaxed);
}

void upstreams_endpoints_gone(struct upstreams *us)
{
	atomic_fetch_add(&us->generation, 1);
}

void upstreams_wake(struct upstreams *us)
{
	if (us)
		uv_async_send(&us->wake);
}

struct upstream *upstreams_first(struct upstreams *us)
{
	return list_first(&us->list, struct upstream, link);
}

struct upstream *upstreams_next(struct upstreams *us, struct upstream *u)
{
	return u->link.next == &us->list ? NULL : list_entry(u->link.next, struct upstream, link);
}
