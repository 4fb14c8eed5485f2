#include "data/redis_internal.h"

#include <errno.h>
#include <sha1.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/encode.h"

#define SPARE_MAX 64

/* One command in the pipeline; stays there when its caller has given up. */
struct redis_pending {
	struct list link;              /* in redis.waiting, or in redis.spare */
	struct redis_command *command; /* NULL: nobody wants the answer */
	struct redis *redis;
	struct buf eval; /* of EVALSHA: the same as EVAL, in case that the server does not know the script */
};

/* ---- Answers ---- */

static const redisReply *raw(const struct redis_value *v)
{
	return (const redisReply *)v;
}

enum redis_type redis_type(const struct redis_value *v)
{
	if (!v)
		return REDIS_IS_NIL;
	switch (raw(v)->type) {
	case REDIS_REPLY_STRING:
	case REDIS_REPLY_STATUS: return REDIS_IS_TEXT;
	case REDIS_REPLY_ERROR: return REDIS_IS_ERROR;
	case REDIS_REPLY_INTEGER: return REDIS_IS_INTEGER;
	case REDIS_REPLY_ARRAY: return REDIS_IS_LIST;
	default: return REDIS_IS_NIL;
	}
}

struct str redis_text(const struct redis_value *v)
{
	enum redis_type type = redis_type(v);

	return type == REDIS_IS_TEXT || type == REDIS_IS_ERROR ? (struct str){raw(v)->str, raw(v)->len}
							       : (struct str){0};
}

bool redis_integer(const struct redis_value *v, int64_t *ret)
{
	struct str text = redis_type(v) == REDIS_IS_TEXT ? redis_text(v) : (struct str){0};
	bool is_negative = text.n && text.p[0] == '-';
	uint64_t n;

	if (redis_type(v) == REDIS_IS_INTEGER) {
		*ret = raw(v)->integer;
		return true;
	}
	if (is_negative)
		text = (struct str){text.p + 1, text.n - 1};
	if (!text.n || str_to_u64(text, INT64_MAX, &n) < 0)
		return false;
	*ret = is_negative ? -(int64_t)n : (int64_t)n;
	return true;
}

size_t redis_count(const struct redis_value *v)
{
	return redis_type(v) == REDIS_IS_LIST ? raw(v)->elements : 0;
}

const struct redis_value *redis_at(const struct redis_value *v, size_t i)
{
	return i < redis_count(v) ? (const struct redis_value *)raw(v)->element[i] : NULL;
}

/* ---- The pipeline ---- */

static struct redis_pending *pending_new(struct redis *r, struct redis_command *c)
{
	struct redis_pending *p = list_first(&r->spare, struct redis_pending, link);

	if (p)
		list_remove(&p->link);
	else
		p = xcalloc(1, sizeof(*p));
	p->redis = r;
	p->command = c;
	list_append(&r->waiting, &p->link);
	r->n_waiting++;
	return p;
}

static void pending_free(struct redis_pending *p)
{
	list_remove(&p->link);
	buf_deinit(&p->eval);
	free(p);
}

static void pending_done(struct redis_pending *p)
{
	struct redis *r = p->redis;

	r->n_waiting--;
	buf_deinit(&p->eval);
	p->eval = BUF_INIT;
	p->command = NULL;
	list_remove(&p->link);
	if (r->n_waiting < SPARE_MAX)
		list_prepend(&r->spare, &p->link);
	else
		free(p);
}

/* Takes the command off its place in the pipeline. */
static void detach(struct redis_command *c)
{
	deadline_clear(&c->deadline);
	c->pending->command = NULL;
	c->pending = NULL;
}

static void on_deadline(struct deadline *d)
{
	struct redis_command *c = container_of(d, struct redis_command, deadline);

	detach(c);
	c->on_done(c, -ETIMEDOUT, NULL);
}

void redis_cancel(struct redis_command *c)
{
	if (c->pending)
		detach(c);
}

static bool is_unknown_script(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_ERROR &&
	       str_has_prefix((struct str){reply->str, reply->len}, STR("NOSCRIPT"));
}

/* The same again with its text, at the pipeline's end. */
static void send_script(struct redis_conn *conn, struct redis_pending *p)
{
	stream_write(conn->stream, p->eval.p, p->eval.n);
	buf_deinit(&p->eval);
	p->eval = BUF_INIT;
	list_remove(&p->link);
	list_append(&p->redis->waiting, &p->link);
}

static bool on_reply(struct redis_conn *conn, redisReply *reply)
{
	struct redis *r = container_of(conn, struct redis, commands);
	struct redis_pending *p = list_first(&r->waiting, struct redis_pending, link);
	struct redis_command *c;

	if (!p)
		return false;
	c = p->command;
	if (c && p->eval.n && is_unknown_script(reply)) {
		send_script(conn, p);
		return true;
	}
	if (c)
		detach(c);
	pending_done(p);
	if (c)
		c->on_done(c, reply->type == REDIS_REPLY_ERROR ? -EREMOTEIO : 0, (const struct redis_value *)reply);
	return true;
}

static void on_quiet(struct redis_conn *conn)
{
	struct redis *r = container_of(conn, struct redis, commands);

	pending_new(r, NULL);
	redis_conn_write(conn, &STR("PING"), 1);
}

/* ---- Commands ---- */

static int check(const struct redis *r)
{
	if (r->commands.state != REDIS_UP)
		return -ENOTCONN;
	if (r->n_waiting >= REDIS_WAITING_MAX || stream_queued(r->commands.stream) > REDIS_QUEUED_MAX)
		return -EAGAIN;
	return 0;
}

