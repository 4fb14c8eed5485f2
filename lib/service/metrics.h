/* Counters, gauges and histograms in the Prometheus text format. Made once at start, changed from the loop's thread
 * only. */
#pragma once

#include "base/buf.h"

struct metric;

/* labels: the fixed part, such as `route="/api/agents"`, or "". The name and help must live as long as the program. */
struct metric *metric_counter(const char *name, const char *help, const char *labels);
struct metric *metric_gauge(const char *name, const char *help, const char *labels);
/* Value read at scrape time. */
struct metric *metric_gauge_fn(const char *name, const char *help, const char *labels, double (*fn)(void *arg),
			       void *arg);
/* Seconds; buckets 0.5 ms … 60 s. */
struct metric *metric_histogram(const char *name, const char *help, const char *labels);

void metric_add(struct metric *m, double v);
void metric_set(struct metric *m, double v);
void metric_observe(struct metric *m, double seconds);
void metrics_write(struct buf *out);
/* At the process's end. */
void metrics_free(void);
