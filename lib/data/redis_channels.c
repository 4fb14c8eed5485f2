/* Channels: a connection of its own, since one that subscribes takes no other commands (RESP2). Every SUBSCRIBE and
 * UNSUBSCRIBE names one channel and is answered in its turn, so that a confirmation is always known to be that of the
 * subscription that is there now, and not of one before. */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "data/redis_internal.h"

struct redis_request {
	struct list link;                        /* in redis.requests until it is answered */
	const char *answer;                      /* what begins it: "subscribe", "sunsubscribe"… */
	struct redis_subscription *subscription; /* NULL: of one that is gone */
};

static struct redis_subscription **table_of(struct redis *r, bool is_sharded)
{
	return is_sharded ? &r->sharded : &r->plain;
}

static struct redis_subscription *find(struct redis *r, bool is_sharded, struct str channel)
{
	struct redis_subscription *s;

	HASH_FIND(hh, *table_of(r, is_sharded), channel.p, channel.n, s);
	return s;
}

static void ask(struct redis *r, struct redis_subscription *s, bool is_on)
{
	static const char *const commands[2][2] = {{"UNSUBSCRIBE", "SUBSCRIBE"}, {"SUNSUBSCRIBE", "SSUBSCRIBE"}};
	static const char *const answers[2][2] = {{"unsubscribe", "subscribe"}, {"sunsubscribe", "ssubscribe"}};
	struct redis_request *q = xcalloc(1, sizeof(*q));

	q->answer = answers[s->is_sharded][is_on];
	if (is_on) {
		q->subscription = s;
		s->request = q;
	}
	list_append(&r->requests, &q->link);
	redis_conn_write(&r->channels, (struct str[]){str_of(commands[s->is_sharded][is_on]), s->channel}, 2);
}

static void request_free(struct redis_request *q)
{
	if (q->subscription)
		q->subscription->request = NULL;
	list_remove(&q->link);
	free(q);
}

static void set_state(struct redis_subscription *s, bool is_on, const char *why)
{
	s->is_on = is_on;
	s->on_state(s, is_on, why);
}

/* ---- What the server sends ---- */

static void on_refused(struct redis *r, const redisReply *reply)
{
	struct redis_request *q = list_first(&r->requests, struct redis_request, link);
	struct redis_subscription *s = q->subscription;
	char why[160];
	size_t n = MIN(reply->len, sizeof(why) - 1);

	request_free(q);
	if (!s)
		return;
	memcpy(why, reply->str, n);
	why[n] = '\0';
	set_state(s, false, why);
}

/* Returns false when it is not the answer to the oldest request. */
static bool on_answer(struct redis *r, struct str kind)
{
	struct redis_request *q = list_first(&r->requests, struct redis_request, link);
	struct redis_subscription *s;

	if (!q || !str_is(kind, q->answer))
		return false;
	s = q->subscription;
	request_free(q);
	if (s)
		set_state(s, true, NULL);
	return true;
}

static void on_message(struct redis *r, bool is_sharded, const struct redis_value *v)
{
	struct str channel = redis_text(redis_at(v, 1)), message = redis_text(redis_at(v, 2));
	struct redis_subscription *s = channel.p ? find(r, is_sharded, channel) : NULL;

	if (s && s->is_on && message.p)
		s->on_message(s, message);
}

static bool on_reply(struct redis_conn *conn, redisReply *reply)
{
	struct redis *r = container_of(conn, struct redis, channels);
	const struct redis_value *v = (const struct redis_value *)reply;
	struct str kind = redis_text(redis_at(v, 0));

	if (redis_type(v) == REDIS_IS_ERROR) {
		if (list_is_empty(&r->requests))
			return false;
		on_refused(r, reply);
		return true;
	}
	if (redis_type(v) == REDIS_IS_TEXT || str_is(kind, "pong")) /* to our PING, with and without channels */
		return true;
	if (str_is(kind, "message") || str_is(kind, "smessage"))
		on_message(r, kind.p[0] == 's', v);
	else
		return on_answer(r, kind);
	return true;
}

static void on_quiet(struct redis_conn *conn)
{
	redis_conn_write(conn, &STR("PING"), 1);
}

/* ---- Coming and going ---- */

static void subscribe_all(struct redis *r, struct redis_subscription *table)
{
	for (struct redis_subscription *s = table; s; s = s->hh.next)
		ask(r, s, true);
}

static void on_up(struct redis_conn *conn)
{
	struct redis *r = container_of(conn, struct redis, channels);

	subscribe_all(r, r->plain);
	subscribe_all(r, r->sharded);
}

static void forget_requests(struct redis *r)
{
	while (!list_is_empty(&r->requests))
		request_free(list_first(&r->requests, struct redis_request, link));
}

/* A callback may end any subscription, so each round begins anew. */
static void tell_all(struct redis *r, bool is_sharded, const char *why)
{
	struct redis_subscription *s;

	do {
		s = *table_of(r, is_sharded);
		while (s && !s->is_on)
			s = s->hh.next;
		if (s)
			set_state(s, false, why);
	} while (s);
}

static void on_down(struct redis_conn *conn, const char *why)
{
	struct redis *r = container_of(conn, struct redis, channels);

	forget_requests(r);
	tell_all(r, false, why);
	tell_all(r, true, why);
}

int redis_subscribe(struct redis *r, struct redis_subscription *s, struct str channel, bool is_sharded)
{
	if (find(r, is_sharded, channel))
		return -EEXIST;
	s->redis = r;
	s->channel = (struct str){memcpy(xmalloc(channel.n + 1), channel.p, channel.n), channel.n};
	s->is_sharded = is_sharded;
	s->is_on = false;
	s->request = NULL;
	HASH_ADD_KEYPTR(hh, *table_of(r, is_sharded), s->channel.p, s->channel.n, s);
	if (r->channels.state == REDIS_UP)
		ask(r, s, true);
	else if (r->channels.state == REDIS_STOPPED)
		redis_conn_start(&r->channels);
	return 0;
}

/* Without a word to the server. */
static void forget(struct redis_subscription *s)
{
	HASH_DEL(*table_of(s->redis, s->is_sharded), s);
	if (s->request)
		s->request->subscription = NULL;
	free((char *)s->channel.p);
	s->channel = (struct str){0};
	s->request = NULL;
	s->redis = NULL;
	s->is_on = false;
}

void redis_unsubscribe(struct redis_subscription *s)
{
	if (!s->redis)
		return;
	if (s->redis->channels.state == REDIS_UP)
		ask(s->redis, s, false);
	forget(s);
}

void redis_channels_init(struct redis *r)
{
	list_init(&r->requests);
	r->channels.on_up = on_up;
	r->channels.on_down = on_down;
	r->channels.on_reply = on_reply;
	r->channels.on_quiet = on_quiet;
}

void redis_channels_deinit(struct redis *r)
{
	forget_requests(r);
	while (r->plain)
		forget(r->plain);
	while (r->sharded)
		forget(r->sharded);
}
