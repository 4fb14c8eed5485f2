/* What the files of the upstreams know of each other. */
#pragma once

#include "io/dns.h"
#include "upstream.h"

/* ms, monotonic. */
uint64_t upstream_now(void);
/* All of the settings as one text: equal when they are. The caller's to free. */
char *upstream_settings_text(const struct upstream_settings *s);
/* Of DISCOVER_LIST it has its endpoints at once. */
struct upstream *upstream_new(const struct upstream_settings *settings);
/* What is known of endpoints that both have; and all of them until the names of `u` are resolved. */
void upstream_inherit(struct upstream *u, struct upstream *from);
/* It is not in use any more: its connections close when they are quiet. */
void upstream_retire(struct upstream *u);

/* registry.c; from any thread. */
void upstreams_endpoints_gone(struct upstreams *us);
/* Looks who wants_dns. */
void upstreams_wake(struct upstreams *us);

/* discovery.c: asks for an upstream's addresses whenever the last answer has expired. On the service's loop. */
struct discovery *discovery_new(struct upstream *u, struct dns *dns, struct wheel *wheel);
/* A connection has failed: asks anew, at most once a second. */
void discovery_hurry(struct discovery *d);
void discovery_free(struct discovery *d);

/* health.c: asks the endpoints how they are. On the service's loop. */
struct health *health_new(struct upstream *u, uv_loop_t *loop, struct wheel *wheel);
void health_free(struct health *h);
