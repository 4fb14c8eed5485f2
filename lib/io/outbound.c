/* libcurl must not be called from inside its own callbacks. So what a caller does there (start, cancel) is put down in
 * `starting` and `ended` and carried out at the end of the loop's turn; outside of callbacks a cancel closes the socket
 * at once and only its on_done waits. */
#include "io/outbound.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/networks.h"
#include "io/curl_api.h"
#include "io/wheel.h"

#define MAX_HEAD (64 * 1024)

struct outbound {
	uv_loop_t *loop;
	struct wheel *wheel;
	const struct curl_api *api; /* NULL before first use, and when there is no libcurl */
	CURLM *multi;
	uv_timer_t timer;                     /* libcurl's own */
	struct later later;                   /* sees to `starting` and `ended` */
	struct list starting, running, ended; /* each op is in exactly one */
	bool in_curl, is_freeing;
};

struct outbound_op {
	struct list link;
	struct outbound_call *call;
	CURL *easy; /* in the multi handle while the op is in `running` */
	struct curl_slist *headers;
	struct deadline deadline;                 /* first_byte_ms, then idle_ms */
	struct buf head;                          /* header lines */
	bool head_done, is_timed_out, is_refused; /* is_refused: an address is not public */
	bool is_head_too_large;
	int err;
	struct error error;
	char text[CURL_ERROR_SIZE];
};

struct outbound_socket {
	uv_poll_t poll;
	struct outbound *outbound;
	curl_socket_t fd;
};

static uint64_t or_default(uint64_t v, uint64_t def)
{
	return v ? v : def;
}

/* host:port of a URL for messages; no path, query or user name. */
static void host_of(const char *url, char *ret, size_t size)
{
	const char *host = strstr(url, "://");
	bool is_https = strncasecmp(url, "https:", 6) == 0;

	host = host ? host + 3 : url;

	size_t n = strcspn(host, "/?#");
	const char *at = memrchr(host, '@', n);

	if (at) {
		n -= (size_t)(at + 1 - host);
		host = at + 1;
	}

	const char *bracket = memchr(host, ']', n), *from = bracket ? bracket : host;
	bool has_port = memchr(from, ':', n - (size_t)(from - host)) != NULL;

	snprintf(ret, size, "%.*s%s", (int)MIN(n, 200), host, has_port ? "" : is_https ? ":443" : ":80");
}

static int no_connection(struct outbound *o, struct outbound_op *op, const char *host)
{
	long os_errno = 0;

	o->api->easy_getinfo(op->easy, CURLINFO_OS_ERRNO, &os_errno);

	char text[128];
	const char *why = os_errno ? strerror_r((int)os_errno, text, sizeof(text)) : "no connection";

	error_set(&op->error, "connect_failed", "could not connect to %s: %c%s", host, why[0] | 0x20, why + 1);
	return -ECONNREFUSED;
}

static int not_public(struct outbound_op *op, const char *host)
{
	error_set(&op->error, "address_not_public", "%s is not on the Internet", host);
	return -EACCES;
}

static int timed_out(struct outbound *o, struct outbound_op *op, const char *host)
{
	double connected = 0;

	o->api->easy_getinfo(op->easy, CURLINFO_CONNECT_TIME, &connected);
	if (op->head_done)
		error_set(&op->error, "timeout", "the answer of %s stopped coming", host);
	else if (connected > 0 || op->is_timed_out)
		error_set(&op->error, "timeout", "no answer from %s in time", host);
	else
		error_set(&op->error, "timeout", "could not connect to %s in time", host);
	return -ETIMEDOUT;
}

static int url_invalid(struct outbound_op *op)
{
	error_set(&op->error, "url_invalid", "the address must be a complete http or https URL");
	return -EPROTO;
}

static bool url_is_http(const char *url)
{
	return strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
}

