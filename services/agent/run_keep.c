/* Keeping: after a step with commands, a snapshot of the workspace, so that the conversation can be forked there with
 * its files. exec shares what did not change with the step before, and gives the last one again when nothing did. A run
 * does not depend on it: without a snapshot it goes on. */
#include "agent/agent.h"
#include "agent/run.h"
#include "base/clock.h"

#define ANSWER_MS 10000
#define ANSWER_MAX 4096

/* Commands of this step may have changed files of the workspace. */
bool run_must_keep(const struct run *run)
{
	return run->commands > run->commands_kept && run->n_calls > 0;
}

static void on_answer(void *arg, int err, int status, struct str body)
{
	struct run *run = arg;
	yyjson_val *root;

	run->keeping = NULL;
	if (err == 0 && status == 201) {
		root = yyjson_doc_get_root(json_parse(run->arena, body.p, body.n, NULL));
		snprintf(run->kept.snapshot_id, sizeof(run->kept.snapshot_id), "%s", json_get_str(root, "id", ""));
		run->kept.step = run->steps;
		run->kept.message_seq = run->calls_seq + (int64_t)run->n_calls;
	} else if (err != -ECANCELED) {
		log_debug("run %s: no snapshot of step %lld: %d", run->id, (long long)run->steps, err ? err : status);
	}
	run_on_done(run, 0);
}

enum run_state run_keep(struct run *run)
{
	struct service *s = run->agent->service;
	char path[192], body[96];

	run->commands_kept = run->commands;
	snprintf(path, sizeof(path), "/api/workspaces/%s/snapshots?target=%.40s", run->conversation_id,
		 run->command_target);
	snprintf(body, sizeof(body), "{\"step\":true,\"name\":\"step %lld\"}", (long long)run->steps);
	run->keeping =
		http_fetch(service_peer(s, "exec"), "POST", path,
			   service_peer_headers(s, "exec", run->user_id, run->request_id, run->traceparent, run->arena),
			   "application/json", str_of(body), ANSWER_MAX, ANSWER_MS, on_answer, run);
	return RUN_KEEPING;
}

void run_keep_cancel(struct run *run)
{
	if (run->keeping)
		http_fetch_cancel(run->keeping);
}

int run_kept_store(struct db_conn *c, const struct run *run, const struct run_kept *kept, int64_t now)
{
	if (!kept->snapshot_id[0])
		return 0;
	return error_only(
		db_exec(c,
			"insert into step_snapshots (conversation_id, message_seq, execution_id, step, workspace, "
			"snapshot_id, created_at) values (?, ?, ?, ?, ?, ?, ?) on conflict (conversation_id, "
			"message_seq) do nothing",
			DB_TEXT(run->conversation_id), DB_INT(kept->message_seq), DB_TEXT(run->id), DB_INT(kept->step),
			DB_TEXT(run->conversation_id), DB_TEXT(kept->snapshot_id), DB_INT(now)));
}
