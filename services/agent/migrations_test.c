#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "data/db_for_tests.h"
#include "data/driver.h"

/* Rows as each version had them. A new version gets a line here, and so an upgrade from it is tested for ever. */
static const char *const samples[] = {
	"insert into agents (id, slug, name, description, config, version, owner_id, created_at, updated_at) values "
	"('a1', 'assistant', 'Assistant', '', '{}', 1, null, 1, 1);"
	"insert into agent_versions (agent_id, version, name, description, config, created_at) values ('a1', 1, "
	"'Assistant', '', '{}', 1);"
	"insert into conversations (id, user_id, agent_id, title, last_seq, active_execution_id, last_execution_id, "
	"created_at, updated_at) values ('c1', 'u1', 'a1', 'A title', 2, 'e2', 'e2', 1, 1);"
	"insert into messages (conversation_id, seq, id, execution_id, role, content, created_at) values ('c1', 1, "
	"'m1', "
	"'e1', 'user', 'hello', 1), ('c1', 2, 'm2', 'e1', 'assistant', 'Hello.', 1);"
	/* One that ended, and one that a process was at work on. */
	"insert into executions (id, conversation_id, agent_id, agent_version, agent_name, user_id, status, state, "
	"owner, lease_until, claim, draft_id, input_seq, steps, commands, input_tokens, output_tokens, "
	"tokens_estimated, seq_limit, last_seq, created_at, ended_at) values "
	"('e1', 'c1', 'a1', 1, 'Assistant', 'u1', 'succeeded', 'ended', null, 1, 1, 'm2', 1, 1, 0, 1, 1, 0, 5000, 9, "
	"1, 2), "
	"('e2', 'c1', 'a1', 1, 'Assistant', 'u1', 'running', 'thinking', 'host /data', 30000000, 1, 'm3', 2, 1, 0, 1, "
	"1, "
	"0, 5000, 9, 1, null);"
	"insert into execution_events (execution_id, seq, last_seq, type, at, data) values ('e1', 1, 1, "
	"'execution.started', 1, '{\"message_seq\":1}')",

	("insert into idempotency_keys (user_id, idem_key, request_hash, status, response, created_at) values ('u1', "
	 "'key', '00', 202, '{}', 1)"),

	"update executions set traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' where id = 'e2'",

	"insert into agent_processes (owner, lease_until) values ('host /data', 30000000)",

	"update messages set opaque = '{\"dialect\":\"openai\"}' where id = 'm2'",

	"update executions set cached_tokens = 1, cost_nano = 5 where id = 'e1'",

	"insert into model_providers (id, owner_id, slug, name, kind, base_url, settings, is_default, is_enabled, "
	"version, "
	"created_at, updated_at) values ('p1', '', 'a', 'A', 'openai', 'http://x', '{}', 0, 1, 1, 1, 1)",

	"insert into approvals (id, execution_id, conversation_id, user_id, agent_name, call_id, step, kind, tool, "
	"arguments, hash, status, told, created_at, expires_at) values ('p1', 'e2', 'c1', 'u1', 'Assistant', 'call_1', "
	"1, "
	"'call', 'shell', '{}', 'aa', 'pending', 0, 1, 2)",

	"insert into queued_messages (id, conversation_id, execution_id, kind, priority, content, created_at) values "
	"('q1', "
	"'c1', 'e3', 'queue', 0, 'and then?', 1)",

	"insert into context_marks (id, conversation_id, execution_id, up_to_seq, summary, tokens_before, "
	"tokens_after, "
	"created_at) values ('k1', 'c1', 'e1', 1, 's', 9, 3, 1)",

	"insert into usage_days (day, user_id, agent_id, provider, model, shard, calls, input_tokens, output_tokens, "
	"cached_tokens, cost_nano, estimated) values (1, 'u1', 'a1', 'openai', 'm', 0, 1, 1, 1, 0, 0, 0)",

	"update agents set shares = '[]'",

	"update conversations set variables = '{}', user_name = 'Ada', agent_version = 1",

	"insert into tool_marks (call_key, execution_id, created_at) values ('e1:call_1:1', 'e1', 1)",

	"insert into schedules (id, user_id, agent_id, name, message, cron, timezone, starts_at, conversation, missed, "
	"missed_max, overlap, max_failures, failures, status, next_at, version, created_at, updated_at) values ('w1', "
	"'u1', "
	"'a1', 'S', 'hello', '0 9 * * *', 'UTC', 1, 'new', 'skip', 1, 'skip', 3, 0, 'active', 1, 1, 1, 1)",

	"insert into step_snapshots (conversation_id, message_seq, execution_id, step, workspace, snapshot_id, "
	"created_at) values ('c1', 2, 'e1', 1, 'c1', 's1', 1)",

	"delete from memories",

	"insert into knowledge_collections (id, owner_id, name, description, language, is_shared, embedding, "
	"piece_tokens, "
	"overlap_tokens, revision, version, created_at, updated_at) values ('kc', 'u1', 'K', '', 'english', 0, '', "
	"320, "
	"40, 1, 1, 1, 1); insert into knowledge_documents (id, collection_id, name, title, media_type, size, hash, "
	"user_id, "
	"status, pages, pieces, tokens, done_pieces, embedding, dimension, live, claim, lease_until, attempts, "
	"run_after, "
	"created_at, updated_at, indexed_at) values ('kd', 'kc', 'd', '', 'text/plain', 1, 'h', 'u1', 'queued', 0, 0, "
	"0, 0, "
	"'', 0, 0, 0, 0, 0, 0, 1, 1, 0)",

	"insert into knowledge_contents (document_id, part, data) values ('kd', 0, 'x')",

	"update messages set citations = '[]' where id = 'm2'",

	"update executions set output_schema = '{}' where id = 'e2'",

	"insert into webhooks (id, user_id, name, url, events, secret_sealed, status, version, created_at, updated_at) "
	"values ('h1', 'u1', 'H', 'https://example.org/', '[]', 's1.x', 'active', 1, 1, 1)",

	"update executions set parent_id = 'e1', root_id = 'e1', parent_call = 'e1:call_1:1', depth = 1 where id = "
	"'e2'",

	"insert into workspace_removals (workspace, user_id, created_at) values ('c9', 'u1', 1)",

	"insert into attachments (conversation_id, id, hash, name, media_type, is_image, size, width, height, "
	"created_at) "
	"values ('c1', 'f1', '00', 'a.png', 'image/png', 1, 1, 1, 1, 1); insert into message_attachments "
	"(conversation_id, message_id, position, attachment_id) values ('c1', 'm1', 0, 'f1'); insert into "
	"attachment_blobs (hash, size, refs) values ('00', 1, 1)",

	"insert into attachment_parts (hash, part, data) values ('00', 0, 'x')",

	"insert into batches (id, user_id, agent_id, agent_name, name, message, columns, n_rows, concurrency, "
	"max_failures, "
	"failures, status, created_at, updated_at) values ('b1', 'u1', 'a1', 'Assistant', 'B', 'x', '[]', 1, 1, 0, 0, "
	"'running', 1, 1); insert into batch_rows (batch_id, number, data, status, attempt) values ('b1', 1, '{}', "
	"'waiting', 0)",

	"update conversations set is_kept = 1; update workspace_removals set commands_before = 1",

	"insert into queued_messages (id, conversation_id, execution_id, kind, priority, content, created_at) values "
	"('01a20000-0000-7000-8000-000000000001', 'c1', 'e4', 'queue', 0, 'x', 1)",

	NULL,

	"insert into evaluation_sets (id, user_id, name, description, graders, pass_score, next_number, created_at, "
	"updated_at) values ('s1', 'u1', 'S', '', '[]', 1000000, 2, 1, 1); insert into evaluation_cases (set_id, "
	"number, id, input, expected, tags, updated_at) values ('s1', 1, 'k1', 'x', '\"y\"', '[]', 1); update batches "
	"set evaluation_id = 's1', agent_version = 1, graders = '{}' where id = 'b1'; update batch_rows set passed = "
	"1, score = 1000000, grades = '[]', latency_ms = 1 where batch_id = 'b1'",

	"insert into api_sources (id, owner_id, slug, name, description, document_version, servers, base_url, schemes, "
	"credential_ends, shares, version, read_at, created_at, updated_at) values ('q1', 'u1', 'pets', 'Pets', '', "
	"'1', "
	"'[]', 'https://pets.example', '{}', '{}', '[]', 1, 1, 1, 1); insert into api_operations (source_id, name, "
	"position, method, path, summary, spec) values ('q1', 'list', 0, 'GET', '/', '', '{}')",

	"insert into account_jobs (id, kind, user_id, status, stage, counts, claim, attempts, run_after, size, "
	"created_at) "
	"values ('j1', 'erase', 'u2', 'queued', '', '{}', 0, 0, 0, 0, 1)",

	"insert into account_job_parts (job_id, part, data) values ('j1', 0, 'x')",
};

