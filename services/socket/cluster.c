#include "cluster.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "data/redis.h"
#include "presence.h"
#include "socket.h"
#include "window.h"

#define TIMEOUT_MS 5000
#define BEAT_MS 5000
#define LEASE_MS 15000
#define OUTBOX_MAX 10000 /* events that wait for Redis */
#define RECENT_MAX 2048  /* events of which the other channels' copies may still come */
#define MAX_CHANNELS 16  /* of one event */
#define PREFIX "ogent:socket:"

enum sync { SYNC_WAITS, SYNC_ASKS, SYNC_LIVE };

/* A channel that this node follows. */
struct cluster_channel {
	struct redis_subscription sub;
	struct redis_command fetch;
	struct cluster *cluster;
	struct channel *channel;
	struct list link;    /* in cluster.channels */
	struct list waiting; /* struct cluster_wait */
	enum sync state;     /* waits for the subscription, for the answer to `fetch`, for messages */
	bool is_asked_again; /* something came meanwhile that the answer may not have */
	bool is_behind;      /* there was no answer: it is asked for again */
	char topic[];
};

/* An event on its way to Redis, until that has it for sure. */
struct outgoing {
	struct list link; /* in cluster.sent, or in cluster.outbox while Redis is away */
	struct redis_command command;
	struct cluster *cluster;
	struct post *post;
};

struct cluster {
	struct socket_service *socket;
	struct redis *redis;
	bool is_up;
	char node[ID_SIZE];
	uint64_t seq;
	struct list channels; /* struct cluster_channel */
	struct list sent, outbox;
	unsigned n_outbox;
	struct list recent; /* struct post, in_recent: by their ids, the oldest first */
	struct post *by_id;
	unsigned n_recent;
	struct redis_script publish, fetch, beat;
	struct redis_command beating;
	struct deadline next_beat;
};

static const char publish_text[] =
	"if not redis.call('SET', KEYS[1], '1', 'NX', 'PX', 300000) then return 0 end\n"
	"local n, at, topics = (#KEYS - 1) / 2, {}, {}\n"
	"for i = 1, n do\n"
	"  local meta = KEYS[2 * i]\n"
	"  redis.call('HSETNX', meta, 'e', ARGV[2])\n"
	"  local o = redis.call('HINCRBY', meta, 'o', 1)\n"
	"  at[i] = {ARGV[5 + i], redis.call('HGET', meta, 'e'), o}\n"
	"end\n"
	"local m = 'e\\n' .. ARGV[1] .. '\\n' .. cjson.encode(at) .. '\\n' .. ARGV[3]\n"
	"for i = 1, n do\n"
	"  local meta, events, id = KEYS[2 * i], KEYS[2 * i + 1], string.format('%.0f-0', at[i][3])\n"
	"  if not pcall(redis.call, 'XADD', events, 'MAXLEN', '~', ARGV[4], id, 'm', m) then\n"
	"    redis.call('DEL', events)\n"
	"    redis.call('XADD', events, id, 'm', m)\n"
	"  end\n"
	"  redis.call('PEXPIRE', meta, ARGV[5])\n"
	"  redis.call('PEXPIRE', events, ARGV[5])\n"
	"  redis.call('SPUBLISH', '" PREFIX "' .. '{' .. at[i][1] .. '}', m)\n"
	"end\n"
	"return 1\n";

/* An empty Redis must not take over an epoch in which there were events: their numbers would come again. */
static const char fetch_text[] = "redis.call('HSETNX', KEYS[1], 'e', ARGV[2] == '0' and ARGV[1] or ARGV[5])\n"
				 "redis.call('PEXPIRE', KEYS[1], ARGV[4])\n"
				 "local e, after = redis.call('HGET', KEYS[1], 'e'), ARGV[2]\n"
				 "if e ~= ARGV[1] then after = '0' end\n"
				 "return {e, tonumber(redis.call('HGET', KEYS[1], 'o') or '0'),\n"
				 "  redis.call('XREVRANGE', KEYS[2], '+', '(' .. after .. '-0', 'COUNT', ARGV[3]), "
				 "redis.call('HGETALL', KEYS[3])}\n";