/* Sets the sentence, returns the -errno. */
static int explain(struct outbound *o, struct outbound_op *op, CURLcode code)
{
	char host[256];

	host_of(op->call->url, host, sizeof(host));
	if (op->is_head_too_large) {
		error_set(&op->error, "head_too_large", "the head of the answer of %s has more than %d KiB", host,
			  MAX_HEAD / 1024);
		return -EPROTO;
	}
	switch (code) {
	case CURLE_COULDNT_CONNECT: return op->is_refused ? not_public(op, host) : no_connection(o, op, host);
	case CURLE_OPERATION_TIMEDOUT: return timed_out(o, op, host);
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		error_set(&op->error, "resolve_failed", "could not find the address of %s: check the name and DNS",
			  code == CURLE_COULDNT_RESOLVE_HOST ? host : "the proxy");
		return -ECONNREFUSED;
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		error_set(&op->error, "connection_broken", "%s broke the connection off before its answer was whole",
			  host);
		return -ECONNRESET;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
		error_set(&op->error, "tls_untrusted",
			  "no secure connection to %s: %s (an authority of your own is named by SSL_CERT_FILE)", host,
			  op->text[0] ? op->text : o->api->easy_strerror(code));
		return -EKEYREJECTED;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_INVALIDCERTSTATUS:
		error_set(&op->error, "tls_failed", "no secure connection to %s: %s", host,
			  op->text[0] ? op->text : o->api->easy_strerror(code));
		return -EPROTO;
	case CURLE_URL_MALFORMAT: return url_invalid(op);
	case CURLE_BAD_CONTENT_ENCODING:
		error_set(&op->error, "request_failed", "the answer of %s is not encoded as it says", host);
		return -EPROTO;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
		error_set(&op->error, "request_failed", "%s does not answer in HTTP", host);
		return -EPROTO;
	default:
		error_set(&op->error, "request_failed", "the request to %s failed: %s", host,
			  o->api->easy_strerror(code));
		return -EPROTO;
	}
}

static void op_free(struct outbound *o, struct outbound_op *op)
{
	list_remove(&op->link);
	deadline_clear(&op->deadline);
	if (op->easy)
		o->api->easy_cleanup(op->easy);
	if (op->headers)
		o->api->slist_free_all(op->headers);
	buf_deinit(&op->head);
	free(op);
}

/* Not from inside libcurl. */
static void op_leave_multi(struct outbound *o, struct outbound_op *op)
{
	if (op->easy)
		o->api->multi_remove_handle(o->multi, op->easy);
}

static void op_done(struct outbound *o, struct outbound_op *op)
{
	struct outbound_call *c = op->call;

	list_remove(&op->link);
	deadline_clear(&op->deadline);
	c->on_done(c, op->err, op->err ? &op->error : NULL);
	op_free(o, op);
}

static void op_end_later(struct outbound *o, struct outbound_op *op)
{
	list_remove(&op->link);
	list_append(&o->ended, &op->link);
	deadline_clear(&op->deadline);
	later_set(o->wheel, &o->later);
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct outbound_op *op = arg;
	struct outbound_call *c = op->call;
	struct outbound *o = c->outbound;
	long status = 0;

	n *= size;
	if (op->err)
		return 0;
	if (op->head_done) /* a trailer */
		return n;
	if (n > 5 && strncmp(line, "HTTP/", 5) == 0)
		buf_clear(&op->head);
	if (op->head.n + n > MAX_HEAD) {
		op->is_head_too_large = true;
		return 0;
	}
	buf_add(&op->head, line, n);
	if (n > 2 || (n > 0 && line[0] != '\r' && line[0] != '\n'))
		return n;
	o->api->easy_getinfo(op->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200)
		return n;
	op->head_done = true;
	c->status = (int)status;
	deadline_set(o->wheel, &op->deadline, or_default(c->idle_ms, 120000));
	if (c->on_head)
		c->on_head(c, c->status);
	return op->err ? 0 : n;
}

static size_t on_write(char *data, size_t size, size_t n, void *arg)
{
	struct outbound_op *op = arg;
	struct outbound_call *c = op->call;

	n *= size;
	if (op->err)
		return 0;
	deadline_set(c->outbound->wheel, &op->deadline, or_default(c->idle_ms, 120000));
	if (c->on_data && n > 0)
		c->on_data(c, data, n);
	return op->err ? 0 : n;
}

static void op_set_method(const struct curl_api *api, CURL *e, const struct outbound_call *c)
{
	if (c->body.n > 0) {
		api->easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body.n);
		api->easy_setopt(e, CURLOPT_POSTFIELDS, c->body.p);
	} else if (strcmp(c->method, "POST") == 0) {
		api->easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
		api->easy_setopt(e, CURLOPT_POSTFIELDS, "");
	} else if (strcmp(c->method, "HEAD") == 0) {
		api->easy_setopt(e, CURLOPT_NOBODY, 1L);
	}
	api->easy_setopt(e, CURLOPT_CUSTOMREQUEST, c->method);
}

static void op_set_headers(const struct curl_api *api, struct outbound_op *op)
{
	bool has_type = false;

	for (const char *const *h = op->call->headers; h && *h; h++) {
		has_type = has_type || strncasecmp(*h, "content-type:", 13) == 0;
		op->headers = api->slist_append(op->headers, *h);
	}
	/* An empty field is left out: no "Expect: 100-continue", which costs a round trip, no form type. */
	op->headers = api->slist_append(op->headers, "Expect:");
	if (!has_type)
		op->headers = api->slist_append(op->headers, "Content-Type:");
	api->easy_setopt(op->easy, CURLOPT_HTTPHEADER, op->headers);
}

