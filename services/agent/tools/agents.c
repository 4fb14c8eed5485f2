/* call_agent begins a run of another agent, in a conversation of its own and with the same user's rights, and waits for
 * its end. The run's row names the call that it is for (executions.parent_call), so a call that is made again after a
 * crash finds it. hand_off gives the conversation to another agent.
 *
 * Both ask auth what the user may right now: he may have lost it since he wrote. */
#include "agent/tools/agents.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/agent_shares.h"
#include "agent/conversation.h"
#include "agent/execution.h"
#include "agent/post.h"
#include "agent/runner.h"
#include "agent/tools/task.h"
#include "base/alloc.h"
#include "base/clock.h"

#define MAX_DEPTH 3
#define MAX_CHILDREN 20
#define MAX_NAME 100
#define MAX_ANSWER (256 * 1024)
#define ANSWER_MS 10000
#define LOOK_FIRST_MS 50
#define LOOK_MAX_MS 1000
#define LISTED_MAX 30

/* What a call waits for. */
enum agents_state {
	AGENTS_ASKING,   /* what the user may */
	AGENTS_STARTING, /* the transaction with the run, or with the new agent of the conversation */
	AGENTS_RESTING,  /* the moment to look again */
	AGENTS_LOOKING,  /* how the run is */
	AGENTS_STOPPING, /* the transaction with the wish to stop it */
};

struct agents_task {
	struct tool_task task; /* first */
	enum agents_state state;
	bool is_hand_off, is_told, is_stopping, is_paused;
	int64_t tokens_left;
	int64_t children_tokens, children_nano; /* of all runs that the caller has called */
	const char *user_id, *conversation_id, *agent_id, *key, *wanted, *message, *request_id, *traceparent;
	yyjson_val *allowed; /* names, or NULL: all that the user may use */
	struct identity who;
	struct http_fetch *fetch;
	struct db_job db;
	struct post post;
	bool did_post;
	struct deadline again;
	uint64_t rest_ms;
	struct buf text;
	bool is_error, is_over;
	/* The run, once there is one. */
	char run_id[ID_SIZE];
	const char *status, *run_conversation;
};

static void look(struct agents_task *t);

static void finish(struct agents_task *t, const char *status)
{
	struct buf text = t->text;

	deadline_clear(&t->again);
	t->task.children_tokens = t->children_tokens;
	t->task.children_nano = t->children_nano;
	tool_task_end(&t->task, status, buf_str(&text));
	buf_deinit(&text);
}

static void fail(struct agents_task *t, const char *text)
{
	buf_clear(&t->text);
	buf_add_str(&t->text, text);
	finish(t, "error");
}

/* For the jobs: what the model is told. */
static int say(struct agents_task *t, bool is_error, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int say(struct agents_task *t, bool is_error, const char *fmt, ...)
{
	va_list ap;

	buf_clear(&t->text);
	va_start(ap, fmt);
	buf_vprintf(&t->text, fmt, ap);
	va_end(ap);
	t->is_error = is_error;
	t->is_over = true;
	return 0;
}

/* ---- Which agent ---- */

static bool is_allowed(const struct agents_task *t, const char *slug)
{
	yyjson_val *name;
	size_t i, max;

	yyjson_arr_foreach(t->allowed, i, max, name)
	{
		if (yyjson_equals_str(name, slug))
			return true;
	}
	return yyjson_arr_size(t->allowed) == 0;
}

/* By its slug or its name; the others are told otherwise. 1 found, 0 not, or -errno. */
static int find_agent(struct db_conn *c, struct agents_task *t, const char **ret_id)
{
	_cleanup_(buf_deinit) struct buf others = BUF_INIT;
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c, "select id, slug, name, owner_id, shares from agents where archived_at is null order by slug");
	struct arena *a = t->task.arena;
	int r, n = 0;

	while ((r = db_step(c, st)) == 1) {
		const char *slug = db_col_dup(st, 1, a), *owner = db_col_dup(st, 3, a);
		if (!is_allowed(t, slug) || !agent_rights(&t->who, owner, db_col_dup(st, 4, a)) ||
		    str_is(db_col_str(st, 0), t->agent_id))
			continue;
		if (strcmp(slug, t->wanted) == 0 || str_is(db_col_str(st, 2), t->wanted)) {
			*ret_id = db_col_dup(st, 0, a);
			return 1;
		}
		if (n++ < LISTED_MAX)
			buf_printf(&others, "%s%s", n > 1 ? ", " : "", slug);
	}
	if (r == 0)
		say(t, true, "There is no agent \"%s\" that can be asked. %s%s", t->wanted,
		    n ? "There are: " : "There is none.", n ? others.p : "");
	return r;
}

