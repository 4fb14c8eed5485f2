/* Knowledge: collections of documents, and finding what is in them.
 *
 * A document that was sent is a row with its bytes, and work for whichever agent process takes it (work.c): its text is
 * read (read.h, pdf.h), cut into pieces (split.h), each of which gets a vector (embed.h, hashed.h), and all pieces
 * become visible at once. A question is looked for by its words and by its vector (search.h), and the two lists become
 * one. */
#pragma once

#include "agent/agent.h"
#include "base/id.h"

struct blocks;
struct job_lane;
struct knowledge;

struct knowledge *knowledge_new(struct agent *agent);
/* From now on documents are worked on. */
void knowledge_start(struct knowledge *k);
/* No more work is begun; what is under way is left to who comes next. */
void knowledge_stop(struct knowledge *k);
/* After db_close. */
void knowledge_free(struct knowledge *k);
/* There is work. */
void knowledge_wake(struct knowledge *k);
/* Vectors in memory. */
struct blocks *knowledge_blocks(struct knowledge *k);

#define KNOWLEDGE_LANGUAGE_SIMPLE "simple"
#define KNOWLEDGE_COLLECTIONS_MAX 16 /* that an agent has, or a question goes to */

/* A collection as it is stored. Strings are in an arena. */
struct collection_row {
	const char *id, *owner_id, *name, *description, *language, *embedding;
	bool is_shared;
	int64_t piece_tokens, overlap_tokens, revision, version, created_at, updated_at;
};

/* Worker thread. 1 found and visible to the asker, 0 none, or -errno. */
int collection_find(struct db_conn *c, struct exchange *x, const char *id, struct collection_row *ret);
/* The same with the row locked, and only with the right to change it: otherwise an answer is set (positive) and to be
 * returned. */
struct answer;
int collection_find_to_change(struct db_conn *c, struct answer *a, const char *id, struct collection_row *ret);
/* Whether the user sees it; sees_all: he sees everybody's. */
bool collection_is_visible(const struct collection_row *row, const char *user_id, bool sees_all);
#define COLLECTION_COLUMNS                                                                                \
	"c.id, c.owner_id, c.name, c.description, c.language, c.is_shared, c.embedding, c.piece_tokens, " \
	"c.overlap_tokens, "                                                                              \
	"c.revision, c.version, c.created_at, c.updated_at"
void collection_read_row(struct db_stmt *st, struct arena *a, struct collection_row *ret);

/* store.c, on worker threads: 0 or -errno. */
struct piece;
/* All of a document but what has that claim (0: all). */
int pieces_delete(struct db_conn *c, const char *document_id, int64_t but_claim);
/* What can be found has changed. */
int collection_changed(struct db_conn *c, const char *collection_id);

/* Handlers. */
route_handler collections_list, collections_create, collections_get, collections_patch, collections_delete,
	collections_index;
route_handler documents_list, documents_create, documents_get, documents_delete, documents_index, documents_content,
	documents_pieces;
route_handler knowledge_search;