static struct redis_pending *begin(struct redis *r, struct redis_command *c, uint64_t timeout_ms)
{
	struct redis_pending *p = pending_new(r, c);

	if (!c)
		return p;
	c->pending = p;
	deadline_init(&c->deadline, on_deadline);
	if (timeout_ms)
		deadline_set(r->commands.wheel, &c->deadline, timeout_ms);
	return p;
}

int redis_send(struct redis *r, struct redis_command *c, const struct str *argv, size_t n, uint64_t timeout_ms)
{
	int err = check(r);

	if (err)
		return err;
	begin(r, c, timeout_ms);
	redis_conn_write(&r->commands, argv, n);
	return 0;
}

void redis_script_init(struct redis_script *s, const char *text)
{
	uint8_t digest[SHA1_DIGEST_LENGTH];
	SHA1_CTX ctx;

	SHA1Init(&ctx);
	SHA1Update(&ctx, (const uint8_t *)text, strlen(text));
	SHA1Final(digest, &ctx);
	hex_encode(digest, sizeof(digest), s->sha1);
	s->text = text;
}

/* EVAL or EVALSHA with all that follows. */
static void write_eval(struct buf *out, const char *command, const char *script, const struct str *argv, size_t n_keys,
		       size_t n)
{
	_cleanup_(buf_deinit) struct buf number = BUF_INIT;

	buf_printf(&number, "%zu", n_keys);
	redis_write_head(out, 3 + n);
	redis_write_part(out, str_of(command));
	redis_write_part(out, str_of(script));
	redis_write_part(out, buf_str(&number));
	for (size_t i = 0; i < n; i++)
		redis_write_part(out, argv[i]);
}

int redis_eval(struct redis *r, struct redis_command *c, const struct redis_script *script, const struct str *argv,
	       size_t n_keys, size_t n, uint64_t timeout_ms)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	int err = check(r);

	if (err)
		return err;
	write_eval(&begin(r, c, timeout_ms)->eval, "EVAL", script->text, argv, n_keys, n);
	write_eval(&text, "EVALSHA", script->sha1, argv, n_keys, n);
	stream_write(r->commands.stream, text.p, text.n);
	return 0;
}

/* ---- The instance ---- */

static void tell(struct redis *r, bool is_up, const char *why)
{
	if (r->on_state)
		r->on_state(r->arg, is_up, why);
}

static void on_up(struct redis_conn *conn)
{
	struct redis *r = container_of(conn, struct redis, commands);

	r->was_told = true;
	tell(r, true, NULL);
}

/* Everything that waited fails; callbacks may cancel what comes behind them. */
static void fail_waiting(struct redis *r)
{
	struct redis_pending *p;

	while ((p = list_first(&r->waiting, struct redis_pending, link))) {
		struct redis_command *c = p->command;

		if (c)
			detach(c);
		pending_done(p);
		if (c)
			c->on_done(c, -ECONNRESET, NULL);
	}
}

/* Told once: that the tries to come back fail too is no news. */
static void on_down(struct redis_conn *conn, const char *why)
{
	struct redis *r = container_of(conn, struct redis, commands);
	bool is_news = r->was_told;

	r->was_told = false;
	fail_waiting(r);
	if (is_news)
		tell(r, false, why);
}

static void release(struct redis *r)
{
	if (--r->n_stopping)
		return;
	redis_url_deinit(&r->url);
	free(r);
}

static void on_stopped(struct redis_conn *conn)
{
	release(container_of(conn, struct redis, commands));
}

static void on_channels_stopped(struct redis_conn *conn)
{
	release(container_of(conn, struct redis, channels));
}

bool redis_is_up(const struct redis *r)
{
	return r->commands.state == REDIS_UP;
}

int redis_new(uv_loop_t *loop, struct wheel *wheel, const char *url,
	      void (*on_state)(void *arg, bool is_up, const char *why), void *arg, struct redis **ret,
	      struct error *err)
{
	const struct redis_api *api = redis_api_load();
	struct redis_url parsed;
	struct redis *r;

	if (redis_url_parse(url, &parsed, err) < 0)
		return -EINVAL;
	if (!api) {
		redis_url_deinit(&parsed);
		error_set(err, "redis_library", "Redis needs the library hiredis: apt-get install libhiredis-dev");
		return -ENOENT;
	}
	r = xcalloc(1, sizeof(*r));
	r->url = parsed;
	r->on_state = on_state;
	r->arg = arg;
	r->was_told = true; /* that it cannot be reached at first is worth a word */
	list_init(&r->waiting);
	list_init(&r->spare);
	r->commands = (struct redis_conn){.loop = loop,
					  .wheel = wheel,
					  .url = &r->url,
					  .api = api,
					  .on_up = on_up,
					  .on_down = on_down,
					  .on_reply = on_reply,
					  .on_quiet = on_quiet,
					  .on_stopped = on_stopped};
	r->channels = r->commands;
	r->channels.on_stopped = on_channels_stopped;
	redis_channels_init(r);
	redis_conn_start(&r->commands);
	*ret = r;
	return 0;
}

void redis_free(struct redis *r)
{
	struct redis_pending *p;

	if (!r)
		return;
	while ((p = list_first(&r->waiting, struct redis_pending, link))) {
		if (p->command)
			detach(p->command);
		pending_free(p);
	}
	while ((p = list_first(&r->spare, struct redis_pending, link)))
		pending_free(p);
	redis_channels_deinit(r);
	r->n_stopping = 2;
	redis_conn_stop(&r->commands);
	redis_conn_stop(&r->channels);
}
