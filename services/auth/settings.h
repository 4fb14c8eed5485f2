/* Settings that administrators change at run time. */
#pragma once

#include "data/db.h"

/* How new users come in, besides those that administrators make: "open", everybody may sign up; "invite", who has a
 * link (the default once the set-up is done); "closed", nobody. */
enum registration { REGISTRATION_CLOSED, REGISTRATION_INVITE, REGISTRATION_OPEN };
const char *registration_name(enum registration r);
/* Inside a job: an enum registration, or -errno. Before the set-up is done it is closed. */
int registration_get(struct db_conn *c);
/* Inside a job: 1, 0 or -errno. */
int registration_is_open(struct db_conn *c);
int invitations_are_open(struct db_conn *c);
