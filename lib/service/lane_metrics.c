#include "base/alloc.h"
#include "service/internal.h"

#include <stdlib.h>

/* In service.lanes until the end. */
struct watched_lane {
	struct list link;
	const struct job_lane *lane;
	struct metric *wait, *run;
};

static void observe(void *arg, uint64_t wait_us, uint64_t run_us)
{
	struct watched_lane *w = arg;

	metric_observe(w->wait, (double)wait_us / 1e6);
	metric_observe(w->run, (double)run_us / 1e6);
}

static struct job_lane_stats stats_of(void *arg)
{
	const struct watched_lane *w = arg;
	struct job_lane_stats stats;

	job_lane_stats(w->lane, &stats);
	return stats;
}

static double count_threads(void *arg)
{
	return stats_of(arg).threads;
}

static double count_running(void *arg)
{
	return stats_of(arg).running;
}

static double count_waiting(void *arg)
{
	return stats_of(arg).waiting;
}

static double count_refused(void *arg)
{
	return (double)stats_of(arg).refused;
}

void service_watch_lane(struct service *s, const char *name, struct job_lane *lane)
{
	struct watched_lane *w = xcalloc(1, sizeof(*w));
	char *labels = xasprintf("lane=\"%s\"", name);

	w->lane = lane;
	list_append(&s->lanes, &w->link);
	metric_gauge_fn("ogent_lane_threads", "Worker threads, each with a connection if it is a database's", labels,
			count_threads, w);
	metric_gauge_fn("ogent_lane_running", "Jobs that worker threads have taken", labels, count_running, w);
	metric_gauge_fn("ogent_lane_queue", "Jobs that wait for a worker thread", labels, count_waiting, w);
	metric_counter_fn("ogent_lane_refused_total", "Jobs refused because the queue was full", labels, count_refused,
			  w);
	w->wait = metric_histogram("ogent_lane_wait_seconds", "Time of jobs in the queue", labels);
	w->run = metric_histogram("ogent_lane_run_seconds", "Time of jobs on their worker thread", labels);
	free(labels);
	job_lane_observe(lane, observe, w);
}

void service_watch_db(struct service *s, const struct db *db)
{
	struct job_lane *writes = db_lane(db, true), *reads = db_lane(db, false);

	service_watch_lane(s, writes == reads ? "db" : "db-write", writes);
	if (reads != writes)
		service_watch_lane(s, "db-read", reads);
}

void lanes_free(struct service *s)
{
	struct watched_lane *w;

	list_foreach (w, &s->lanes, struct watched_lane, link)
		free(w);
}
