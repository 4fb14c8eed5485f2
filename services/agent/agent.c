/* The agent role: agents, conversations and the runs that answer. */
#include "agent/agent.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/account/jobs.h"
#include "agent/attachments/room.h"
#include "agent/automation/automation.h"
#include "agent/bus.h"
#include "agent/knowledge/knowledge.h"
#include "agent/models/choice.h"
#include "agent/publish.h"
#include "agent/retention.h"
#include "agent/run.h"
#include "agent/runner.h"
#include "agent_schema.h"
#include "roles.h"

#define READERS 4
/* Series kept apart; more models or tools than that count as "other". */
#define MODEL_SERIES 64
#define TOOL_SERIES 64
#define SETTLE_TURNS 200 /* of a millisecond, at most */

const struct migration agent_migrations[] = {
	{"agents_and_executions", sql_001_agent},
	{"idempotency", IDEMPOTENCY_SCHEMA},
	{"execution_trace", "alter table executions add column traceparent varchar(55)"},
	{"processes", sql_004_processes},
	{"message_opaque", "alter table messages add column opaque text"},
	{"execution_cost", sql_020_cost},
	{"model_providers", sql_021_model_providers},
	{"approvals", sql_010_approvals},
	{"queued_messages", sql_011_queue},
	{"context_marks", sql_022_context_marks},
	{"usage", sql_012_usage},
	{"shares", sql_080_shares},
	{"variables", sql_081_variables},
	{"tool_marks", sql_050_tool_marks},
	{"schedules", sql_070_schedules},
	{"fork", sql_082_fork},
	{"memory", sql_051_memory_sqlite, sql_051_memory_postgres, NULL},
	{"knowledge", sql_060_knowledge},
	{"knowledge_pieces", sql_061_knowledge_sqlite, sql_061_knowledge_postgres},
	{"citations", sql_062_citations},
	{"output_schema",
	 "alter table executions add column output_schema text;alter table messages add column parsed text"},
	{"webhooks", sql_071_webhooks},
	{"child_runs", sql_053_child_runs},
	{"retention", sql_083_retention},
	{"attachments", sql_090_attachments},
	{"attachment_parts", sql_091_attachment_parts_sqlite, sql_091_attachment_parts_postgres},
	{"batches", sql_095_batches},
	{"retention_rules", sql_140_retention},
	{"partial_indexes", sql_105_partial_indexes},
	{"packing", "select pack_ids()",
	 "create function text_of(text) returns text language sql immutable parallel safe as 'select $1';"
	 "create function text_has(text, text) returns boolean language sql immutable parallel safe as "
	 "'select position(lower($2) in lower($1)) > 0'",
	 NULL},
	{"evaluations", sql_120_evaluations},
	{"apis", sql_130_apis},
	{"account_jobs", sql_141_account_jobs},
	{"account_parts", sql_142_account_parts_sqlite, sql_142_account_parts_postgres},
};
const size_t agent_migrations_n = ARRAY_SIZE(agent_migrations);

struct outbound *agent_outbound(struct agent *a)
{
	if (!a->outbound)
		a->outbound = outbound_new(service_loop(a->service));
	return a->outbound;
}

static int default_url(struct agent *a, char *ret, size_t size, struct error *err)
{
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s/db", service_data_dir(a->service));
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return error_set(err, "data_folder", "Cannot make the folder %s: %s.", dir, strerror(errno));
	snprintf(ret, size, "sqlite:%s/langchain_agent.db", dir);
	return 0;
}

static int open_database(struct agent *a, struct error *err)
{
	const char *url = option_str(service_options(a->service), "agent_db_url");
	char own[PATH_MAX + 64];
	int r = 0;

	if (!*url) {
		r = default_url(a, own, sizeof(own), err);
		url = own;
	}
	if (r == 0)
		r = db_open(service_loop(a->service), url, READERS, &a->db, err);
	if (r == 0)
		r = db_migrate(a->db, agent_migrations, agent_migrations_n, err);
	if (r == 0 && agents_seed(a) < 0)
		r = error_set(err, "database", "The first agent cannot be stored.");
	a->is_migrated = r == 0;
	return r;
}

static double count_queued(void *arg)
{
	struct agent *a = arg;

	return (double)runner_n_queued(a->runner);
}

static double count_events(void *arg)
{
	struct agent *a = arg;

	return (double)publisher_n_queued(a->publisher);
}

static double count_attached(void *arg)
{
	struct agent *a = arg;

	return (double)attachment_room_used(a->attachment_room);
}

static double count_without_room(void *arg)
{
	struct agent *a = arg;

	return a->runs_without_room;
}