static void every_earlier_version_becomes_this_one(void **state)
{
	assert_int_equal(ARRAY_SIZE(samples), agent_migrations_n);
	migrations_check(*state, agent_migrations, agent_migrations_n, samples);
}

#define COLLECTION "01a20000-0000-7000-8000-00000000000c"
#define DOCUMENT "01a20000-0000-7000-8000-00000000000d"

/* From before ids were packed, with a row that refers to another. */
static const char named_by_ids[] =
	"insert into knowledge_collections (id, owner_id, name, description, language, is_shared, embedding, "
	"piece_tokens, overlap_tokens, revision, version, created_at, updated_at) values ('" COLLECTION "', 'u1', 'K', "
	"'', 'english', 0, '', 320, 40, 1, 1, 1, 1); insert into knowledge_documents (id, collection_id, name, title, "
	"media_type, size, hash, user_id, status, pages, pieces, tokens, done_pieces, embedding, dimension, live, "
	"claim, lease_until, attempts, run_after, created_at, updated_at, indexed_at) values ('" DOCUMENT "', "
	"'" COLLECTION "', 'd', '', 'text/plain', 1, 'h', 'u1', 'queued', 0, 0, 0, 0, '', 0, 0, 0, 0, 0, 0, 1, 1, 0); "
	"insert into knowledge_contents (document_id, part, data) values ('" DOCUMENT "', 0, '0123456789abcdef')";