/* ---- Beginning a run ---- */

/* The run that the call made before. 1, 0 or -errno. */
static int find_run(struct db_conn *c, struct agents_task *t)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select id, conversation_id from executions where parent_call = ?", DB_TEXT(t->key));
	int r = db_step(c, st);

	if (r == 1) {
		snprintf(t->run_id, sizeof(t->run_id), "%.*s", STR_ARG(db_col_str(st, 0)));
		t->run_conversation = db_col_dup(st, 1, t->task.arena);
	}
	return r;
}

/* The run belongs to the call. */
static int link_run(struct db_conn *c, struct agents_task *t, const char *parent_id, int64_t depth, const char *root_id)
{
	return error_only(db_exec(c,
				  "update executions set parent_id = ?, root_id = ?, parent_call = ?, depth = ?, "
				  "token_limit = ? where "
				  "id = ?",
				  DB_TEXT(parent_id), DB_TEXT(root_id), DB_TEXT(t->key), DB_INT(depth),
				  DB_INT(t->tokens_left == INT64_MAX ? 0 : MAX(t->tokens_left, 1)),
				  DB_TEXT(t->run_id)));
}

static int post_run(struct db_conn *c, struct agents_task *t, const char *agent_id)
{
	char *id = arena_alloc(t->task.arena, ID_SIZE);
	struct conversation_row row = {.id = id,
				       .user_id = t->user_id,
				       .agent_id = agent_id,
				       .title = "",
				       .user_name = t->who.name,
				       .created_at = clock_now_us(),
				       .updated_at = clock_now_us()};
	int r;

	id_new(id);
	r = conversation_insert(c, &row);
	if (r == 0)
		r = conversation_load_to_change(c, t->task.arena, id, &t->post.conversation);
	if (r == 1)
		r = post_store(c, &t->post);
	snprintf(t->run_id, sizeof(t->run_id), "%s", t->post.execution_id);
	t->run_conversation = id;
	t->did_post = r == POST_OK;
	return r > 0 ? -EIO : r;
}

static int begin(struct db_conn *c, struct agents_task *t)
{
	struct str rest = str_of(t->key), parent = str_cut(&rest, ':');
	const char *agent_id, *parent_id = arena_strndup(t->task.arena, parent.p, parent.n), *root;
	struct db_stmt *st = db_query(c,
				      "select e.depth, e.root_id, (select count(*) from executions x where x.parent_id "
				      "= e.id) from executions e where e.id = ?",
				      DB_TEXT(parent_id));
	int r = db_step(c, st);
	int64_t depth = 0, children = 0;

	root = parent_id;
	if (r == 1) {
		depth = db_col_int(st, 0);
		root = db_col_is_null(st, 1) ? parent_id : db_col_dup(st, 1, t->task.arena);
		children = db_col_int(st, 2);
	}
	db_done(st);
	if (r != 1)
		return r < 0 ? r : -ENOENT;
	if (depth >= MAX_DEPTH)
		return say(t, true, "Agents can call each other %d deep only: do this part yourself.", MAX_DEPTH);
	if (children >= MAX_CHILDREN)
		return say(t, true, "This run has called %d agents already: go on without more of them.", MAX_CHILDREN);
	r = find_agent(c, t, &agent_id);
	if (r <= 0)
		return r;
	r = post_run(c, t, agent_id);
	return r < 0 ? r : link_run(c, t, parent_id, depth + 1, root);
}

static int hand_off(struct db_conn *c, struct agents_task *t)
{
	const char *agent_id;
	int64_t n;
	int r = find_agent(c, t, &agent_id);

	if (r <= 0)
		return r;
	n = db_exec(c, "update conversations set agent_id = ?, agent_version = null where id = ?", DB_TEXT(agent_id),
		    DB_TEXT(t->conversation_id));
	return n < 0 ? (int)n
		     : say(t, false,
			   "The conversation is handed over: the next message goes to \"%s\". Tell the person in a "
			   "sentence, and end.",
			   t->wanted);
}

