/* What the handlers of batches share. */
#pragma once

#include "agent/batches/batch.h"
#include "agent/handlers.h"

/* The batch of the path if it is the user's, or he may see everybody's: 0, 1 after setting a 404, or -errno. */
int batches_find(struct db_conn *c, struct answer *a, bool to_change, struct batch *ret);
/* The same, for what its conversations say: of another user only for who may read everybody's. */
int batches_find_to_read(struct db_conn *c, struct answer *a, struct batch *ret);
