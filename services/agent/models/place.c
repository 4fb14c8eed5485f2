#include "agent/models/place.h"

#include <stdlib.h>

#include "base/alloc.h"

#define BROKEN_AFTER 6 /* attempts that failed one after the other */
#define BROKEN_FIRST_MS (10 * 1000)
#define BROKEN_MAX_MS (120 * 1000)

/* The calls of one user that wait. */
struct model_line {
	struct list link;  /* in place.lines, whose first is next */
	struct list turns; /* struct model_turn by link */
	char user_id[65];
};

struct model_place {
	unsigned refs;
	uv_loop_t *loop;
	struct wheel *wheel;
	struct http_pool *pool;
	struct model_place_limits limits;
	unsigned running;
	struct list lines; /* struct model_line: users who wait, in the order of their turns */
	size_t n_waiting;
	double credit; /* beginnings that are free, by limits.per_minute */
	double tokens; /* that are free, by limits.tokens; below 0 where calls took more than was estimated */
	uint64_t credit_at;
	uint64_t asked_until; /* loop ms */
	unsigned failures;    /* in a row */
	uint64_t broken_until, broken_ms;
	double factor;        /* of estimates of tokens; 0 = nothing learned */
	struct deadline look; /* when one of the times above is over */
	struct later soon;    /* a call has ended */
};

const char *const model_hold_names[] = {[HOLD_NONE] = "none",
					[HOLD_AT_ONCE] = "at_once",
					[HOLD_PER_MINUTE] = "per_minute",
					[HOLD_TOKENS] = "tokens_per_minute",
					[HOLD_ASKED] = "provider",
					[HOLD_BROKEN] = "broken"};

static uint64_t now_ms(const struct model_place *p)
{
	return uv_now(p->loop);
}

static void let_in(struct model_place *p);

static void on_look(struct deadline *d)
{
	let_in(container_of(d, struct model_place, look));
}

static void on_soon(struct later *l)
{
	let_in(container_of(l, struct model_place, soon));
}

struct model_place *model_place_new(uv_loop_t *loop, struct wheel *wheel, struct http_pool *pool,
				    const struct model_place_limits *limits)
{
	struct model_place *p = xcalloc(1, sizeof(*p));

	p->refs = 1;
	p->loop = loop;
	p->wheel = wheel;
	p->pool = pool;
	p->broken_ms = BROKEN_FIRST_MS;
	list_init(&p->lines);
	deadline_init(&p->look, on_look);
	later_init(&p->soon, on_soon);
	model_place_set_limits(p, limits);
	return p;
}

struct model_place *model_place_ref(struct model_place *p)
{
	p->refs++;
	return p;
}

void model_place_unref(struct model_place *p)
{
	if (!p || --p->refs > 0)
		return;
	deadline_clear(&p->look);
	later_clear(&p->soon);
	http_pool_free(p->pool);
	free(p);
}

struct http_pool *model_place_pool(const struct model_place *p)
{
	return p->pool;
}

void model_place_set_limits(struct model_place *p, const struct model_place_limits *limits)
{
	/* A limit that is new begins with a whole minute. */
	if (p->limits.per_minute == 0)
		p->credit = (double)limits->per_minute;
	if (p->limits.tokens == 0)
		p->tokens = (double)limits->tokens;
	p->limits = *limits;
	p->credit_at = now_ms(p);
	if (p->n_waiting > 0)
		later_set(p->wheel, &p->soon);
}

bool model_place_is_broken(const struct model_place *p)
{
	return p->failures >= BROKEN_AFTER && now_ms(p) < p->broken_until;
}

double model_place_factor(const struct model_place *p)
{
	return p->factor > 0 ? p->factor * 1.05 : 1.15;
}

void model_place_learn(struct model_place *p, int64_t estimated, int64_t counted)
{
	double now;

	if (estimated < 50 || counted <= 0)
		return; /* frames and templates outweigh the text */
	now = MIN(MAX((double)counted / (double)estimated, 0.6), 3.0);
	p->factor = p->factor > 0 ? p->factor * 0.7 + now * 0.3 : now;
}

size_t model_place_n_waiting(const struct model_place *p)
{
	return p->n_waiting;
}

static void refill(struct model_place *p, uint64_t now)
{
	double most = (double)p->limits.per_minute, tokens = (double)p->limits.tokens;
	double part = (double)(now - p->credit_at) / 60000.0;

	p->credit = MIN(p->credit + part * most, most);
	p->tokens = MIN(p->tokens + part * tokens, tokens);
	p->credit_at = now;
}

/* ms until so much is there that is short now, by what a minute brings. */
static uint64_t time_for(double missing, int64_t a_minute)
{
	return (uint64_t)(missing * 60000.0 / (double)a_minute) + 1;
}

/* By limits of time. A call that takes more than a whole minute's tokens begins when none of them is used. */
static enum model_hold hold_by_minute(struct model_place *p, const struct model_turn *t, uint64_t *ret_ms)
{
	double needed = (double)MIN(t->tokens, p->limits.tokens);

