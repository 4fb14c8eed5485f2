/* Pieces and vectors in the database. */
#pragma once

#include "data/db.h"

/* A piece as it is stored. The strings belong to the document's arena. */
struct piece {
	int64_t number, page, start, end, tokens;
	const char *heading;
	struct str text;
};

/* What is common to the pieces of a document. */
struct piece_context {
	const char *document_id, *title, *language;
	int64_t claim;
};

/* Worker thread. Each returns 0 or -errno. */
int pieces_insert(struct db_conn *c, const struct piece_context *of, const struct piece *pieces, size_t n);
/* n scales, then n rows of vector_stride(dimension) bytes. */
int vectors_insert(struct db_conn *c, const struct piece_context *of, int64_t first, size_t n, size_t dimension,
		   struct str data);
