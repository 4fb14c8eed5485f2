/* Which routes are on, and how others are put in their place. For reload.c and routes_api.c. */
#pragma once

#include "gateway.h"

struct reloader {
	struct gateway *gateway;
	const char *file; /* option gateway_routes; "" = none */
	struct upstream_settings builtin[ROLE_COUNT + 1];
	pthread_mutex_t lock;  /* of `routes` */
	struct routes *routes; /* those of now */
	atomic_uint version;   /* goes up with every change of them */
	struct error last;     /* why the last reload was refused; empty = it was not */
	uv_signal_t hangup;
	struct metric *reloads, *refused;
};

/* Reads the file again. Returns 0, or -EINVAL with err set: nothing has changed then. On the service's loop. */
int reloader_reload(struct reloader *rl, struct error *err);
/* routes_api.c: /api/gateway/… on the internal listener. */
void routes_api_start(struct reloader *rl);
