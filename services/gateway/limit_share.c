#include "limit_share.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/encode.h"
#include "data/redis.h"

#define CALL_MS 50    /* an answer that takes longer is not waited for */
#define PROBE_MS 500  /* then: how often it is asked whether it is there */
#define ROUNDS_MAX 16 /* others were quicker each time: come again later */
#define LATER_US 1000000
#define RECORD_US 3000000 /* a lease in Redis; longer than LIMIT_LEASE_US, which began earlier */
#define KEY_BYTES 16
#define PREFIX "ogent:limit:"

/* For each key: t, the time at which the whole allowance is there again (GCRA), counting what is told to be used; and
 * for each gateway how many requests it may still make or has made and not told, and until when. What nobody renewed
 * counts as used at its end. ARGV: gateway, life of a lease; then for each key the interval, the window, how many are
 * wanted, how many were used. Returns for each key: granted, still free, us until one is free. */
static const char script_text[] =
	"local clock = redis.call('TIME')\n"
	"local now = clock[1] * 1000000 + clock[2]\n"
	"local me, life, ret = ARGV[1], tonumber(ARGV[2]), {}\n"
	"for i, key in ipairs(KEYS) do\n"
	"  local a = 4 * i - 1\n"
	"  local interval, window = tonumber(ARGV[a]), tonumber(ARGV[a + 1])\n"
	"  local want, used = tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])\n"
	"  local t, mine, others = 0, 0, 0\n"
	"  local all, ended = redis.call('HGETALL', key), {}\n"
	"  for j = 1, #all, 2 do\n"
	"    if all[j] == 't' then t = tonumber(all[j + 1]) end\n"
	"  end\n"
	"  for j = 1, #all, 2 do\n"
	"    if all[j] ~= 't' then\n"
	"      local n, till = string.match(all[j + 1], '^(%d+) (%d+)$')\n"
	"      n, till = tonumber(n), tonumber(till)\n"
	"      if till < now then\n"
	"        t = math.max(t, till) + n * interval\n"
	"        ended[#ended + 1] = all[j]\n"
	"      elseif all[j] == me then mine = n\n"
	"      else others = others + n end\n"
	"    end\n"
	"  end\n"
	"  used = math.min(used, mine)\n"
	"  mine = mine - used\n"
	"  t = math.max(t, now) + used * interval\n"
	"  local free = math.floor((now + window - t) / interval) - others - mine\n"
	"  local granted = math.max(0, math.min(want, free))\n"
	"  mine = mine + granted\n"
	"  if #ended > 0 then redis.call('HDEL', key, unpack(ended)) end\n"
	"  redis.call('HSET', key, 't', string.format('%.0f', t))\n"
	"  if mine > 0 then redis.call('HSET', key, me, string.format('%.0f %.0f', mine, now + life))\n"
	"  else redis.call('HDEL', key, me) end\n"
	"  redis.call('PEXPIRE', key, math.ceil((t - now + life + (mine + others) * interval) / 1000))\n"
	"  ret[3 * i - 2] = granted\n"
	"  ret[3 * i - 1] = math.max(0, free - granted)\n"
	"  ret[3 * i] = math.max(0, t + (mine + others + 1) * interval - window - now)\n"
	"end\n"
	"return ret\n";

struct limit_share {
	struct limit_table *table;
	struct wheel *wheel;
	struct redis *redis;
	struct redis_script script;
	void (*on_state)(void *arg, bool is_on, const char *why);
	void *arg;
	bool is_up;          /* Redis can be asked */
	bool is_paused;      /* but did not answer in time last time */
	struct list waiting; /* struct limit_wait, link: until the next answer */
	unsigned n_waiting;  /* with those that are about to be woken */
	struct list calls;   /* struct share_call, link: on their way */
	struct redis_command probe;
	struct deadline next_probe; /* while is_paused */
	/* Read by any thread. */
	_Atomic uint64_t n_calls, n_failed;
	_Atomic bool was_on;
};

/* One script call for up to LIMITS_MAX limits. */
struct share_call {
	struct redis_command command;
	struct list link;
	struct limit_share *share;
	uint64_t sent_us;
	uint32_t generation;
	size_t n;
	struct limit_ask asks[LIMITS_MAX]; /* their clients' bytes stand behind the struct */
	char bytes[];
};

static bool is_on(const struct limit_share *s)
{
	return s->is_up && !s->is_paused;
}

static void tell(struct limit_share *s, const char *why)
{
	s->was_on = is_on(s);
	s->on_state(s->arg, is_on(s), why);
}

static void take_out(struct limit_wait *w)
{
	list_remove(&w->link);
	w->share->n_waiting--;
	w->share = NULL;
}

