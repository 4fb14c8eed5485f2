/* Loading: the execution, its agent's settings and the conversation; what was left open shows where to go on. */
#include <errno.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/apis/tools.h"
#include "agent/attachments/store.h"
#include "agent/compact.h"
#include "agent/memory/store.h"
#include "agent/run.h"
#include "agent/run_compact.h"
#include "agent/runner.h"
#include "agent/variables.h"
#include "base/alloc.h"
#include "base/clock.h"

/* Of a longer conversation the model is told the newest part, and always all of this execution. */
#define HISTORY_MAX_BYTES (512 * 1024)
#define HISTORY_MAX_MESSAGES 4000
#define PAGE_MESSAGES 100
#define AGAIN_MS 200

struct load {
	struct db_job db;
	struct agent *agent;
	struct run *run; /* NULL while it is not known */
	char execution_id[ID_SIZE];
	bool is_resumed;
	struct arena *arena;
	struct deadline again;
	struct later soon;    /* what was read with the execution's acceptance is told */
	bool is_accepting;    /* in the transaction that accepts it */
	bool is_without_room; /* for what is attached: it waits */

	/* Results. */
	bool is_cancelled, has_ended;
	bool is_owned; /* by this process */
	bool is_child; /* another run waits for it */
	bool has_marks, has_files;
	int64_t claim, seq_limit, message_seq, created_at, started_at, steps, commands, parked_us, calls_seq;
	struct list approvals; /* struct run_approval */
	struct budgets budgets;
	struct budget_amount budget_from, children;
	int64_t token_limit; /* of a run that another has called: what that had left; 0 = none */
	struct chat_usage usage;
	char draft_id[ID_SIZE], conversation_id[ID_SIZE], user_id[65], traceparent[TRACEPARENT_SIZE];
	const char *agent_id, *agent_name, *variables, *user_name, *title;
	yyjson_val *config;
	const char *output_schema; /* of the message, or NULL */
	const char *remembered;    /* what the model is told of it; "" = nothing */
	struct list messages;      /* struct loaded_message */
	struct cite_sources sources;
	struct api_tools apis;
	struct run_call *calls; /* open ones and those of the same answer, if the last answer asks for any */
	size_t n_calls;
};

struct run_preload {
	struct load *load; /* NULL once the run has it */
};

struct loaded_message {
	struct chat_message chat; /* first */
	bool is_own;              /* of this execution */
	int64_t seq;
};

static void copy(char *to, size_t size, struct str s)
{
	snprintf(to, size, "%.*s", STR_ARG(s));
}

/* NULL when it is none. */
static yyjson_val *parse(struct arena *a, struct str json)
{
	return yyjson_doc_get_root(json_parse(a, json.p, json.n, NULL));
}

