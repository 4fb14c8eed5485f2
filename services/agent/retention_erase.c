#include "agent/retention_erase.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/attachments/store.h"
#include "base/civil.h"
#include "base/clock.h"

/* Each with one id. */
static int each(struct db_conn *c, const char *const *statements, size_t n, const char *id)
{
	int64_t r = 0;

	for (size_t i = 0; r >= 0 && i < n; i++)
		r = db_exec(c, statements[i], DB_TEXT(id));
	return (int)MIN(r, 0);
}

int conversation_erase(struct db_conn *c, const char *id, const char *user_id)
{
	static const char *const statements[] = {
		/* First no more writes of its runs. */
		"update executions set claim = claim + 1, owner = null where conversation_id = ?",
		"delete from approvals where conversation_id = ?",
		"delete from queued_messages where conversation_id = ?",
		("delete from execution_events "
		 "where execution_id in (select id from executions where conversation_id = ?)"),
		"delete from tool_marks where execution_id in (select id from executions where conversation_id = ?)",
		"delete from executions where conversation_id = ?",
		"delete from context_marks where conversation_id = ?",
		"delete from step_snapshots where conversation_id = ?",
		"delete from messages where conversation_id = ?",
		"delete from conversations where id = ?",
	};
	int64_t r = attachments_erase(c, id);

	if (r >= 0)
		r = each(c, statements, ARRAY_SIZE(statements), id);
	if (r >= 0)
		r = db_exec(c,
			    "insert into workspace_removals (workspace, user_id, created_at) values (?, ?, ?) on "
			    "conflict (workspace) do update set commands_before = null",
			    DB_TEXT(id), DB_TEXT(user_id), DB_INT(clock_now_us()));
	return (int)MIN(r, 0);
}

/* The conversation stays as it is until the end of the transaction: 1, 0 (gone, or to be kept) or -errno. */
static int lock_conversation(struct db_conn *c, const char *id)
{
	int64_t is_kept;
	int r = db_get_int(c, &is_kept, "select is_kept from conversations where id = ?" DB_FOR_UPDATE, DB_TEXT(id));

	return r < 0 ? r : r == 1 && !is_kept;
}

static int erase_conversation(struct db_conn *c, const struct retention_found *f)
{
	int64_t one;
	int r = lock_conversation(c, f->id);

	/* Somebody may have used it since. */
	if (r == 1)
		r = db_get_int(c, &one,
			       "select 1 from conversations where id = ? and updated_at <= ? and active_execution_id "
			       "is null",
			       DB_TEXT(f->id), DB_INT(f->at));
	if (r != 1)
		return r;
	r = conversation_erase(c, f->id, f->user_id);
	return r < 0 ? r : 1;
}

/* What exec keeps of its commands goes too; those of later runs in the same workspace stay. */
static int forget_commands(struct db_conn *c, const struct retention_found *f)
{
	return error_only(
		db_exec(c,
			"insert into workspace_removals (workspace, user_id, created_at, commands_before) select "
			"conversation_id, user_id, ?, ended_at from executions where id = ? on conflict (workspace) do "
			"update set commands_before = case when workspace_removals.commands_before < "
			"excluded.commands_before then excluded.commands_before else "
			"workspace_removals.commands_before end",
			DB_INT(clock_now_us()), DB_TEXT(f->id)));
}

static int erase_execution(struct db_conn *c, const struct retention_found *f)
{
	static const char *const statements[] = {
		"delete from approvals where execution_id = ?",
		"delete from execution_events where execution_id = ?",
		"delete from tool_marks where execution_id = ?",
		"delete from step_snapshots where execution_id = ?",
		"update conversations set last_execution_id = null where last_execution_id = ?",
		"delete from executions where id = ?",
	};
	int r = lock_conversation(c, f->conversation_id);

	if (r != 1)
		return r;
	r = forget_commands(c, f);
	if (r == 0)
		r = each(c, statements, ARRAY_SIZE(statements), f->id);
	return r < 0 ? r : 1;
}

