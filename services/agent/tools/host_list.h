/* Hosts that a tool may ask, as settings name them: "example.org", or "*.example.org" for all below it. */
#pragma once

#include "base/json.h"

#define HOST_LIST_MAX 100

/* Returns 0 or -EINVAL. */
int host_list_check(yyjson_val *hosts, struct error *err);
/* For safe_fetch_request.is_host_allowed: `arg` is the list, `host` in lower case. */
bool host_list_has(void *arg, const char *host);