static int load_execution(struct db_conn *c, struct load *l)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c,
		"select e.claim, e.seq_limit, c.last_seq, e.created_at, e.started_at, e.steps, e.commands, "
		"e.input_tokens, "
		"e.output_tokens, e.tokens_estimated, e.draft_id, e.conversation_id, e.user_id, e.agent_id, "
		"e.ended_at, "
		"v.config, e.cancel_at, e.traceparent, e.owner, e.cached_tokens, e.cost_nano, "
		"e.budget_from_tokens, e.budget_from_nano, e.parked_us, "
		"e.parked_at, e.agent_name, c.variables, c.user_name, c.title, e.output_schema, e.token_limit, "
		"c.attachments, (select count(*) from context_marks m where m.conversation_id = c.id), e.parent_id "
		"from "
		"executions e join "
		"conversations c on c.id = "
		"e.conversation_id join "
		"agent_versions v on v.agent_id = e.agent_id and v.version = e.agent_version where e.id = ?",
		DB_TEXT(l->execution_id));
	int r = db_step(c, st);

	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	l->claim = db_col_int(st, 0);
	l->seq_limit = db_col_int(st, 1);
	l->message_seq = db_col_int(st, 2);
	l->created_at = db_col_int(st, 3);
	l->started_at = db_col_int(st, 4);
	l->steps = db_col_int(st, 5);
	l->commands = db_col_int(st, 6);
	l->usage = (struct chat_usage){.input_tokens = db_col_int(st, 7),
				       .output_tokens = db_col_int(st, 8),
				       .estimated = db_col_int(st, 9) != 0,
				       .cached_tokens = db_col_int(st, 19),
				       .cost_nano = db_col_int(st, 20)};
	copy(l->draft_id, sizeof(l->draft_id), db_col_str(st, 10));
	copy(l->conversation_id, sizeof(l->conversation_id), db_col_str(st, 11));
	copy(l->user_id, sizeof(l->user_id), db_col_str(st, 12));
	l->agent_id = db_col_dup(st, 13, l->arena);
	l->has_ended = !db_col_is_null(st, 14);
	l->config = parse(l->arena, db_col_str(st, 15));
	l->is_cancelled = !db_col_is_null(st, 16);
	copy(l->traceparent, sizeof(l->traceparent), db_col_str(st, 17));
	l->is_owned = str_is(db_col_str(st, 18), runner_owner(l->agent->runner));
	l->budget_from = (struct budget_amount){db_col_int(st, 21), db_col_int(st, 22)};
	l->parked_us = db_col_int(st, 23);
	if (!db_col_is_null(st, 24))
		l->parked_us += MAX(clock_now_us() - db_col_int(st, 24), 0);
	l->agent_name = db_col_dup(st, 25, l->arena);
	l->variables = db_col_dup(st, 26, l->arena);
	l->user_name = db_col_dup(st, 27, l->arena);
	l->title = db_col_dup(st, 28, l->arena);
	l->output_schema = db_col_dup(st, 29, l->arena);
	l->token_limit = db_col_int(st, 30);
	l->has_files = db_col_int(st, 31) > 0;
	l->has_marks = db_col_int(st, 32) > 0;
	l->is_child = !db_col_is_null(st, 33);
	return 0;
}

static enum chat_role role_of(struct str name)
{
	if (str_is(name, "assistant"))
		return CHAT_ASSISTANT;
	return str_is(name, "tool") ? CHAT_TOOL : CHAT_USER;
}

/* [{id, name, arguments}]: arguments are an object, or the text as the model wrote it. */
static void parse_calls(struct arena *a, const char *json, struct chat_message *m)
{
	yyjson_val *list = parse(a, str_of(json)), *item;
	size_t i, max;

	m->calls = arena_alloc(a, (yyjson_arr_size(list) + 1) * sizeof(*m->calls));
	yyjson_arr_foreach(list, i, max, item)
	{
		yyjson_val *arguments = yyjson_obj_get(item, "arguments");
		m->calls[m->n_calls++] = (struct chat_call){
			.id = json_get_str(item, "id", ""),
			.name = json_get_str(item, "name", ""),
			.arguments = yyjson_is_str(arguments) ? str_of(yyjson_get_str(arguments))
							      : json_val_text(a, arguments),
		};
	}
}

/* What a call found in documents may be cited by the answers to come. */
static void take_passages(struct load *l, struct str result)
{
	yyjson_val *root = result.n ? parse(l->arena, result) : NULL;
	yyjson_val *passages = json_get_arr(root, "passages");

	if (passages && l->sources.n < CITE_SOURCES_MAX)
		cite_sources_add(&l->sources, l->arena, json_val_text(l->arena, passages).p);
}

