/* The words of a text, as a search engine's query: each may begin a word of what is found. */
#pragma once

#include "base/buf.h"

/* Appends a query of FTS5 (`"blue"* OR "car"*`) or of PostgreSQL's to_tsquery (`'blue':* | 'car':*`). Nothing when the
 * text has no word. At most 16 words count. */
void memory_words_query(struct str text, bool is_postgres, struct buf *out);
