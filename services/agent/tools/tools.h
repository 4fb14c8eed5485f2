/* The tools an agent may have. To add one: a file that defines a struct tool, and a place in the table in
 * tools.c.
 *
 * Besides those there may be tools that people configure. A struct tool is a view of one then, inside a struct of its
 * source, in an arena: every function gets the tool that it is asked of. */
#pragma once

#include "agent/chat.h"
#include "base/json.h"

struct agent;
struct tool_call;

/* How a call ended. The strings belong to the call (or live for ever). */
struct tool_result {
	const char
		*status; /* done, exited, signalled, timeout, cancelled, oom, cpu, quota, lost, error, or TOOL_ASKS */
	int exit_code;   /* -1 = none */
	const char *signal;     /* "SIGKILL", or NULL */
	const char *message;    /* why it failed when not by its exit status, or NULL */
	const char *command_id; /* at exec, or NULL */
	uint64_t output_bytes;
	int64_t started_at, ended_at; /* us, as the tool's own service saw it; 0 = unknown */
	struct str output;            /* head and tail, for people */
	struct str tail;              /* the end of an output of which something was left out */
	struct str content;           /* for the model */
	const char *approval_hash;    /* with TOOL_ASKS: what must be approved there, and why */
	const char *approval_reason;
	int64_t children_tokens, children_nano; /* what all runs that this run has called have spent; 0 = not told */
	const char *passages;                   /* of documents, which the answer may cite: a JSON array, or NULL */
};

/* The call was not made: the tool's service wants a person's approval first. */
#define TOOL_ASKS "approval_required"

/* One call under way. Fill the first part; on_done comes exactly once, last, never from inside start. */
struct tool_call {
	const struct tool *tool;
	struct agent *agent;
	const char *request_id, *traceparent; /* for the calls that it makes */
	const char *user_id, *conversation_id, *agent_id;
	const char *actor;      /* who acts for the user: "agent:ID" */
	const char *target;     /* where commands run, a name that exec knows */
	const char *policy;     /* that they must pass besides exec's own, a name that exec knows; "" = none */
	bool is_risky_asked;    /* a person is asked about what is risky: the tool's service decides what is */
	const char *key;        /* the same call has the same key, also after a restart */
	yyjson_val *arguments;  /* an object; lives until on_done */
	yyjson_val *options;    /* what the agent's settings say of this tool: an object, or NULL; lives as long */
	bool is_repeated;       /* a process before this one may have made the call */
	int64_t tokens_left;    /* by the budgets; INT64_MAX = no limit */
	uint64_t max_ms;        /* a run's longest time: a call need not go on longer */
	uint64_t output_offset; /* output before it was shown already */
	void *owner;
	void (*on_output)(struct tool_call *c, const char *stream, uint64_t offset, struct str text);
	void (*on_done)(struct tool_call *c, const struct tool_result *result);

	void *self; /* the tool's */
};

struct tool {
	struct chat_tool spec;
	/* Says what is wrong with the arguments. Returns 0 or -EINVAL. */
	int (*check)(const struct tool *t, yyjson_val *arguments, struct error *err);
	/* Says what is wrong with an agent's settings of this tool. Returns 0 or -EINVAL. NULL = it has none. */
	int (*check_options)(yyjson_val *options, struct error *err);
	/* What the call comes down to, for people: the command line. May be in the arena. NULL = nothing. */
	const char *(*summary)(const struct tool *t, yyjson_val *arguments, struct arena *a);
	void (*start)(struct tool_call *c);
	/* Stops what was started; on_done follows. */
	void (*cancel)(struct tool_call *c);
	/* The process ends: closes connections and lets what was started go on. No on_done follows. */
	void (*leave)(struct tool_call *c);
	/* A call that an earlier process may have begun is not wanted any more: stops it, in the background. */
	void (*abandon)(const struct tool *t, struct agent *agent, const char *user_id, const char *key);
	/* Whether a person should see the call first, where an agent's approvals are "risky". NULL = never. */
	bool (*is_risky)(const struct tool *t, yyjson_val *arguments);
	/* The call is a question to a person: his answer is its result, and nothing is started. */
	bool is_question;
	uint64_t deadline_ms; /* stopped then; 0 = it has a limit of its own */
	/* Of a tool that people configure: what it is now. An approval is for this only. NULL = it never changes. */
	const char *fingerprint;
};

extern const struct tool tool_ask_human;
extern const struct tool tool_http_fetch;
extern const struct tool tool_knowledge_search; /* knowledge/tool.c */
extern const struct tool tool_shell;
/* shell_abandon.c */
void shell_abandon(const struct tool *t, struct agent *agent, const char *user_id, const char *key);

/* One that is built in, or NULL. */
const struct tool *tool_find(const char *name);
/* What an agent's list of tools names: one tool, or several that belong together ("files"); NULL at the end. NULL for
 * an unknown name. */
const struct tool *const *tool_group_find(const char *name);
/* The name in an agent's list that the tool came by. */
const char *tool_group_of(const struct tool *tool);
/* "shell, files" of all there are. */
void tools_list_names(struct buf *out);