static void make_metrics(struct agent *a)
{
	for (size_t i = 0; i < RUN_STATES; i++) {
		char labels[40];

		snprintf(labels, sizeof(labels), "state=\"%s\"", run_state_names[i]);
		a->metrics.runs_in[i] = metric_gauge("ogent_runs", "Runs being worked on, by state", labels);
	}
	metric_gauge_fn("ogent_runs_queued", "Runs that wait for a process, at the last look of a second ago", "",
			count_queued, a);
	metric_gauge_fn("ogent_events_queued", "Events on their way to the socket service", "", count_events, a);
	metric_gauge_fn("ogent_attachment_bytes", "Bytes of attached files that live runs hold", "", count_attached, a);
	metric_gauge_fn("ogent_runs_without_room", "Runs that wait for others to give back room for attached files", "",
			count_without_room, a);
	a->metrics.run_seconds = metric_histogram("ogent_run_seconds", "Runs, from their message to their end", "");
	a->metrics.runs_succeeded = metric_counter("ogent_runs_total", "Runs by their end", "status=\"succeeded\"");
	a->metrics.runs_failed = metric_counter("ogent_runs_total", "Runs by their end", "status=\"failed\"");
	a->metrics.runs_cancelled = metric_counter("ogent_runs_total", "Runs by their end", "status=\"cancelled\"");
	a->metrics.model_seconds = metric_histogram("ogent_model_seconds", "Calls of a model, to their end", "");
	a->metrics.first_text_seconds =
		metric_histogram("ogent_model_first_text_seconds", "Calls of a model, to the first text", "");
	a->metrics.model_retries =
		metric_counter("ogent_model_retries_total", "Calls of a model that were repeated", "");
	a->metrics.model_calls =
		metric_family_new("ogent_model_calls_total", "Calls of a model, by their end",
				  "provider=\"other\",model=\"other\",outcome=\"other\"", MODEL_SERIES);
	a->metrics.tokens = metric_family_new("ogent_tokens_total", "Tokens by model",
					      "model=\"other\",direction=\"both\"", MODEL_SERIES);
	a->metrics.tool_calls = metric_family_new("ogent_tool_calls_total", "Calls of tools, by their end",
						  "tool=\"other\",status=\"other\"", TOOL_SERIES);
	a->metrics.events_published =
		metric_counter("ogent_events_total", "Events for the socket service", "outcome=\"published\"");
	a->metrics.events_dropped =
		metric_counter("ogent_events_total", "Events for the socket service", "outcome=\"dropped\"");
}

static const char *database_missing(void *arg)
{
	struct agent *a = arg;

	return a->is_migrated ? NULL : "the database is not migrated";
}

static void add_health(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *obj)
{
	struct agent *a = arg;

	models_describe_default(a->models, NULL, doc, yyjson_mut_obj_add_obj(doc, obj, "model"));
	yyjson_mut_obj_add_uint(doc, obj, "runs", runner_n_live(a->runner));
}

static void on_models_ready(struct agent *a)
{
	runner_start(a->runner);
	retention_start(a->retention);
	account_jobs_start(a->account_jobs);
	automation_start(a->automation);
	knowledge_start(a->knowledge);
}

static void drain(void *arg)
{
	struct agent *a = arg;

	automation_stop(a->automation);
	runner_stop(a->runner);
	retention_stop(a->retention);
	account_jobs_stop(a->account_jobs);
	knowledge_stop(a->knowledge);
	models_stop(a->models);
	publisher_stop(a->publisher);
}

static void leave_background(struct agent *a)
{
	struct background *b;

	list_foreach (b, &a->background, struct background, link)
		b->leave(b);
}

/* Everything that is being cancelled gets the turns of the loop in which it ends. */
static void settle(struct agent *a)
{
	for (int i = 0; i < SETTLE_TURNS; i++) {
		uv_run(service_loop(a->service), UV_RUN_NOWAIT);
		if (i > 2 && runner_n_live(a->runner) == 0 && list_is_empty(&a->background))
			break;
		usleep(1000);
	}
}

static void stop(void *arg)
{
	struct agent *a = arg;

	drain(a);
	leave_background(a);
	settle(a);
	bus_stop(a->bus);
	db_close(a->db);
	if (a->outbound)
		outbound_free(a->outbound);
	models_free(a->models);
	publisher_free(a->publisher);
	runner_free(a->runner);
	retention_free(a->retention);
	account_jobs_free(a->account_jobs);
	automation_free(a->automation);
	bus_free(a->bus);
	knowledge_free(a->knowledge);
	attachment_room_free(a->attachment_room);
}

int agent_main(const struct options *options)
{
	struct agent a = {.service = service_new("agent", options)};
	struct error err = {0};

	list_init(&a.background);
	list_init(&a.remote_streams);
	if (networks_parse(&a.outbound_allow, option_str(options, "outbound_allow"), "outbound_allow", &err) < 0 ||
	    open_database(&a, &err) < 0)
		fatal("%s", err.message);
	service_watch_db(a.service, a.db);
	a.attachment_room = attachment_room_new(option_int(options, "attachments_memory"));
	make_metrics(&a);
	a.models = models_new(&a, &err);
	if (!a.models)
		fatal("%s", err.message);
	a.publisher = publisher_new(&a);
	a.runner = runner_new(&a);
	a.retention = retention_new(&a);
	a.account_jobs = account_jobs_new(&a);
	if (runner_register(a.runner) < 0)
		fatal("The database cannot be written.");
	a.bus = bus_new(&a);
	a.automation = automation_new(&a, &err);
	if (!a.automation)
		fatal("%s", err.message);
	a.knowledge = knowledge_new(&a);
	models_start(a.models, on_models_ready);
	service_ready_check(a.service, "database", database_missing, &a);
	service_health_info(a.service, add_health, &a);
	service_routes(a.service, agent_routes, agent_n_routes, &a);
	service_on_drain(a.service, drain, &a);
	service_on_stop(a.service, stop, &a);
	service_listen(a.service);
	return service_run(a.service);
}