/* libcurl connects: the address is what the name has just been found to mean. */
static curl_socket_t open_public(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct outbound_op *op = arg;
	const struct networks *inner = op->call->inner;
	struct in6_addr ip;

	if (ip_of(&to->addr, &ip) < 0 || (!ip_is_public(&ip) && !(inner && networks_contain(inner, &ip)))) {
		op->is_refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static void op_set_up(struct outbound *o, struct outbound_op *op)
{
	const struct outbound_call *c = op->call;
	const struct curl_api *api = o->api;
	CURL *e = op->easy;

	api->easy_setopt(e, CURLOPT_PRIVATE, op);
	api->easy_setopt(e, CURLOPT_ERRORBUFFER, op->text);
	api->easy_setopt(e, CURLOPT_URL, c->url);
	api->easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	api->easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	api->easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
	api->easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
	api->easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	api->easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	api->easy_setopt(e, CURLOPT_USERAGENT, "ogent/" OGENT_VERSION);
	api->easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	api->easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)or_default(c->connect_ms, 10000));
	api->easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)c->total_ms);
	api->easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	api->easy_setopt(e, CURLOPT_HEADERDATA, op);
	api->easy_setopt(e, CURLOPT_WRITEFUNCTION, on_write);
	api->easy_setopt(e, CURLOPT_WRITEDATA, op);
	if (c->unix_socket) {
		api->easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, c->unix_socket);
		api->easy_setopt(e, CURLOPT_PROXY, "");
	}
	if (c->is_public_only) {
		api->easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_public);
		api->easy_setopt(e, CURLOPT_OPENSOCKETDATA, op);
		api->easy_setopt(e, CURLOPT_PROXY, "");
		/* A kept connection was opened without that check, perhaps: none is used, and none is left. */
		api->easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
		api->easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
	}
	if (c->is_decoded)
		api->easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
	curl_set_authorities(api, e);
	op_set_method(api, e, c);
	op_set_headers(api, op);
}

/* libcurl says that transfers have ended. */
static void read_messages(struct outbound *o)
{
	CURLMsg *msg;
	int n;

	while (!o->is_freeing && (msg = o->api->multi_info_read(o->multi, &n))) {
		CURLcode code = msg->data.result;
		struct outbound_op *op = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		o->api->easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&op);
		op_leave_multi(o, op);
		if (op->err) /* is in `ended` already */
			continue;
		op->err = code == CURLE_OK ? 0 : explain(o, op, code);
		op_done(o, op);
	}
}

static void socket_action(struct outbound *o, curl_socket_t fd, int events)
{
	int running;

	o->in_curl = true;
	o->api->multi_socket_action(o->multi, fd, events, &running);
	o->in_curl = false;
	read_messages(o);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
	struct outbound_socket *s = container_of(h, struct outbound_socket, poll);
	int flags = 0;

	if (status < 0)
		flags = CURL_CSELECT_ERR;
	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	socket_action(s->outbound, s->fd, flags);
}

static void on_socket_close(uv_handle_t *h)
{
	free(container_of((uv_poll_t *)h, struct outbound_socket, poll));
}

