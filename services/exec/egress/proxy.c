#include "egress/proxy.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "egress/request.h"
#include "io/address.h"
#include "io/dns.h"
#include "io/relay.h"

#define HEAD_MS (30 * 1000)
#define DNS_MS (15 * 1000)
#define CONNECT_MS (10 * 1000) /* for each address */
#define IDLE_MS (10 * 60 * 1000)
#define MAX_ADDRESSES 8

struct egress {
	uv_loop_t *loop;
	struct wheel *wheel;
	struct egress_config config;
	struct dns *dns;
	uv_poll_t *poll;
	bool is_polling;
	struct list clients;
	unsigned n_clients;
	size_t logged; /* bytes */
};

enum client_state {
	CLIENT_READING,    /* waits for the head */
	CLIENT_RESOLVING,  /* waits for the name's addresses */
	CLIENT_CONNECTING, /* waits for one of them */
	CLIENT_RELAYING,
	CLIENT_ENDING, /* was refused; waits for on_close */
};

struct client {
	struct egress *egress;
	struct list link;
	enum client_state state;
	struct stream *stream;
	struct buf in;
	struct deadline deadline;
	struct egress_request request;
	struct dns_query *query;
	struct sockaddr_storage addresses[MAX_ADDRESSES];
	size_t n_addresses, tried;
	struct connecting *connecting;
	bool is_closed; /* and waits for the connecting to be over */
	struct relay *relay;
	/* For the log. */
	int64_t at_us;
	const char *verdict, *reason;
	char address[INET6_ADDRSTRLEN + 8];
	uint64_t bytes[2]; /* from the client, from the host */
};

/* ---- The log ---- */

static void log_client(struct client *c)
{
	struct egress *e = c->egress;
	struct arena *a;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;
	struct str text;

	if (e->config.log_fd < 0 || !c->verdict || e->logged >= EGRESS_LOG_MAX)
		return;
	a = arena_new();
	obj = json_new_obj(a, &doc);
	yyjson_mut_obj_add_int(doc, obj, "at_us", c->at_us);
	json_add_str(doc, obj, "host", c->request.host);
	yyjson_mut_obj_add_uint(doc, obj, "port", c->request.port);
	json_add_str(doc, obj, "address", c->address);
	json_add_str(doc, obj, "verdict", c->verdict);
	json_add_str(doc, obj, "reason", c->reason);
	yyjson_mut_obj_add_uint(doc, obj, "sent", c->bytes[0]);
	yyjson_mut_obj_add_uint(doc, obj, "received", c->bytes[1]);
	yyjson_mut_obj_add_int(doc, obj, "ms", (clock_now_us() - c->at_us) / 1000);
	text = str_of(arena_printf(a, "%.*s\n", STR_ARG(json_text(a, doc))));
	e->logged += text.n;
	if (write(e->config.log_fd, text.p, text.n) < 0) {
		/* The connection is over; a log that cannot be written must not end the others. */
	}
	arena_free(a);
}

/* ---- The end of a client ---- */

static void poll_listener(struct egress *e);

static void client_free(struct client *c)
{
	struct egress *e = c->egress;

	log_client(c);
	deadline_clear(&c->deadline);
	buf_deinit(&c->in);
	buf_deinit(&c->request.head);
	list_remove(&c->link);
	free(c);
	e->n_clients--;
	poll_listener(e);
}

static void refuse(struct client *c, int status, const char *verdict, const char *reason, const char *detail)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {{400, "Bad Request"}, {403, "Forbidden"}, {408, "Request Timeout"}, {502, "Bad Gateway"}};
	const char *text = "Gateway Timeout";
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (texts[i].status == status)
			text = texts[i].text;
	c->state = CLIENT_ENDING;
	c->verdict = verdict;
	c->reason = reason;
	deadline_clear(&c->deadline);
	buf_printf(&out,
		   "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n"
		   "X-Ogent-Network: %s\r\nConnection: close\r\n\r\n%s\n",
		   status, text, strlen(detail) + 1, reason, detail);
	stream_write(c->stream, out.p, out.n);
	stream_close(c->stream, true);
}

/* ---- The host ---- */

static void on_bytes(void *owner, unsigned side, const char *data, size_t n)
{
	struct client *c = owner;

	c->bytes[side] += n;
}

static void on_relay_end(void *owner, int err)
{
	struct client *c = owner;

	c->reason = err == -ETIMEDOUT ? "idle" : err ? "broken" : "";
	client_free(c);
}

