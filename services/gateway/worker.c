#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "gateway.h"

#define MAX_BODY (100 * 1024 * 1024) /* the roles' own limits are lower; this one stops what no route takes */
#define MAX_QUEUE (64 * 1024)        /* of an answer whose client reads slowly, and one read from the role */
#define DEFAULT_MAX 8                /* threads, unless the option says so */
#define LOG_MS 20                    /* a line of the access log waits for others */

static unsigned n_threads(const struct gateway *g, const char *address)
{
	int64_t wanted = option_int(service_options(g->service), "gateway_threads");
	cpu_set_t cpus;

	if (str_has_prefix(str_of(address), STR("unix:")))
		return 1; /* a Unix socket has one listener */
	if (wanted)
		return (unsigned)MIN(wanted, GATEWAY_THREADS_MAX);
	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return 1;
	return (unsigned)MAX(MIN(CPU_COUNT(&cpus), DEFAULT_MAX), 1);
}

/* ---- The end ---- */

static void tell_drained(struct mail *m)
{
	struct gateway_worker *w = container_of(m, struct gateway_worker, drained);

	service_drain_release(w->gateway->service);
}

void worker_look_drained(struct gateway_worker *w)
{
	if (w->is_drained && list_is_empty(&w->tunnels))
		mailbox_post(w->gateway->mailbox, &w->drained);
}

static void on_drained(void *arg)
{
	struct gateway_worker *w = arg;

	w->is_drained = true;
	worker_look_drained(w);
}

static void leave(struct mail *m)
{
	struct gateway_worker *w = container_of(m, struct gateway_worker, leave);

	w->is_leaving = true;
	http_server_leave(w->listener);
}

static void drain(struct mail *m)
{
	struct gateway_worker *w = container_of(m, struct gateway_worker, drain);

	http_server_drain(w->listener, SERVICE_DRAIN_MS, on_drained, w);
	proxy_end_streams(w);
	tunnels_close(w);
}

static void on_leave(void *gateway)
{
	struct gateway *g = gateway;

	for (unsigned i = 0; i < g->n_workers; i++)
		mailbox_post(g->workers[i].mailbox, &g->workers[i].leave);
}

static void on_drain(void *gateway)
{
	struct gateway *g = gateway;

	for (unsigned i = 0; i < g->n_workers; i++) {
		service_drain_hold(g->service);
		mailbox_post(g->workers[i].mailbox, &g->workers[i].drain);
	}
}

/* On the worker's thread. What is still under way is cut. */
static void close_all(void *worker)
{
	struct gateway_worker *w = worker;

	w->is_drained = false; /* nobody waits for that any more */
	uv_close((uv_handle_t *)&w->turn, NULL);
	http_server_free(w->listener);
	w->listener = NULL;
	tunnels_cut(w);
	if (w->thread) {
		keyring_stop(w->keyring);
		for (size_t i = 0; i < ROLE_COUNT; i++)
			http_pool_free(w->pools[i]);
	}
	limit_share_free(w->share);
	pools_free(w->upstreams);
	visits_free(w);
	routes_unref(w->routes);
	deadline_clear(&w->log_due);
	log_collect(false);
}

static void on_stop(void *gateway)
{
	struct gateway *g = gateway;

	for (unsigned i = 0; i < g->n_workers; i++) {
		struct gateway_worker *w = &g->workers[i];

		if (w->thread)
			loop_thread_free(w->thread, close_all, w);
		else
			close_all(w);
	}
	for (unsigned i = 0; i < g->n_workers; i++) /* any thread may look at each (ready.c) */
		if (g->workers[i].thread)
			keyring_free(g->workers[i].keyring);
	mailbox_free(g->mailbox);
}

/* ---- The start ---- */

static void on_log_due(struct deadline *d)
{
	log_flush();
}

/* Lines of the access log are written together: a file takes 64 KiB for little more than what one line costs. */
static void on_turn(uv_prepare_t *turn)
{
	struct gateway_worker *w = container_of(turn, struct gateway_worker, turn);

	log_collect(true);
	if (log_waits() && !deadline_is_set(&w->log_due))
		deadline_set(w->wheel, &w->log_due, LOG_MS);
}