static void wake_all(struct limit_share *s)
{
	struct list woken;

	list_init(&woken);
	list_splice(&woken, &s->waiting);
	while (!list_is_empty(&woken)) {
		struct limit_wait *w = list_first(&woken, struct limit_wait, link);

		take_out(w);
		w->done(w);
	}
}

/* ---- Calls ---- */

static void call_free(struct share_call *c)
{
	list_remove(&c->link);
	free(c);
}

/* Nobody knows what Redis counted: the leases are void, and this process's name in Redis is another. */
static void forget_leases(struct limit_share *s)
{
	limit_generation_next(s->table);
	s->n_failed++;
}

static void pause_sharing(struct limit_share *s)
{
	if (!s->is_paused) {
		s->is_paused = true;
		deadline_set(s->wheel, &s->next_probe, PROBE_MS);
		tell(s, "no answer in time");
	}
	wake_all(s);
}

static void on_answer(struct redis_command *command, int err, const struct redis_value *v)
{
	struct share_call *c = container_of(command, struct share_call, command);
	struct limit_share *s = c->share;
	int64_t granted, left, retry;

	for (size_t i = 0; !err && i < c->n; i++) {
		if (!redis_integer(redis_at(v, 3 * i), &granted) || !redis_integer(redis_at(v, 3 * i + 1), &left) ||
		    !redis_integer(redis_at(v, 3 * i + 2), &retry) || granted < 0 || granted > c->asks[i].want ||
		    left < 0 || left > UINT32_MAX || retry < 0)
			err = -EPROTO;
		else
			limit_grant(s->table, &c->asks[i].claim, c->generation, c->sent_us, (uint32_t)granted,
				    (uint32_t)left, (uint64_t)retry);
	}
	call_free(c);
	if (err)
		forget_leases(s);
	if (err && err != -ECONNRESET) /* then on_redis tells */
		pause_sharing(s);
	else
		wake_all(s);
}

static struct share_call *call_new(struct limit_share *s, const struct limit_ask *asks, size_t n)
{
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += asks[i].claim.client.n;

	struct share_call *c = xmalloc(sizeof(*c) + bytes);
	char *at = c->bytes;

	*c = (struct share_call){
		.share = s, .n = n, .generation = limit_generation(s->table), .sent_us = clock_mono_us()};
	for (size_t i = 0; i < n; i++) {
		struct str client = asks[i].claim.client;

		c->asks[i] = asks[i];
		c->asks[i].claim.client.p = memcpy(at, client.p, client.n);
		at += client.n;
	}
	list_append(&s->calls, &c->link);
	return c;
}

/* The client's key in Redis tells nothing of him. */
static struct str write_key(const struct limit_claim *claim, char *to, size_t size)
{
	uint8_t hash[KEY_BYTES];
	char hex[2 * KEY_BYTES + 1];
	int n;

	crypto_generichash(hash, sizeof(hash), (const uint8_t *)claim->client.p, claim->client.n, NULL, 0);
	hex_encode(hash, sizeof(hash), hex);
	n = snprintf(to, size, PREFIX "%s:%s", claim->rule->name, hex);
	return (struct str){to, (size_t)n};
}

static int send_call(struct limit_share *s, struct share_call *c)
{
	char keys[LIMITS_MAX][sizeof(PREFIX) + LIMIT_NAME_MAX + 2 * KEY_BYTES + 2], numbers[LIMITS_MAX][4][24];
	char me[LIMIT_TABLE_NAME + 16], life[16];
	struct str argv[5 * LIMITS_MAX + 2];
	size_t at = c->n;

	snprintf(me, sizeof(me), "%s.%" PRIu32, limit_table_name(s->table), c->generation);
	snprintf(life, sizeof(life), "%d", RECORD_US);
	argv[at++] = str_of(me);
	argv[at++] = str_of(life);
	for (size_t i = 0; i < c->n; i++) {
		const struct limit_ask *a = &c->asks[i];
		const uint64_t values[4] = {a->claim.rule->interval_us, a->claim.rule->window_us, a->want, a->used};

		argv[i] = write_key(&a->claim, keys[i], sizeof(keys[i]));
		for (size_t j = 0; j < 4; j++) {
			snprintf(numbers[i][j], sizeof(numbers[i][j]), "%" PRIu64, values[j]);
			argv[at++] = str_of(numbers[i][j]);
		}
	}
	c->command.on_done = on_answer;
	s->n_calls++;
	return redis_eval(s->redis, &c->command, &s->script, argv, c->n, at, CALL_MS);
}

