/* Blocking work on worker threads, in lanes: each lane has its own threads and bounded queue, so that slow work
 * (password hashing) does not hold up short work (SQL). A job runs once on a lane's thread; its result comes back once
 * on the loop's thread, never before job_submit has returned. Compare bind9 lib/isc/include/isc/work.h. */
#pragma once

#include <uv.h>

#include "base/list.h"

struct job_lane;

struct job {
	void (*run)(struct job *job);  /* on the lane's thread */
	void (*done)(struct job *job); /* on the loop's thread */
	struct list link;
	uint64_t submitted_us, started_us, finished_us; /* its own; monotonic */
};

/* on_thread_start/stop (may be NULL) run on each thread; what start returns is `job_thread_data()` there. A job goes to
 * the idle thread that was busy last. */
struct job_lane *job_lane_new(uv_loop_t *loop, const char *name, unsigned n_threads, unsigned max_queue,
			      void *(*on_thread_start)(void *arg), void (*on_thread_stop)(void *data), void *arg);
/* Returns 0, or -EAGAIN when the queue is full (then nothing happens: answer 503). */
int job_submit(struct job_lane *lane, struct job *job);
/* Waits for the queued jobs to run, delivers their results, joins the threads. On the loop's thread. */
void job_lane_free(struct job_lane *lane);
/* Takes every job that waits (up to max) at once, on a lane's thread: for group commit. The jobs then run in the
 * taker's hands, which calls job_finish for each. The taker may finish itself so too, at its place in the order, and
 * must then not be touched again. */
unsigned job_take_waiting(struct job_lane *lane, struct list *to, unsigned max);
void job_finish(struct job_lane *lane, struct job *job);
void *job_thread_data(void);
unsigned job_lane_depth(const struct job_lane *lane);
/* Told of each job on the loop's thread, before its `done`: how long it waited and how long it ran, in us. Jobs that
 * were taken together each count to their end. */
void job_lane_observe(struct job_lane *lane, void (*fn)(void *arg, uint64_t wait_us, uint64_t run_us), void *arg);
struct job_lane_stats {
	unsigned threads, waiting, running; /* running: taken and not finished */
	uint64_t refused;                   /* ever, because the queue was full */
};
void job_lane_stats(const struct job_lane *lane, struct job_lane_stats *ret);
