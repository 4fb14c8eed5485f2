#include "socketio.h"

#include <stdlib.h>

#include "base/alloc.h"

struct socketio {
	struct service *service;
	struct engine *engine;
	uint32_t connect_timeout;
	struct arena *arena;
	const struct socketio_app *app;
	void *arg;
	struct buf scratch; /* the packet that is being written */
};

/* A packet whose attachments are still coming. */
struct partial {
	char *text;
	unsigned n, of;
	struct buf blobs[SOCKETIO_MAX_ATTACHMENTS];
};

/* One connection. */
struct link {
	struct socketio *io;
	struct engine_session *engine;
	struct list sockets;      /* struct socketio_socket */
	struct deadline deadline; /* of the first CONNECT */
	struct partial *partial;  /* NULL: none */
};

struct socketio_socket {
	struct link *link;
	struct list in_link;
	void *owner;
	bool is_accepted;
	char nsp[];
};

/* ---- Sockets ---- */

static struct socketio_socket *find_socket(const struct link *l, struct str nsp)
{
	struct socketio_socket *s;

	list_foreach (s, &l->sockets, struct socketio_socket, in_link)
		if (str_is(nsp, s->nsp))
			return s;
	return NULL;
}

static struct socketio_socket *socket_new(struct link *l, struct str nsp)
{
	struct socketio_socket *s = xcalloc(1, sizeof(*s) + nsp.n + 1);

	s->link = l;
	memcpy(s->nsp, nsp.p, nsp.n);
	list_append(&l->sockets, &s->in_link);
	return s;
}

/* A connection without sockets may stay for as long as one that has none yet. */
static void socket_free(struct socketio_socket *s)
{
	struct link *l = s->link;

	list_remove(&s->in_link);
	free(s);
	if (list_is_empty(&l->sockets))
		deadline_set(service_wheel(l->io->service), &l->deadline, l->io->connect_timeout);
}

/* Its owner hears of it. */
static void lose(struct socketio_socket *s, bool is_final)
{
	const struct socketio_app *app = s->link->io->app;
	void *owner = s->owner;

	socket_free(s);
	if (owner)
		app->on_gone(owner, is_final);
}

void socketio_set_owner(struct socketio_socket *s, void *owner)
{
	s->owner = owner;
}

struct str socketio_namespace(const struct socketio_socket *s)
{
	return str_of(s->nsp);
}

/* ---- Out ---- */

static bool put(struct socketio_socket *s, const struct socketio_packet *p)
{
	struct buf *b = &s->link->io->scratch;

	buf_clear(b);
	socketio_packet_write(b, p);
	return engine_send(s->link->engine, false, buf_str(b));
}

void socketio_accept(struct socketio_socket *s, const char *sid, const char *pid)
{
	struct arena *a = s->link->io->arena;
	char *json = pid ? arena_printf(a, "{\"sid\":\"%s\",\"pid\":\"%s\"}", sid, pid)
			 : arena_printf(a, "{\"sid\":\"%s\"}", sid);

	s->is_accepted = true;
	deadline_clear(&s->link->deadline);
	put(s, &(struct socketio_packet){SOCKETIO_CONNECT, 0, str_of(s->nsp), -1, str_of(json)});
}

static void put_error(struct socketio_socket *s, const char *message, const char *code)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(s->link->io->arena, &doc);

	json_add_str(doc, obj, "message", message);
	if (code) {
		yyjson_mut_val *data = yyjson_mut_obj_add_obj(doc, obj, "data");

		json_add_str(doc, data, "code", code);
	}
	put(s, &(struct socketio_packet){SOCKETIO_CONNECT_ERROR, 0, str_of(s->nsp), -1,
					 json_text(s->link->io->arena, doc)});
}

void socketio_reject(struct socketio_socket *s, const char *message, const char *code)
{
	put_error(s, message, code);
	socket_free(s);
}

void socketio_send(struct socketio_socket *s, bool is_ack, int64_t id, struct str args, const struct str *blobs,
		   unsigned n_blobs)
{
	enum socketio_type plain = is_ack ? SOCKETIO_ACK : SOCKETIO_EVENT;
	enum socketio_type binary = is_ack ? SOCKETIO_BINARY_ACK : SOCKETIO_BINARY_EVENT;

	put(s, &(struct socketio_packet){n_blobs ? binary : plain, n_blobs, str_of(s->nsp), id, args});
	for (unsigned i = 0; i < n_blobs; i++)
		engine_send(s->link->engine, true, blobs[i]);
}

struct ws_shared *socketio_frame(struct str args)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	buf_add_char(&text, (char)('0' + ENGINE_MESSAGE));
	socketio_packet_write(&text, &(struct socketio_packet){SOCKETIO_EVENT, 0, STR("/"), -1, args});
	return ws_shared_new(WS_TEXT, text.p, text.n);
}

/* The shared text is that of the main namespace: "42[…"; another one's name stands behind the 2. */
static bool send_to_other(struct socketio_socket *s, struct str text)
{
	struct socketio_packet p;

	return !socketio_packet_read((struct str){text.p + 1, text.n - 1}, &p) ||
	       put(s, &(struct socketio_packet){p.type, 0, str_of(s->nsp), -1, p.json});
}

bool socketio_send_shared(struct socketio_socket *s, struct ws_shared *frame)
{
	if (s->nsp[1] == '\0')
		return engine_send_shared(s->link->engine, frame);
	return send_to_other(s, ws_shared_message(frame));
}