/* Returns false when it could not be sent. */
static bool call(struct limit_share *s, const struct limit_ask *asks, size_t n)
{
	struct share_call *c = call_new(s, asks, n);

	if (send_call(s, c) == 0)
		return true;
	call_free(c);
	forget_leases(s);
	return false;
}

/* Everybody was served before this one: he has waited long enough. */
static enum limit_outcome give_up(struct limit_verdict *verdicts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		verdicts[i].retry_us = LATER_US;
	return LIMIT_REFUSED;
}

static enum limit_outcome wait(struct limit_share *s, struct limit_wait *w)
{
	w->rounds++;
	w->share = s;
	s->n_waiting++;
	list_append(&s->waiting, &w->link);
	return LIMIT_ASK;
}

enum limit_outcome limit_share_take(struct limit_share *s, struct limit_table *t, const struct limit_claim *claims,
				    size_t n, uint64_t now_us, struct limit_verdict *verdicts, struct limit_wait *w)
{
	struct limit_ask asks[LIMITS_MAX];
	size_t n_asks = 0;
	enum limit_outcome r;
	bool is_alone = !s || !is_on(s);

	if (!is_alone) {
		r = limit_take(t, claims, n, now_us, s, verdicts, asks, &n_asks);
		for (size_t i = 0; i < n_asks && r == LIMIT_ASK; i++) /* enough for those who wait as well */
			asks[i].want = MAX(asks[i].want, MIN(s->n_waiting, asks[i].claim.rule->burst));
		if (n_asks)
			is_alone = !call(s, asks, n_asks);
		if (r != LIMIT_ASK)
			return r;
	}
	if (is_alone || list_is_empty(&s->calls))
		return limit_take(t, claims, n, now_us, NULL, verdicts, NULL, NULL);
	return w->rounds < ROUNDS_MAX ? wait(s, w) : give_up(verdicts, n);
}

void limit_wait_cancel(struct limit_wait *w)
{
	if (w->share)
		take_out(w);
}

/* ---- Whether Redis is there ---- */

static void on_probed(struct redis_command *command, int err, const struct redis_value *v)
{
	struct limit_share *s = container_of(command, struct limit_share, probe);

	if (!s->is_paused || !s->is_up)
		return;
	if (err) {
		deadline_set(s->wheel, &s->next_probe, PROBE_MS);
		return;
	}
	s->is_paused = false;
	tell(s, NULL);
}

static void on_next_probe(struct deadline *d)
{
	struct limit_share *s = container_of(d, struct limit_share, next_probe);

	s->probe.on_done = on_probed;
	if (s->is_up && redis_send(s->redis, &s->probe, &STR("PING"), 1, PROBE_MS))
		deadline_set(s->wheel, &s->next_probe, PROBE_MS);
}

static void on_redis(void *arg, bool is_up, const char *why)
{
	struct limit_share *s = arg;
	bool was_on = is_on(s);

	s->is_up = is_up;
	s->is_paused = false;
	deadline_clear(&s->next_probe);
	redis_cancel(&s->probe);
	if (!is_up)
		forget_leases(s);
	if (is_up != was_on || !is_up)
		tell(s, why);
	wake_all(s);
}

static void ignore_state(void *arg, bool on, const char *why)
{
}

int limit_share_new(struct limit_table *t, uv_loop_t *loop, struct wheel *wheel, const char *redis_url,
		    void (*on_state)(void *arg, bool is_on, const char *why), void *arg, struct limit_share **ret,
		    struct error *err)
{
	struct limit_share *s = xcalloc(1, sizeof(*s));
	int r;

	s->table = t;
	s->wheel = wheel;
	s->on_state = on_state ? on_state : ignore_state;
	s->arg = arg;
	list_init(&s->waiting);
	list_init(&s->calls);
	deadline_init(&s->next_probe, on_next_probe);
	redis_script_init(&s->script, script_text);
	r = redis_new(loop, wheel, redis_url, on_redis, s, &s->redis, err);
	if (r < 0)
		free(s);
	else
		*ret = s;
	return r;
}

void limit_share_free(struct limit_share *s)
{
	if (!s)
		return;
	while (!list_is_empty(&s->waiting))
		take_out(list_first(&s->waiting, struct limit_wait, link));
	redis_free(s->redis);
	while (!list_is_empty(&s->calls))
		call_free(list_first(&s->calls, struct share_call, link));
	deadline_clear(&s->next_probe);
	free(s);
}

void limit_share_stats(const struct limit_share *s, struct limit_share_stats *ret)
{
	*ret = (struct limit_share_stats){.calls = s->n_calls, .failed = s->n_failed, .is_on = s->was_on};
}