static int start_run(struct db_conn *c, struct db_job *job)
{
	struct agents_task *t = container_of(job, struct agents_task, db);
	int r;

	t->is_over = t->is_error = t->did_post = false;
	t->run_id[0] = '\0';
	if (t->is_hand_off)
		return hand_off(c, t);
	r = find_run(c, t);
	return r ? MIN(r, 0) : begin(c, t);
}

/* People see in the call where the work goes on; what waits for them there is in their list of approvals. */
static void tell_run(struct agents_task *t)
{
	struct tool_call *c = t->task.call;
	const char *text;

	if (!c || t->is_told || c->output_offset > 0)
		return;
	t->is_told = true;
	text = arena_printf(t->task.arena, "Run %s in the conversation %s\n", t->run_id, t->run_conversation);
	c->on_output(c, "stdout", 0, str_of(text));
}

static void on_started(struct db_job *job, int result)
{
	struct agents_task *t = container_of(job, struct agents_task, db);

	if (t->did_post && (result == 0 || result == -ECONNRESET)) {
		if (result == 0)
			post_begin(t->task.agent, &t->post);
		else
			post_begin_unsure(t->task.agent, &t->post);
	}
	if (result < 0 && result != -ECONNRESET) {
		fail(t, "The agent cannot be called now: the database does not answer. Try again later.");
		return;
	}
	if (t->is_over) {
		finish(t, t->is_error ? "error" : "done");
		return;
	}
	tell_run(t);
	t->rest_ms = LOOK_FIRST_MS;
	look(t);
}

/* ---- What the user may ---- */

static const char *const *names_of(struct arena *a, yyjson_val *list)
{
	const char **names = arena_alloc(a, (yyjson_arr_size(list) + 1) * sizeof(*names));
	yyjson_val *item;
	size_t i, max, n = 0;

	yyjson_arr_foreach(list, i, max, item)
	{
		if (yyjson_is_str(item))
			names[n++] = yyjson_get_str(item);
	}
	return names;
}

static void on_rights(void *arg, int err, int status, struct str body)
{
	struct agents_task *t = arg;
	struct arena *a = t->task.arena;
	yyjson_val *root = err ? NULL : yyjson_doc_get_root(json_parse(a, body.p, body.n, NULL));

	t->fetch = NULL;
	if (t->task.is_cancelled || !t->task.call) {
		fail(t, "cancelled");
		return;
	}
	if (!root || status != 200) {
		fail(t, "It is not known what the person may do: the service of accounts does not answer. Try again.");
		return;
	}
	t->who = (struct identity){
		.user_id = t->user_id,
		.name = json_get_str(root, "name", ""),
		.service = "",
		.permissions = names_of(a, json_get_arr(root, "permissions")),
		.roles = names_of(a, json_get_arr(root, "roles")),
	};
	if (!identity_may(&t->who, "conversations.use")) {
		fail(t, "The person may not talk to agents any more.");
		return;
	}
	t->state = AGENTS_STARTING;
	t->post = (struct post){.arena = a,
				.content = t->message,
				.traceparent = t->traceparent,
				.request_id = t->request_id,
				.when_busy = BUSY_REJECT};
	post_prepare(&t->post, t->task.agent);
	t->db = (struct db_job){.run = start_run, .done = on_started};
	db_write(t->task.agent->db, &t->db);
}

/* ---- Waiting for its end ---- */

static int sum_children(struct db_conn *c, struct agents_task *t)
{
	struct str rest = str_of(t->key), parent = str_cut(&rest, ':');
	struct db_stmt *st = db_query(c,
				      "select coalesce(sum(input_tokens + output_tokens), 0), coalesce(sum(cost_nano), "
				      "0) from executions where root_id = ? or parent_id = ?",
				      DB_STR(parent), DB_STR(parent));
	int r = db_step(c, st);

	if (r == 1) {
		t->children_tokens = db_col_int(st, 0);
		t->children_nano = db_col_int(st, 1);
	}
	db_done(st);
	return MIN(r, 0);
}

