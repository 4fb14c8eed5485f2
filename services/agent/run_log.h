/* The events of a run in memory: numbered, shown and stored.
 *
 * An event is shown (to listeners and the socket service) at once, in the order of the numbers, unless it is held until
 * it is stored, or its number is not yet covered by the bound that is reserved on disk. It is kept here until it is
 * stored, so that a listener that comes in between finds it: first what the database has, then what is here. */
#pragma once

#include "agent/event.h"

struct agent;

/* Somebody who follows the events. */
struct log_listener {
	struct list link; /* in run_log.listeners */
	/* event: as clients see it. */
	void (*on_event)(struct log_listener *l, uint64_t seq, enum event_type type, struct str event);
	/* The log is closed: the run has ended, or goes on in another process. */
	void (*on_close)(struct log_listener *l);
};

struct run_log {
	struct agent *agent;
	const char *execution_id, *conversation_id, *user_id;
	const char *traceparent; /* the run's; may change until the first event */
	uint64_t last_seq;       /* the greatest number given */
	uint64_t seq_limit;      /* numbers up to here are reserved on disk */
	uint64_t stored_seq;     /* events up to here are on disk and no longer here */
	uint64_t shown_seq;
	size_t unsaved;        /* bytes of text that no write has taken yet */
	struct list events;    /* struct event, above stored_seq */
	struct list listeners; /* struct log_listener */
	struct buf scratch;
};

void run_log_init(struct run_log *l, struct agent *agent, const char *execution_id, const char *conversation_id,
		  const char *user_id, const char *traceparent);
/* Tells the listeners. */
void run_log_close(struct run_log *l);
void run_log_deinit(struct run_log *l);

/* Gives it the next number and takes it over. */
void run_log_add(struct run_log *l, struct event *e, bool is_held);
/* A write has taken all there is up to last_seq. */
void run_log_saving(struct run_log *l);
/* Events up to up_to are on disk, numbers up to seq_limit are reserved. */
void run_log_stored(struct run_log *l, uint64_t up_to, uint64_t seq_limit);
/* Adds a listener and gives it what is shown already and not stored, above `after`. */
void run_log_follow(struct run_log *l, struct log_listener *listener, uint64_t after);

/* How many numbers a write reserves ahead. */
#define RUN_LOG_AHEAD 4096