static void start_relay(struct client *c, struct stream *upstream)
{
	static const struct relay_events events = {on_bytes, on_relay_end};
	static const struct str established = STR("HTTP/1.1 200 Connection established\r\n\r\n");
	struct str rest = {c->in.p + c->request.head_n, c->in.n - c->request.head_n};

	c->state = CLIENT_RELAYING;
	c->verdict = "allowed";
	c->reason = "";
	deadline_clear(&c->deadline);
	if (c->request.is_connect)
		stream_write(c->stream, established.p, established.n);
	else
		stream_write(upstream, c->request.head.p, c->request.head.n);
	c->bytes[0] = c->request.head.n;
	c->relay = relay_start(c->egress->wheel, (struct stream *const[2]){c->stream, upstream},
			       (const struct str[2]){rest, {0}}, IDLE_MS, 0, &events, c);
}

static void connect_next(struct client *c);

static void on_connect(void *arg, int err, struct stream *upstream)
{
	struct client *c = arg;

	c->connecting = NULL;
	if (c->is_closed)
		client_free(c);
	else if (c->state == CLIENT_ENDING)
		; /* on_close comes */
	else if (err)
		connect_next(c);
	else
		start_relay(c, upstream);
}

static void connect_next(struct client *c)
{
	if (c->tried == c->n_addresses) {
		refuse(c, 502, "failed", "connect", "The host does not answer.");
		return;
	}
	address_format(&c->addresses[c->tried++], c->address, sizeof(c->address));
	c->state = CLIENT_CONNECTING;
	c->connecting = stream_connect(c->egress->loop, c->egress->wheel, c->address, CONNECT_MS, on_connect, c);
}

static void add_address(struct client *c, const struct sockaddr_storage *address)
{
	struct in6_addr ip;

	if (c->n_addresses == MAX_ADDRESSES || ip_of((const struct sockaddr *)address, &ip))
		return;
	if (ip_is_public(&ip) || networks_contain(&c->egress->config.inner, &ip))
		c->addresses[c->n_addresses++] = *address;
}

static void connect_allowed(struct client *c)
{
	deadline_clear(&c->deadline);
	if (c->n_addresses)
		connect_next(c);
	else
		refuse(c, 403, "denied", "address",
		       "The host's addresses are not public. An administrator can open inner networks with the option "
		       "exec_network_inner.");
}

static void on_answer(void *arg, int err, const struct dns_answer *answer)
{
	struct client *c = arg;

	c->query = NULL;
	if (err == -ENOENT) {
		refuse(c, 502, "failed", "unknown_host", "There is no host of this name.");
		return;
	}
	if (err) {
		refuse(c, 502, "failed", "dns", "The name service does not answer.");
		return;
	}
	for (size_t i = 0; i < answer->n; i++)
		add_address(c, &answer->items[i].ip);
	connect_allowed(c);
}

/* A request for an address and not a name; the rules have allowed it. */
static bool take_literal(struct client *c)
{
	char text[EGRESS_NAME_SIZE + 10];
	struct address address;

	snprintf(text, sizeof(text), strchr(c->request.host, ':') ? "[%s]:%u" : "%s:%u", c->request.host,
		 c->request.port);
	if (address_parse(text, &address) || !address.is_numeric)
		return false;
	add_address(c, &address.ip);
	return true;
}

/* ---- The client ---- */

static void resolve(struct client *c)
{
	if (!egress_allows(&c->egress->config.allowed, c->request.host, c->request.port)) {
		refuse(c, 403, "denied", "host", "This command may not reach this host and port.");
	} else if (take_literal(c)) {
		connect_allowed(c);
	} else {
		c->state = CLIENT_RESOLVING;
		deadline_set(c->egress->wheel, &c->deadline, DNS_MS);
		c->query = dns_lookup(c->egress->dns, DNS_HOST, c->request.host, c->request.port, on_answer, c);
	}
}

static void on_data(void *owner, const char *data, size_t n)
{
	struct client *c = owner;
	int r;

	if (c->state != CLIENT_READING)
		return;
	buf_add(&c->in, data, n);
	r = egress_request_parse(buf_str(&c->in), &c->request);
	if (r == -EAGAIN)
		return;
	stream_pause(c->stream);
	if (r == 0)
		resolve(c);
	else if (r == -EINVAL)
		refuse(c, 403, "denied", "name", "The host's name or port is not valid.");
	else
		refuse(c, 400, "denied", "request",
		       r == -EPROTO ? "This is a proxy: ask for http://host/path, or CONNECT host:port."
				    : "The request is not valid HTTP/1.1.");
}

/* Until it has asked, it may leave; after that the connection's other side or a time-out ends it. */
static void on_end(void *owner, int err)
{
	struct client *c = owner;

	if (c->state == CLIENT_READING) {
		c->state = CLIENT_ENDING;
		stream_close(c->stream, false);
	}
}

static void on_close(void *owner)
{
	struct client *c = owner;

	if (c->connecting)
		c->is_closed = true;
	else
		client_free(c);
}