static int look_run(struct db_conn *c, struct db_job *job)
{
	struct agents_task *t = container_of(job, struct agents_task, db);
	struct arena *a = t->task.arena;
	struct db_stmt *st = db_query(c,
				      "select e.status, e.ended_at, o.content, e.error_message from executions e left "
				      "join messages o on o.conversation_id = e.conversation_id and o.seq = "
				      "e.output_seq where e.id = ?",
				      DB_TEXT(t->run_id));
	int r = db_step(c, st);

	if (r == 0)
		r = say(t, true, "The agent's run is not there any more.");
	else if (r == 1 && !db_col_is_null(st, 1)) {
		t->status = db_col_dup(st, 0, a);
		if (strcmp(t->status, "succeeded") == 0)
			r = say(t, false, "%.*s", STR_ARG(db_col_str(st, 2)));
		else
			r = say(t, true, "The agent's run %s. %s%.*s", t->status,
				t->is_paused ? "Its budget was used up. " : "", STR_ARG(db_col_str(st, 3)));
	} else if (r == 1)
		t->is_paused = str_is(db_col_str(st, 0), "paused");
	db_done(st);
	return t->is_over && r >= 0 ? sum_children(c, t) : MIN(r, 0);
}

static void on_again(struct deadline *d)
{
	look(container_of(d, struct agents_task, again));
}

static void stop_run(struct agents_task *t);

static void on_looked(struct db_job *job, int result)
{
	struct agents_task *t = container_of(job, struct agents_task, db);

	if (t->is_over || !t->task.call) {
		finish(t, t->is_error ? "error" : "done");
		return;
	}
	if ((t->task.is_cancelled || t->is_paused) && !t->is_stopping) {
		stop_run(t);
		return;
	}
	t->state = AGENTS_RESTING;
	t->rest_ms = MIN(t->rest_ms * 3 / 2, (uint64_t)LOOK_MAX_MS);
	deadline_set(service_wheel(t->task.agent->service), &t->again, t->rest_ms);
}

static void look(struct agents_task *t)
{
	t->state = AGENTS_LOOKING;
	t->db = (struct db_job){.run = look_run, .done = on_looked};
	db_read(t->task.agent->db, &t->db);
}

/* ---- Stopping ---- */

static int stop_job(struct db_conn *c, struct db_job *job)
{
	int r = execution_cancel(c, container_of(job, struct agents_task, db)->run_id, clock_now_us());

	return MIN(r, 0);
}

static void on_stopped(struct db_job *job, int result)
{
	struct agents_task *t = container_of(job, struct agents_task, db);

	runner_cancel(t->task.agent->runner, t->run_id);
	runner_wake(t->task.agent->runner);
	t->rest_ms = LOOK_FIRST_MS;
	look(t);
}

static void stop_run(struct agents_task *t)
{
	t->is_stopping = true;
	t->state = AGENTS_STOPPING;
	t->db = (struct db_job){.run = stop_job, .done = on_stopped};
	db_write(t->task.agent->db, &t->db);
}

/* A job that is under way sees it when it is done. When the process ends, the run goes on. */
static void stop(struct tool_task *task)
{
	struct agents_task *t = (struct agents_task *)task;

	if (t->state == AGENTS_ASKING)
		http_fetch_cancel(t->fetch);
	else if (t->state == AGENTS_RESTING)
		deadline_set(service_wheel(task->agent->service), &t->again, 0);
}

struct abandoned {
	struct db_job db;
	struct agent *agent;
	char key[256], run_id[ID_SIZE];
};

static int abandon_job(struct db_conn *c, struct db_job *job)
{
	struct abandoned *b = container_of(job, struct abandoned, db);
	struct db_stmt *st = db_query(c, "select id from executions where parent_call = ?", DB_TEXT(b->key));
	int r = db_step(c, st);

	snprintf(b->run_id, sizeof(b->run_id), "%.*s", r == 1 ? (int)db_col_str(st, 0).n : 0,
		 r == 1 ? db_col_str(st, 0).p : "");
	db_done(st);
	if (r == 1)
		r = execution_cancel(c, b->run_id, clock_now_us());
	return MIN(r, 0);
}

static void abandoned_done(struct db_job *job, int result)
{
	struct abandoned *b = container_of(job, struct abandoned, db);

	if (result == 0 && b->run_id[0])
		runner_cancel(b->agent->runner, b->run_id);
	free(b);
}

