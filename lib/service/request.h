/* What gateway and services read alike from a request's head. */
#pragma once

#include "io/http.h"

/* The X-Request-Id when it has 8 to 64 letters, digits, '.', '_' or '-', otherwise a new id. In the arena. */
const char *request_id_of(const struct http_headers *h, int64_t now_us, struct arena *a);
/* The traceparent (W3C Trace Context, version 00) when it is well formed, otherwise NULL. In the arena. */
const char *traceparent_of(const struct http_headers *h, struct arena *a);

enum bearer { BEARER_NONE, BEARER_TOKEN, BEARER_OTHER, BEARER_REPEATED };
/* The token of `Authorization: Bearer …`, a view of the head. BEARER_OTHER: another scheme, or no token behind it. */
enum bearer request_bearer(const struct http_headers *h, struct str *ret);
