/* What runs have spent, by day, and what they may spend. Tokens are input and output; money is 1e-9 US dollars. */
#pragma once

#include "agent/chat.h"
#include "base/arena.h"
#include "base/json.h"
#include "data/db.h"

struct agent;

struct budget_amount {
	int64_t tokens, cost_nano;
};

enum budget_scope { BUDGET_RUN, BUDGET_AGENT_DAY, BUDGET_USER_DAY };
#define BUDGET_SCOPES 3

/* A limit of 0 is none. */
struct budgets {
	struct budget_amount limit[BUDGET_SCOPES], used[BUDGET_SCOPES];
	unsigned warned; /* two bits for each scope: 80 %, 95 % */
};

extern const char *const budget_scope_names[];

/* A call of a model to be accounted for. */
struct usage_entry {
	const char *user_id, *agent_id, *provider, *model;
	int64_t calls;
	struct chat_usage usage;
};

int64_t budget_day(int64_t now_us);
/* When the day after it begins, us. */
int64_t budget_day_end(int64_t now_us);
/* From an agent's configuration: {run_tokens, run_cost_usd, day_tokens, day_cost_usd}. */
void budgets_take_config(struct budgets *b, yyjson_val *config);
bool budgets_has_limits(const struct budgets *b);
/* Worker thread. The user's limit: his own, else that of the options. Returns 0 or -errno. */
int budgets_load_user(struct db_conn *c, const struct agent *agent, const char *user_id, struct budgets *b);
/* Worker thread: what was spent today, for the scopes of days that have a limit. */
int budgets_load_used(struct db_conn *c, const char *user_id, const char *agent_id, int64_t now, struct budgets *b);
/* Worker thread. shard: any number. */
int usage_add(struct db_conn *c, const struct usage_entry *e, int64_t now, unsigned shard);

/* What stands in the way of a call that takes `ahead` tokens at least. scope -1 = nothing; then *ret_tokens is what is
 * left in tokens (INT64_MAX without a limit). */
struct budget_verdict {
	int scope;
	bool is_money;
	int64_t limit, used;
};
struct budget_verdict budgets_check(const struct budgets *b, int64_t ahead, int64_t *ret_tokens);
/* A threshold (80 or 95) that has been passed since the last time, 0 = none; *ret says of what. */
int budgets_warning(struct budgets *b, struct budget_verdict *ret);