static const char beat_text[] = "redis.call('ZADD', KEYS[1], ARGV[1] + ARGV[2], ARGV[3])\n"
				"redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1])\n"
				"return redis.call('ZRANGE', KEYS[1], 0, -1)\n";

/* ---- Posts by their ids ---- */

static struct post *find_post(struct cluster *b, struct str id)
{
	struct post *p;

	HASH_FIND(hh, b->by_id, id.p, id.n, p);
	return p;
}

static void forget_oldest(struct cluster *b)
{
	struct post *p = list_first(&b->recent, struct post, in_recent);

	HASH_DEL(b->by_id, p);
	list_remove(&p->in_recent);
	b->n_recent--;
	post_unref(p);
}

static void remember_post(struct cluster *b, struct post *p, struct str id)
{
	p->id = xstrndup(id.p, id.n);
	p->refs++;
	list_append(&b->recent, &p->in_recent);
	HASH_ADD_KEYPTR(hh, b->by_id, p->id, id.n, p);
	if (++b->n_recent > RECENT_MAX)
		forget_oldest(b);
}

/* ---- Coming in ---- */

static void tell_position(struct channel *ch)
{
	struct place *p;

	list_foreach (p, &ch->places, struct place, in_channel) {
		struct client *c = p->client;
		yyjson_mut_doc *doc;
		yyjson_mut_val *obj;

		arena_reset(c->socket->arena);
		obj = client_message(c, "position", &doc);
		json_add_str(doc, obj, "room", ch->name);
		json_add_str(doc, obj, "epoch", ch->epoch);
		yyjson_mut_obj_add_uint(doc, obj, "offset", ch->offset);
		client_send(c, doc, NULL);
	}
}

/* A message of a channel, taken apart. */
struct message {
	struct str id, text;
	yyjson_val *in; /* [[name, epoch, offset]…] */
	const char *epoch;
	uint64_t offset; /* in the channel it came by */
	unsigned index;
};

static bool read_message(struct arena *a, const struct channel *ch, struct str m, struct message *ret)
{
	struct str kind = str_cut(&m, '\n'), in;
	size_t i, n;
	yyjson_val *one;

	*ret = (struct message){.id = str_cut(&m, '\n')};
	in = str_cut(&m, '\n');
	ret->text = m;
	if (!str_is(kind, "e") || !ret->text.p)
		return false;
	ret->in = yyjson_doc_get_root(json_parse(a, in.p, in.n, NULL));
	if (yyjson_arr_size(ret->in) > MAX_CHANNELS)
		return false;
	yyjson_arr_foreach(ret->in, i, n, one)
	{
		const char *name = yyjson_get_str(yyjson_arr_get(one, 0));

		if (!name || strcmp(name, ch->name) != 0)
			continue;
		ret->index = (unsigned)i;
		ret->epoch = yyjson_get_str(yyjson_arr_get(one, 1));
		ret->offset = (uint64_t)yyjson_get_num(yyjson_arr_get(one, 2));
	}
	return ret->epoch;
}

/* The post of the message: the one that another channel's copy made, that we sent, or a new one. */
static struct post *post_of(struct cluster *b, const struct message *m)
{
	struct post *p = find_post(b, m->id);
	struct str names[MAX_CHANNELS];
	size_t i, n = 0;
	yyjson_val *one;

	yyjson_arr_foreach(m->in, i, n, one)
	{
		yyjson_val *name = yyjson_arr_get(one, 0);

		names[i] = (struct str){yyjson_get_str(name), yyjson_get_len(name)};
	}
	if (!p) {
		p = post_new(++b->socket->n_events, m->text, names, (unsigned)n);
		remember_post(b, p, m->id);
		post_unref(p);
	}
	yyjson_arr_foreach(m->in, i, n, one)
	{
		if (i < p->n_in)
			p->in[i].offset = (uint64_t)yyjson_get_num(yyjson_arr_get(one, 2));
	}
	p->is_seen = true;
	return p;
}

