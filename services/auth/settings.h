/* Settings that administrators change at run time. */
#pragma once

#include "data/db.h"

/* Inside a job: whether people may sign up: 1, 0 or -errno. Never before the set-up is done. */
int registration_is_open(struct db_conn *c);
