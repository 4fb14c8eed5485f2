/* The handlers of this room. The table is in ../routes.c. */
#pragma once

#include "service/service.h"

route_handler sso_list, sso_start, sso_reauth;                                                    /* start.c */
route_handler sso_callback;                                                                       /* callback.c */
route_handler providers_list, providers_create, providers_get, providers_patch, providers_delete; /* providers.c */
route_handler providers_test;                                                                     /* try.c */
route_handler identities_list, identities_link, identities_unlink; /* identities.c; link: start.c */
