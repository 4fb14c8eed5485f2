#include "channel.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/id.h"

#define MAX_CHANNELS 100000 /* above it those without anybody go at once */
#define OVERHEAD 128        /* of one remembered event, about */

static size_t cost(const struct broadcast *b)
{
	return b->post->n + OVERHEAD;
}

void channels_init(struct channels *all, const struct channels_limits *limits, const char *policies)
{
	*all = (struct channels){.limits = *limits, .policies = policies};
	list_init(&all->aged);
	list_init(&all->idle);
}

static void forget(struct channels *all, struct broadcast *b)
{
	struct channel *ch = b->channel;

	ch->forgotten = b->post->number;
	ch->n_history--;
	ch->history_bytes -= cost(b);
	all->bytes -= cost(b);
	list_remove(&b->in_channel);
	list_remove(&b->in_all);
	b->channel = NULL;
	broadcast_unref(b);
}

static void channel_free(struct channels *all, struct channel *ch)
{
	struct broadcast *b;

	while ((b = list_first(&ch->history, struct broadcast, in_channel)))
		forget(all, b);
	list_remove(&ch->idle);
	HASH_DEL(all->by_name, ch);
	free(ch);
}

void channels_age(struct channels *all, uint64_t now)
{
	struct broadcast *b;
	struct channel *ch;

	while ((b = list_first(&all->aged, struct broadcast, in_all)) &&
	       (all->bytes > all->limits.total || now - b->at >= all->limits.ms))
		forget(all, b);
	while ((ch = list_first(&all->idle, struct channel, idle)) &&
	       (now - ch->idle_since >= all->limits.ms || HASH_COUNT(all->by_name) > MAX_CHANNELS) && !ch->cluster)
		channel_free(all, ch);
}

void channels_deinit(struct channels *all)
{
	struct channel *ch;

	while ((ch = list_first(&all->idle, struct channel, idle)))
		channel_free(all, ch);
}

struct channel *channel_find(const struct channels *all, struct str name)
{
	struct channel *ch;

	HASH_FIND(hh, all->by_name, name.p, name.n, ch);
	return ch;
}

static void become_idle(struct channels *all, struct channel *ch, uint64_t now)
{
	ch->idle_since = now;
	list_remove(&ch->idle);
	list_append(&all->idle, &ch->idle);
}

/* PREFIX=POLICY, separated by commas: the longest prefix decides. */
static enum slow_policy policy_of(const struct channels *all, struct str name)
{
	static const char *const names[] = {[SLOW_CLOSE] = "close", [SLOW_DROP] = "drop", [SLOW_SKIP] = "skip"};
	struct str rest = str_of(all->policies), one, prefix;
	enum slow_policy found = SLOW_CLOSE;
	size_t best = 0;

	if (str_has_prefix(name, STR("channel:")) || str_has_prefix(name, STR("command:")))
		found = SLOW_SKIP;
	while (rest.n > 0) {
		one = str_trim(str_cut(&rest, ','));
		prefix = str_cut(&one, '=');
		if (prefix.n < best || !str_has_prefix(name, prefix))
			continue;
		best = prefix.n;
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			if (str_is(one, names[i]))
				found = i;
	}
	return found;
}

struct channel *channel_get(struct channels *all, struct str name, uint64_t now)
{
	struct channel *ch = channel_find(all, name);

	if (ch)
		return ch;
	ch = xcalloc(1, sizeof(*ch) + name.n + 1);
	memcpy(ch->name, name.p, name.n);
	list_init(&ch->places);
	list_init(&ch->history);
	list_init(&ch->idle);
	ch->policy = (uint8_t)policy_of(all, name);
	secret_new(ch->epoch, sizeof(ch->epoch), "", 8);
	HASH_ADD_KEYPTR(hh, all->by_name, ch->name, name.n, ch);
	become_idle(all, ch, now);
	return ch;
}

struct place *place_new(struct channel *ch, struct client *s, struct list *of_client)
{
	struct place *p = xcalloc(1, sizeof(*p));

	p->channel = ch;
	p->client = s;
	p->start = ch->offset;
	list_append(&ch->places, &p->in_channel);
	list_append(of_client, &p->in_client);
	ch->n_places++;
	list_remove(&ch->idle);
	return p;
}

void place_free(struct channels *all, struct place *p, uint64_t now)
{
	struct channel *ch = p->channel;

	list_remove(&p->in_channel);
	list_remove(&p->in_client);
	free(p);
	if (--ch->n_places == 0)
		become_idle(all, ch, now);
}

struct place *place_find(const struct list *of_client, const char *name)
{
	struct place *p;

	list_foreach (p, of_client, struct place, in_client) {
		if (strcmp(p->channel->name, name) == 0)
			return p;
	}
	return NULL;
}

void channel_remember(struct channels *all, struct channel *ch, struct broadcast *b)
{
	b->post->in[b->index].offset = ++ch->offset;
	b->channel = ch;
	broadcast_ref(b);
	list_append(&ch->history, &b->in_channel);
	list_append(&all->aged, &b->in_all);
	ch->n_history++;
	ch->history_bytes += cost(b);
	all->bytes += cost(b);
	while (ch->n_history > all->limits.messages || ch->history_bytes > all->limits.bytes)
		forget(all, list_first(&ch->history, struct broadcast, in_channel));
	if (ch->n_places == 0)
		become_idle(all, ch, b->at);
}

void channel_jump(struct channels *all, struct channel *ch, const char *epoch, uint64_t offset)
{
	struct broadcast *b;

	while ((b = list_first(&ch->history, struct broadcast, in_channel)))
		forget(all, b);
	if (epoch != ch->epoch)
		snprintf(ch->epoch, sizeof(ch->epoch), "%s", epoch);
	ch->offset = offset;
}

bool channel_has_since(const struct channel *ch, const char *epoch, uint64_t offset)
{
	const struct broadcast *oldest = list_first(&ch->history, struct broadcast, in_channel);

	if (strcmp(ch->epoch, epoch) != 0 || offset > ch->offset)
		return false;
	return offset == ch->offset || (oldest && broadcast_offset(oldest) <= offset + 1);
}