	if (p->limits.per_minute > 0 && p->credit < 1) {
		*ret_ms = time_for(1 - p->credit, p->limits.per_minute);
		return HOLD_PER_MINUTE;
	}
	if (p->limits.tokens > 0 && p->tokens < needed) {
		*ret_ms = time_for(needed - p->tokens, p->limits.tokens);
		return HOLD_TOKENS;
	}
	return HOLD_NONE;
}

/* Why the call may not begin now, and in *ret_ms when that may be otherwise (0 = when one has ended). */
static enum model_hold hold(struct model_place *p, const struct model_turn *t, uint64_t *ret_ms)
{
	uint64_t now = now_ms(p);

	*ret_ms = 0;
	if (now < p->asked_until) {
		*ret_ms = p->asked_until - now;
		return HOLD_ASKED;
	}
	if (p->failures >= BROKEN_AFTER && (now < p->broken_until || p->running > 0)) {
		*ret_ms = now < p->broken_until ? p->broken_until - now : 0;
		return HOLD_BROKEN;
	}
	if (p->limits.at_once > 0 && p->running >= (uint64_t)p->limits.at_once)
		return HOLD_AT_ONCE;
	if (p->limits.per_minute <= 0 && p->limits.tokens <= 0)
		return HOLD_NONE;
	refill(p, now);
	return hold_by_minute(p, t, ret_ms);
}

static void begin(struct model_place *p, struct model_turn *t)
{
	t->is_in = true;
	p->running++;
	if (p->limits.per_minute > 0)
		p->credit -= 1;
	if (p->limits.tokens > 0)
		p->tokens -= (double)t->tokens;
}

void model_place_settle(struct model_turn *t, int64_t tokens)
{
	struct model_place *p = t->place;

	if (!p || !t->is_in)
		return;
	if (p->limits.tokens > 0)
		p->tokens = MIN(p->tokens + (double)(t->tokens - tokens), (double)p->limits.tokens);
	t->tokens = tokens;
}

static struct model_line *find_line(struct model_place *p, const char *user_id)
{
	struct model_line *line;

	list_foreach (line, &p->lines, struct model_line, link)
		if (strcmp(line->user_id, user_id) == 0)
			return line;
	line = xcalloc(1, sizeof(*line));
	snprintf(line->user_id, sizeof(line->user_id), "%s", user_id);
	list_init(&line->turns);
	list_append(&p->lines, &line->link);
	return line;
}

static void leave_line(struct model_turn *t)
{
	struct model_line *line = t->line;

	t->line = NULL;
	t->place->n_waiting--;
	list_remove(&t->link);
	if (!list_is_empty(&line->turns))
		return;
	list_remove(&line->link);
	free(line);
}

enum model_hold model_place_enter(struct model_place *p, struct model_turn *t)
{
	uint64_t ms;
	enum model_hold why = hold(p, t, &ms);

	t->place = p;
	t->is_in = false;
	t->line = NULL;
	list_init(&t->link);
	if (why == HOLD_NONE && p->n_waiting == 0) {
		begin(p, t);
		return HOLD_NONE;
	}
	t->line = find_line(p, t->user_id);
	list_append(&t->line->turns, &t->link);
	p->n_waiting++;
	if (ms > 0 && !deadline_is_set(&p->look))
		deadline_set(p->wheel, &p->look, ms);
	return why == HOLD_NONE ? HOLD_AT_ONCE : why;
}

/* The next of the user whose turn it is. One that needs much holds those behind it, or it would never begin. */
static struct model_turn *next_turn(struct model_place *p)
{
	struct model_line *line = list_first(&p->lines, struct model_line, link);

	return list_first(&line->turns, struct model_turn, link);
}

/* It is taken, and its user goes behind the others. */
static struct model_turn *take_next(struct model_place *p)
{
	struct model_turn *t = next_turn(p);
	struct model_line *line = t->line;

	list_remove(&line->link);
	list_append(&p->lines, &line->link);
	leave_line(t);
	return t;
}

static void let_in(struct model_place *p)
{
	uint64_t ms = 0;

	model_place_ref(p); /* on_turn may let go of it */
	while (p->n_waiting > 0 && hold(p, next_turn(p), &ms) == HOLD_NONE) {
		struct model_turn *t = take_next(p);
		begin(p, t);
		t->on_turn(t);
	}
	if (p->n_waiting > 0 && ms > 0)
		deadline_set(p->wheel, &p->look, ms);
	model_place_unref(p);
}

/* Those who wait are let in with the next turn of the loop, never from inside this call. */
void model_place_leave(struct model_turn *t)
{
	struct model_place *p = t->place;

	if (!p)
		return;
	if (t->line)
		leave_line(t);
	t->place = NULL;
	if (!t->is_in)
		return;
	t->is_in = false;
	p->running--;
	if (p->n_waiting > 0)
		later_set(p->wheel, &p->soon);
}

void model_place_report(struct model_place *p, bool works, uint64_t wait_ms)
{
	uint64_t now = now_ms(p);

	if (wait_ms > 0)
		p->asked_until = MAX(p->asked_until, now + wait_ms);
	if (works) {
		p->failures = 0;
		p->broken_ms = BROKEN_FIRST_MS;
		return;
	}
	if (++p->failures < BROKEN_AFTER)
		return;
	p->broken_until = now + p->broken_ms;
	p->broken_ms = MIN(p->broken_ms * 2, BROKEN_MAX_MS);
}
