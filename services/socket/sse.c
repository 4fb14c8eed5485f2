/* The transport for who only listens: one channel as server-sent events. The id of an event is EPOCH:OFFSET, so that a
 * browser's EventSource comes back by itself to where it was. */
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "socket.h"

struct sse_stream {
	struct client client;
	struct exchange *x; /* held */
	bool has_started;
	struct later end; /* frees it, when nobody is in its functions any more */
};

static struct sse_stream *stream_of(struct client *c)
{
	return container_of(c, struct sse_stream, client);
}

static void on_end(struct later *l)
{
	struct sse_stream *st = container_of(l, struct sse_stream, end);
	struct exchange *x = st->x;

	x->on_gone = NULL;
	x->data = NULL;
	client_deinit(&st->client);
	free(st);
	exchange_drop(x);
}

static void end_later(struct sse_stream *st)
{
	later_set(service_wheel(st->client.socket->service), &st->end);
}

static void add_data(struct buf *out, struct str json)
{
	buf_add_str(out, "data: ");
	buf_add(out, json.p, json.n); /* compact JSON has no line breaks */
	buf_add_str(out, "\n\n");
}

static bool deliver(struct client *c, struct broadcast *b)
{
	const struct channel *ch = b->channel;

	if (b->sse.n == 0) {
		if (ch && broadcast_offset(b))
			buf_printf(&b->sse, "id: %s:%" PRIu64 "\n", ch->epoch, broadcast_offset(b));
		add_data(&b->sse, (struct str){b->post->text, b->post->n});
	}
	return reply_sse_text(stream_of(c)->x, buf_str(&b->sse));
}

static int status_of(const char *code)
{
	if (strcmp(code, "unavailable") == 0)
		return 503;
	return strcmp(code, "forbidden") == 0 ? 403 : 404;
}

/* The answer to the join: the stream begins, or is refused. */
static void start(struct sse_stream *st, yyjson_mut_val *obj)
{
	const char *type = yyjson_mut_get_str(yyjson_mut_obj_get(obj, "type"));
	const char *code = yyjson_mut_get_str(yyjson_mut_obj_get(obj, "code"));

	if (strcmp(type, "joined") == 0) {
		st->has_started = true;
		reply_sse_start(st->x);
		return;
	}
	reply_problem(st->x, status_of(code), code, "%s", yyjson_mut_get_str(yyjson_mut_obj_get(obj, "message")));
	client_end(&st->client, CLOSE_POLICY, code);
}

static void send_message(struct client *c, yyjson_mut_doc *doc, yyjson_val *id)
{
	struct sse_stream *st = stream_of(c);
	yyjson_mut_val *obj = yyjson_mut_doc_get_root(doc);
	const char *type = yyjson_mut_get_str(yyjson_mut_obj_get(obj, "type"));
	const char *epoch = yyjson_mut_get_str(yyjson_mut_obj_get(obj, "epoch"));
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	if (!st->has_started) {
		start(st, obj);
		if (!st->has_started)
			return;
		buf_printf(&text, "retry: %u\n", 1000 + randombytes_uniform(clients_spread_ms(c->socket->n_clients)));
	}
	if (epoch)
		buf_printf(&text, "id: %s:%" PRIu64 "\n", epoch,
			   yyjson_mut_get_uint(yyjson_mut_obj_get(obj, "offset")));
	buf_printf(&text, "event: %s\n", type);
	add_data(&text, json_text(c->socket->arena, doc));
	reply_sse_text(st->x, buf_str(&text));
}

static void signed_in(struct client *c, bool is_first)
{
}

static void close_stream(struct client *c, int code, const char *reason)
{
	struct sse_stream *st = stream_of(c);

	if (st->has_started)
		reply_sse_end(st->x);
	else
		reply_problem(st->x, 503, "unavailable", "%s", reason);
	end_later(st);
}

static void cut(struct client *c)
{
	struct sse_stream *st = stream_of(c);

	later_clear(&st->end);
	on_end(&st->end);
}

static const struct transport transport = {.deliver = deliver,
					   .send = send_message,
					   .signed_in = signed_in,
					   .close = close_stream,
					   .cut = cut,
					   .is_one_way = true};

static void on_gone(struct exchange *x)
{
	end_later(x->data);
}

static void on_drain(struct http_request *r)
{
	struct exchange *x = r->owner;
	struct sse_stream *st = x->data;

	if (!st)
		return;
	arena_reset(st->client.socket->arena);
	client_drained(&st->client);
}

/* {"room", "epoch", "offset"} of the path and the last event that the client has. */
static yyjson_val *wish(struct exchange *x)
{
	struct str last = http_header_get(&x->req->headers, "Last-Event-ID"), offset = last, epoch;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);
	struct str text;
	uint64_t n;

	epoch = str_cut(&offset, ':');
	json_add_str(doc, obj, "room", x->params[0].p);
	if (epoch.n > 0 && str_to_u64(offset, INT64_MAX, &n) == 0) {
		json_add_str(doc, obj, "epoch", arena_strndup(x->arena, epoch.p, epoch.n));
		yyjson_mut_obj_add_uint(doc, obj, "offset", n);
	}
	text = json_text(x->arena, doc);
	return yyjson_doc_get_root(json_parse(x->arena, text.p, text.n, NULL));
}

void socket_events(struct exchange *x)
{
	struct socket_service *s = x->self;
	struct sse_stream *st;

	if (!socket_admit(x))
		return;
	st = xcalloc(1, sizeof(*st));
	client_init(&st->client, s, &transport);
	later_init(&st->end, on_end);
	st->x = x;
	exchange_hold(x);
	x->data = st;
	x->on_gone = on_gone;
	x->req->on_drain = on_drain;
	arena_reset(s->arena);
	client_accept(&st->client, &x->who);
	if (st->client.state == CLIENT_OPEN)
		client_join(&st->client, wish(x), NULL);
}
