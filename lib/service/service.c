#include "service/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "io/address.h"
#include "io/memory.h"
#include "io/notify.h"

#define SETTLED_MS 1000 /* after the start a role has done what it does but once */

struct service_listener {
	struct list link; /* in service.listeners until the end */
	struct http_server *server;
};

static void start_log(const char *role, const struct options *options)
{
	const char *format = option_str(options, "log_format");
	int level = log_level_from_name(option_str(options, "log_level"));
	bool json = !strcmp(format, "json") || (!strcmp(format, "auto") && !isatty(STDERR_FILENO));

	log_init(role, level < 0 ? LOG_INFO : (enum log_level)level, json);
}

/* People's tokens are not checked by keys fetched from auth in auth itself, and not at all by the demo model. */
static bool needs_auth_keys(const char *role)
{
	return strcmp(role, "auth") && strcmp(role, "demo");
}

void service_count_answers(struct metric *ret[ANSWER_CLASSES], const char *method, const char *route)
{
	static const char *const classes[ANSWER_CLASSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

	for (size_t i = 0; i < ANSWER_CLASSES; i++) {
		char *labels = xasprintf("method=\"%s\",route=\"%s\",status=\"%s\"", method, route, classes[i]);

		ret[i] = metric_counter("ogent_http_requests_total", "Requests by route and kind of answer", labels);
		if (i != 2)
			metric_hide_zero(ret[i]);
		free(labels);
	}
}

static void init_lists(struct service *s)
{
	list_init(&s->listeners);
	list_init(&s->lanes);
	list_init(&s->peers);
	list_init(&s->assertions);
	list_init(&s->ready_checks);
	list_init(&s->health_infos);
	list_init(&s->on_leave);
	list_init(&s->on_drain);
	list_init(&s->on_stop);
	list_init(&s->sse);
	list_init(&s->on_revoked);
}

/* Without the option, an address that everybody on this machine can use. */
static char *public_url_of(const struct options *options)
{
	static const char *const everywhere[] = {"0.0.0.0", "::", "*", ""};
	const char *set = option_str(options, "public_url");
	struct address listen;

	if (*set)
		return xstrndup(set, strlen(set) - (set[strlen(set) - 1] == '/'));
	if (address_parse(option_str(options, "listen"), &listen) < 0 || listen.is_unix || !strcmp(listen.port, "0"))
		return xstrdup("");
	for (size_t i = 0; i < ARRAY_SIZE(everywhere); i++)
		if (!strcmp(listen.host, everywhere[i]))
			return xstrdup("");
	return xasprintf("http://%s", option_str(options, "listen"));
}

struct service *service_new(const char *role, const struct options *options)
{
	struct service *s = xcalloc(1, sizeof(*s));
	struct error err = {0};

	start_log(role, options);
	signal(SIGPIPE, SIG_IGN);
	s->role = role;
	s->options = options;
	s->started_us = clock_now_us();
	init_lists(s);
	if (uv_loop_init(&s->loop))
		fatal("cannot make an event loop");
	s->wheel = wheel_new(&s->loop);
	s->manager = notify_new(&s->loop);
	if (mkdir(service_data_dir(s), 0700) && errno != EEXIST)
		fatal("cannot make the data folder %s: %s", service_data_dir(s), strerror(errno));
	if (token_key_load(service_data_dir(s), role, &s->key, &err))
		fatal("%s", err.message);
	s->router = router_new();
	s->otlp = otlp_new(&s->loop, s->wheel, role, options);
	service_count_answers(s->answers, "", "");
	s->keyring = keyring_new(s->wheel, service_data_dir(s), role,
				 needs_auth_keys(role) ? service_peer(s, "auth") : NULL);
	s->public_url = public_url_of(options);
	if (*s->public_url)
		keyring_set_public_url(s->keyring, s->public_url);
	service_ready_check(s, "keys", keyring_missing, s->keyring);
	if (strcmp(role, "demo")) {
		s->revocations = revocations_new();
		keyring_set_revocations(s->keyring, s->revocations);
		s->feed = revocation_feed_new(s, s->revocations);
		keyring_set_lookup(s->keyring, revocation_feed_pool(s->feed), &s->key, role);
	}
	service_add_health(s);
	return s;
}

const char *service_public_url(const struct service *s)
{
	return s->public_url;
}

const char *service_role(const struct service *s)
{
	return s->role;
}

const struct options *service_options(const struct service *s)
{
	return s->options;
}

uv_loop_t *service_loop(struct service *s)
{
	return &s->loop;
}

struct wheel *service_wheel(struct service *s)
{
	return s->wheel;
}

struct otlp *service_otlp(const struct service *s)
{
	return s->otlp;
}

const struct token_key *service_key(const struct service *s)
{
	return &s->key;
}

struct token_keys *service_keys(struct service *s)
{
	return keyring_keys(s->keyring);
}

struct keyring *service_keyring(struct service *s)
{
	return s->keyring;
}

const char *service_data_dir(const struct service *s)
{
	return option_str(s->options, "data");
}

struct http_server *service_listen_raw(struct service *s, const char *address, const struct http_limits *limits,
				       http_on_request *cb, void *arg)
{
	struct service_listener *l = xcalloc(1, sizeof(*l));
	int result = http_server_open(&s->loop, s->wheel, address, limits, cb, arg, &l->server);

	if (result)
		fatal("cannot listen on %s: %s%s", address, strerror(-result),
		      result == -EADDRINUSE ? " (is Ogent running already?)" : "");
	list_append(&s->listeners, &l->link);
	log_event(LOG_INFO, "listening", "address", http_server_address(l->server), NULL);
	return l->server;
}

void service_listen(struct service *s)
{
	char *address = service_address(s, s->role, "listen");

	if (str_has_prefix(str_of(address), STR("unix:"))) {
		char *dir = xstrdup(address + 5), *slash = strrchr(dir, '/');

		if (slash && slash != dir) {
			*slash = '\0';
			if (mkdir(dir, 0700) && errno != EEXIST)
				fatal("cannot make the folder %s: %s", dir, strerror(errno));
		}
		free(dir);
	}
	service_listen_raw(s, address, NULL, gate_on_request, s);
	free(address);
}

void service_routes(struct service *s, const struct route *routes, size_t n, void *self)
{
	for (size_t i = 0; i < n; i++) {
		char *labels =
			xasprintf("method=\"%s\",route=\"%s\"", http_method_name(routes[i].method), routes[i].pattern);

		struct route_entry *e = router_add(s->router, &routes[i], self);
		e->seconds =
			metric_histogram("ogent_http_request_seconds", "Time from head to answer, by route", labels);
		service_count_answers(e->answers, http_method_name(routes[i].method), routes[i].pattern);
		free(labels);
	}
}

static struct hook *hook_new(struct list *list, const char *name, void *arg)
{
	struct hook *h = xcalloc(1, sizeof(*h));

	h->name = name;
	h->arg = arg;
	list_append(list, &h->link);
	return h;
}

void service_ready_check(struct service *s, const char *name, const char *(*fn)(void *arg), void *arg)
{
	hook_new(&s->ready_checks, name, arg)->check = fn;
}

void service_health_info(struct service *s, void (*fn)(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *obj), void *arg)
{
	hook_new(&s->health_infos, "", arg)->info = fn;
}

void service_on_leave(struct service *s, void (*fn)(void *arg), void *arg)
{
	hook_new(&s->on_leave, "", arg)->run = fn;
}

void service_on_drain(struct service *s, void (*fn)(void *arg), void *arg)
{
	hook_new(&s->on_drain, "", arg)->run = fn;
}

void service_on_stop(struct service *s, void (*fn)(void *arg), void *arg)
{
	hook_new(&s->on_stop, "", arg)->run = fn;
}

bool service_is_draining(const struct service *s)
{
	return s->state >= SERVICE_DRAINING;
}

/* ---- The end ---- */

static void hooks_run(struct list *list)
{
	struct hook *h;

	list_foreach (h, list, struct hook, link)
		h->run(h->arg);
}

static void hooks_free(struct list *list)
{
	struct hook *h;

	list_foreach (h, list, struct hook, link)
		free(h);
}

static void on_drained(void *arg)
{
	struct service *s = arg;

	if (--s->n_draining == 0)
		uv_stop(&s->loop);
}

void service_drain_hold(struct service *s)
{
	s->n_draining++;
}

void service_drain_release(struct service *s)
{
	on_drained(s);
}

static void drain(struct service *s)
{
	struct service_listener *l;

	log_info("draining");
	s->n_draining = 1; /* ours, so that none of those below is the last */
	hooks_run(&s->on_drain);
	sse_cut_all(s);
	list_foreach (l, &s->listeners, struct service_listener, link) {
		s->n_draining++;
		http_server_drain(l->server, SERVICE_DRAIN_MS, on_drained, s);
	}
	on_drained(s);
}

static void on_drain_start(struct deadline *d)
{
	drain(container_of(d, struct service, drain_start));
}

/* Whoever asks hears that nothing new should come; what comes all the same is served, and told to go elsewhere. */
static void leave(struct service *s)
{
	struct service_listener *l;
	uint64_t delay = (uint64_t)option_int(s->options, "drain_delay");

	notify_stopping(s->manager);
	s->state = SERVICE_DRAINING;
	hooks_run(&s->on_leave);
	list_foreach (l, &s->listeners, struct service_listener, link)
		http_server_leave(l->server);
	deadline_init(&s->drain_start, on_drain_start);
	if (delay)
		deadline_set(s->wheel, &s->drain_start, delay);
	else
		drain(s);
}

/* The first signal drains; the second ends at once. */
static void on_signal(uv_signal_t *handle, int number)
{
	struct service *s = handle->data;

	if (s->state < SERVICE_DRAINING)
		leave(s);
	else
		uv_stop(&s->loop);
}

static void on_give_up(uv_timer_t *t)
{
	*(bool *)t->data = true;
}

/* Timers do not count: the wheel's runs on for time-outs that nobody waits for any more. */
static void count_busy(uv_handle_t *h, void *arg)
{
	unsigned *n = arg;

	*n += h->type != UV_TIMER && (uv_is_active(h) || uv_is_closing(h));
}

static bool is_busy(uv_loop_t *loop)
{
	unsigned n = 0;

	uv_walk(loop, count_busy, &n);
	return n;
}

/* Lets everything that was closed finish, for a second at most; the wheel carries the last callbacks and goes last. */
static void run_out(struct service *s)
{
	uv_timer_t limit;
	bool given_up = false;

	uv_timer_init(&s->loop, &limit);
	limit.data = &given_up;
	uv_timer_start(&limit, on_give_up, 1000, 0);
	while (is_busy(&s->loop) && !given_up)
		uv_run(&s->loop, UV_RUN_ONCE);
	otlp_free(s->otlp);
	s->otlp = NULL;
	for (unsigned i = 0; i < 4; i++)
		uv_run(&s->loop, UV_RUN_NOWAIT);
	wheel_free(s->wheel);
	uv_close((uv_handle_t *)&limit, NULL);
	for (unsigned i = 0; i < 8 && uv_loop_alive(&s->loop); i++)
		uv_run(&s->loop, UV_RUN_NOWAIT);
	if (uv_loop_close(&s->loop))
		log_debug("the loop still has handles at the end");
}

static void close_all(struct service *s)
{
	struct service_listener *l;

	keyring_stop(s->keyring);
	revocation_feed_stop(s->feed);
	list_foreach (l, &s->listeners, struct service_listener, link) {
		http_server_free(l->server);
		free(l);
	}
	peers_free(s);
	hooks_run(&s->on_stop);
	otlp_flush(s->otlp);
	deadline_clear(&s->settled);
	uv_close((uv_handle_t *)&s->term, NULL);
	uv_close((uv_handle_t *)&s->interrupt, NULL);
	notify_free(s->manager);
}

static void service_free(struct service *s)
{
	keyring_free(s->keyring);
	free(s->public_url);
	revocation_feed_free(s->feed);
	revocations_free(s->revocations);
	router_free(s->router);
	metrics_free();
	lanes_free(s);
	hooks_free(&s->ready_checks);
	hooks_free(&s->health_infos);
	hooks_free(&s->on_leave);
	hooks_free(&s->on_drain);
	hooks_free(&s->on_stop);
	hooks_free(&s->on_revoked);
	while (s->n_arenas)
		arena_free(s->arenas[--s->n_arenas]);
	sodium_memzero(&s->key, sizeof(s->key));
	free(s);
}

static void on_settled(struct deadline *d)
{
	memory_give_back();
}

int service_run(struct service *s)
{
	uv_signal_init(&s->loop, &s->term);
	uv_signal_init(&s->loop, &s->interrupt);
	s->term.data = s->interrupt.data = s;
	uv_signal_start(&s->term, on_signal, SIGTERM);
	uv_signal_start(&s->interrupt, on_signal, SIGINT);
	s->state = SERVICE_RUNNING;
	revocation_feed_start(s->feed);
	deadline_init(&s->settled, on_settled);
	deadline_set(s->wheel, &s->settled, SETTLED_MS);
	notify_ready(s->manager);
	uv_run(&s->loop, UV_RUN_DEFAULT);

	s->state = SERVICE_STOPPED;
	close_all(s);
	run_out(s);
	log_info("stopped");
	service_free(s);
	return 0;
}