static void pump_windows(struct channel *ch)
{
	struct place *p;

	list_foreach (p, &ch->places, struct place, in_channel)
		if (p->window)
			window_pump(p);
}

/* The next event of the channel. */
static void accept_message(struct cluster *b, struct channel *ch, const struct message *m)
{
	struct post *p = post_of(b, m);
	struct broadcast *one = broadcast_new(p, m->index, socket_now(b->socket));

	channel_remember(&b->socket->channels, ch, one);
	if (p->is_told) {
		tell_position(ch);
		pump_windows(ch);
	} else {
		publish_to(ch, one);
	}
	broadcast_unref(one);
}

static void ask(struct cluster_channel *bc);

static void take_presence(struct cluster_channel *bc, struct str m)
{
	char text[512], *at = text, *node, *user, *name, *n;

	if (m.n >= sizeof(text))
		return;
	memcpy(text, m.p, m.n);
	text[m.n] = '\0';
	strsep(&at, "\n");
	node = strsep(&at, "\n");
	user = strsep(&at, "\n");
	name = strsep(&at, "\n");
	n = strsep(&at, "\n");
	if (n && strcmp(node, bc->cluster->node) != 0)
		presence_set(bc->cluster->socket, bc->channel, node, user, name, (unsigned)strtoul(n, NULL, 10));
}

static void on_message(struct redis_subscription *sub, struct str text)
{
	struct cluster_channel *bc = container_of(sub, struct cluster_channel, sub);
	struct socket_service *s = bc->cluster->socket;
	struct channel *ch = bc->channel;
	struct message m;

	if (text.n > 1 && text.p[0] == 'p') {
		take_presence(bc, text);
		return;
	}
	/* The message outlives what the clients' answers do to the socket's arena. */
	_cleanup_(arena_free_p) struct arena *a = arena_new();

	if (!read_message(a, ch, text, &m))
		return;
	if (bc->state != SYNC_LIVE)
		bc->is_asked_again = true;
	else if (strcmp(m.epoch, ch->epoch) != 0 || m.offset > ch->offset + 1)
		ask(bc);
	else if (m.offset == ch->offset + 1)
		accept_message(bc->cluster, ch, &m);
	channels_age(&s->channels, socket_now(s));
}

/* ---- Where a channel stands ---- */

static void become_live(struct cluster_channel *bc)
{
	struct cluster_wait *w;

	bc->state = SYNC_LIVE;
	while ((w = list_first(&bc->waiting, struct cluster_wait, link))) {
		list_remove(&w->link);
		w->done(w);
	}
}

static void take_events(struct cluster_channel *bc, const struct redis_value *list, uint64_t offset, bool silently)
{
	struct channel *ch = bc->channel;

	for (size_t i = redis_count(list); i-- > 0;) {
		struct str text = redis_text(redis_at(redis_at(redis_at(list, i), 1), 1));
		_cleanup_(arena_free_p) struct arena *a = arena_new();
		struct message m;

		if (!read_message(a, ch, text, &m) || strcmp(m.epoch, ch->epoch) != 0 || m.offset <= ch->offset)
			continue;
		if (m.offset > ch->offset + 1)
			channel_jump(&bc->cluster->socket->channels, ch, ch->epoch, m.offset - 1);
		if (silently) {
			struct broadcast *one =
				broadcast_new(post_of(bc->cluster, &m), m.index, socket_now(bc->cluster->socket));

			channel_remember(&bc->cluster->socket->channels, ch, one);
			broadcast_unref(one);
		} else {
			accept_message(bc->cluster, ch, &m);
		}
	}
	if (offset > ch->offset)
		channel_jump(&bc->cluster->socket->channels, ch, ch->epoch, offset);
}

/* The fields are NODE LF USER, the values NAME LF CONNECTIONS. Of nodes without a lease nothing is believed for long:
 * the next beat forgets them. */