/* libcurl wants to know when `fd` is ready, or no longer. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct outbound *o = arg;
	struct outbound_socket *s = known;
	int events = what == CURL_POLL_IN    ? UV_READABLE
		     : what == CURL_POLL_OUT ? UV_WRITABLE
					     : UV_READABLE | UV_WRITABLE;

	if (what == CURL_POLL_REMOVE) {
		if (s) {
			o->api->multi_assign(o->multi, fd, NULL);
			uv_poll_stop(&s->poll);
			uv_close((uv_handle_t *)&s->poll, on_socket_close);
		}
		return 0;
	}
	if (!s) {
		s = xcalloc(1, sizeof(*s));
		s->outbound = o;
		s->fd = fd;
		if (uv_poll_init(o->loop, &s->poll, fd) < 0) {
			free(s);
			return -1;
		}
		o->api->multi_assign(o->multi, fd, s);
	}
	uv_poll_start(&s->poll, events, on_poll);
	return 0;
}

static void on_timer(uv_timer_t *t)
{
	socket_action(container_of(t, struct outbound, timer), CURL_SOCKET_TIMEOUT, 0);
}

static int on_timeout(CURLM *multi, long ms, void *arg)
{
	struct outbound *o = arg;

	if (ms < 0)
		uv_timer_stop(&o->timer);
	else
		uv_timer_start(&o->timer, on_timer, (uint64_t)ms, 0);
	return 0;
}

static bool load(struct outbound *o)
{
	if (o->multi)
		return true;
	o->api = curl_api_load();
	if (!o->api)
		return false;
	o->multi = o->api->multi_init();
	if (!o->multi)
		return false;
	o->api->multi_setopt(o->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	o->api->multi_setopt(o->multi, CURLMOPT_SOCKETDATA, o);
	o->api->multi_setopt(o->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
	o->api->multi_setopt(o->multi, CURLMOPT_TIMERDATA, o);
	o->api->multi_setopt(o->multi, CURLMOPT_MAXCONNECTS, 64L);
	return true;
}

static void op_start(struct outbound *o, struct outbound_op *op)
{
	struct outbound_call *c = op->call;

	if (!load(o) || !(op->easy = o->api->easy_init())) {
		error_set(&op->error, "curl_missing",
			  "calls to the outside need libcurl, which is not installed: install the package libcurl4");
		op->err = -ENOSYS;
		op_end_later(o, op);
		return;
	}
	if (!url_is_http(c->url)) {
		op->err = url_invalid(op);
		op_end_later(o, op);
		return;
	}
	op_set_up(o, op);
	list_remove(&op->link);
	list_append(&o->running, &op->link);
	deadline_set(o->wheel, &op->deadline, or_default(c->connect_ms, 10000) + or_default(c->first_byte_ms, 120000));
	o->api->multi_add_handle(o->multi, op->easy);
}

static void on_timer_close(uv_handle_t *h)
{
	free(container_of((uv_timer_t *)h, struct outbound, timer));
}

static void free_if_quiet(struct outbound *o)
{
	if (!o->is_freeing || !list_is_empty(&o->ended) || uv_is_closing((uv_handle_t *)&o->timer))
		return;
	if (o->multi)
		o->api->multi_cleanup(o->multi);
	later_clear(&o->later);
	wheel_free(o->wheel);
	uv_close((uv_handle_t *)&o->timer, on_timer_close);
}

static void on_later(struct later *l)
{
	struct outbound *o = container_of(l, struct outbound, later);
	struct list starting, ended;
	struct outbound_op *op;

	list_init(&starting);
	list_init(&ended);
	list_splice(&starting, &o->starting);
	list_splice(&ended, &o->ended);
	while ((op = list_first(&starting, struct outbound_op, link)))
		op_start(o, op);
	while ((op = list_first(&ended, struct outbound_op, link))) {
		op_leave_multi(o, op);
		op_done(o, op);
	}
	free_if_quiet(o);
}

static void op_on_expire(struct deadline *d)
{
	struct outbound_op *op = container_of(d, struct outbound_op, deadline);
	struct outbound *o = op->call->outbound;

	op->is_timed_out = true;
	op->err = explain(o, op, CURLE_OPERATION_TIMEDOUT);
	op_leave_multi(o, op);
	op_done(o, op);
}

void outbound_start(struct outbound *o, struct outbound_call *c)
{
	struct outbound_op *op = xcalloc(1, sizeof(*op));

	op->call = c;
	c->outbound = o;
	c->op = op;
	c->status = 0;
	list_init(&op->link);
	deadline_init(&op->deadline, op_on_expire);
	list_append(&o->starting, &op->link);
	later_set(o->wheel, &o->later);
	if (o->is_freeing)
		outbound_cancel(c);
}

void outbound_cancel(struct outbound_call *c)
{
	struct outbound_op *op = c->op;
	struct outbound *o = c->outbound;

	if (op->err)
		return;
	op->err = -ECANCELED;
	error_set(&op->error, "cancelled", "the request was cancelled");
	if (!o->in_curl)
		op_leave_multi(o, op);
	op_end_later(o, op);
}

const char *outbound_header(struct outbound_call *c, struct arena *a, const char *name)
{
	struct str rest = buf_str(&c->op->head), want = str_of(name);

	while (rest.n > 0) {
		struct str line = str_cut(&rest, '\n'), field = str_cut(&line, ':');

		if (line.p && str_ieq(field, want)) {
			line = str_trim(line);
			return arena_strndup(a, line.p, line.n);
		}
	}
	return NULL;
}

struct outbound *outbound_new(uv_loop_t *loop)
{
	struct outbound *o = xcalloc(1, sizeof(*o));

	o->loop = loop;
	o->wheel = wheel_new(loop);
	list_init(&o->starting);
	list_init(&o->running);
	list_init(&o->ended);
	uv_timer_init(loop, &o->timer);
	later_init(&o->later, on_later);
	return o;
}

void outbound_free(struct outbound *o)
{
	struct outbound_op *op;

	if (!o || o->is_freeing)
		return;
	o->is_freeing = true;
	while ((op = list_first(&o->starting, struct outbound_op, link)))
		outbound_cancel(op->call);
	while ((op = list_first(&o->running, struct outbound_op, link)))
		outbound_cancel(op->call);
	later_set(o->wheel, &o->later);
}
