/* Counters, gauges and histograms in the Prometheus text format. Made on the first thread and written there,
 * changed from any. */
#pragma once

#include "base/buf.h"

struct metric;

/* labels: the fixed part, such as `route="/api/agents"`, or "". The name and help must live as long as the program. */
struct metric *metric_counter(const char *name, const char *help, const char *labels);
struct metric *metric_gauge(const char *name, const char *help, const char *labels);
/* A counter kept elsewhere, read at scrape time. */
struct metric *metric_counter_fn(const char *name, const char *help, const char *labels, double (*fn)(void *arg),
				 void *arg);
/* Value read at scrape time. */
struct metric *metric_gauge_fn(const char *name, const char *help, const char *labels, double (*fn)(void *arg),
			       void *arg);
/* Seconds; buckets 0.5 ms … 60 s. */
struct metric *metric_histogram(const char *name, const char *help, const char *labels);

/* Counters of one name whose labels' values are learned while running (a model's name, a command's end). At most `max`
 * of them are kept apart; what comes later counts as `other`. */
struct metric_family;
struct metric_family *metric_family_new(const char *name, const char *help, const char *other, size_t max);
/* labels: all of them, made with metric_label. For the ends of things, not for every byte: it compares names. */
struct metric *metric_family_get(struct metric_family *f, struct str labels);
/* Appends `name="value"`, with a comma in front unless it is the first; the value is escaped and cut at 100 bytes. */
void metric_label(struct buf *labels, const char *name, const char *value);
/* It is not written while it is 0: for the labels of what seldom happens. */
void metric_hide_zero(struct metric *m);

void metric_add(struct metric *m, double v);
void metric_set(struct metric *m, double v);
void metric_observe(struct metric *m, double seconds);
void metrics_write(struct buf *out);
/* For figures whose names of things come and go: fn writes them whole, with their HELP and TYPE, at each scrape. */
void metrics_on_write(void (*fn)(struct buf *out, void *arg), void *arg);
/* At the process's end. */
void metrics_free(void);