static void check_named(struct db_conn *c)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct db_stmt *st = db_query(c,
				      "select d.id, k.id, o.data, max(d.collection_id) from knowledge_documents d join "
				      "knowledge_collections k on k.id = d.collection_id join knowledge_contents o on "
				      "o.document_id = d.id where k.id = ? and d.id < ? and d.id > '' group by d.id, "
				      "k.id, o.data",
				      DB_TEXT(COLLECTION), DB_TEXT("ffffffff-ffff-ffff-ffff-ffffffffffff"));
	assert_int_equal(db_step(c, st), 1);
	assert_string_equal(db_col_dup(st, 0, a), DOCUMENT);
	assert_string_equal(db_col_dup(st, 1, a), COLLECTION);
	/* Sixteen bytes that are none. */
	assert_string_equal(db_col_dup(st, 2, a), "0123456789abcdef");
	assert_string_equal(db_col_dup(st, 3, a), COLLECTION);
	db_done(st);
	/* What refers to a packed id goes with it. */
	assert_int_equal(db_exec(c, "delete from knowledge_documents where id = ?", DB_TEXT(DOCUMENT)), 1);
	int64_t n;
	assert_int_equal(db_get_int(c, &n, "select count(*) from knowledge_contents"), 1);
	assert_int_equal(n, 0);
}

static void rows_from_before_ids_were_packed_are_found(void **state)
{
	struct test_database d;
	struct error err = {0};
	size_t before = 0;
	uv_loop_t loop;
	struct db *db;

	if (!test_database_make(*state, &d)) {
		print_message("# not here: there is no %s server\n", (char *)*state);
		return;
	}
	uv_loop_init(&loop);
	assert_int_equal(db_open(&loop, d.url, 1, &db, &err), 0);
	while (before < agent_migrations_n && strcmp(agent_migrations[before].name, "packing") != 0)
		before++;
	assert_int_equal(db_migrate(db, agent_migrations, before, &err), 0);
	assert_int_equal(test_database_run(d.url, named_by_ids), 0);
	if (db_migrate(db, agent_migrations, agent_migrations_n, &err) < 0)
		fail_msg("%s", err.message);
	check_named(db_main_conn(db, &err));
	db_release_main_conn(db);
	db_close(db);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	test_database_drop(&d);
}

#define ON(server, test)                                              \
	{                                                             \
		server ": " #test, test, NULL, NULL, (char *)(server) \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON("sqlite", every_earlier_version_becomes_this_one),
		ON("postgres", every_earlier_version_becomes_this_one),
		ON("sqlite", rows_from_before_ids_were_packed_are_found),
		ON("postgres", rows_from_before_ids_were_packed_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