size_t socketio_queued(const struct socketio_socket *s)
{
	return engine_queued(s->link->engine);
}

void socketio_disconnect(struct socketio_socket *s)
{
	put(s, &(struct socketio_packet){SOCKETIO_DISCONNECT, 0, str_of(s->nsp), -1, {0}});
	socket_free(s);
}

void socketio_close(struct socketio_socket *s)
{
	struct link *l = s->link;

	socket_free(s);
	engine_close(l->engine);
}

/* ---- In ---- */

static void connect_socket(struct link *l, struct str nsp, yyjson_val *auth)
{
	struct socketio *io = l->io;
	struct socketio_socket *s = socket_new(l, nsp);

	if (io->app->has_namespace(io->arg, nsp))
		io->app->on_connect(io->arg, s, auth);
	else
		socketio_reject(s, "Invalid namespace", NULL);
}

/* Returns false when the client may not send this. */
static bool dispatch(struct link *l, const struct socketio_packet *p, const struct str *blobs)
{
	struct socketio_socket *s = find_socket(l, p->nsp);
	struct socketio_event e = {.id = p->id, .blobs = blobs, .n_blobs = p->attachments};

	if (!socketio_payload_read(l->io->arena, p, &e.args))
		return false;
	if (p->type == SOCKETIO_CONNECT && !s) {
		connect_socket(l, p->nsp, e.args);
		return true;
	}
	if (!s || !s->is_accepted)
		return false;
	switch (p->type) {
	case SOCKETIO_EVENT:
	case SOCKETIO_BINARY_EVENT: l->io->app->on_event(s->owner, &e); return true;
	case SOCKETIO_ACK:
	case SOCKETIO_BINARY_ACK: l->io->app->on_ack(s->owner, &e); return true;
	case SOCKETIO_DISCONNECT: lose(s, true); return true;
	case SOCKETIO_CONNECT:
	case SOCKETIO_CONNECT_ERROR: break;
	}
	return false;
}

static void partial_free(struct link *l)
{
	struct partial *p = l->partial;

	if (!p)
		return;
	for (unsigned i = 0; i < p->n; i++)
		buf_deinit(&p->blobs[i]);
	free(p->text);
	free(p);
	l->partial = NULL;
}

static bool take_text(struct link *l, struct str text)
{
	struct socketio_packet p;

	if (l->partial || !socketio_packet_read(text, &p))
		return false;
	if (!p.attachments)
		return dispatch(l, &p, NULL);
	l->partial = xcalloc(1, sizeof(*l->partial));
	l->partial->text = xstrndup(text.p, text.n);
	l->partial->of = p.attachments;
	return true;
}

static bool take_blob(struct link *l, struct str data)
{
	struct str blobs[SOCKETIO_MAX_ATTACHMENTS];
	struct partial *partial = l->partial;
	struct socketio_packet p;
	bool ok;

	if (!partial)
		return false;
	buf_add(&partial->blobs[partial->n++], data.p, data.n);
	if (partial->n < partial->of)
		return true;
	for (unsigned i = 0; i < partial->n; i++)
		blobs[i] = buf_str(&partial->blobs[i]);
	ok = socketio_packet_read(str_of(partial->text), &p) && dispatch(l, &p, blobs);
	partial_free(l);
	return ok;
}

static void on_message(void *owner, bool is_binary, struct str data)
{
	struct link *l = owner;

	arena_reset(l->io->arena);
	if (is_binary ? !take_blob(l, data) : !take_text(l, data))
		engine_close(l->engine);
}

/* ---- Connections ---- */

static void on_deadline(struct deadline *d)
{
	engine_close(container_of(d, struct link, deadline)->engine);
}

static void *on_open(void *arg, struct engine_session *engine)
{
	struct link *l = xcalloc(1, sizeof(*l));

	l->io = arg;
	l->engine = engine;
	list_init(&l->sockets);
	deadline_init(&l->deadline, on_deadline);
	deadline_set(service_wheel(l->io->service), &l->deadline, l->io->connect_timeout);
	return l;
}

static void on_drain(void *owner)
{
	struct link *l = owner;
	struct socketio_socket *s;

	arena_reset(l->io->arena);
	list_foreach (s, &l->sockets, struct socketio_socket, in_link)
		if (s->owner && s->is_accepted)
			l->io->app->on_drain(s->owner);
}

static void on_close(void *owner)
{
	struct link *l = owner;
	struct socketio_socket *s;

	arena_reset(l->io->arena);
	while ((s = list_first(&l->sockets, struct socketio_socket, in_link)))
		lose(s, false);
	deadline_clear(&l->deadline);
	partial_free(l);
	free(l);
}

static const struct engine_events engine_events = {
	.on_open = on_open, .on_message = on_message, .on_drain = on_drain, .on_close = on_close};

struct socketio *socketio_new(struct service *service, const struct engine_options *options, uint32_t connect_timeout,
			      struct arena *arena, const struct socketio_app *app, void *arg)
{
	struct socketio *io = xcalloc(1, sizeof(*io));

	io->service = service;
	io->connect_timeout = connect_timeout;
	io->arena = arena;
	io->app = app;
	io->arg = arg;
	io->engine = engine_new(service, options, &engine_events, io);
	return io;
}

void socketio_free(struct socketio *io)
{
	if (!io)
		return;
	engine_free(io->engine);
	buf_deinit(&io->scratch);
	free(io);
}

struct engine *socketio_engine(struct socketio *io)
{
	return io->engine;
}
