/* The HTTP server over a real Unix socket. The first bytes choose what the handler does and how the rest is cut into
 * pieces; the rest is what the client sends before it leaves. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/list.h"
#include "io/http_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(what)              \
	do {                     \
		if (!(what))     \
			abort(); \
	} while (0)

static uv_loop_t loop;
static struct wheel *wheel;
static struct http_server *server;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static uint8_t choice;
static unsigned n_open;
static struct stream *upgraded;

struct open_request {
	struct list link; /* in waiting, until the handler goes on */
	struct http_request *req;
	size_t received;
	bool has_ended;
};
static struct list waiting; /* struct open_request: paused or held */

static void on_close(struct http_request *r, int err)
{
	struct open_request *o = r->owner;

	CHECK(n_open == 1);
	n_open--;
	list_remove(&o->link);
}

static void on_body(struct http_request *r, const char *data, size_t n)
{
	struct open_request *o = r->owner;

	CHECK(n > 0 && !o->has_ended);
	o->received += n;
	if (choice & 1) {
		http_body_pause(r);
		list_remove(&o->link);
		list_append(&waiting, &o->link);
	}
	if (http_reply_has_started(r))
		http_reply_write(r, data, n);
}

static void check_fields(const struct http_headers *fields)
{
	for (size_t i = 0; i < fields->n; i++) {
		const struct http_header *h = &fields->items[i];

		CHECK(h->name.n > 0 && strlen(h->name.p) == h->name.n && strlen(h->value.p) == h->value.n);
		CHECK(http_value_is_clean(h->value) && !strpbrk(h->name.p, " \t:"));
	}
}

static void on_body_end(struct http_request *r)
{
	struct open_request *o = r->owner;

	CHECK(!o->has_ended && n_open == 1);
	CHECK(r->content_length < 0 || (size_t)r->content_length == o->received);
	CHECK(!r->trailers || r->content_length < 0);
	o->has_ended = true;
	if (r->trailers)
		check_fields(r->trailers);
	http_reply_interim(r, 103, r->trailers);
	if (http_reply_has_started(r))
		http_reply_end_with(r, r->trailers);
	else
		http_reply(r, 200, NULL, NULL, NULL, 0);
}

static void on_whole_body(struct http_request *r, int err, struct str body)
{
	if (err < 0)
		return;
	CHECK(r->content_length < 0 || (size_t)r->content_length == body.n);
	CHECK(body.p[body.n] == '\0');
	http_reply(r, choice & 1 ? 200 : 204, "text/plain", NULL, body.p, body.n);
}

static void check_head(const struct http_request *r)
{
	unsigned n_host = 0;

	CHECK(r->method > 0 && r->method < HTTP_METHODS);
	CHECK(r->path.n == strlen(r->path.p) && (r->path.p[0] == '/' || str_is(r->path, "*")));
	CHECK(!strstr(r->path.p, "/../") && !memchr(r->target.p, '#', r->target.n));
	check_fields(&r->headers);
	for (size_t i = 0; i < r->headers.n; i++)
		n_host += str_ieq(r->headers.items[i].name, STR("host"));
	CHECK(n_host == 1 || (n_host == 0 && r->is_http_1_0));
}

static void upgrade(struct http_request *r)
{
	static const struct stream_events none = {0};
	struct str early;
	struct stream *s = http_upgrade(r, NULL, &early);

	if (!s) {
		http_reply(r, 400, NULL, NULL, NULL, 0);
		return;
	}
	CHECK(!upgraded);
	upgraded = s;
	stream_set_owner(s, &none, NULL);
}

static void on_request(void *arg, struct http_request *r)
{
	struct open_request *o = arena_new_of(r->arena, struct open_request);

	check_head(r);
	CHECK(n_open++ == 0);
	o->req = r;
	list_init(&o->link);
	r->owner = o;
	r->on_close = on_close;
	r->on_body = on_body;
	r->on_body_end = on_body_end;
	switch (choice >> 1 & 7) {
	case 0: http_reply(r, 200, "text/plain", NULL, "hello", 5); break;
	case 1: http_read_body(r, on_whole_body); break;
	case 2: http_reply_head(r, 200, NULL, -1); break;
	case 3: upgrade(r); break;
	case 4: http_reply_abort(r); break;
	case 5:
		http_body_pause(r);
		list_append(&waiting, &o->link);
		break;
	case 6:
		http_set_max_body(r, 16);
		http_reply_head(r, 200, NULL, 10);
		break;
	case 7: break;
	}
}

static void go_on(void)
{
	struct open_request *o;

	while ((o = list_first(&waiting, struct open_request, link))) {
		list_remove(&o->link);
		http_body_resume(o->req);
	}
}

static void remove_socket(void)
{
	unlink(address.sun_path);
}

static void start(void)
{
	struct http_limits limits = http_limits_default;
	char text[128];

	limits.max_target = 200;
	limits.max_header_bytes = 1000;
	limits.max_headers = 8;
	limits.max_body = 4096;
	list_init(&waiting);
	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/fuzz-http-server-%d", getpid());
	snprintf(text, sizeof(text), "unix:%s", address.sun_path);
	uv_loop_init(&loop);
	wheel = wheel_new(&loop);
	CHECK(http_server_open(&loop, wheel, text, &limits, on_request, NULL, &server) == 0);
	atexit(remove_socket);
}

static void drop_upgraded(void)
{
	if (upgraded)
		stream_close(upgraded, false);
	upgraded = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool is_started;
	char answer[4096];
	int fd;

	if (!is_started)
		start();
	is_started = true;
	if (size < 2)
		return 0;
	choice = data[0];
	size_t piece = data[1] ? data[1] : SIZE_MAX;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	for (size_t at = 2; at < size;) {
		ssize_t n = send(fd, data + at, MIN(piece, size - at), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			break;
		at += (size_t)n;
		uv_run(&loop, UV_RUN_NOWAIT);
		go_on();
		while (recv(fd, answer, sizeof(answer), MSG_DONTWAIT) > 0)
			;
		if (upgraded)
			break;
	}
	uv_run(&loop, UV_RUN_NOWAIT);
	drop_upgraded();
	close(fd);
	for (int i = 0; i < 100 && http_server_connections(server) > 0; i++) {
		go_on();
		uv_run(&loop, UV_RUN_NOWAIT);
		drop_upgraded();
	}
	CHECK(n_open == 0 && http_server_connections(server) == 0);
	return 0;
}