static void take_present(struct cluster_channel *bc, const struct redis_value *list)
{
	for (size_t i = 0; i + 1 < redis_count(list); i += 2) {
		struct str field = redis_text(redis_at(list, i)), value = redis_text(redis_at(list, i + 1));
		char text[512];
		int n = snprintf(text, sizeof(text), "p\n%.*s\n%.*s", STR_ARG(field), STR_ARG(value));

		if (n < (int)sizeof(text))
			take_presence(bc, (struct str){text, (size_t)n});
	}
}

static void tell_own(void *arg, struct channel *ch, const char *user, const char *name, unsigned n)
{
	cluster_tell_presence(arg, ch, user, name, n);
}

static void on_fetched(struct redis_command *c, int err, const struct redis_value *v)
{
	struct cluster_channel *bc = container_of(c, struct cluster_channel, fetch);
	struct channel *ch = bc->channel;
	struct str epoch = redis_text(redis_at(v, 0));
	bool is_new = !ch->is_known, is_same;
	int64_t offset = 0;
	char name[EPOCH_SIZE];

	if (err || epoch.n != EPOCH_SIZE - 1 || !redis_integer(redis_at(v, 1), &offset)) {
		bc->is_behind = true;
		become_live(bc);
		return;
	}
	memcpy(name, epoch.p, epoch.n);
	name[epoch.n] = '\0';
	is_same = strcmp(name, ch->epoch) == 0;
	if (!is_same)
		channel_jump(&bc->cluster->socket->channels, ch, name, 0);
	ch->is_known = true;
	take_events(bc, redis_at(v, 2), (uint64_t)offset, is_new && !is_same);
	if (is_new || !is_same)
		tell_position(ch);
	take_present(bc, redis_at(v, 3));
	presence_each_own(ch, tell_own, bc->cluster);
	if (bc->is_asked_again)
		ask(bc);
	else
		become_live(bc);
}

static void ask(struct cluster_channel *bc)
{
	struct channel *ch = bc->channel;
	const struct channels_limits *limits = &bc->cluster->socket->channels.limits;
	char meta[CHANNEL_NAME_MAX + 32], events[CHANNEL_NAME_MAX + 32], here[CHANNEL_NAME_MAX + 32];
	char after[24], count[16], ms[24], epoch[EPOCH_SIZE];

	snprintf(meta, sizeof(meta), "%s:meta", bc->topic);
	snprintf(events, sizeof(events), "%s:events", bc->topic);
	snprintf(here, sizeof(here), "%s:here", bc->topic);
	secret_new(epoch, sizeof(epoch), "", 8);
	snprintf(after, sizeof(after), "%" PRIu64, ch->offset);
	snprintf(count, sizeof(count), "%u", MAX(limits->messages, 1u));
	snprintf(ms, sizeof(ms), "%" PRIu64, MAX(limits->ms, (uint64_t)60000));

	struct str argv[] = {str_of(meta),  str_of(events), str_of(here), str_of(ch->epoch),
			     str_of(after), str_of(count),  str_of(ms),   str_of(epoch)};

	if (bc->state == SYNC_ASKS && !bc->is_asked_again)
		return;
	bc->is_asked_again = bc->is_behind = false;
	bc->state = SYNC_ASKS;
	bc->fetch.on_done = on_fetched;
	if (redis_eval(bc->cluster->redis, &bc->fetch, &bc->cluster->fetch, argv, 3, ARRAY_SIZE(argv), TIMEOUT_MS) <
	    0) {
		bc->is_behind = true;
		become_live(bc);
	}
}

/* The connection for channels may be there before the one for commands, and an answer may not come in time. */
static void ask_again(struct cluster *b)
{
	struct cluster_channel *bc;

	list_foreach (bc, &b->channels, struct cluster_channel, link)
		if (bc->is_behind && bc->sub.is_on && bc->state == SYNC_LIVE)
			ask(bc);
}

static void on_subscribed(struct redis_subscription *sub, bool is_on, const char *why)
{
	struct cluster_channel *bc = container_of(sub, struct cluster_channel, sub);

	if (is_on && bc->state != SYNC_ASKS)
		ask(bc);
	else if (is_on)
		bc->is_asked_again = true;
	else if (bc->state == SYNC_WAITS)
		become_live(bc);
}

