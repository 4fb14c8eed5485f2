/* One execution being worked on, as one flow: run_next in run.c is all of it, the files run_*.c hold its steps.
 *
 * What is on disk decides where a restarted process goes on: an answer that asks for calls is stored before the first
 * of them is started, a call's result before the model is asked again. So a run that is loaded has either calls without
 * a result, which it attaches to again, or none, and then it asks the model. The calls of one answer run side by side;
 * their results have reserved places in the conversation, in the order of the calls.
 *
 * A run whose calls wait for a person and for nothing else is parked: a row in the database and nothing in memory. The
 * decision, its expiry or a cancel make it free, and a process takes it like one that was left by a crash. */
#pragma once

#include <uthash.h>

#include "agent/budget.h"
#include "agent/chat.h"
#include "agent/knowledge/cite.h"
#include "agent/loops.h"
#include "agent/models/model.h"
#include "agent/run_log.h"
#include "agent/tools/tools.h"
#include "service/trace.h"

struct run_preload;

/* What a run waits for. */
enum run_state {
	RUN_LOADING,  /* its conversation and the agent's settings */
	RUN_THINKING, /* the model's answer */
	RUN_TOOLING,  /* the end of the calls under way */
	RUN_SAVING,   /* the transaction with what has just been learned */
	RUN_KEEPING,  /* the snapshot of its workspace */
	RUN_PARKING,  /* the transaction after which it waits without a process */
	RUN_FAILING,  /* the transaction with its failing or stopping */
	RUN_ENDED,
};

/* What a person is asked about a call, and what he says. One that is decided was so by approvals.c. */
struct run_approval {
	struct list link; /* in run.approvals, newest last */
	char id[ID_SIZE];
	const char *kind; /* "call", "command" (exec's policy asks) or "question" */
	const char *call_id, *tool;
	int64_t step;
	struct str arguments; /* as they are shown */
	const char *summary, *reason, *hash, *command_hash;
	const char *status; /* pending, approved, edited, rejected, answered, lapsed, expired or cancelled */
	const char *decided_by, *decision_arguments, *decision_text;
	int64_t created_at, expires_at;
	bool is_told;    /* the decision is in the log */
	bool is_fresh;   /* the next transaction stores the row */
	bool is_changed; /* … its status and is_told */
};

/* A call the model asks for. */
struct run_call {
	struct chat_call spec; /* first, as in chat_message.calls */
	struct run *run;
	bool has_result;        /* stored, or about to be */
	bool is_held;           /* waits for a person */
	bool is_shown;          /* call.started was made */
	uint64_t output_offset; /* output before it was shown before a restart */

	/* While it runs. */
	const struct tool *active; /* NULL = it does not */
	struct tool_call tool;
	int64_t started_at;
	uint64_t output_shown, output_end; /* bytes shown, and the offset behind them */
	bool is_output_cut, is_late;       /* is_late: stopped by its deadline */
	struct deadline limit;
	const char *warning; /* goes to the model with the result; NULL = none */
	const char *note;    /* in front of the result, for the model; NULL = nothing */
	struct trace trace;
	char traceparent[TRACEPARENT_SIZE];
	int64_t trace_from;
};

/* Why a run is to end otherwise than by an answer. */
struct run_stop {
	const char *status; /* "failed" or "cancelled"; NULL = it is not */
	struct error error; /* code empty for a cancel by the user */
};

/* A message that the next transaction stores. */
struct run_message {
	char id[ID_SIZE];
	enum chat_role role;
	struct str content;
	const char *tool_calls; /* JSON, or NULL */
	const char *call_id;
	const char *result;    /* JSON, or NULL */
	const char *opaque;    /* JSON, or NULL: see chat_message */
	const char *citations; /* JSON, or NULL */
	const char *parsed;    /* JSON, or NULL: of an answer by a schema */
	int64_t seq;           /* its place in the conversation */
};

/* When a person must see a call before it is made. */
enum approval_mode { APPROVAL_NEVER, APPROVAL_RISKY, APPROVAL_ALWAYS };

/* A snapshot of the workspace behind a step; snapshot_id empty = none. */
struct run_kept {
	char snapshot_id[ID_SIZE];
	int64_t step, message_seq; /* the last message of the step */
};

#define RUN_MAX_TOOLS 64

struct run_write;
struct run_fitting;
struct run_mark;

struct run {
	UT_hash_handle hh; /* in runner.runs */
	struct agent *agent;
	struct arena *arena;
	char id[ID_SIZE], conversation_id[ID_SIZE], user_id[65];
	int64_t claim;
	bool is_resumed;
	bool is_unlisted;        /* no longer in runner.runs */
	uint64_t followed_until; /* monotonic us: writes are told to the other processes */