static size_t load_message(struct load *l, struct db_stmt *st)
{
	struct loaded_message *m = arena_new_of(l->arena, struct loaded_message);

	m->chat.role = role_of(db_col_str(st, 0));
	m->chat.content = arena_str(l->arena, db_col_str(st, 1));
	m->chat.call_id = db_col_dup(st, 3, l->arena);
	m->is_own = str_is(db_col_str(st, 4), l->execution_id);
	m->chat.opaque = db_col_dup(st, 6, l->arena);
	m->seq = m->chat.seq = db_col_int(st, 5);
	if (!db_col_is_null(st, 2))
		parse_calls(l->arena, db_col_dup(st, 2, l->arena), &m->chat);
	take_passages(l, db_col_str(st, 7));
	list_prepend(&l->messages, &m->chat.link);
	return m->chat.content.n + db_col_str(st, 2).n;
}

/* The messages between the places `after` and *before, newest first. 1 = more are wanted, 0 = no more, or -errno. */
static int load_page(struct db_conn *c, struct load *l, int64_t after, int64_t *before, size_t *bytes)
{
	struct db_stmt *st =
		db_query(c,
			 "select role, content, tool_calls, tool_call_id, execution_id, seq, opaque, case when role = "
			 "'tool' and text_of(result) like "
			 "'%\"passages\":[%' then result end from messages where "
			 "conversation_id = ? and seq < ? and seq > ? order by seq desc limit ?",
			 DB_TEXT(l->conversation_id), DB_INT(*before), DB_INT(after), DB_INT(PAGE_MESSAGES));
	int r, n = 0;

	while ((r = db_step(c, st)) > 0) {
		if (*bytes > HISTORY_MAX_BYTES && !str_is(db_col_str(st, 4), l->execution_id))
			break;
		*bytes += load_message(l, st);
		*before = db_col_int(st, 5);
		n++;
	}
	db_done(st);
	return r < 0 ? r : n == PAGE_MESSAGES;
}

/* It stands for all before what was loaded. */
static void add_summary(struct load *l, struct str summary)
{
	struct loaded_message *m = arena_new_of(l->arena, struct loaded_message);

	m->chat = *compact_message(l->arena, summary);
	list_prepend(&l->messages, &m->chat.link);
}

static int load_messages(struct db_conn *c, struct load *l)
{
	int64_t before = INT32_MAX;
	size_t bytes = 0;
	struct run_mark mark = {0};
	int r, found = l->has_marks ? run_mark_load(c, l->arena, l->conversation_id, &mark) : 0;

	list_init(&l->messages);
	r = found < 0 ? found : 1;
	for (int n = 0; r == 1 && n < HISTORY_MAX_MESSAGES; n += PAGE_MESSAGES)
		r = load_page(c, l, mark.up_to_seq, &before, &bytes);
	if (r >= 0 && found == 1)
		add_summary(l, mark.summary);
	return MIN(r, 0);
}

static struct loaded_message *loaded(struct list *link)
{
	return container_of(link, struct loaded_message, chat.link);
}

/* A history that was cut must not begin with an answer or the result of a call that is not there. */
static void drop_headless(struct load *l)
{
	struct chat_message *m;

	while ((m = list_first(&l->messages, struct chat_message, link)) && m->role != CHAT_USER)
		list_remove(&m->link);
}

/* The result of the call among the tools' messages that follow an answer, or NULL. */
static bool has_result(const struct list *messages, const struct list *answer, const char *call_id)
{
	for (const struct list *it = answer->next; it != messages; it = it->next) {
		const struct chat_message *m = container_of(it, const struct chat_message, link);
		if (m->role != CHAT_TOOL)
			return false;
		if (m->call_id && strcmp(m->call_id, call_id) == 0)
			return true;
	}
	return false;
}

