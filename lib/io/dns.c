#include "io/dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "io/cares_api.h"
#include "io/dns_srv.h"

#define TRY_MS 1000
#define TRIES 2
#define MAX_TARGETS 32 /* of one SRV answer */
#define TYPE_SRV 33
#define CLASS_IN 1

struct dns {
	const struct cares_api *api;
	ares_channel channel;
	struct wheel *wheel;
	uv_loop_t *loop;
	uv_timer_t timer;    /* c-ares's next time-out; runs while queries are under way */
	struct list sockets; /* struct dns_socket: those c-ares has open */
	struct list queries; /* struct dns_query, until freed */
	bool is_freeing;
};

struct dns_socket {
	uv_poll_t poll;
	struct list link;
	struct dns *dns;
	ares_socket_t fd;
};

/* The addresses of one name: a host's own, or those of one target of a service. */
struct dns_hosts {
	struct dns_query *query;
	uint16_t port, priority, weight;
	uint32_t ttl;
};

/* Asks for the service's targets, if it is one, then for the addresses of all hosts at once. */
struct dns_query {
	struct list link; /* in dns.queries */
	struct dns *dns;
	dns_on_answer *cb; /* NULL: nobody waits any more */
	void *arg;
	unsigned waiting; /* questions that c-ares has, and one while they are being asked */
	int err;          /* of the last question that failed */
	uint32_t ttl;
	struct later done; /* never calls back from inside dns_lookup */
	size_t n;
	struct dns_endpoint found[DNS_MAX_ENDPOINTS];
	struct dns_hosts hosts[MAX_TARGETS];
};

/* ---- c-ares on the loop ---- */

static void on_timer(uv_timer_t *t);

static void arm_timer(struct dns *d)
{
	struct timeval limit = {.tv_sec = 1}, tv, *next = d->api->timeout(d->channel, &limit, &tv);

	if (list_is_empty(&d->sockets))
		uv_timer_stop(&d->timer);
	else
		uv_timer_start(&d->timer, on_timer, (uint64_t)next->tv_sec * 1000 + (uint64_t)next->tv_usec / 1000 + 1,
			       0);
}

static void on_timer(uv_timer_t *t)
{
	struct dns *d = container_of(t, struct dns, timer);

	d->api->process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm_timer(d);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct dns_socket *s = container_of(poll, struct dns_socket, poll);
	struct dns *d = s->dns;
	ares_socket_t fd = s->fd;
	bool failed = status < 0; /* c-ares finds out by reading */

	d->api->process_fd(d->channel, failed || events & UV_READABLE ? fd : ARES_SOCKET_BAD,
			   failed || events & UV_WRITABLE ? fd : ARES_SOCKET_BAD);
	arm_timer(d);
}

static void on_socket_closed(uv_handle_t *h)
{
	free(container_of((uv_poll_t *)h, struct dns_socket, poll));
}

static struct dns_socket *find_socket(struct dns *d, ares_socket_t fd)
{
	struct dns_socket *s;

	list_foreach (s, &d->sockets, struct dns_socket, link)
		if (s->fd == fd)
			return s;
	return NULL;
}

static struct dns_socket *add_socket(struct dns *d, ares_socket_t fd)
{
	struct dns_socket *s = xcalloc(1, sizeof(*s));

	s->dns = d;
	s->fd = fd;
	if (uv_poll_init(d->loop, &s->poll, fd)) {
		free(s); /* the query ends by its time-out */
		return NULL;
	}
	list_init(&s->link);
	list_append(&d->sockets, &s->link);
	return s;
}

static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns *d = arg;
	struct dns_socket *s = find_socket(d, fd);
	int events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);

	if (!s && events)
		s = add_socket(d, fd);
	if (!s)
		return;
	if (events) {
		uv_poll_start(&s->poll, events, on_poll);
		return;
	}
	list_remove(&s->link);
	uv_poll_stop(&s->poll);
	uv_close((uv_handle_t *)&s->poll, on_socket_closed);
}

/* ---- Queries ---- */

static int error_of(int status)
{
	switch (status) {
	case ARES_ENOTFOUND:
	case ARES_ENODATA:
	case ARES_EBADNAME: return -ENOENT;
	case ARES_ETIMEOUT:
	case ARES_ECONNREFUSED: return -ETIMEDOUT;
	case ARES_EBADRESP: return -EBADMSG;
	default: return -EIO;
	}
}

static void query_free(struct dns_query *q)
{
	list_remove(&q->link);
	later_clear(&q->done);
	free(q);
}

static void on_query_done(struct later *l)
{
	struct dns_query *q = container_of(l, struct dns_query, done);
	struct dns_answer answer = {q->found, q->n, q->ttl};

	list_remove(&q->link); /* dns_free, called from the callback, leaves it to us */
	if (q->cb)
		q->cb(q->arg, q->n ? 0 : q->err ? q->err : -ENOENT, &answer);
	query_free(q);
}

/* One question less. */
static void query_step(struct dns_query *q, int err)
{
	if (err && (!q->err || q->err == -ENOENT))
		q->err = err; /* that the servers cannot tell counts more than that one target is not there */
	if (--q->waiting)
		return;
	if (q->dns->is_freeing)
		query_free(q);
	else
		later_set(q->dns->wheel, &q->done);
}

