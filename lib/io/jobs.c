#include "io/jobs.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"

/* One of a lane's threads. Whichever became idle last is woken first: what it has of its own (a database connection
 * with its caches) is warm, and threads that the lane never needs at once never get any. */
struct worker {
	struct job_lane *lane;
	uv_thread_t thread;
	uv_cond_t more;   /* with the lane's lock */
	bool has_run;     /* a job; only its own */
	struct list link; /* in idle while it waits and nobody has woken it */
};

struct job_lane {
	uv_async_t wake; /* keeps the loop running only while jobs are out */
	unsigned n_threads, max_queue;
	void *(*on_thread_start)(void *arg);
	void (*on_thread_stop)(void *data);
	void *arg;
	void (*observe)(void *arg, uint64_t wait_us, uint64_t run_us);
	void *observe_arg;
	uint64_t refused;       /* the loop's thread only */
	unsigned out;           /* submitted and not yet delivered; the loop's thread only */
	bool freeing;           /* the loop's thread only */
	struct list delivering; /* struct job: on its way to `done`; the loop's thread only */

	uv_mutex_t lock;      /* for what follows */
	struct list idle;     /* struct worker, the one that was busy last first */
	struct list waiting;  /* struct job: submitted, taken by no thread yet */
	struct list finished; /* struct job: run, done has not been called yet */
	unsigned n_waiting, n_running;
	bool stopping;

	char name[16];
	struct worker workers[];
};

static __thread void *thread_data;
static __thread struct job *running; /* NULL again once it is finished */

void *job_thread_data(void)
{
	return thread_data;
}

/* With the lock. Returns NULL when the lane stops and nothing waits any more. */
static struct job *take(struct worker *w)
{
	struct job_lane *lane = w->lane;
	struct job *job;

	while (list_is_empty(&lane->waiting) && !lane->stopping) {
		(w->has_run ? list_prepend : list_append)(&lane->idle, &w->link);
		uv_cond_wait(&w->more, &lane->lock);
		list_remove(&w->link);
	}
	job = list_first(&lane->waiting, struct job, link);
	if (job) {
		list_remove(&job->link);
		lane->n_waiting--;
		lane->n_running++;
		job->started_us = clock_mono_us();
	}
	return job;
}

unsigned job_take_waiting(struct job_lane *lane, struct list *to, unsigned max)
{
	unsigned n = 0;
	uint64_t now = clock_mono_us();

	uv_mutex_lock(&lane->lock);
	while (n < max && !list_is_empty(&lane->waiting)) {
		struct list *link = lane->waiting.next;

		list_remove(link);
		list_append(to, link);
		list_entry(link, struct job, link)->started_us = now;
		n++;
	}
	lane->n_waiting -= n;
	lane->n_running += n;
	uv_mutex_unlock(&lane->lock);
	return n;
}

/* With the lock. */
static void finish(struct job_lane *lane, struct job *job, uint64_t now)
{
	bool first = list_is_empty(&lane->finished);

	list_append(&lane->finished, &job->link);
	lane->n_running--;
	job->finished_us = now;
	/* Under the lock: when the last thread has let go of it, the lane may be freed. */
	if (first)
		uv_async_send(&lane->wake);
}

void job_finish(struct job_lane *lane, struct job *job)
{
	uint64_t now = clock_mono_us();

	if (job == running)
		running = NULL;
	uv_mutex_lock(&lane->lock);
	finish(lane, job, now);
	uv_mutex_unlock(&lane->lock);
}

/* A job ends and the next is taken under one lock: whoever hears of the end finds this thread idle. */
static void thread_main(void *arg)
{
	struct worker *w = arg;
	struct job_lane *lane = w->lane;

	if (lane->on_thread_start)
		thread_data = lane->on_thread_start(lane->arg);
	uv_mutex_lock(&lane->lock);
	while ((running = take(w))) {
		uv_mutex_unlock(&lane->lock);
		w->has_run = true;
		running->run(running);
		uint64_t now = clock_mono_us();
		uv_mutex_lock(&lane->lock);
		if (running)
			finish(lane, running, now);
	}
	uv_mutex_unlock(&lane->lock);
	if (lane->on_thread_stop)
		lane->on_thread_stop(thread_data);
}

/* Gives the results to the loop. A `done` may submit again, or free the lane. */
static void deliver(struct job_lane *lane)
{
	struct job *job;

	uv_mutex_lock(&lane->lock);
	list_splice(&lane->delivering, &lane->finished);
	uv_mutex_unlock(&lane->lock);

	while ((job = list_first(&lane->delivering, struct job, link))) {
		list_remove(&job->link);
		if (--lane->out == 0)
			uv_unref((uv_handle_t *)&lane->wake);
		if (lane->observe)
			lane->observe(lane->observe_arg, job->started_us - job->submitted_us,
				      job->finished_us - job->started_us);
		job->done(job);
	}
}

