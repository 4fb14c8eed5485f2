/* Spans to an OpenTelemetry collector: OTLP over HTTP as JSON (opentelemetry-proto 1.x), in batches. What the collector
 * does not take is kept up to a bound and then dropped, and counted. Spans hold names, ids, sizes and times; never what
 * people or models write, nor secrets. Without the option otlp_endpoint nothing of this is made. */
#pragma once

#include <uv.h>

#include "base/options.h"
#include "io/wheel.h"
#include "service/trace.h"

struct otlp;

enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER = 2, SPAN_CLIENT = 3 };

#define SPAN_MAX_ATTRIBUTES 12

struct span {
	const struct trace *trace;
	const char *name;
	enum span_kind kind;
	int64_t start_us, end_us; /* wall time */
	const char *error;        /* a word for why it failed; NULL = it did not */
	struct {
		const char *key, *text; /* text NULL: the number counts. The first without a key is the end. */
		int64_t number;
	} attributes[SPAN_MAX_ATTRIBUTES];
};

/* NULL when the option otlp_endpoint is not set. */
struct otlp *otlp_new(uv_loop_t *loop, struct wheel *wheel, const char *role, const struct options *options);
/* Sends what there is, as the last. */
void otlp_flush(struct otlp *o);
/* Drops what is left. All of these take NULL. */
void otlp_free(struct otlp *o);

/* Whether to make a span at all. */
static inline bool otlp_wants(const struct otlp *o, const struct trace *t)
{
	return o && t->is_sampled && t->trace_id[0];
}
/* Copies all of it. Spans of traces that are not sampled are ignored. From any thread. */
void otlp_add(struct otlp *o, const struct span *s);

/* A request that was answered just now, or whose client has left (err < 0), after `us` microseconds. */
struct served {
	const struct trace *trace;
	const char *method, *route, *request_id;
	const char *role; /* that it was passed on to; NULL = none */
	int status, err;
	uint64_t us;
};
void otlp_add_served(struct otlp *o, const struct served *s);
