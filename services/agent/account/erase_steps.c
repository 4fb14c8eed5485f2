#include "agent/account/erase_steps.h"

#include <inttypes.h>
#include <stdlib.h>

#include "agent/apis/source.h"
#include "agent/bus.h"
#include "agent/knowledge/knowledge.h"
#include "agent/memory/store.h"
#include "agent/retention_erase.h"

#define SOME 20
#define SOME_CONVERSATIONS 5

struct ids {
	char ids[SOME][ID_SIZE];
	int n;
};

/* The first of a user's by a query that takes him and how many. Returns 0 or -errno. */
static int find(struct db_conn *c, const char *sql, const char *user_id, int max, struct ids *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c, sql, DB_TEXT(user_id), DB_INT(max));
	int r;

	ret->n = 0;
	while ((r = db_step(c, st)) == 1)
		snprintf(ret->ids[ret->n++], ID_SIZE, "%.*s", STR_ARG(db_col_str(st, 0)));
	return r;
}

/* All statements for each of them. Returns how many there were, or -errno. */
static int erase_each(struct db_conn *c, const struct ids *ids, const char *const *statements, size_t n)
{
	int64_t r = 0;

	for (int i = 0; r >= 0 && i < ids->n; i++)
		for (size_t k = 0; r >= 0 && k < n; k++)
			r = db_exec(c, statements[k], DB_TEXT(ids->ids[i]));
	return r < 0 ? (int)r : ids->n;
}

/* First what begins runs by itself. */
static int erase_schedules(struct db_conn *c, const char *user_id)
{
	static const char *const statements[] = {"delete from schedule_firings where schedule_id = ?",
						 "delete from schedules where id = ?"};
	struct ids ids;
	int r = find(c, "select id from schedules where user_id = ? order by id limit ?", user_id, SOME, &ids);

	return r < 0 ? r : erase_each(c, &ids, statements, ARRAY_SIZE(statements));
}

static int erase_triggers(struct db_conn *c, const char *user_id)
{
	static const char *const statements[] = {"delete from trigger_calls where trigger_id = ?",
						 "delete from triggers where id = ?"};
	struct ids ids;
	int r = find(c, "select id from triggers where user_id = ? order by id limit ?", user_id, SOME, &ids);

	return r < 0 ? r : erase_each(c, &ids, statements, ARRAY_SIZE(statements));
}

static int erase_webhooks(struct db_conn *c, const char *user_id)
{
	static const char *const statements[] = {
		("delete from webhook_tries where delivery_id in "
		 "(select id from webhook_deliveries where webhook_id = ?)"),
		"delete from webhook_deliveries where webhook_id = ?",
		"delete from webhooks where id = ?",
	};
	struct ids ids;
	int r = find(c, "select id from webhooks where user_id = ? order by id limit ?", user_id, 1, &ids);

	return r < 0 ? r : erase_each(c, &ids, statements, ARRAY_SIZE(statements));
}

static int erase_batches(struct db_conn *c, const char *user_id)
{
	struct ids ids;
	int r = find(c, "select id from batches where user_id = ? order by id limit ?", user_id, 1, &ids);

	if (r == 0 && ids.n)
		r = batch_erase(c, ids.ids[0]);
	return r < 0 ? r : ids.n;
}

static int erase_evaluations(struct db_conn *c, const char *user_id)
{
	static const char *const statements[] = {"delete from evaluation_cases where set_id = ?",
						 "delete from evaluation_sets where id = ?"};
	struct ids ids;
	int r = find(c, "select id from evaluation_sets where user_id = ? order by id limit ?", user_id, 1, &ids);

	return r < 0 ? r : erase_each(c, &ids, statements, ARRAY_SIZE(statements));
}

static int erase_conversations(struct db_conn *c, const char *user_id)
{
	struct ids ids;
	int r = find(c, "select id from conversations where user_id = ? order by id limit ?", user_id,
		     SOME_CONVERSATIONS, &ids);

	for (int i = 0; r == 0 && i < ids.n; i++)
		r = conversation_erase(c, ids.ids[i], user_id);
	return r < 0 ? r : ids.n;
}

static int erase_documents(struct db_conn *c, const char *user_id)
{
	struct ids ids;
	int64_t r = find(c,
			 "select d.id from knowledge_documents d join knowledge_collections k on k.id = "
			 "d.collection_id where k.owner_id = ? order by d.id limit ?",
			 user_id, SOME_CONVERSATIONS, &ids);

	for (int i = 0; r >= 0 && i < ids.n; i++) {
		r = pieces_delete(c, ids.ids[i], 0);
		if (r >= 0)
			r = db_exec(c, "delete from knowledge_documents where id = ?", DB_TEXT(ids.ids[i]));
	}
	return r < 0 ? (int)r : ids.n;
}

