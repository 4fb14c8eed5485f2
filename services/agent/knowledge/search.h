/* Finding pieces: by their words (FTS5 with bm25, or PostgreSQL's tsvector) and by their vectors (an exact scan), each
 * a list of the best; the lists become one by the sum of 1 / (60 + place) (reciprocal rank fusion, Cormack and others,
 * SIGIR 2009). */
#pragma once

#include "agent/knowledge/embed.h"
#include "agent/knowledge/knowledge.h"

#define SEARCH_QUERY_MAX 2000
#define SEARCH_LIMIT_MAX 50
#define CITATION_ID_SIZE 11 /* "k-" and eight characters */

enum search_mode { SEARCH_HYBRID, SEARCH_WORDS, SEARCH_VECTORS };

/* A piece that was found. Strings are in the search's arena. */
struct passage {
	char id[CITATION_ID_SIZE]; /* by which it is cited: the same piece has the same */
	const char *document_id, *document, *title, *collection_id, *collection, *heading, *text;
	int64_t number, page, start, end;
	double score;
	int word_rank, vector_rank; /* from 1; 0 = not in that list */
};

/* What it waits for. */
enum search_state { SEARCH_LOOKING, SEARCH_ASKING, SEARCH_FINDING };

/* Fill the first part; it lives until on_done, which comes once, last, never from inside start: 0, -ECANCELED or
 * -errno. */
struct search {
	struct agent *agent;
	const char *user_id;
	bool sees_all;
	const char *const *collections; /* ids; n 0 = all that he sees, up to KNOWLEDGE_COLLECTIONS_MAX */
	size_t n_collections;
	const char *query;
	int64_t limit;
	enum search_mode mode;
	void *owner;
	void (*on_done)(struct search *s, int err);

	/* Results. */
	struct arena *arena;
	struct passage *passages;
	size_t n;
	const char *warning; /* what was left out, or NULL */

	/* Its own. */
	enum search_state state;
	struct collection_row *rows;
	size_t n_rows, nth; /* nth: whose model is asked */
	struct {
		int8_t *row; /* the question, NULL = it has no vector */
		float scale;
		size_t dimension;
	} questions[KNOWLEDGE_COLLECTIONS_MAX];
	struct embed embed;
	struct str text;
	struct db_job db;
	bool is_cancelled;
};

void search_start(struct search *s);
void search_cancel(struct search *s);
/* Frees what the results hold. */
void search_clear(struct search *s);

/* {id, document_id, …} of a passage. */
void passage_write(const struct passage *p, yyjson_mut_doc *doc, yyjson_mut_val *obj);
/* The id of a piece: "k-" and forty bits of a hash in lower-case base32. */
void citation_id(const char *document_id, int64_t number, char ret[static CITATION_ID_SIZE]);
