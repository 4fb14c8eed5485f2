#include "agent/budget.h"

#include <errno.h>

#include "agent/agent.h"

#define DAY_US (24 * 3600 * 1000000ll)
#define NANO_PER_CENT 10000000ll
#define SHARDS 8

const char *const budget_scope_names[] = {
	[BUDGET_RUN] = "run", [BUDGET_AGENT_DAY] = "agent_day", [BUDGET_USER_DAY] = "user_day"};

int64_t budget_day(int64_t now_us)
{
	return now_us / DAY_US;
}

int64_t budget_day_end(int64_t now_us)
{
	return (budget_day(now_us) + 1) * DAY_US;
}

static struct budget_amount read_amount(yyjson_val *obj, const char *tokens, const char *cost)
{
	return (struct budget_amount){json_get_int(obj, tokens, 0), (int64_t)(json_get_num(obj, cost, 0) * 1e9)};
}

void budgets_take_config(struct budgets *b, yyjson_val *config)
{
	b->limit[BUDGET_RUN] = read_amount(config, "run_tokens", "run_cost_usd");
	b->limit[BUDGET_AGENT_DAY] = read_amount(config, "day_tokens", "day_cost_usd");
}

static bool is_limited(const struct budget_amount *a)
{
	return a->tokens > 0 || a->cost_nano > 0;
}

bool budgets_has_limits(const struct budgets *b)
{
	for (int i = 0; i < BUDGET_SCOPES; i++)
		if (is_limited(&b->limit[i]))
			return true;
	return false;
}

int budgets_load_user(struct db_conn *c, const struct agent *agent, const char *user_id, struct budgets *b)
{
	const struct options *o = service_options(agent->service);
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select day_tokens, day_cost_nano from user_budgets where user_id = ?", DB_TEXT(user_id));
	int r = db_step(c, st);

	if (r == 1)
		b->limit[BUDGET_USER_DAY] = (struct budget_amount){db_col_int(st, 0), db_col_int(st, 1)};
	else
		b->limit[BUDGET_USER_DAY] = (struct budget_amount){option_int(o, "user_day_tokens"),
								   option_int(o, "user_day_cents") * NANO_PER_CENT};
	return MIN(r, 0);
}

static int load_used(struct db_conn *c, struct db_stmt *st, struct budget_amount *ret)
{
	int r = db_step(c, st);

	if (r == 1)
		*ret = (struct budget_amount){db_col_int(st, 0), db_col_int(st, 1)};
	db_done(st);
	return MIN(r, 0);
}

#define SUMS                                                                                                          \
	"select cast(coalesce(sum(input_tokens + output_tokens), 0) as bigint), cast(coalesce(sum(cost_nano), 0) as " \
	"bigint) from usage_days where day = ? and "

int budgets_load_used(struct db_conn *c, const char *user_id, const char *agent_id, int64_t now, struct budgets *b)
{
	int64_t day = budget_day(now);
	int r = 0;

	if (is_limited(&b->limit[BUDGET_AGENT_DAY]))
		r = load_used(c, db_query(c, SUMS "agent_id = ?", DB_INT(day), DB_TEXT(agent_id)),
			      &b->used[BUDGET_AGENT_DAY]);
	if (r == 0 && is_limited(&b->limit[BUDGET_USER_DAY]))
		r = load_used(c, db_query(c, SUMS "user_id = ?", DB_INT(day), DB_TEXT(user_id)),
			      &b->used[BUDGET_USER_DAY]);
	return r;
}

int usage_add(struct db_conn *c, const struct usage_entry *e, int64_t now, unsigned shard)
{
	const struct chat_usage *u = &e->usage;

	return error_only(db_exec(
		c,
		"insert into usage_days (day, user_id, agent_id, provider, model, shard, calls, input_tokens, "
		"output_tokens, cached_tokens, cost_nano, estimated) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
		"?) on "
		"conflict (day, user_id, agent_id, provider, model, shard) do update set calls = "
		"usage_days.calls + "
		"excluded.calls, input_tokens = usage_days.input_tokens + excluded.input_tokens, output_tokens "
		"= "
		"usage_days.output_tokens + excluded.output_tokens, cached_tokens = usage_days.cached_tokens + "
		"excluded.cached_tokens, cost_nano = usage_days.cost_nano + excluded.cost_nano, estimated = "
		"case when "
		"excluded.estimated > usage_days.estimated then excluded.estimated else usage_days.estimated "
		"end",
		DB_INT(budget_day(now)), DB_TEXT(e->user_id), DB_TEXT(e->agent_id), DB_TEXT(e->provider),
		DB_TEXT(e->model), DB_INT(shard % SHARDS), DB_INT(e->calls), DB_INT(u->input_tokens),
		DB_INT(u->output_tokens), DB_INT(u->cached_tokens), DB_INT(u->cost_nano), DB_INT(u->estimated)));
}

struct budget_verdict budgets_check(const struct budgets *b, int64_t ahead, int64_t *ret_tokens)
{
	*ret_tokens = INT64_MAX;
	for (int i = 0; i < BUDGET_SCOPES; i++) {
		const struct budget_amount *limit = &b->limit[i], *used = &b->used[i];
		if (limit->tokens > 0 && used->tokens + ahead >= limit->tokens)
			return (struct budget_verdict){i, false, limit->tokens, used->tokens};
		if (limit->cost_nano > 0 && used->cost_nano >= limit->cost_nano)
			return (struct budget_verdict){i, true, limit->cost_nano, used->cost_nano};
		if (limit->tokens > 0)
			*ret_tokens = MIN(*ret_tokens, limit->tokens - used->tokens - ahead);
	}
	return (struct budget_verdict){.scope = -1};
}

static int percent(int64_t used, int64_t limit)
{
	return limit > 0 ? (int)MIN((double)used * 100 / (double)limit, 1000) : 0;
}

int budgets_warning(struct budgets *b, struct budget_verdict *ret)
{
	static const int thresholds[] = {95, 80};

	for (int i = 0; i < BUDGET_SCOPES; i++) {
		int tokens = percent(b->used[i].tokens, b->limit[i].tokens);
		int money = percent(b->used[i].cost_nano, b->limit[i].cost_nano);
		bool is_money = money > tokens;
		for (size_t k = 0; k < ARRAY_SIZE(thresholds); k++) {
			/* Who was warned of 95 % need not hear of 80. */
			unsigned bits = k == 0 ? 3u << (2 * i) : 1u << (2 * i), bit = 1u << (2 * i + (k == 0));
			if (MAX(tokens, money) < thresholds[k] || (b->warned & bit))
				continue;
			b->warned |= bits;
			*ret = (struct budget_verdict){i, is_money,
						       is_money ? b->limit[i].cost_nano : b->limit[i].tokens,
						       is_money ? b->used[i].cost_nano : b->used[i].tokens};
			return thresholds[k];
		}
	}
	return 0;
}