bool cluster_open(struct cluster *b, struct channel *ch)
{
	size_t n = strlen(ch->name) + sizeof(PREFIX) + 2;
	struct cluster_channel *bc = ch->cluster;

	if (bc)
		return bc->state == SYNC_LIVE;
	bc = xcalloc(1, sizeof(*bc) + n);
	snprintf(bc->topic, n, PREFIX "{%s}", ch->name);
	bc->cluster = b;
	bc->channel = ch;
	bc->sub.on_message = on_message;
	bc->sub.on_state = on_subscribed;
	list_init(&bc->waiting);
	list_append(&b->channels, &bc->link);
	ch->cluster = bc;
	if (!b->is_up)
		bc->state = SYNC_LIVE;
	redis_subscribe(b->redis, &bc->sub, str_of(bc->topic), true);
	return bc->state == SYNC_LIVE;
}

void cluster_wait(struct channel *ch, struct cluster_wait *w, void (*done)(struct cluster_wait *w))
{
	w->done = done;
	list_append(&ch->cluster->waiting, &w->link);
}

void cluster_wait_cancel(struct cluster_wait *w)
{
	list_remove(&w->link);
}

void cluster_close(struct channel *ch)
{
	struct cluster_channel *bc = ch->cluster;

	if (!bc || !list_is_empty(&bc->waiting))
		return;
	redis_cancel(&bc->fetch);
	redis_unsubscribe(&bc->sub);
	presence_forget(bc->cluster->socket, ch, NULL);
	list_remove(&bc->link);
	ch->cluster = NULL;
	free(bc);
}

/* ---- Going out ---- */

static void give_here(struct cluster *b, struct post *p)
{
	if (p->is_seen || p->is_told)
		return;
	p->is_told = true;
	for (unsigned i = 0; i < p->n_in; i++) {
		struct channel *ch = channel_find(&b->socket->channels, str_of(p->in[i].channel));
		struct broadcast *one = ch ? broadcast_new(p, i, socket_now(b->socket)) : NULL;

		if (one)
			publish_to(ch, one);
		broadcast_unref(one);
	}
}

static void outgoing_free(struct outgoing *o)
{
	list_remove(&o->link);
	redis_cancel(&o->command);
	post_unref(o->post);
	free(o);
}

/* Redis is away, or may not have it: it goes to whoever is here, and is sent again. */
static void put_off(struct outgoing *o)
{
	struct cluster *b = o->cluster;

	list_remove(&o->link);
	list_append(&b->outbox, &o->link);
	give_here(b, o->post);
	if (++b->n_outbox <= OUTBOX_MAX)
		return;
	b->n_outbox--;
	metric_add(b->socket->dropped, 1);
	outgoing_free(list_first(&b->outbox, struct outgoing, link));
}

/* What the server says of its own state, which passes: it is full, cannot write its disk, follows another one… */
static bool passes(struct str refusal)
{
	static const char *const states[] = {"BUSY",       "CLUSTERDOWN", "LOADING",  "MASTERDOWN", "MISCONF",
					     "NOREPLICAS", "OOM",         "READONLY", "TRYAGAIN"};
	struct str word = str_cut(&refusal, ' ');

	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (str_is(word, states[i]))
			return true;
	return false;
}

static void on_published(struct redis_command *c, int err, const struct redis_value *v)
{
	struct outgoing *o = container_of(c, struct outgoing, command);

	if (err == -EREMOTEIO)
		log_warn("Redis does not take an event: %.*s", STR_ARG(redis_text(v)));
	if (err && (err != -EREMOTEIO || passes(redis_text(v)))) {
		put_off(o);
		return;
	}
	if (err)
		give_here(o->cluster, o->post);
	outgoing_free(o);
}

