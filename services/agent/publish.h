/* Events on their way to the socket service: collected while a batch is under way, one batch at a time. A batch that
 * fails is sent again; when the socket service stays away and the queue is full, what waits is dropped: clients ask for
 * what they missed by number. */
#pragma once

#include "base/str.h"

struct agent;
struct publisher;

struct publisher *publisher_new(struct agent *agent);
/* Sends no more. */
void publisher_stop(struct publisher *p);
/* Events that wait or are under way. */
size_t publisher_n_queued(const struct publisher *p);
void publisher_free(struct publisher *p);
/* event: JSON text, for the rooms of the execution, its conversation and its user. Returns at once. */
/* traceparent: of the run. A batch goes out in the trace of its first event. */
void publisher_add(struct publisher *p, const char *execution_id, const char *conversation_id, const char *user_id,
		   const char *traceparent, struct str event);