static void init(struct gateway_worker *w, struct gateway *g, bool has_thread)
{
	const char *data = service_data_dir(g->service);

	w->gateway = g;
	w->leave.run = leave;
	w->drain.run = drain;
	w->drained.run = tell_drained;
	list_init(&w->tunnels);
	list_init(&w->streams);
	list_init(&w->idle);
	w->thread = has_thread ? loop_thread_new() : NULL;
	w->loop = has_thread ? loop_thread_loop(w->thread) : service_loop(g->service);
	w->wheel = has_thread ? loop_thread_wheel(w->thread) : service_wheel(g->service);
	w->mailbox = has_thread ? loop_thread_mailbox(w->thread) : g->mailbox;
	for (size_t i = 0; i < ROLE_COUNT; i++)
		w->pools[i] = has_thread ? service_peer_on(g->service, role_names[i], w->loop, w->wheel)
					 : service_peer(g->service, role_names[i]);
	w->keyring =
		has_thread ? keyring_new(w->wheel, data, "gateway", w->pools[ROLE_AUTH]) : service_keyring(g->service);
	allowance_open(w);
	w->upstreams = pools_new(w->loop, w->wheel, g->upstreams, (unsigned)(w - g->workers));
	if (has_thread) {
		if (*service_public_url(g->service))
			keyring_set_public_url(w->keyring, service_public_url(g->service));
		keyring_set_revocations(w->keyring, service_revocations(g->service));
		keyring_set_lookup(w->keyring, w->pools[ROLE_AUTH], service_key(g->service), "gateway");
	}
	deadline_init(&w->log_due, on_log_due);
	uv_prepare_init(w->loop, &w->turn);
	uv_prepare_start(&w->turn, on_turn);
}

static void listen_on(struct gateway_worker *w, const char *address, bool is_shared, bool is_first)
{
	const struct options *options = service_options(w->gateway->service);
	struct http_limits limits = http_limits_default;
	int r;

	limits.max_body = MAX_BODY;
	limits.max_queue = MAX_QUEUE;
	limits.header_ms = (uint64_t)option_int(options, "header_timeout");
	limits.body_idle_ms = (uint64_t)option_int(options, "body_timeout");
	limits.body_min_rate = (uint64_t)option_int(options, "body_min_rate");
	limits.body_rate_ms = (uint64_t)option_int(options, "body_rate_time");
	limits.idle_ms = (uint64_t)option_int(options, "keepalive_timeout");
	if (option_bool(options, "proxy_protocol"))
		limits.proxies = &w->gateway->proxies;
	r = is_shared ? http_server_open_shared(w->loop, w->wheel, address, is_first, &limits, front_on_request, w,
						&w->listener)
		      : http_server_open(w->loop, w->wheel, address, &limits, front_on_request, w, &w->listener);
	if (r)
		fatal("cannot listen on %s: %s%s", address, strerror(-r),
		      r == -EADDRINUSE ? " (is Ogent running already?)" : "");
}

void workers_open(struct gateway *g, const char *address)
{
	char threads[12];

	g->n_workers = n_threads(g, address);
	g->mailbox = mailbox_new(service_loop(g->service));
	for (unsigned i = 0; i < g->n_workers; i++) {
		init(&g->workers[i], g, g->n_workers > 1);
		listen_on(&g->workers[i], i ? workers_address(g) : address, g->n_workers > 1, !i);
	}
	service_on_leave(g->service, on_leave, g);
	service_on_drain(g->service, on_drain, g);
	service_on_stop(g->service, on_stop, g);
	snprintf(threads, sizeof(threads), "%u", g->n_workers);
	log_event(LOG_INFO, "listening", "address", workers_address(g), "threads", threads, NULL);
}

const char *workers_address(const struct gateway *g)
{
	return http_server_address(g->workers[0].listener);
}

void workers_start(struct gateway *g)
{
	for (unsigned i = 0; i < g->n_workers; i++)
		if (g->workers[i].thread)
			loop_thread_start(g->workers[i].thread, "gateway");
}
