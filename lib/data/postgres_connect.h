/* Connecting to PostgreSQL, shared by the driver and the listener. */
#pragma once

#include "base/error.h"
#include "data/pq_api.h"

/* A connection with time-outs set, or NULL with err set (no secrets in it). Blocking, bounded by connect_timeout of the
 * URL or 5 s for each of its hosts. */
PGconn *postgres_connect(const char *url, struct error *err);
