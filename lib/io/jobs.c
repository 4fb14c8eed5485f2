#include "io/jobs.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"

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

	uv_mutex_t lock; /* for what follows */
	uv_cond_t more;
	struct list waiting;  /* struct job: submitted, taken by no thread yet */
	struct list finished; /* struct job: run, done has not been called yet */
	unsigned n_waiting, n_running;
	bool stopping;

	char name[16];
	uv_thread_t threads[];
};

static __thread void *thread_data;
static __thread struct job *running; /* NULL again once it is finished */

void *job_thread_data(void)
{
	return thread_data;
}

/* Returns NULL when the lane stops and nothing waits any more. */
static struct job *take(struct job_lane *lane)
{
	struct job *job;

	uv_mutex_lock(&lane->lock);
	while (list_is_empty(&lane->waiting) && !lane->stopping)
		uv_cond_wait(&lane->more, &lane->lock);
	job = list_first(&lane->waiting, struct job, link);
	if (job) {
		list_remove(&job->link);
		lane->n_waiting--;
		lane->n_running++;
		job->started_us = clock_mono_us();
	}
	uv_mutex_unlock(&lane->lock);
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

void job_finish(struct job_lane *lane, struct job *job)
{
	bool first;
	uint64_t now = clock_mono_us();

	if (job == running)
		running = NULL;
	uv_mutex_lock(&lane->lock);
	first = list_is_empty(&lane->finished);
	list_append(&lane->finished, &job->link);
	lane->n_running--;
	job->finished_us = now;
	/* Under the lock: when the last thread has let go of it, the lane may be freed. */
	if (first)
		uv_async_send(&lane->wake);
	uv_mutex_unlock(&lane->lock);
}

static void thread_main(void *arg)
{
	struct job_lane *lane = arg;
	struct job *job;

	if (lane->on_thread_start)
		thread_data = lane->on_thread_start(lane->arg);
	while ((job = take(lane))) {
		running = job;
		job->run(job);
		if (running)
			job_finish(lane, job);
	}
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
		if (uv_thread_create(&lane->threads[i], thread_main, lane) != 0)
			abort();
		pthread_setname_np(lane->threads[i], lane->name);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

struct job_lane *job_lane_new(uv_loop_t *loop, const char *name, unsigned n_threads, unsigned max_queue,
			      void *(*on_thread_start)(void *arg), void (*on_thread_stop)(void *data), void *arg)
{
	struct job_lane *lane = xcalloc(1, sizeof(*lane) + n_threads * sizeof(lane->threads[0]));

	lane->n_threads = n_threads;
	lane->max_queue = max_queue;
	lane->on_thread_start = on_thread_start;
	lane->on_thread_stop = on_thread_stop;
	lane->arg = arg;
	list_init(&lane->waiting);
	list_init(&lane->finished);
	list_init(&lane->delivering);
	strncpy(lane->name, name, sizeof(lane->name) - 1);
	if (uv_mutex_init(&lane->lock) != 0 || uv_cond_init(&lane->more) != 0 ||
	    uv_async_init(loop, &lane->wake, on_wake) != 0)
		abort();
	uv_unref((uv_handle_t *)&lane->wake);
	start_threads(lane);
	return lane;
}

int job_submit(struct job_lane *lane, struct job *job)
{
	bool full;

	job->submitted_us = clock_mono_us();
	uv_mutex_lock(&lane->lock);
	full = lane->n_waiting >= lane->max_queue || lane->stopping;
	if (!full) {
		list_append(&lane->waiting, &job->link);
		lane->n_waiting++;
		uv_cond_signal(&lane->more);
	}
	uv_mutex_unlock(&lane->lock);
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

	uv_cond_destroy(&lane->more);
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
	uv_cond_broadcast(&lane->more);
	uv_mutex_unlock(&lane->lock);
	for (unsigned i = 0; i < lane->n_threads; i++)
		uv_thread_join(&lane->threads[i]);
	deliver(lane);
	uv_close((uv_handle_t *)&lane->wake, on_closed);
}