static const struct stream_events client_events = {.on_data = on_data, .on_end = on_end, .on_close = on_close};

static void on_deadline(struct deadline *d)
{
	struct client *c = container_of(d, struct client, deadline);

	if (c->query)
		dns_cancel(c->query);
	c->query = NULL;
	if (c->state == CLIENT_READING)
		refuse(c, 408, "denied", "request", "No request came in time.");
	else
		refuse(c, 504, "failed", "dns", "The name service does not answer.");
}

static void client_new(struct egress *e, int fd)
{
	struct stream *stream = stream_from_fd(e->loop, e->wheel, fd);
	struct client *c;

	if (!stream)
		return;
	c = xcalloc(1, sizeof(*c));
	c->egress = e;
	c->stream = stream;
	c->at_us = clock_now_us();
	deadline_init(&c->deadline, on_deadline);
	list_append(&e->clients, &c->link);
	e->n_clients++;
	stream_set_owner(stream, &client_events, c);
	deadline_set(e->wheel, &c->deadline, HEAD_MS);
	stream_resume(stream);
}

/* ---- The listener ---- */

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct egress *e = poll->data;
	int fd;

	while (e->n_clients < EGRESS_MAX_CLIENTS &&
	       (fd = accept4(e->config.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		client_new(e, fd);
	poll_listener(e);
}

static void poll_listener(struct egress *e)
{
	bool wanted = e->poll && e->n_clients < EGRESS_MAX_CLIENTS;

	if (wanted == e->is_polling)
		return;
	e->is_polling = wanted;
	if (wanted)
		uv_poll_start(e->poll, UV_READABLE, on_readable);
	else if (e->poll)
		uv_poll_stop(e->poll);
}

static void free_poll(uv_handle_t *h)
{
	free(h);
}

int egress_new(uv_loop_t *loop, struct wheel *wheel, const struct egress_config *config, struct egress **ret,
	       struct error *err)
{
	struct egress *e = xcalloc(1, sizeof(*e));
	int r = dns_new(loop, wheel, config->dns_servers, &e->dns, err);

	if (r) {
		free(e);
		return r;
	}
	e->loop = loop;
	e->wheel = wheel;
	e->config = *config;
	list_init(&e->clients);
	e->poll = xcalloc(1, sizeof(*e->poll));
	e->poll->data = e;
	uv_poll_init(loop, e->poll, config->listen_fd);
	poll_listener(e);
	*ret = e;
	return 0;
}

/* Those that wait for on_close have it at once; a relay gives its own end. */
static void cut(struct client *c)
{
	if (c->state == CLIENT_RELAYING) {
		relay_close(c->relay);
		for (unsigned i = 0; i < 2; i++)
			if (relay_side(c->relay, i))
				stream_close(relay_side(c->relay, i), false);
		return;
	}
	if (c->query)
		dns_cancel(c->query);
	if (c->connecting)
		connecting_cancel(c->connecting);
	c->query = NULL;
	c->state = CLIENT_ENDING;
	stream_close(c->stream, false);
}

static void run_until_empty(struct egress *e)
{
	while (e->n_clients && uv_run(e->loop, UV_RUN_ONCE))
		;
}

void egress_free(struct egress *e)
{
	struct client *c;

	uv_poll_stop(e->poll);
	uv_close((uv_handle_t *)e->poll, free_poll);
	e->poll = NULL;
	e->is_polling = false;
	list_foreach (c, &e->clients, struct client, link)
		cut(c);
	run_until_empty(e);
	dns_free(e->dns);
	free(e);
}

/* ---- The process ---- */

/* What is still open is logged as it is now. */
static void on_term(uv_signal_t *s, int signum)
{
	struct egress *e = s->data;
	struct client *c;

	list_foreach (c, &e->clients, struct client, link)
		log_client(c);
	_exit(0);
}

NORETURN void egress_main(const struct egress_config *config)
{
	uv_loop_t loop;
	struct error err = {0};
	struct egress *e;
	uv_signal_t term;

	if (config->uid && (setgroups(0, NULL) < 0 || setresgid(config->uid, config->uid, config->uid) < 0 ||
			    setresuid(config->uid, config->uid, config->uid) < 0))
		_exit(1);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_NAME, "ogent-egress", 0, 0, 0);
	signal(SIGPIPE, SIG_IGN);
	if (uv_loop_init(&loop) || egress_new(&loop, wheel_new(&loop), config, &e, &err))
		_exit(1);
	term.data = e;
	uv_signal_init(&loop, &term);
	uv_signal_start(&term, on_term, SIGTERM);
	uv_run(&loop, UV_RUN_DEFAULT);
	_exit(0);
}