static int send_out(struct outgoing *o)
{
	struct cluster *b = o->cluster;
	const struct channels_limits *limits = &b->socket->channels.limits;
	struct post *p = o->post;
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct str argv[1 + 3 * MAX_CHANNELS + 5];
	char epoch[EPOCH_SIZE];
	size_t n = 0, n_keys;

	secret_new(epoch, sizeof(epoch), "", 8);
	argv[n++] = str_of(arena_printf(a, PREFIX "post:%s", p->id));
	for (unsigned i = 0; i < p->n_in; i++) {
		argv[n++] = str_of(arena_printf(a, PREFIX "{%s}:meta", p->in[i].channel));
		argv[n++] = str_of(arena_printf(a, PREFIX "{%s}:events", p->in[i].channel));
	}
	n_keys = n;
	argv[n++] = str_of(p->id);
	argv[n++] = str_of(epoch);
	argv[n++] = (struct str){p->text, p->n};
	argv[n++] = str_of(arena_printf(a, "%u", MAX(limits->messages, 1u)));
	argv[n++] = str_of(arena_printf(a, "%" PRIu64, MAX(limits->ms, (uint64_t)60000)));
	for (unsigned i = 0; i < p->n_in; i++)
		argv[n++] = str_of(p->in[i].channel);
	return redis_eval(b->redis, &o->command, &b->publish, argv, n_keys, n, TIMEOUT_MS);
}

unsigned cluster_publish(struct cluster *b, struct str text, const struct str *channels, unsigned n)
{
	struct outgoing *o = xcalloc(1, sizeof(*o));
	char id[64];
	unsigned here = 0;

	snprintf(id, sizeof(id), "%s.%" PRIu64, b->node, ++b->seq);
	o->cluster = b;
	o->command.on_done = on_published;
	o->post = post_new(++b->socket->n_events, text, channels, n);
	remember_post(b, o->post, str_of(id));
	for (unsigned i = 0; i < n; i++) {
		const struct channel *ch = channel_find(&b->socket->channels, channels[i]);

		here += ch ? ch->n_places : 0;
	}
	list_append(&b->sent, &o->link);
	if (!b->is_up || !list_is_empty(&b->outbox) || send_out(o) < 0)
		put_off(o);
	return here;
}

static void send_outbox(struct cluster *b)
{
	struct outgoing *o;

	while (b->is_up && (o = list_first(&b->outbox, struct outgoing, link))) {
		if (send_out(o) < 0)
			return;
		list_remove(&o->link);
		list_append(&b->sent, &o->link);
		b->n_outbox--;
	}
}

void cluster_tell_presence(struct cluster *b, struct channel *ch, const char *user, const char *name, unsigned n)
{
	_cleanup_(buf_deinit) struct buf here = BUF_INIT, field = BUF_INIT, value = BUF_INIT, message = BUF_INIT;

	if (!b || !ch->cluster)
		return;
	buf_printf(&here, "%s:here", ch->cluster->topic);
	buf_printf(&field, "%s\n%s", b->node, user);
	buf_printf(&value, "%s\n%u", name, n);
	buf_printf(&message, "p\n%s\n%s\n%s\n%u", b->node, user, name, n);

	struct str set[] = {STR("HSET"), buf_str(&here), buf_str(&field), buf_str(&value)};
	struct str del[] = {STR("HDEL"), buf_str(&here), buf_str(&field)};
	struct str expire[] = {STR("EXPIRE"), buf_str(&here), STR("86400")};
	struct str publish[] = {STR("SPUBLISH"), str_of(ch->cluster->topic), buf_str(&message)};

	if (n > 0)
		redis_send(b->redis, NULL, set, ARRAY_SIZE(set), TIMEOUT_MS);
	else
		redis_send(b->redis, NULL, del, ARRAY_SIZE(del), TIMEOUT_MS);
	redis_send(b->redis, NULL, expire, ARRAY_SIZE(expire), TIMEOUT_MS);
	redis_send(b->redis, NULL, publish, ARRAY_SIZE(publish), TIMEOUT_MS);
}

/* ---- The nodes ---- */