static void add_address(struct dns_query *q, const struct dns_hosts *h, const struct ares_addrinfo_node *node)
{
	struct dns_endpoint *e = &q->found[q->n];

	if (q->n == DNS_MAX_ENDPOINTS || (node->ai_family != AF_INET && node->ai_family != AF_INET6) ||
	    node->ai_addrlen > sizeof(e->ip))
		return;
	*e = (struct dns_endpoint){.priority = h->priority, .weight = h->weight};
	memcpy(&e->ip, node->ai_addr, node->ai_addrlen);
	if (node->ai_family == AF_INET)
		((struct sockaddr_in *)&e->ip)->sin_port = htons(h->port);
	else
		((struct sockaddr_in6 *)&e->ip)->sin6_port = htons(h->port);
	q->ttl = MIN(q->ttl, MIN(h->ttl, (uint32_t)MAX(node->ai_ttl, 0)));
	q->n++;
}

static void on_hosts(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
	struct dns_hosts *h = arg;
	struct dns_query *q = h->query;

	for (struct ares_addrinfo_node *node = found ? found->nodes : NULL; node; node = node->ai_next)
		add_address(q, h, node);
	if (found)
		q->dns->api->freeaddrinfo(found);
	query_step(q, status == ARES_SUCCESS ? 0 : error_of(status));
}

static void ask_hosts(struct dns_query *q, struct dns_hosts *h, const char *name)
{
	static const struct ares_addrinfo_hints hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NOSORT};

	h->query = q;
	q->waiting++;
	q->dns->api->getaddrinfo(q->dns->channel, name, NULL, &hints, on_hosts, h);
}

static int ask_targets(struct dns_query *q, const uint8_t *message, size_t n)
{
	struct dns_srv targets[MAX_TARGETS];
	int found = dns_srv_parse(message, n, targets, ARRAY_SIZE(targets));

	for (int i = 0; i < found; i++) {
		struct dns_hosts *h = &q->hosts[i];

		*h = (struct dns_hosts){NULL, targets[i].port, targets[i].priority, MAX(targets[i].weight, 1),
					targets[i].ttl};
		if (targets[i].target[0] && targets[i].port) /* a lone dot: not available (RFC 2782) */
			ask_hosts(q, h, targets[i].target);
	}
	return MIN(found, 0);
}

static void on_service(void *arg, int status, int timeouts, unsigned char *message, int n)
{
	struct dns_query *q = arg;

	if (status == ARES_SUCCESS && !q->dns->is_freeing)
		query_step(q, ask_targets(q, message, (size_t)n));
	else
		query_step(q, error_of(status));
}

struct dns_query *dns_lookup(struct dns *d, enum dns_kind kind, const char *name, uint16_t port, dns_on_answer *cb,
			     void *arg)
{
	struct dns_query *q = xcalloc(1, sizeof(*q));

	q->dns = d;
	q->cb = cb;
	q->arg = arg;
	q->ttl = UINT32_MAX;
	q->waiting = 1;
	later_init(&q->done, on_query_done);
	list_init(&q->link);
	list_append(&d->queries, &q->link);
	if (strlen(name) >= DNS_NAME_SIZE) {
		q->err = -ENOENT;
	} else if (kind == DNS_HOST) {
		q->hosts[0] = (struct dns_hosts){NULL, port, 0, 1, UINT32_MAX};
		ask_hosts(q, &q->hosts[0], name);
	} else {
		q->waiting++;
		d->api->search(d->channel, name, CLASS_IN, TYPE_SRV, on_service, q);
	}
	query_step(q, 0);
	arm_timer(d);
	return q;
}

void dns_cancel(struct dns_query *q)
{
	q->cb = NULL;
}

/* ---- The resolver ---- */

static int open_channel(struct dns *d, const char *servers, struct error *err)
{
	struct ares_options options = {
		.timeout = TRY_MS, .tries = TRIES, .sock_state_cb = on_socket_state, .sock_state_cb_data = d};
	int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB, r;

#ifdef ARES_OPT_QUERY_CACHE
	mask |= ARES_OPT_QUERY_CACHE; /* with 0: who asks again wants to know */
#endif
	r = d->api->init_options(&d->channel, &options, mask);
	if (r != ARES_SUCCESS)
		return error_set(err, "dns", "DNS cannot be used: %s", d->api->strerror(r));
	r = servers ? d->api->set_servers_ports_csv(d->channel, servers) : ARES_SUCCESS;
	if (r == ARES_SUCCESS)
		return 0;
	d->api->destroy(d->channel);
	return error_set(err, "dns", "\"%s\" are no DNS servers: write ADDRESS or ADDRESS:PORT, separated by commas",
			 servers);
}

int dns_new(uv_loop_t *loop, struct wheel *wheel, const char *servers, struct dns **ret, struct error *err)
{
	const struct cares_api *api = cares_api_load();
	struct dns *d;

	if (!api)
		return error_set(err, "dns",
				 "libcares.so.2 is not installed: it is needed to find services by DNS "
				 "(Debian: libc-ares2 or libcares2)");
	d = xcalloc(1, sizeof(*d));
	d->api = api;
	d->wheel = wheel;
	d->loop = loop;
	list_init(&d->sockets);
	list_init(&d->queries);
	if (open_channel(d, servers, err)) {
		free(d);
		return -EINVAL;
	}
	uv_timer_init(loop, &d->timer);
	*ret = d;
	return 0;
}

static void on_timer_closed(uv_handle_t *h)
{
	free(container_of((uv_timer_t *)h, struct dns, timer));
}

void dns_free(struct dns *d)
{
	struct dns_query *q;

	if (!d || d->is_freeing)
		return;
	d->is_freeing = true;
	d->api->destroy(d->channel); /* ends its questions and closes its sockets */
	list_foreach (q, &d->queries, struct dns_query, link)
		query_free(q);
	uv_close((uv_handle_t *)&d->timer, on_timer_closed);
}
