/* The routes of now are read once at the start, and again on SIGHUP and by the API. Requests that are under way keep
 * the routes they came with; a worker sees the new ones with its next request. */
#include "reload.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"

/* The internal listener of this process, where the gate checks what the API of the gateway needs. */
static const char *own_address(struct gateway *g)
{
	const char *listen = option_str(service_options(g->service), "gateway_listen");

	return *listen ? xstrdup(listen) : xasprintf("unix:%s/run/gateway.sock", service_data_dir(g->service));
}

static void name_builtin(struct reloader *rl)
{
	struct service *s = rl->gateway->service;

	for (int i = 0; i <= ROLE_COUNT; i++) {
		struct upstream_address *a = xcalloc(1, sizeof(*a));

		a->weight = 1;
		a->address = i < ROLE_COUNT ? xstrdup(http_pool_address(service_peer(s, role_names[i])))
					    : own_address(rl->gateway);
		rl->builtin[i] = upstream_defaults;
		rl->builtin[i].name = i < ROLE_COUNT ? role_names[i] : "gateway";
		rl->builtin[i].role = i;
		rl->builtin[i].addresses = a;
		rl->builtin[i].n_addresses = 1;
	}
}

static int load(struct reloader *rl, struct routes **ret, struct error *err)
{
	const struct routes_source source = {rl->file, rl->builtin, ARRAY_SIZE(rl->builtin), rl->gateway->upstreams,
					     &rl->gateway->limits};

	return routes_load(&source, ret, err);
}

static void put_on(struct reloader *rl, struct routes *routes)
{
	struct routes *before;

	upstreams_use(rl->gateway->upstreams, routes->upstreams, routes->n_upstreams);
	pthread_mutex_lock(&rl->lock);
	before = rl->routes;
	rl->routes = routes;
	atomic_fetch_add(&rl->version, 1);
	pthread_mutex_unlock(&rl->lock);
	routes_unref(before);
}

int reloader_reload(struct reloader *rl, struct error *err)
{
	struct routes *routes;
	char n[12];

	metric_add(rl->reloads, 1);
	rl->last = (struct error){0};
	if (load(rl, &routes, err)) {
		metric_add(rl->refused, 1);
		rl->last = *err;
		log_event(LOG_ERROR, "the routes stay as they are", "reason", err->message, NULL);
		return -EINVAL;
	}
	snprintf(n, sizeof(n), "%zu", routes->n);
	put_on(rl, routes);
	log_event(LOG_INFO, "the routes were loaded anew", "file", rl->file, "routes", n, NULL);
	return 0;
}

static void on_hangup(uv_signal_t *handle, int number)
{
	struct error err = {0};

	reloader_reload(container_of(handle, struct reloader, hangup), &err);
}

void reloader_start(struct gateway *g)
{
	struct reloader *rl = xcalloc(1, sizeof(*rl));
	struct service *s = g->service;
	struct error err = {0};
	struct routes *routes;

	g->reloader = rl;
	g->upstreams = upstreams_new(service_loop(s), service_wheel(s), option_str(service_options(s), "dns_servers"));
	rl->gateway = g;
	rl->file = option_str(service_options(s), "gateway_routes");
	pthread_mutex_init(&rl->lock, NULL);
	name_builtin(rl);
	if (load(rl, &routes, &err))
		fatal("%s", err.message);
	put_on(rl, routes);
	rl->reloads = metric_counter("ogent_gateway_reloads_total", "Times that the routes were to be loaded anew", "");
	rl->refused = metric_counter("ogent_gateway_reloads_refused_total", "Those refused: the file was wrong", "");
	upstreams_watch(g->upstreams);
	routes_api_start(rl);
	uv_signal_init(service_loop(s), &rl->hangup);
	uv_signal_start(&rl->hangup, on_hangup, SIGHUP);
}

struct routes *reloader_routes(struct gateway_worker *w)
{
	struct reloader *rl = w->gateway->reloader;

	if (w->routes && w->routes_version == atomic_load_explicit(&rl->version, memory_order_acquire))
		return w->routes;
	routes_unref(w->routes);
	pthread_mutex_lock(&rl->lock);
	w->routes = routes_ref(rl->routes);
	w->routes_version = atomic_load(&rl->version);
	pthread_mutex_unlock(&rl->lock);
	return w->routes;
}

static void on_closed(uv_handle_t *h)
{
	struct reloader *rl = container_of((uv_signal_t *)h, struct reloader, hangup);

	pthread_mutex_destroy(&rl->lock);
	free(rl);
}

void reloader_stop(struct gateway *g)
{
	struct reloader *rl = g->reloader;

	upstreams_free(g->upstreams);
	routes_unref(rl->routes);
	for (size_t i = 0; i < ARRAY_SIZE(rl->builtin); i++) {
		free((char *)rl->builtin[i].addresses[0].address);
		free(rl->builtin[i].addresses);
	}
	uv_close((uv_handle_t *)&rl->hangup, on_closed);
}