/* The calls of the last own answer are what the run goes on with. */
static void find_calls(struct load *l)
{
	struct list *it = l->messages.prev;

	while (it != &l->messages && loaded(it)->chat.role == CHAT_TOOL)
		it = it->prev;
	if (it == &l->messages || !loaded(it)->is_own || loaded(it)->chat.n_calls == 0)
		return;
	const struct chat_message *m = &loaded(it)->chat;
	l->calls_seq = loaded(it)->seq;
	l->n_calls = m->n_calls;
	l->calls = arena_alloc(l->arena, l->n_calls * sizeof(*l->calls));
	for (size_t i = 0; i < l->n_calls; i++) {
		l->calls[i].spec = m->calls[i];
		l->calls[i].has_result = has_result(&l->messages, it, m->calls[i].id);
	}
}

static struct run_call *find_call(struct load *l, const char *id)
{
	for (size_t i = 0; id && i < l->n_calls; i++)
		if (strcmp(l->calls[i].spec.id, id) == 0)
			return &l->calls[i];
	return NULL;
}

/* Which calls were shown before the restart, and how much of their output. */
static int load_shown(struct db_conn *c, struct load *l)
{
	struct db_stmt *st = db_query(c,
				      "select type, data from execution_events where execution_id = ? and type in "
				      "('call.started', 'call.output') order by seq",
				      DB_TEXT(l->execution_id));
	int r;

	while ((r = db_step(c, st)) > 0) {
		_cleanup_(arena_free_p) struct arena *a = arena_new();
		yyjson_val *root = parse(a, db_col_str(st, 1));
		struct run_call *call = find_call(l, json_get_str(root, "call_id", NULL));
		if (!call)
			continue;
		call->is_shown = true;
		if (str_is(db_col_str(st, 0), "call.output"))
			call->output_offset = (uint64_t)json_get_int(root, "offset", 0) +
					      yyjson_get_len(yyjson_obj_get(root, "text"));
	}
	db_done(st);
	return r;
}

static bool has_open_calls(const struct load *l)
{
	for (size_t i = 0; i < l->n_calls; i++)
		if (!l->calls[i].has_result)
			return true;
	return false;
}

static int load_budgets(struct db_conn *c, struct load *l)
{
	int r;

	l->budgets = (struct budgets){0};
	budgets_take_config(&l->budgets, json_get_obj(l->config, "budget"));
	int64_t *limit = &l->budgets.limit[BUDGET_RUN].tokens;
	if (l->token_limit > 0 && (*limit == 0 || *limit > l->token_limit))
		*limit = l->token_limit;
	r = budgets_load_user(c, l->agent, l->user_id, &l->budgets);
	if (r == 0)
		r = budgets_load_used(c, l->user_id, l->agent_id, clock_now_us(), &l->budgets);
	return r;
}

/* What the runs that it called have spent is part of its own budget; and it may spend what is left of its root's. A run
 * that has just been accepted has called none. */
static int load_children(struct db_conn *c, struct load *l)
{
	l->children = (struct budget_amount){0};
	if (!l->is_resumed)
		return 0;
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c,
			 "select coalesce(sum(input_tokens + output_tokens), 0), coalesce(sum(cost_nano), 0) from "
			 "executions where root_id = ? or parent_id = ?",
			 DB_TEXT(l->execution_id), DB_TEXT(l->execution_id));
	int r = db_step(c, st);

	if (r == 1) {
		l->children = (struct budget_amount){db_col_int(st, 0), db_col_int(st, 1)};
	}
	return MIN(r, 0);
}

/* An agent with the tools of memory is told what there is. */
static int load_memory(struct db_conn *c, struct load *l)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	yyjson_val *name;
	struct memory_who who = {l->user_id, l->agent_id};
	size_t i, max;
	int r = 0;

	yyjson_arr_foreach(json_get_arr(l->config, "tools"), i, max, name)
	{
		if (r == 0 && text.n == 0 && yyjson_equals_str(name, "memory"))
			r = memory_summary(c, &who, l->arena, &text);
	}
	l->remembered = text.n > 0 ? arena_strndup(l->arena, text.p, text.n) : "";
	return r;
}

static int load_apis(struct db_conn *c, struct load *l)
{
	return api_tools_load(c, l->arena, json_get_arr(l->config, "apis"), l->user_id, &l->apis);
}