static int erase_collections(struct db_conn *c, const char *user_id)
{
	return (int)db_exec(c,
			    "delete from knowledge_collections where owner_id = ? and not exists (select 1 from "
			    "knowledge_documents d where d.collection_id = knowledge_collections.id)",
			    DB_TEXT(user_id));
}

static int erase_apis(struct db_conn *c, const char *user_id)
{
	return (int)api_sources_delete_user(c, user_id);
}

static int erase_memories(struct db_conn *c, const char *user_id)
{
	return (int)memory_delete_user(c, user_id);
}

/* With their keys. */
static int erase_providers(struct db_conn *c, const char *user_id)
{
	static const char *const statements[] = {"delete from model_providers where id = ?"};
	struct ids ids;
	int r = find(c, "select id from model_providers where owner_id = ? order by id limit ?", user_id, SOME, &ids);

	for (int i = 0; r == 0 && i < ids.n; i++)
		r = bus_tell(c, BUS_MODELS, ids.ids[i]);
	return r < 0 ? r : erase_each(c, &ids, statements, ARRAY_SIZE(statements));
}

/* What others use has gone to somebody else. */
static int erase_agents(struct db_conn *c, const char *user_id)
{
	static const char *const statements[] = {"delete from agent_versions where agent_id = ?",
						 "delete from agents where id = ?"};
	struct ids ids;
	int r = find(c,
		     "select id from agents where owner_id = ? and not exists (select 1 from conversations c where "
		     "c.agent_id = agents.id) order by id limit ?",
		     user_id, SOME, &ids);

	for (int i = 0; r >= 0 && i < ids.n; i++)
		r = (int)memory_delete_agent(c, ids.ids[i]);
	return r < 0 ? r : erase_each(c, &ids, statements, ARRAY_SIZE(statements));
}

/* The sums stay, as nobody's. */
static int erase_usage(struct db_conn *c, const char *user_id)
{
	int64_t day, r;
	int found = db_get_int(c, &day, "select day from usage_days where user_id = ? order by day limit 1",
			       DB_TEXT(user_id));

	if (found != 1)
		return found;
	r = db_exec(
		c,
		"insert into usage_days (day, user_id, agent_id, provider, model, shard, calls, input_tokens, "
		"output_tokens, cached_tokens, cost_nano, estimated) select day, 'deleted', agent_id, provider, model, "
		"shard, calls, input_tokens, output_tokens, cached_tokens, cost_nano, estimated from usage_days where "
		"day = ? and user_id = ? on conflict (day, user_id, agent_id, provider, model, shard) do update set "
		"calls = usage_days.calls + excluded.calls, input_tokens = usage_days.input_tokens + "
		"excluded.input_tokens, output_tokens = usage_days.output_tokens + excluded.output_tokens, "
		"cached_tokens = usage_days.cached_tokens + excluded.cached_tokens, cost_nano = usage_days.cost_nano + "
		"excluded.cost_nano, estimated = case when excluded.estimated > usage_days.estimated then "
		"excluded.estimated else usage_days.estimated end",
		DB_INT(day), DB_TEXT(user_id));
	if (r >= 0)
		r = db_exec(c, "delete from usage_days where day = ? and user_id = ?", DB_INT(day), DB_TEXT(user_id));
	return (int)r;
}

/* The versions of an agent that has gone to somebody else are nobody's. */
static int erase_rest(struct db_conn *c, const char *user_id)
{
	static const char *const statements[] = {
		"delete from user_budgets where user_id = ?",
		"delete from idempotency_keys where user_id = ?",
		"update agent_versions set author_id = null where author_id = ?",
	};
	int64_t n = 0, r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(statements); i++) {
		r = db_exec(c, statements[i], DB_TEXT(user_id));
		n += r;
	}
	return (int)(r < 0 ? r : n);
}

/* Also one that is being made, which is lost then. */
static int erase_exports(struct db_conn *c, const char *user_id)
{
	int64_t r = db_exec(c,
			    "delete from account_job_parts where job_id in (select id from account_jobs where user_id "
			    "= ? and kind = 'export')",
			    DB_TEXT(user_id));

	return (int)(r < 0 ? r
			   : db_exec(c, "delete from account_jobs where user_id = ? and kind = 'export'",
				     DB_TEXT(user_id)));
}

const struct erase_step erase_steps[] = {
	{"schedules", erase_schedules},
	{"triggers", erase_triggers},
	{"webhooks", erase_webhooks},
	{"batches", erase_batches},
	{"evaluations", erase_evaluations},
	{"conversations", erase_conversations},
	{"documents", erase_documents},
	{"collections", erase_collections},
	{"apis", erase_apis},
	{"memories", erase_memories},
	{"providers", erase_providers},
	{"agents", erase_agents},
	{"usage", erase_usage},
	{"others", erase_rest},
	{"exports", erase_exports},
};
const size_t erase_steps_n = ARRAY_SIZE(erase_steps);
