#include "agent/retention_rules.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/budget.h"
#include "base/civil.h"
#include "base/clock.h"

#define DAY_US (24 * 3600 * 1000000ll)

const char *const retention_kind_names[RETAIN_KINDS] = {"conversations", "executions",       "results",
							"events",        "schedule_firings", "webhook_deliveries",
							"batches",       "usage_days"};
const char *const retention_options[RETAIN_KINDS] = {
	"conversation_days",     "execution_days", "result_days", "event_days",
	"schedule_history_days", "delivery_days",  "batch_days",  "usage_days"};

/* Each takes: behind which id, before which id, and how many rows. Its columns: the id, its user, its conversation, its
 * agent, its age, whether it may go. The ids sort by time, so nothing younger is looked at. */
#define OF_EXECUTIONS(may_go)                                                                              \
	"select e.id, e.user_id, e.conversation_id, e.agent_id, e.ended_at, case when e.ended_at is null " \
	"or c.is_kept <> 0 then 0 " may_go                                                                 \
	" end from executions e join conversations c on c.id = e.conversation_id where e.id > ? and "      \
	"e.id < ? order by e.id limit ?"
static const char *const finds[RETAIN_KINDS] = {
	[RETAIN_CONVERSATIONS] = "select id, user_id, id, agent_id, updated_at, case when is_kept = 0 and "
				 "active_execution_id is null then 1 else 0 end from conversations where id > ? and "
				 "id < ? order by id limit ?",
	[RETAIN_EXECUTIONS] = OF_EXECUTIONS("else 1"),
	[RETAIN_RESULTS] = OF_EXECUTIONS("when exists (select 1 from messages m where m.conversation_id = "
					 "e.conversation_id and m.seq > e.input_seq and m.execution_id = e.id and "
					 "m.role = 'tool' and m.content <> '" RETENTION_NOTE "') then 1 else 0"),
	[RETAIN_EVENTS] = OF_EXECUTIONS(
		"when exists (select 1 from execution_events v where v.execution_id = e.id) then 1 else 0"),
	[RETAIN_FIRINGS] = "select id, '', '', '', at, case when status in ('waiting', 'started') then 0 else 1 end "
			   "from schedule_firings where id > ? and id < ? order by id limit ?",
	[RETAIN_DELIVERIES] = "select id, '', '', '', coalesce(ended_at, 0), case when ended_at is null then 0 else 1 "
			      "end from webhook_deliveries where id > ? and id < ? order by id limit ?",
	[RETAIN_BATCHES] = "select id, user_id, '', '', coalesce(ended_at, 0), case when ended_at is null then 0 else "
			   "1 end from batches where id > ? and id < ? order by id limit ?",
};

void retention_rules_of(const struct options *o, struct retention_rules *ret)
{
	*ret = (struct retention_rules){0};
	for (size_t i = 0; i < RETAIN_KINDS; i++)
		ret->days[i] = option_int(o, retention_options[i]);
}

/* NULL: it has no setting. */
static struct retention_of_agent *read_setting(struct arena *a, const char *id, const char *config)
{
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, config, strlen(config), NULL));
	yyjson_val *setting = json_get_obj(root, "retention");
	struct retention_of_agent *ret;

	if (!setting || yyjson_obj_size(setting) == 0)
		return NULL;
	ret = arena_new_of(a, struct retention_of_agent);
	ret->agent_id = id;
	for (size_t i = 0; i < RETAIN_OF_AGENTS; i++)
		ret->days[i] = json_get_int(setting, retention_options[i], 0);
	return ret;
}

int retention_rules_load(struct db_conn *c, struct arena *a, struct retention_rules *rules)
{
	_cleanup_(arena_free_p) struct arena *one = arena_new();
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c, "select id, config from agents order by id");
	int r;

	rules->agents = NULL;
	while ((r = db_step(c, st)) == 1) {
		arena_reset(one);
		/* Most have none, and are not parsed. */
		const char *config = db_col_dup(st, 1, one);
		struct retention_of_agent *setting =
			strstr(config, "\"retention\":{\"") ? read_setting(a, db_col_dup(st, 0, a), config) : NULL;
		if (setting) {
			setting->next = rules->agents;
			rules->agents = setting;
		}
	}
	return r;
}

static int64_t shorter(int64_t a, int64_t b)
{
	return a <= 0 ? b : b <= 0 ? a : MIN(a, b);
}

static int64_t cutoff_of(int64_t days, int64_t now)
{
	return days > 0 ? MAX(now - days * DAY_US, 1) : 0;
}

