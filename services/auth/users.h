/* Users as administrators see them. */
#pragma once

#include "account.h"
#include "auth.h"

/* A user as it goes out: the common part and `disabled`. */
void user_add(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct account *account);
void user_reply(struct exchange *x, int status, const struct account *account);
void user_reply_missing(struct exchange *x);
/* Inside a job: how many can sign in and administrate; at least one must be left. >= 0 or -errno. */
int64_t users_count_administrators(struct db_conn *c);