	enum run_state state; /* written by run_on_done only */
	int err;              /* how the operation it waited for ended; -ESTALE: the run is not ours any more */
	struct run_stop stop;
	bool is_answered; /* the final answer is being stored, or is */
	bool is_lost;     /* another process has taken it over, or it was deleted */

	/* Loaded. */
	const char *agent_id, *instructions, *model_id;
	yyjson_val *fallback_models; /* names, or NULL */
	const struct chat_tool *tools[RUN_MAX_TOOLS];
	const struct tool *tool_table[RUN_MAX_TOOLS];
	enum approval_mode approval_modes[RUN_MAX_TOOLS];
	size_t n_tools;
	yyjson_val *tool_options;  /* {NAME: {…}}, or NULL */
	const char *output_schema; /* that the answer must fit; NULL = it is text */
	int n_repairs;             /* answers that did not, in this process */
	const char *parsed;        /* the one that does, as JSON */
	const char *command_target, *command_policy;
	int64_t max_steps, max_seconds, max_output_tokens;
	struct list messages;        /* struct chat_message, in the arena */
	struct cite_sources sources; /* what the conversation's calls have found in documents */
	int64_t message_seq;         /* the last place taken in the conversation */
	int64_t created_at, started_at;
	int64_t parked_us; /* that it was parked for, all in all */
	const char *agent_name;

	/* Its place in the trace of the message's request, and that of the call of a model under way. */
	struct trace trace, step_trace;
	char traceparent[TRACEPARENT_SIZE], step_traceparent[TRACEPARENT_SIZE];
	int64_t trace_from, step_from; /* wall us */
	char request_id[65];           /* the message's; "" after a restart */

	/* So far. */
	int64_t steps, commands;
	struct chat_usage usage, usage_stored;
	int64_t steps_stored;
	struct budgets budgets;
	int64_t tokens_left;              /* by the budgets, for the call to come */
	struct budget_amount budget_from; /* the run's own budget counts from there */
	struct budget_amount children;    /* what the runs that it called have spent */
	const struct model_target *target;
	char draft_id[ID_SIZE]; /* the message being made */
	const char *shown_state;
	int64_t shown_step;

	/* Thinking: the call, while it is under way. */
	struct model_call *call;
	const struct model_target **targets; /* to ask, in order */
	size_t n_targets;
	struct run_fitting *fitting; /* the summary of what was said before, while it is made */
	struct run_mark *mark;       /* of it, for the next transaction */
	int n_fits;                  /* summaries in this step */

	/* Tooling: the calls of the last answer. */
	struct run_call *calls;
	size_t n_calls, n_running;
	int64_t calls_seq; /* the place of that answer; those behind it are for the results */
	struct loops loops;
	int64_t commands_kept; /* those before the last snapshot */
	struct http_fetch *keeping;
	struct run_kept kept;  /* for the next transaction */
	struct list approvals; /* struct run_approval */
	/* Waiting without a process: for people, or for money. */
	bool is_parking;
	const char *parked_status; /* "waiting" or "paused" */
	int64_t wake_at;           /* us; INT64_MAX = never by itself */

	/* What the next transaction stores. */
	struct run_message fresh[CHAT_MAX_CALLS + 1];
	size_t n_fresh;
	int64_t output_seq; /* place of the final answer, 0 = none */
	int64_t ended_at;

	struct run_log log;
	struct run_write *write;  /* the transaction under way */
	bool is_commit_waiting;   /* the flow waits for one that begins after it */
	struct deadline flush_at; /* text and output that is shown and not stored */
	struct deadline time_limit;
	struct deadline write_again;
	unsigned write_failures;
};

/* Begins with loading. The run frees itself when it has ended. */
void run_start(struct run *run, struct run_preload *preload);
/* It is not ours any more: lets go of it without a trace. */
void run_drop(struct run *run);
/* Ends it as `status`; what is under way is cancelled. The first reason counts. */
void run_stop(struct run *run, const char *status, const char *code, const char *message);
/* Every operation a run starts completes here. */
void run_on_done(struct run *run, int err);
void run_free(struct run *run);

extern const char *const run_state_names[];

/* ---- Steps: each starts one operation and returns the state that waits for it ---- */

enum run_state run_load(struct run *run, struct run_preload *preload);
enum run_state run_think(struct run *run);
enum run_state run_tool(struct run *run);
enum run_state run_save(struct run *run);
/* status: "waiting" (for people) or "paused". */
enum run_state run_park(struct run *run, const char *status, const char *state, int64_t wake_at);
enum run_state run_fail(struct run *run);
/* run_keep.c: whether a snapshot is due, and making it. */
bool run_must_keep(const struct run *run);
enum run_state run_keep(struct run *run);
void run_keep_cancel(struct run *run);
/* Worker thread. Returns 0 or -errno. */
int run_kept_store(struct db_conn *c, const struct run *run, const struct run_kept *kept, int64_t now);

