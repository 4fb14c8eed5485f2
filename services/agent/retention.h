/* What is not kept: a conversation is deleted with all that hangs on it, by its user or, after conversation_days, by
 * itself. Its workspace is exec's: a row says that it is to be removed, until exec has done so. */
#pragma once

#include "data/db.h"

struct agent;
struct retention;

/* Worker thread: everything of the conversation, in the transaction under way. Returns 0 or -errno. */
int conversation_erase(struct db_conn *c, const char *id, const char *user_id);

/* Looks from time to time, at first soon: small batches, so that nobody waits. */
struct retention *retention_new(struct agent *agent);
void retention_start(struct retention *r);
/* A workspace is to be removed: looks now. */
void retention_wake(struct retention *r);
void retention_stop(struct retention *r);
void retention_free(struct retention *r);
