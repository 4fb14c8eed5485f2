/* A place where models are: one address with one key. What all calls to it share is here: the connections to it, how
 * many may go on at once, how often one may begin and how many tokens a minute has, what it asked for when it had too
 * many, and whether it works.
 *
 * Whoever has no room waits. Users take turns, so that one with a hundred runs does not hold up another with one. */
#pragma once

#include "base/list.h"
#include "io/http_client.h"
#include "io/wheel.h"

struct model_place_limits {
	int64_t at_once;    /* calls; 0 = no limit */
	int64_t per_minute; /* beginnings; 0 = no limit */
	int64_t tokens;     /* a minute, read and written; 0 = no limit */
};

/* Why a call waits. */
enum model_hold {
	HOLD_NONE,
	HOLD_AT_ONCE,
	HOLD_PER_MINUTE,
	HOLD_TOKENS,
	HOLD_ASKED, /* the provider said when to come back */
	HOLD_BROKEN /* it failed again and again: one call at a time tries whether it is back */
};

extern const char *const model_hold_names[];

/* One call's turn. Fill the first part; on_turn comes once if model_place_enter said that it must wait. */
struct model_turn {
	const char *user_id;
	int64_t tokens; /* that it will take, as is estimated; model_place_settle tells what it took */
	void (*on_turn)(struct model_turn *t);

	struct list link; /* in its user's queue */
	struct model_place *place;
	struct model_line *line; /* its user's, while it waits */
	bool is_in;
};

struct model_place;

/* pool NULL: through outbound. Takes over the pool. */
struct model_place *model_place_new(uv_loop_t *loop, struct wheel *wheel, struct http_pool *pool,
				    const struct model_place_limits *limits);
struct model_place *model_place_ref(struct model_place *p);
void model_place_unref(struct model_place *p);
struct http_pool *model_place_pool(const struct model_place *p);
void model_place_set_limits(struct model_place *p, const struct model_place_limits *limits);

/* HOLD_NONE: it may begin at once. */
enum model_hold model_place_enter(struct model_place *p, struct model_turn *t);
/* Ends a turn or the wait for it. */
void model_place_leave(struct model_turn *t);
/* The tokens that a call took, before it leaves. One that never began took none. */
void model_place_settle(struct model_turn *t, int64_t tokens);
/* How a call went: whether the place works, and the time in ms that it asked to be left alone (0 = none). */
void model_place_report(struct model_place *p, bool works, uint64_t wait_ms);
/* It failed again and again and is left alone for now. */
bool model_place_is_broken(const struct model_place *p);
/* What to multiply estimates of tokens by: a margin at first, then what its counts have shown. */
double model_place_factor(const struct model_place *p);
void model_place_learn(struct model_place *p, int64_t estimated, int64_t counted);
size_t model_place_n_waiting(const struct model_place *p);