static bool has_lease(void *arg, const char *node)
{
	const struct redis_value *nodes = arg;

	for (size_t i = 0; i < redis_count(nodes); i++)
		if (str_is(redis_text(redis_at(nodes, i)), node))
			return true;
	return false;
}

/* A node that is gone leaves the hash too; whoever notices first takes it out. */
static void drop_node(void *arg, struct channel *ch, const char *node, const char *user)
{
	struct cluster *b = arg;
	_cleanup_(buf_deinit) struct buf here = BUF_INIT, field = BUF_INIT;

	buf_printf(&here, "%s:here", ch->cluster->topic);
	buf_printf(&field, "%s\n%s", node, user);

	struct str del[] = {STR("HDEL"), buf_str(&here), buf_str(&field)};

	redis_send(b->redis, NULL, del, ARRAY_SIZE(del), TIMEOUT_MS);
}

static void on_beat(struct redis_command *c, int err, const struct redis_value *nodes)
{
	struct cluster *b = container_of(c, struct cluster, beating);
	struct cluster_channel *bc;

	if (err || redis_type(nodes) != REDIS_IS_LIST)
		return;
	list_foreach (bc, &b->channels, struct cluster_channel, link)
		presence_sweep(b->socket, bc->channel, has_lease, (void *)nodes, drop_node, b);
}

static void beat(struct deadline *d)
{
	struct cluster *b = container_of(d, struct cluster, next_beat);
	char now[24], lease[16];

	snprintf(now, sizeof(now), "%" PRId64, clock_now_us() / 1000);
	snprintf(lease, sizeof(lease), "%d", LEASE_MS);

	struct str argv[] = {STR(PREFIX "nodes"), str_of(now), str_of(lease), str_of(b->node)};

	redis_cancel(&b->beating);
	b->beating.on_done = on_beat;
	redis_eval(b->redis, &b->beating, &b->beat, argv, 1, ARRAY_SIZE(argv), TIMEOUT_MS);
	/* What was put off while Redis was there, since its answer did not come in time. */
	ask_again(b);
	send_outbox(b);
	deadline_set(service_wheel(b->socket->service), d, BEAT_MS);
}

static void on_state(void *arg, bool is_up, const char *why)
{
	struct cluster *b = arg;
	struct cluster_channel *bc;

	b->is_up = is_up;
	if (is_up) {
		log_info("Redis is there: events go to all socket services");
		beat(&b->next_beat);
		return;
	}
	log_warn("Redis is away, events stay on this node until it is back: %s", why);
	list_foreach (bc, &b->channels, struct cluster_channel, link)
		if (bc->state == SYNC_WAITS)
			become_live(bc);
}

struct cluster *cluster_new(struct socket_service *s, const char *url)
{
	struct cluster *b;
	struct error err = {0};

	if (!*url)
		return NULL;
	b = xcalloc(1, sizeof(*b));
	b->socket = s;
	id_new(b->node);
	list_init(&b->channels);
	list_init(&b->sent);
	list_init(&b->outbox);
	list_init(&b->recent);
	deadline_init(&b->next_beat, beat);
	redis_script_init(&b->publish, publish_text);
	redis_script_init(&b->fetch, fetch_text);
	redis_script_init(&b->beat, beat_text);
	if (redis_new(service_loop(s->service), service_wheel(s->service), url, on_state, b, &b->redis, &err) == 0)
		return b;
	log_error("redis_url cannot be used: %s", err.message);
	free(b);
	return NULL;
}

void cluster_free(struct cluster *b)
{
	struct cluster_channel *bc;
	struct outgoing *o;

	if (!b)
		return;
	list_foreach (bc, &b->channels, struct cluster_channel, link)
		cluster_close(bc->channel);
	redis_cancel(&b->beating);
	list_splice(&b->sent, &b->outbox);
	while ((o = list_first(&b->sent, struct outgoing, link)))
		outgoing_free(o);
	while (b->n_recent)
		forget_oldest(b);
	deadline_clear(&b->next_beat);
	redis_free(b->redis);
	free(b);
}
