/* What goes, with all that hangs on it. Worker thread, in the transaction under way. */
#pragma once

#include "agent/retention_rules.h"

/* Everything of the conversation. Its workspace is exec's: a row says that it is to be removed, until exec has done so.
 * Returns 0 or -errno. */
int conversation_erase(struct db_conn *c, const char *id, const char *user_id);
/* What was found, if it still is to go. Returns 1, 0 (it is not there any more, in use, or to be kept) or -errno. */
int retention_erase(struct db_conn *c, enum retention_kind kind, const struct retention_found *f);
/* The batch with its rows; its conversations stand among the others from then on. Returns 0 or -errno. */
int batch_erase(struct db_conn *c, const char *id);
