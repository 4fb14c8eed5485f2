/* Where a piece of work stands in a trace (W3C Trace Context): carried through every hop in `traceparent`, told in log
 * lines, and the place of a span when spans are exported (otlp.h). */
#pragma once

#include "base/util.h"

#define TRACEPARENT_SIZE 56 /* with the NUL */

struct trace {
	char trace_id[33]; /* lower-case hex; empty = there is none */
	char span_id[17], parent_id[17];
	bool is_sampled;
};

/* New traces are sampled from now on: their spans are exported. */
void trace_set_sampled(bool on);
/* A span below the caller's. `traceparent` must be well formed (traceparent_of); NULL begins a trace, whose id is made
 * of the digits of `id` when that is one of ours (base/id.h), so that either leads to the other. */
void trace_begin(struct trace *t, const char *traceparent, const char *id);
/* A span below another of this process. */
void trace_child(struct trace *t, const struct trace *parent);
/* What the next hop is told: that its parent is this span. */
void trace_write(const struct trace *t, char ret[TRACEPARENT_SIZE]);
