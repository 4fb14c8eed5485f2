#include "data/redis_conn.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

#define CONNECT_MS 5000
#define QUIET_MS 3000 /* without a byte: PING; the same again: the connection is dead */
#define WAIT_MIN_MS 50
#define WAIT_MAX_MS 2000
#define REPLY_MAX (64 * 1024 * 1024)

void redis_write_head(struct buf *out, size_t n)
{
	buf_printf(out, "*%zu\r\n", n);
}

void redis_write_part(struct buf *out, struct str part)
{
	buf_printf(out, "$%zu\r\n", part.n);
	buf_add(out, part.p, part.n);
	buf_add(out, "\r\n", 2);
}

void redis_conn_write(struct redis_conn *c, const struct str *argv, size_t n)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	redis_write_head(&text, n);
	for (size_t i = 0; i < n; i++)
		redis_write_part(&text, argv[i]);
	stream_write(c->stream, text.p, text.n);
}

/* The stream closes by itself; nobody listens to it any more. */
static void forget_stream(struct redis_conn *c)
{
	static const struct stream_events nobody = {0};

	if (c->stream) {
		stream_set_owner(c->stream, &nobody, NULL);
		stream_close(c->stream, false);
	}
	if (c->reader)
		c->api->redisReaderFree(c->reader);
	c->stream = NULL;
	c->reader = NULL;
	c->fed = 0;
}

/* From half to one and a half of the back-off, so that many clients do not come back at once. */
static uint64_t jittered(uint64_t ms)
{
	return ms / 2 + randombytes_uniform((uint32_t)ms + 1);
}

void redis_conn_drop(struct redis_conn *c, const char *why)
{
	if (c->state == REDIS_STOPPED || c->state == REDIS_WAITING)
		return;
	forget_stream(c);
	c->why = NULL;
	c->state = REDIS_WAITING;
	deadline_set(c->wheel, &c->timer, jittered(c->wait_ms));
	c->wait_ms = MIN(c->wait_ms * 2, (uint64_t)WAIT_MAX_MS);
	c->on_down(c, why);
}

static void become_up(struct redis_conn *c)
{
	c->state = REDIS_UP;
	c->wait_ms = WAIT_MIN_MS;
	c->on_up(c);
}

/* AUTH and SELECT have been answered with OK, or it is of no use to go on. */
static bool take_greeting(struct redis_conn *c, const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_ERROR) {
		snprintf(c->reason, sizeof(c->reason), "the server refuses us: %.*s", (int)MIN(reply->len, 120u),
			 reply->str);
		c->why = c->reason;
		return true;
	}
	if (--c->greetings == 0)
		become_up(c);
	return true;
}

static bool take_reply(struct redis_conn *c, redisReply *reply)
{
	return c->state == REDIS_GREETING ? take_greeting(c, reply) : c->on_reply(c, reply);
}

/* Until the bytes are used up, or the connection is. */
static void read_replies(struct redis_conn *c)
{
	void *reply;

	while (!c->why && c->state >= REDIS_GREETING) {
		if (c->api->redisReaderGetReply(c->reader, &reply) != REDIS_OK)
			c->why = "the server does not speak the protocol of Redis";
		if (c->why || !reply)
			return;
		c->fed = 0;
		if (!take_reply(c, reply))
			c->why = "an answer came to what was not asked";
		c->api->freeReplyObject(reply);
	}
}

static void on_data(void *owner, const char *data, size_t n)
{
	struct redis_conn *c = owner;

	c->has_heard = true;
	c->fed += n;
	if (c->fed > REPLY_MAX || c->api->redisReaderFeed(c->reader, data, n) != REDIS_OK)
		c->why = "an answer is too long";
	else
		read_replies(c);
	if (c->why)
		redis_conn_drop(c, c->why);
}

static void on_end(void *owner, int err)
{
	redis_conn_drop(owner, err ? strerror(-err) : "the server closed the connection");
}

static void greet(struct redis_conn *c)
{
	const struct redis_url *u = c->url;
	char database[16];
	struct str auth[3] = {STR("AUTH"), str_of(u->user ? u->user : u->password), str_of(u->password)};

	c->state = REDIS_GREETING;
	c->greetings = 0;
	if (u->password) {
		redis_conn_write(c, auth, u->user ? 3 : 2);
		c->greetings++;
	}
	snprintf(database, sizeof(database), "%u", u->database);
	redis_conn_write(c, (struct str[]){STR("SELECT"), str_of(database)}, 2);
	c->greetings++;
}

static void on_connected(void *arg, int err, struct stream *s)
{
	static const struct stream_events events = {.on_data = on_data, .on_end = on_end};
	struct redis_conn *c = arg;

	c->connecting = NULL;
	if (c->state == REDIS_STOPPED) {
		if (s)
			stream_close(s, false);
		c->on_stopped(c);
		return;
	}
	if (err) {
		redis_conn_drop(c, strerror(-err));
		return;
	}
	c->stream = s;
	c->reader = c->api->redisReaderCreate();
	c->has_heard = c->is_asked = false;
	stream_set_owner(s, &events, c);
	stream_resume(s);
	greet(c);
	deadline_set(c->wheel, &c->timer, QUIET_MS);
}

static void connect_now(struct redis_conn *c)
{
	c->state = REDIS_CONNECTING;
	c->connecting = stream_connect(c->loop, c->wheel, c->url->address, CONNECT_MS, on_connected, c);
}

/* Nobody is told when a machine or a network on the way is gone. */
static void look_whether_alive(struct redis_conn *c)
{
	if (!c->has_heard && (c->is_asked || c->state == REDIS_GREETING)) {
		redis_conn_drop(c, "the server does not answer");
		return;
	}
	c->is_asked = !c->has_heard;
	c->has_heard = false;
	deadline_set(c->wheel, &c->timer, QUIET_MS);
	if (c->is_asked)
		c->on_quiet(c);
}

static void on_timer(struct deadline *d)
{
	struct redis_conn *c = container_of(d, struct redis_conn, timer);

	if (c->state == REDIS_WAITING)
		connect_now(c);
	else
		look_whether_alive(c);
}

void redis_conn_start(struct redis_conn *c)
{
	c->wait_ms = WAIT_MIN_MS;
	deadline_init(&c->timer, on_timer);
	connect_now(c);
}

void redis_conn_stop(struct redis_conn *c)
{
	if (c->state != REDIS_STOPPED) {
		c->state = REDIS_STOPPED;
		deadline_clear(&c->timer);
		forget_stream(c);
	}
	if (c->connecting)
		connecting_cancel(c->connecting);
	else
		c->on_stopped(c);
}