/* The operation under way ends soon, with -ECANCELED. */
void run_think_cancel(struct run *run);
void run_tool_cancel(struct run *run);

/* run_load.c: what a run needs, read in the transaction that accepts it for this process. The run takes it, otherwise
 * it goes with the arena. *ret is NULL where the conversation has files: the run reads these itself. Worker thread.
 * Returns 0 or -errno. */
int run_preload(struct db_conn *c, struct agent *agent, const char *execution_id, struct arena *a,
		struct run_preload **ret);
/* Once loading succeeded. */
bool run_has_open_calls(const struct run *run);

/* run_tool.c */
void run_tool_refuse_open_calls(struct run *run, const char *why);
/* The process ends: lets go of the calls under way. */
void run_tool_leave(struct run *run);

/* ---- run_approve.c: what people are asked ---- */

/* What a person's leave says of a call that is about to be made. */
enum leave {
	LEAVE_GIVEN,   /* or not needed; *arguments are those to use */
	LEAVE_AWAITED, /* it is asked for, and will be known after the run was parked */
	LEAVE_REFUSED, /* *message says why, for the model */
	LEAVE_ANSWERED /* the question was; *message is the answer */
};
enum leave run_ask_leave(struct run *run, struct run_call *call, const struct tool *tool, yyjson_val **arguments,
			 const char **message);
/* exec's policy asks: the call waits for a person. */
void run_hold_command(struct run *run, struct run_call *call, const struct tool *tool, const struct tool_result *r);
/* When a parked run goes on by itself: the first time at which an approval expires. */
int64_t run_approvals_expire_at(const struct run *run);
/* Worker thread: adds the execution's approvals to the list. Returns 0 or -errno. */
int run_approvals_load(struct db_conn *c, struct arena *a, const char *execution_id, struct list *ret);
/* The copy that a transaction stores; the run's marks are taken back. */
size_t run_approvals_take(struct run *run, struct arena *a, struct run_approval **ret);
/* Worker thread: stores them. Returns 0 or -errno. */
int run_approvals_store(struct db_conn *c, const struct run *run, const struct run_approval *list, size_t n);
enum approval_mode approval_mode_of(const char *name);

/* ---- run_output.c: answers by a schema ---- */

/* The message's schema, else the agent's (an object, may be NULL or empty); the instructions tell it. */
void run_take_output_schema(struct run *run, const char *of_message, yyjson_val *of_agent);
/* The answer is there: it is stored, or asked for again because it does not fit. */
enum run_state run_check_output(struct run *run);
/* run_save.c: forgets the call of the model. */
void run_end_thinking(struct run *run);

/* ---- run_budget.c ---- */

/* Whether the next call of a model may be made; *ret_tokens: what is left for it. Otherwise *ret_state is what the run
 * does instead. */
bool run_check_budgets(struct run *run, int64_t *ret_tokens, enum run_state *ret_state);

/* ---- run_repair.c ---- */

/* Every call gets a result, in the order of the calls: providers refuse a conversation otherwise. In the arena. */
void run_repair(struct arena *a, struct list *messages);

/* ---- run_trace.c: the run in logs and traces ---- */

/* Places the run below the request of its message; traceparent may be NULL. Again, once that is loaded. */
void run_trace(struct run *run, const char *traceparent);
/* A call of a model begins, and is told where it stands by step_traceparent. */
void run_trace_step(struct run *run);
/* The same of a tool, by the call's own traceparent. */
void run_trace_call(struct run *run, struct run_call *call);
void run_trace_thought(struct run *run, const struct model_call *c, int err);
void run_trace_called(struct run *run, const struct run_call *call, const struct tool_result *r);
/* The run's span and its log line. */
void run_trace_end(const struct run *run);

/* ---- Events and writes ---- */

/* An event with data made of a format (JSON). */
void run_emit(struct run *run, enum event_type type, bool is_held, const char *fmt, ...) PRINTF_LIKE(4, 5);
void run_emit_piece(struct run *run, enum event_type type, const char *id, const char *stream, uint64_t offset,
		    struct str text);
/* execution.state, if it is another state or step than was shown last. */
void run_show_state(struct run *run, const char *state, int64_t step, bool is_held);
/* Everything that is known goes to disk in one transaction; run_on_done follows. */
void run_commit(struct run *run);
/* Adds a message for the next transaction and to the conversation. Text is copied into the arena. The place of a tool's
 * is the caller's to set. */
struct run_message *run_add_message(struct run *run, enum chat_role role, struct str content);
void run_write_init(struct run *run);
/* Writes what is shown and not stored, and results; if a write is under way, behind it. */
void run_flush(struct run *run);
/* JSON of {code, message} or null, and of {input_tokens, …}. */
struct str run_error_json(struct arena *a, const struct error *error);
struct str run_usage_json(struct arena *a, const struct chat_usage *u);