/* Not while others wait for the transaction: they may be many megabytes. Who waits for a child may hold the room that
 * the child would wait for. */
static int load_files(struct db_conn *c, struct load *l)
{
	if (l->is_accepting)
		return -ENOBUFS;
	return attachments_load(c, l->arena, l->conversation_id, &l->messages, l->agent->attachment_room, l->is_child);
}

static int read_all(struct db_conn *c, struct load *l)
{
	int r;

	arena_reset(l->arena);
	l->calls = NULL;
	l->sources = (struct cite_sources){0};
	l->n_calls = 0;
	l->calls_seq = 0;
	r = load_execution(c, l);
	if (r == 0)
		r = load_messages(c, l);
	if (r < 0)
		return r;
	drop_headless(l);
	find_calls(l);
	if (l->has_files && !l->is_cancelled)
		r = load_files(c, l);
	if (r == 0)
		r = load_budgets(c, l);
	if (r == 0)
		r = load_children(c, l);
	if (r == 0)
		r = load_memory(c, l);
	if (r == 0)
		r = load_apis(c, l);
	if (r < 0)
		return r;
	if (l->is_resumed && has_open_calls(l))
		r = load_shown(c, l);
	if (r == 0 && l->is_resumed)
		r = run_approvals_load(c, l->arena, l->execution_id, &l->approvals);
	return r;
}

static int load(struct db_conn *c, struct db_job *job)
{
	return read_all(c, container_of(job, struct load, db));
}

static void take_tool(struct run *run, const struct tool *t)
{
	for (size_t i = 0; i < run->n_tools; i++)
		if (strcmp(run->tools[i]->name, t->spec.name) == 0)
			return;
	if (run->n_tools == ARRAY_SIZE(run->tools))
		return;
	run->tools[run->n_tools] = &t->spec;
	run->tool_table[run->n_tools++] = t;
}

static void take_tools(struct run *run, yyjson_val *names)
{
	yyjson_val *name;
	size_t i, max;

	yyjson_arr_foreach(names, i, max, name)
	{
		const struct tool *const *t = yyjson_is_str(name) ? tool_group_find(yyjson_get_str(name)) : NULL;
		for (; t && *t; t++)
			take_tool(run, *t);
	}
}

static const char *api_mode(const struct api_tools *apis, const struct tool *t)
{
	for (size_t i = 0; i < apis->n; i++)
		if (&apis->items[i]->tool == t)
			return apis->items[i]->mode;
	return NULL;
}

/* One mode for all tools, others for some. */
static void take_approval_modes(struct run *run, yyjson_val *approval, const struct api_tools *apis)
{
	const char *mode = json_get_str(approval, "default", "never");
	yyjson_val *tools = json_get_obj(approval, "tools");

	for (size_t i = 0; i < run->n_tools; i++) {
		const char *group = json_get_str(tools, tool_group_of(run->tool_table[i]), mode);
		const char *own = api_mode(apis, run->tool_table[i]);
		run->approval_modes[i] = approval_mode_of(own ?: json_get_str(tools, run->tools[i]->name, group));
	}
}

/* What stands between braces gets its value; one that is missing ends the run. */
static void take_instructions(struct run *run, const struct load *l, yyjson_val *config)
{
	struct variables v = {
		.user_name = l->user_name,
		.user_id = l->user_id,
		.agent_name = l->agent_name,
		.conversation_id = l->conversation_id,
		.conversation_title = l->title,
		.now = clock_now_us(),
		.declared = json_get_arr(config, "variables"),
	};
	struct error err = {0};

	if (l->variables)
		v.values = parse(run->arena, str_of(l->variables));
	run->instructions = variables_expand(run->arena, json_get_str(config, "instructions", ""), &v, &err);
	if (run->instructions && *l->remembered)
		run->instructions = arena_printf(run->arena, "%s%s%s", run->instructions,
						 *run->instructions ? "\n\n" : "", l->remembered);
	if (run->instructions)
		return;
	run->instructions = "";
	run_stop(run, "failed", err.code, err.message);
}

