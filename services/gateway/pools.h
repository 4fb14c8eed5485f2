/* A thread's connections to the endpoints of the upstreams. */
#pragma once

#include "io/http_client.h"
#include "upstream.h"

struct pools;

/* slot: the thread's own number, below THREADS_MAX. */
struct pools *pools_new(uv_loop_t *loop, struct wheel *wheel, struct upstreams *registry, unsigned slot);
/* Cancels what is under way and closes. */
void pools_free(struct pools *p);
/* Made at first use. Pools of endpoints that are gone are closed in passing, once they are quiet. */
struct http_pool *pools_get(struct pools *p, const struct upstream *u, struct endpoint *e);
