#include "gateway.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "roles.h"

static void make_answers(struct metric *ret[6], const char *role)
{
	static const char *const classes[6] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

	for (size_t i = 0; i < 6; i++) {
		char *labels = xasprintf("role=\"%s\",status=\"%s\"", role, classes[i]);

		ret[i] = metric_counter("ogent_gateway_requests_total", "Requests by role and kind of answer", labels);
		free(labels);
	}
}

static double count_clients(void *arg)
{
	const struct gateway *g = arg;
	double n = 0;

	for (unsigned i = 0; i < g->n_workers; i++)
		n += http_server_connections(g->workers[i].listener);
	return n;
}

static void make_metrics(struct gateway *g)
{
	for (size_t i = 0; i < ARRAY_SIZE(g->requests); i++) {
		const char *role = i < ROLE_COUNT ? role_names[i] : i == ROLE_COUNT ? "gateway" : "other";
		char *labels = xasprintf("role=\"%s\"", role);

		g->requests[i] = metric_histogram("ogent_gateway_request_seconds",
						  "Time from head to answer, by the role that serves it", labels);
		g->waits[i] = metric_histogram("ogent_gateway_upstream_wait_seconds",
					       "Time until a request went out on a connection to a server", labels);
		g->first_bytes[i] = metric_histogram("ogent_gateway_upstream_first_byte_seconds",
						     "Time from then until its answer began", labels);
		free(labels);
		make_answers(g->answers[i], role);
	}
	metric_gauge_fn("ogent_gateway_connections", "Connections of clients", "", count_clients, g);
}

static void on_stop(void *arg)
{
	struct gateway *g = arg;

	reloader_stop(g);
	allowance_deinit(g);
}

void gateway_init(struct gateway *g, const struct options *options)
{
	struct error err = {0};

	*g = (struct gateway){.service = service_new("gateway", options)};
	g->by_forwarded = !strcmp(option_str(options, "proxy_header"), "forwarded");
	if (networks_parse(&g->proxies, option_str(options, "trusted_proxies"), "trusted_proxies", &err))
		fatal("%s", err.message);
	allowance_init(g, options);
	make_metrics(g);
	reloader_start(g);
	service_listen(g->service);
	workers_open(g, option_str(options, "listen"));
	service_on_stop(g->service, on_stop, g); /* behind the workers' end */
	if (*option_str(options, "metrics_listen"))
		service_listen_raw(g->service, option_str(options, "metrics_listen"), NULL, scrape_on_request, g);
	workers_start(g);
}

int gateway_main(const struct options *options)
{
	static struct gateway g;

	gateway_init(&g, options);
	return service_run(g.service);
}
