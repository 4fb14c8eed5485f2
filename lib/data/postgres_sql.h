/* Our SQL as PostgreSQL reads it. */
#pragma once

#include "base/buf.h"

/* Appends `sql` with every `?` outside quotes and comments as $1, $2, …, and every comment of the form that MySQL runs
 * (with a "!" at its start) as its text. Returns the number of placeholders. For our own SQL: of PostgreSQL's ways to
 * quote it knows '…' and "…". */
size_t postgres_sql_translate(struct buf *out, const char *sql);
