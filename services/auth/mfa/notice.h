/* A user hears by mail that his second factors changed. */
#pragma once

#include "account.h"
#include "client.h"

/* Inside the write job that changes them; outbox_wake afterwards. `event`: the audit event's name. 0 or -errno. */
int factor_notice(struct db_conn *c, struct arena *a, const struct account *account, const struct client *client,
		  const char *event);
