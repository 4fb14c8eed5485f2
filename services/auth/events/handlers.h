/* The handlers of this room. The table is in ../routes.c. */
#pragma once

#include "service/service.h"

route_handler webhooks_list, webhooks_create, webhooks_patch, webhooks_delete, webhooks_test,
	webhooks_deliveries; /* hooks.c */
