/* A command that has not ended, on exec's loop: run by its target, followed by streams. When it ends it
 * leaves the tables, and goes when its last stream has gone; from then on the journal knows it. */
#pragma once

#include <uthash.h>

#include "exec.h"
#include "target.h"

/* What it waits for. */
enum command_phase {
	PHASE_SAVING,  /* the journal */
	PHASE_RUNNING, /* its target */
	PHASE_GONE,    /* the streams to finish */
};

/* Somebody who follows a command. Each function may end its own watcher; NULL where nothing is to be told. */
struct watcher {
	struct list link;                     /* in the command's watchers */
	void (*on_output)(struct watcher *w); /* there is more */
	void (*on_input)(struct watcher *w);  /* there may be room, it was closed, or the command waits for input */
	void (*on_end)(struct watcher *w);    /* command->result is set; leaves the list itself */
};

struct command {
	struct exec *exec;
	struct arena *arena;
	struct spec spec;
	struct result result; /* once it has ended */
	struct trace trace;   /* below the request that made it; empty for one from before a restart */
	enum command_phase phase;
	struct target *target; /* NULL: not configured any more */
	void *run;             /* the target's own, in the arena */
	unsigned refs;         /* one until its end, one for each stream, the target's */
	int64_t started_us;
	bool is_cancelled; /* wanted */
	bool has_shown;    /* there may be output */
	struct {
		bool is_known;        /* the target has told the rest */
		bool is_closed;       /* it takes no more */
		bool is_busy;         /* a request writes it */
		uint64_t sent, taken; /* bytes given to the target; that went into the command's stdin */
	} input;                      /* with spec.has_input */
	bool is_waiting;              /* for input */
	struct list watchers;         /* struct watcher, link */
	struct list waiting;          /* struct create_wait, link: requests with the same key, until it is saved */
	UT_hash_handle hh_id, hh_key;
};

/* In the tables, in phase PHASE_SAVING; `a` is its own from here on. */
struct command *command_new(struct exec *e, struct arena *a, const struct spec *spec);
struct command *command_by_id(struct exec *e, const char *id);
struct command *command_by_key(struct exec *e, const char *key);
unsigned command_count(struct exec *e, const char *user_id);
void command_ref(struct command *c);
void command_unref(struct command *c);

/* It is in the journal: its target runs it. */
void command_attach(struct command *c);
/* It could not be saved, or was not accepted: leaves the tables. */
void command_drop(struct command *c);
void command_cancel(struct command *c);
/* Gives bytes to its stdin: returns how many had room (watchers are told of more), -EPIPE: it takes no more. */
ssize_t command_input(struct command *c, const void *data, size_t n);
/* These return 0, -ESRCH: it does not run (yet), -ENOTSUP: not on its target, or -errno. */
int command_input_end(struct command *c);
int command_signal(struct command *c, int sig, bool leader_alone);
int command_resize(struct command *c, const struct tty_size *size);
/* A stream has shown all there is: its target may tell of more. */
void command_seen(struct command *c);

/* For targets. There is more output: to the streams. */
void command_pump(struct command *c);
/* What the target knows of its input: bytes it has, those that the command's stdin took, whether it takes more. */
void command_input_told(struct command *c, uint64_t received, uint64_t taken, bool is_closed);
void command_waiting_told(struct command *c, bool is_waiting);
/* It has ended, and the journal knows. */
void command_end(struct command *c, const struct result *result);
/* The same, and it has no mark among the running ones any more. */
void command_end_unmarked(struct command *c, const struct result *result);
/* It has ended and nobody has written the result: this does. */
void command_end_as(struct command *c, enum command_status status, int64_t started_us, uint64_t total, const char *fmt,
		    ...) PRINTF_LIKE(5, 6);
/* Nobody runs it: what the journal says decides whether it has ended, was lost, or was never accepted. Returns false
 * when it was accepted and never started. */
bool command_settle(struct command *c);

/* All commands without a result, at the start. */
void commands_attach_all(struct exec *e);
/* One that the journal has without a result and nobody has attached to. */
void command_adopt(struct exec *e, const char *id);
/* Lets go of all; their supervisors go on. */
void commands_leave_all(struct exec *e);

/* Whether there may be output to be read. */
bool result_has_output(const struct result *r);
/* What the wire shows; result may be NULL: it runs. */
void command_add_json(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct spec *spec, const struct result *result,
		      int64_t started_us, uint64_t total);
void command_add_live(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct command *c);
/* Whether the caller may see it. */
bool command_is_visible(const struct identity *who, const struct spec *spec);
/* Whether he may type into it and signal it. */
bool command_is_writable(const struct identity *who, const struct spec *spec);