int64_t retention_cutoff(const struct retention_rules *rules, enum retention_kind kind, const char *agent_id,
			 int64_t now)
{
	int64_t days = rules->days[kind];

	for (const struct retention_of_agent *a = rules->agents; a && kind < RETAIN_OF_AGENTS; a = a->next)
		if (strcmp(a->agent_id, agent_id) == 0)
			days = shorter(days, a->days[kind]);
	return cutoff_of(days, now);
}

/* What is younger than that is kept by every rule; 0 = everything is. */
static int64_t youngest_cutoff(const struct retention_rules *rules, enum retention_kind kind, int64_t now)
{
	int64_t days = rules->days[kind];

	for (const struct retention_of_agent *a = rules->agents; a && kind < RETAIN_OF_AGENTS; a = a->next)
		days = shorter(days, a->days[kind]);
	return cutoff_of(days, now);
}

/* What was made before that time has a smaller id. Of a conversation its last use counts, which its id does not tell.
 */
static void id_before(enum retention_kind kind, int64_t us, char ret[static ID_SIZE])
{
	uint64_t ms = kind == RETAIN_CONVERSATIONS ? UINT64_MAX : (uint64_t)us / 1000;

	snprintf(ret, ID_SIZE, "%08" PRIx64 "-%04" PRIx64 "-7000-8000-000000000000", (ms >> 16) & 0xffffffff,
		 ms & 0xffff);
}

/* Whole months only: a day of a month of which every day is older. */
static int64_t usage_before(int64_t cutoff)
{
	struct civil date = civil_of_days(budget_day(cutoff));

	return civil_to_days(date.year, date.month, 1);
}

static int find_usage(struct db_conn *c, int64_t cutoff, struct retention_look *look)
{
	struct db_stmt *st = db_query(
		c, "select distinct day from usage_days where day > ? and day < ? and shard >= 0 order by day limit ?",
		DB_INT(*look->after ? strtoll(look->after, NULL, 10) : -1), DB_INT(usage_before(cutoff)),
		DB_INT(RETENTION_PAGE));
	int r;

	while ((r = db_step(c, st)) == 1) {
		struct retention_found *f = &look->found[look->n++];

		*f = (struct retention_found){.at = db_col_int(st, 0) * DAY_US};
		snprintf(f->id, ID_SIZE, "%" PRId64, db_col_int(st, 0));
		memcpy(look->after, f->id, ID_SIZE);
	}
	db_done(st);
	look->has_more = look->n == RETENTION_PAGE;
	return r;
}

static void copy(char *to, size_t size, struct str s)
{
	snprintf(to, size, "%.*s", STR_ARG(s));
}

/* The row that stands there, if its rule says so. */
static void take(const struct retention_rules *rules, int64_t now, struct retention_look *look, struct db_stmt *st)
{
	struct retention_found *f = &look->found[look->n];
	char agent[65];

	copy(look->after, ID_SIZE, db_col_str(st, 0));
	copy(agent, sizeof(agent), db_col_str(st, 3));
	if (db_col_int(st, 5) == 0 || db_col_int(st, 4) >= retention_cutoff(rules, look->kind, agent, now))
		return;
	copy(f->id, ID_SIZE, db_col_str(st, 0));
	copy(f->user_id, sizeof(f->user_id), db_col_str(st, 1));
	copy(f->conversation_id, ID_SIZE, db_col_str(st, 2));
	f->at = db_col_int(st, 4);
	look->n++;
}

int retention_find(struct db_conn *c, const struct retention_rules *rules, int64_t now, struct retention_look *look)
{
	int64_t cutoff = youngest_cutoff(rules, look->kind, now);
	char before[ID_SIZE];
	struct db_stmt *st;
	size_t n = 0;
	int r;

	look->n = 0;
	look->has_more = false;
	if (cutoff == 0)
		return 0;
	if (look->kind == RETAIN_USAGE)
		return find_usage(c, cutoff, look);
	id_before(look->kind, cutoff, before);
	st = db_query(c, finds[look->kind], DB_TEXT(look->after), DB_TEXT(before), DB_INT(RETENTION_PAGE));
	while ((r = db_step(c, st)) == 1) {
		take(rules, now, look, st);
		n++;
	}
	db_done(st);
	look->has_more = n == RETENTION_PAGE;
	return r;
}

int retention_setting_check(yyjson_val *setting, struct error *err)
{
	static const struct json_field fields[] = {
		{"conversation_days", JSON_INT, false, 0, RETENTION_DAYS_MAX},
		{"execution_days", JSON_INT, false, 0, RETENTION_DAYS_MAX},
		{"result_days", JSON_INT, false, 0, RETENTION_DAYS_MAX},
		{"event_days", JSON_INT, false, 0, RETENTION_DAYS_MAX},
	};

	if (!setting || json_check(setting, fields, ARRAY_SIZE(fields), err) == 0)
		return 0;
	error_prefix(err, "In \"retention\"");
	return -EINVAL;
}
