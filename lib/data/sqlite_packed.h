/* Packing in a SQLite database: the functions text_of, text_has and pack_ids of its SQL (db.h), for connections in
 * sqlite.c. */
#pragma once

#include <sqlite3.h>

#include "data/packed.h"

/* Adds the functions; the packer must live as long as the connection. Returns SQLITE_OK or an error of SQLite's. */
int sqlite_packed_add(sqlite3 *db, struct packer *k);
/* Whether the database was switched to packing. */
bool sqlite_packed_is_on(sqlite3 *db);
/* Puts the text of an id or of a compressed text into `out`. Returns 0 or -EBADMSG for any other blob. */
int sqlite_packed_read(struct packer *k, struct str blob, struct buf *out);