/* The call is not wanted any more, and the run of a former process may be on. */
static void abandon(const struct tool *tool, struct agent *agent, const char *user_id, const char *key)
{
	struct abandoned *b = xcalloc(1, sizeof(*b));

	b->db = (struct db_job){.run = abandon_job, .done = abandoned_done};
	b->agent = agent;
	snprintf(b->key, sizeof(b->key), "%s", key);
	db_write(agent->db, &b->db);
}

/* ---- The calls ---- */

static void start(struct tool_call *c)
{
	struct agents_task *t = (struct agents_task *)tool_task_new(c, sizeof(*t), stop);
	struct arena *a = t->task.arena;
	struct http_headers *headers;

	t->is_hand_off = c->tool == &tool_hand_off;
	t->user_id = arena_strdup(a, c->user_id);
	t->conversation_id = arena_strdup(a, c->conversation_id);
	t->agent_id = arena_strdup(a, c->agent_id);
	t->key = arena_strdup(a, c->key);
	t->request_id = c->request_id ? arena_strdup(a, c->request_id) : NULL;
	t->traceparent = c->traceparent ? arena_strdup(a, c->traceparent) : NULL;
	t->wanted = arena_strdup(a, json_get_str(c->arguments, "agent", ""));
	t->message = arena_strdup(a, json_get_str(c->arguments, "message", ""));
	t->allowed = json_get_arr(c->options, "agents");
	t->tokens_left = c->tokens_left;
	deadline_init(&t->again, on_again);
	headers = service_peer_headers(c->agent->service, "auth", "", c->request_id, c->traceparent, a);
	t->fetch = http_fetch(service_peer(c->agent->service, "auth"), "GET",
			      arena_printf(a, "/users/%s/rights", t->user_id), headers, NULL, (struct str){0},
			      MAX_ANSWER, ANSWER_MS, on_rights, t);
}

static int check(const struct tool *t, yyjson_val *arguments, struct error *err)
{
	static const struct json_field fields[] = {
		{"agent", JSON_STRING, true, 1, MAX_NAME},
		{"message", JSON_STRING, true, 1, POST_CONTENT_MAX},
	};

	return json_check(arguments, fields, t == &tool_call_agent ? 2 : 1, err);
}

static int check_options(yyjson_val *options, struct error *err)
{
	static const struct json_field fields[] = {{"agents", JSON_ARRAY, false, 0, 100}};
	yyjson_val *name;
	size_t i, max;

	if (json_check(options, fields, 1, err) < 0)
		return -EINVAL;
	yyjson_arr_foreach(json_get_arr(options, "agents"), i, max, name)
	{
		if (!yyjson_is_str(name))
			return error_set(err, "invalid_field", "\"agents\" holds short names of agents");
	}
	return 0;
}

static const char *summary(const struct tool *t, yyjson_val *arguments, struct arena *a)
{
	const char *agent = json_get_str(arguments, "agent", "");

	if (t == &tool_hand_off)
		return arena_printf(a, "hand over to %s", agent);
	return arena_printf(a, "%s: %s", agent, json_get_str(arguments, "message", ""));
}

const struct tool tool_call_agent = {
	.spec = {.name = "call_agent",
		 .description = "Lets another agent do a part of the work and returns its answer. It knows nothing of "
				"this conversation: the message must say all that it needs.",
		 .parameters = "{\"type\":\"object\",\"properties\":{\"agent\":{\"type\":\"string\",\"description\":"
			       "\"Its short name\"},\"message\":{\"type\":\"string\"}},\"required\":[\"agent\","
			       "\"message\"],\"additionalProperties\":false}"},
	.check = check,
	.check_options = check_options,
	.summary = summary,
	.start = start,
	.cancel = tool_task_cancel,
	.leave = tool_task_leave,
	.abandon = abandon,
};

const struct tool tool_hand_off = {
	.spec = {.name = "hand_off",
		 .description =
			 "Gives this conversation to another agent, who answers the person from the next message "
			 "on and sees what was said.",
		 .parameters = "{\"type\":\"object\",\"properties\":{\"agent\":{\"type\":\"string\",\"description\":"
			       "\"Its short name\"}},\"required\":[\"agent\"],\"additionalProperties\":false}"},
	.check = check,
	.check_options = check_options,
	.summary = summary,
	.start = start,
	.cancel = tool_task_cancel,
	.leave = tool_task_leave,
};