static void take_config(struct run *run, const struct load *l)
{
	const struct options *o = service_options(run->agent->service);
	yyjson_val *root = l->config, *limits = json_get_obj(root, "limits");

	take_instructions(run, l, root);
	run_take_output_schema(run, l->output_schema, json_get_obj(root, "output_schema"));
	run->model_id = json_get_str(root, "model", "default");
	run->fallback_models = json_get_arr(root, "fallback_models");
	run->command_target = json_get_str(root, "target", "local");
	run->command_policy = json_get_str(root, "policy", "");
	run->max_steps = MIN(json_get_int(limits, "max_steps", 25), option_int(o, "run_max_steps"));
	run->max_seconds = MIN(json_get_int(limits, "max_seconds", 600), option_int(o, "run_max_seconds"));
	run->max_output_tokens = json_get_int(limits, "max_output_tokens", 4096);
	take_tools(run, json_get_arr(root, "tools"));
	for (size_t i = 0; i < l->apis.n; i++)
		take_tool(run, &l->apis.items[i]->tool);
	run->tool_options = json_get_obj(root, "tool_options");
	take_approval_modes(run, json_get_obj(root, "approval"), &l->apis);
}

/* The calls of this execution that have been made count for the guard against loops. */
static void take_messages(struct run *run, struct load *l)
{
	struct chat_message *m;
	const char *why;

	list_splice(&run->messages, &l->messages);
	run->sources = l->sources;
	list_foreach (m, &run->messages, struct chat_message, link) {
		for (size_t i = 0; i < m->n_calls && ((struct loaded_message *)m)->is_own; i++)
			if (has_result(&run->messages, &m->link, m->calls[i].id))
				loops_call(&run->loops, m->calls[i].name, m->calls[i].arguments, &why);
	}
	run->calls = l->calls;
	run->n_calls = l->n_calls;
	for (size_t i = 0; i < run->n_calls; i++)
		run->calls[i].run = run;
	run->calls_seq = l->calls_seq;
	/* An answer of before there were reserved places has none. */
	run->message_seq = MAX(l->message_seq, l->calls_seq + (int64_t)l->n_calls);
}

static void start_clock(struct run *run)
{
	int64_t now = clock_now_us(), end;

	if (run->started_at == 0)
		run->started_at = now;
	end = run->started_at + run->parked_us + run->max_seconds * 1000000;
	deadline_set(service_wheel(run->agent->service), &run->time_limit,
		     end > now ? (uint64_t)(end - now) / 1000 : 0);
}

/* Numbers go on above those that may have been shown before the restart. */
static void resume_log(struct run *run, const struct load *l)
{
	struct run_log *log = &run->log;

	log->seq_limit = (uint64_t)l->seq_limit;
	log->last_seq = log->shown_seq = log->stored_seq = (uint64_t)l->seq_limit - RUN_LOG_AHEAD;
	if (!has_open_calls(l))
		run_emit(run, EVENT_TEXT_RESET, false, "{\"message_id\":\"%s\"}", l->draft_id);
}