/* The events have them too. */
static int erase_results(struct db_conn *c, const struct retention_found *f)
{
	int64_t r = lock_conversation(c, f->conversation_id);

	if (r != 1)
		return (int)r;
	r = forget_commands(c, f);
	if (r >= 0)
		r = db_exec(c,
			    "update messages set content = ?, result = null where conversation_id = ? and execution_id "
			    "= ? and role = 'tool'",
			    DB_TEXT(RETENTION_NOTE), DB_TEXT(f->conversation_id), DB_TEXT(f->id));
	if (r >= 0)
		r = db_exec(c, "delete from execution_events where execution_id = ?", DB_TEXT(f->id));
	return r < 0 ? (int)r : 1;
}

static int erase_events(struct db_conn *c, const struct retention_found *f)
{
	int64_t r = lock_conversation(c, f->conversation_id);

	if (r != 1)
		return (int)r;
	r = db_exec(c, "delete from execution_events where execution_id = ?", DB_TEXT(f->id));
	return r < 0 ? (int)r : 1;
}

static int erase_delivery(struct db_conn *c, const struct retention_found *f)
{
	int64_t r = db_exec(c, "delete from webhook_tries where delivery_id = ?", DB_TEXT(f->id));

	if (r >= 0)
		r = db_exec(c, "delete from webhook_deliveries where id = ? and ended_at is not null", DB_TEXT(f->id));
	return (int)r;
}

/* The sums of a day are added to those of its month, which stand at its first day under a shard of their own. */
static int erase_usage(struct db_conn *c, const struct retention_found *f)
{
	int64_t day = strtoll(f->id, NULL, 10);
	struct civil date = civil_of_days(day);
	int64_t r = db_exec(
		c,
		"insert into usage_days (day, user_id, agent_id, provider, model, shard, calls, input_tokens, "
		"output_tokens, cached_tokens, cost_nano, estimated) select ?, user_id, agent_id, provider, model, -1, "
		"cast(sum(calls) as bigint), cast(sum(input_tokens) as bigint), cast(sum(output_tokens) as bigint), "
		"cast(sum(cached_tokens) as bigint), cast(sum(cost_nano) as bigint), max(estimated) from usage_days "
		"where day = ? and shard >= 0 group by user_id, agent_id, provider, model on conflict (day, user_id, "
		"agent_id, provider, model, shard) do update set calls = usage_days.calls + excluded.calls, "
		"input_tokens = usage_days.input_tokens + excluded.input_tokens, output_tokens = "
		"usage_days.output_tokens + excluded.output_tokens, cached_tokens = usage_days.cached_tokens + "
		"excluded.cached_tokens, cost_nano = usage_days.cost_nano + excluded.cost_nano, estimated = case when "
		"excluded.estimated > usage_days.estimated then excluded.estimated else usage_days.estimated end",
		DB_INT(civil_to_days(date.year, date.month, 1)), DB_INT(day));

	if (r >= 0)
		r = db_exec(c, "delete from usage_days where day = ? and shard >= 0", DB_INT(day));
	return r < 0 ? (int)r : r > 0;
}

int batch_erase(struct db_conn *c, const char *id)
{
	static const char *const statements[] = {
		"update conversations set batch_id = null where batch_id = ?",
		"delete from batch_rows where batch_id = ?",
		"delete from batches where id = ?",
	};

	return each(c, statements, ARRAY_SIZE(statements), id);
}

/* It may have been begun again since. */
static int erase_batch(struct db_conn *c, const struct retention_found *f)
{
	int64_t one;
	int r = db_get_int(c, &one, "select 1 from batches where id = ? and ended_at is not null" DB_FOR_UPDATE,
			   DB_TEXT(f->id));

	if (r != 1)
		return r;
	r = batch_erase(c, f->id);
	return r < 0 ? r : 1;
}

int retention_erase(struct db_conn *c, enum retention_kind kind, const struct retention_found *f)
{
	switch (kind) {
	case RETAIN_CONVERSATIONS: return erase_conversation(c, f);
	case RETAIN_EXECUTIONS: return erase_execution(c, f);
	case RETAIN_RESULTS: return erase_results(c, f);
	case RETAIN_EVENTS: return erase_events(c, f);
	case RETAIN_FIRINGS: return (int)db_exec(c, "delete from schedule_firings where id = ?", DB_TEXT(f->id));
	case RETAIN_DELIVERIES: return erase_delivery(c, f);
	case RETAIN_BATCHES: return erase_batch(c, f);
	case RETAIN_USAGE: return erase_usage(c, f);
	case RETAIN_KINDS: break;
	}
	abort();
}
