/* The vectors of documents in memory, so that a search does not read them each time. What is not asked for longest goes
 * first when there are more than the option knowledge_memory allows; a document that finds no room is read for its one
 * use. Any thread. */
#pragma once

#include "data/db.h"

/* All vectors of one document. */
struct block {
	size_t n, dimension;
	float *scales;
	int8_t *rows;
};

struct blocks;

struct blocks *blocks_new(size_t max_bytes);
void blocks_free(struct blocks *b);
/* Worker thread. Of the claim that is live; reads it where it is not there. Returns 0 or -errno; give it back with
 * blocks_release. */
int blocks_get(struct blocks *b, struct db_conn *c, const char *document_id, int64_t claim, const struct block **ret);
void blocks_release(struct blocks *b, const struct block *block);
size_t blocks_bytes(struct blocks *b);