static void on_wake(uv_async_t *wake)
{
	deliver(container_of(wake, struct job_lane, wake));
}

/* Signals are the loop's: the threads are born with all of them blocked. */
static void start_threads(struct job_lane *lane)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (unsigned i = 0; i < lane->n_threads; i++) {
		struct worker *w = &lane->workers[i];

		w->lane = lane;
		list_init(&w->link);
		if (uv_cond_init(&w->more) != 0 || uv_thread_create(&w->thread, thread_main, w) != 0)
			abort();
		pthread_setname_np(w->thread, lane->name);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

struct job_lane *job_lane_new(uv_loop_t *loop, const char *name, unsigned n_threads, unsigned max_queue,
			      void *(*on_thread_start)(void *arg), void (*on_thread_stop)(void *data), void *arg)
{
	struct job_lane *lane = xcalloc(1, sizeof(*lane) + n_threads * sizeof(lane->workers[0]));

	lane->n_threads = n_threads;
	lane->max_queue = max_queue;
	lane->on_thread_start = on_thread_start;
	lane->on_thread_stop = on_thread_stop;
	lane->arg = arg;
	list_init(&lane->idle);
	list_init(&lane->waiting);
	list_init(&lane->finished);
	list_init(&lane->delivering);
	strncpy(lane->name, name, sizeof(lane->name) - 1);
	if (uv_mutex_init(&lane->lock) != 0 || uv_async_init(loop, &lane->wake, on_wake) != 0)
		abort();
	uv_unref((uv_handle_t *)&lane->wake);
	start_threads(lane);
	return lane;
}

/* With the lock. */
static struct worker *take_idle(struct job_lane *lane)
{
	struct worker *w = list_first(&lane->idle, struct worker, link);

	if (w)
		list_remove(&w->link);
	return w;
}

int job_submit(struct job_lane *lane, struct job *job)
{
	struct worker *idle = NULL;
	bool full;

	job->submitted_us = clock_mono_us();
	uv_mutex_lock(&lane->lock);
	full = lane->n_waiting >= lane->max_queue || lane->stopping;
	if (!full) {
		list_append(&lane->waiting, &job->link);
		lane->n_waiting++;
		idle = take_idle(lane);
	}
	uv_mutex_unlock(&lane->lock);
	/* Without the lock, which it takes first. Workers live until the lane is freed, on this thread. */
	if (idle)
		uv_cond_signal(&idle->more);
	if (full) {
		lane->refused++;
		return -EAGAIN;
	}
	if (lane->out++ == 0)
		uv_ref((uv_handle_t *)&lane->wake);
	return 0;
}

unsigned job_lane_depth(const struct job_lane *lane)
{
	struct job_lane *l = (struct job_lane *)lane;
	unsigned n;

	uv_mutex_lock(&l->lock);
	n = l->n_waiting;
	uv_mutex_unlock(&l->lock);
	return n;
}

void job_lane_observe(struct job_lane *lane, void (*fn)(void *arg, uint64_t wait_us, uint64_t run_us), void *arg)
{
	lane->observe = fn;
	lane->observe_arg = arg;
}

void job_lane_stats(const struct job_lane *lane, struct job_lane_stats *ret)
{
	struct job_lane *l = (struct job_lane *)lane;

	uv_mutex_lock(&l->lock);
	*ret = (struct job_lane_stats){l->n_threads, l->n_waiting, l->n_running, l->refused};
	uv_mutex_unlock(&l->lock);
}

static void on_closed(uv_handle_t *handle)
{
	struct job_lane *lane = container_of((uv_async_t *)handle, struct job_lane, wake);

	for (unsigned i = 0; i < lane->n_threads; i++)
		uv_cond_destroy(&lane->workers[i].more);
	uv_mutex_destroy(&lane->lock);
	free(lane);
}

void job_lane_free(struct job_lane *lane)
{
	if (!lane || lane->freeing)
		return;
	lane->freeing = true;
	uv_mutex_lock(&lane->lock);
	lane->stopping = true;
	for (struct worker *w; (w = take_idle(lane));)
		uv_cond_signal(&w->more);
	uv_mutex_unlock(&lane->lock);
	for (unsigned i = 0; i < lane->n_threads; i++)
		uv_thread_join(&lane->workers[i].thread);
	deliver(lane);
	uv_close((uv_handle_t *)&lane->wake, on_closed);
}