static void take(struct run *run, struct load *l)
{
	arena_free(run->arena);
	run->arena = l->arena;
	l->arena = NULL;
	if (run->is_resumed)
		run_trace(run, *l->traceparent ? l->traceparent : NULL);
	run->agent_id = l->agent_id;
	run->created_at = l->created_at;
	run->started_at = l->started_at;
	run->parked_us = l->parked_us;
	run->budgets = l->budgets;
	run->budget_from = l->budget_from;
	run->children = l->children;
	run->agent_name = l->agent_name;
	list_splice(&run->approvals, &l->approvals);
	run->steps = run->steps_stored = l->steps;
	run->commands = l->commands;
	/* Whether the last step was kept before a restart is not known. */
	run->commands_kept = run->is_resumed ? l->commands - 1 : l->commands;
	run->usage = run->usage_stored = l->usage;
	memcpy(run->draft_id, l->draft_id, ID_SIZE);
	memcpy(run->conversation_id, l->conversation_id, ID_SIZE);
	memcpy(run->user_id, l->user_id, sizeof(run->user_id));
	take_config(run, l);
	take_messages(run, l);
	if (run->is_resumed)
		resume_log(run, l);
	if (l->is_cancelled)
		run_stop(run, "cancelled", NULL, NULL);
	start_clock(run);
}

static struct load *load_new(struct agent *agent, const char *execution_id)
{
	struct load *l = xcalloc(1, sizeof(*l));

	l->agent = agent;
	snprintf(l->execution_id, sizeof(l->execution_id), "%s", execution_id);
	l->arena = arena_new();
	list_init(&l->approvals);
	return l;
}

static void load_free(struct load *l)
{
	if (l)
		arena_free(l->arena);
	free(l);
}

static void on_again(struct deadline *d)
{
	struct load *l = container_of(d, struct load, again);

	db_read(l->agent->db, &l->db);
}

static bool is_mine(const struct load *l)
{
	return l->is_owned && l->claim == l->run->claim && !l->has_ended;
}

/* The run goes on with what was read, or without it when that is not for this process. */
static void finish(struct load *l, int result)
{
	struct run *run = l->run;
	bool goes_on = result == 0 && is_mine(l);

	if (goes_on)
		take(run, l);
	load_free(l);
	run_on_done(run, goes_on ? 0 : -ESTALE);
}

static void on_soon(struct later *later)
{
	finish(container_of(later, struct load, soon), 0);
}

static void set_without_room(struct load *l, bool is_without_room)
{
	l->agent->runs_without_room += is_without_room - l->is_without_room;
	l->is_without_room = is_without_room;
}

static void on_loaded(struct db_job *job, int result)
{
	struct load *l = container_of(job, struct load, db);

	set_without_room(l, result == -ENOBUFS);
	if (result < 0 && result != -ENOENT) {
		if (result != -ENOBUFS)
			log_warn("run %s cannot be loaded and is tried again: %s", l->execution_id, strerror(-result));
		deadline_set(service_wheel(l->agent->service), &l->again, AGAIN_MS);
		return;
	}
	finish(l, result);
}

static void preload_deinit(void *arg)
{
	struct run_preload *p = arg;

	load_free(p->load);
	p->load = NULL;
}

int run_preload(struct db_conn *c, struct agent *agent, const char *execution_id, struct arena *a,
		struct run_preload **ret)
{
	struct run_preload *p = arena_new_of(a, struct run_preload);

	arena_defer(a, preload_deinit, p);
	p->load = load_new(agent, execution_id);
	p->load->is_accepting = true;
	int r = read_all(c, p->load);
	*ret = r == 0 ? p : NULL;
	return r == -ENOBUFS ? 0 : r;
}

enum run_state run_load(struct run *run, struct run_preload *preload)
{
	struct load *l = preload ? preload->load : load_new(run->agent, run->id);

	l->run = run;
	if (preload) {
		preload->load = NULL;
		later_init(&l->soon, on_soon);
		later_set(service_wheel(run->agent->service), &l->soon);
		return RUN_LOADING;
	}
	l->is_resumed = run->is_resumed;
	l->db.run = load;
	l->db.done = on_loaded;
	deadline_init(&l->again, on_again);
	db_read(run->agent->db, &l->db);
	return RUN_LOADING;
}

bool run_has_open_calls(const struct run *run)
{
	for (size_t i = 0; i < run->n_calls; i++)
		if (!run->calls[i].has_result)
			return true;
	return false;
}
