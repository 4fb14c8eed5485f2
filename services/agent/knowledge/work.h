/* One document being worked on, as one flow: work_next in work.c is all of it.
 *
 * The row says whose work it is: owner and claim. Every write asks for both, so what another process has taken over,
 * and what was deleted or is to be indexed anew, is left at once. Pieces are stored in batches under the claim's number
 * and found only when the row's `live` is that number, which the last write sets: a document is found whole, as it was
 * before or as it is now, whatever dies in between. */
#pragma once

#include "agent/knowledge/embed.h"
#include "agent/knowledge/pdf.h"
#include "agent/knowledge/read.h"
#include "agent/knowledge/store.h"

#define WORK_BATCH EMBED_TEXTS_MAX
#define WORK_ATTEMPTS 10 /* then it has failed */

struct knowledge;

/* What it waits for. */
enum work_state {
	WORK_LOADING,   /* its bytes and the collection's settings */
	WORK_PRINTING,  /* the PDF's text */
	WORK_SPLITTING, /* its pieces */
	WORK_EMBEDDING, /* the vectors of a batch */
	WORK_STORING,   /* the transaction with a batch */
	WORK_FINISHING, /* the one that makes it visible */
	WORK_FAILING,   /* the one with why it failed */
	WORK_ENDED,
};

struct work {
	struct list link; /* in the knowledge's list */
	struct knowledge *knowledge;
	struct agent *agent;
	struct job_lane *lane;
	void (*on_ended)(struct work *w);
	char id[ID_SIZE];
	int64_t claim, attempts;

	enum work_state state; /* written by work_on_done only */
	int err;               /* how what it waited for ended: 0, -errno, or WORK_LOST */
	bool is_stopped;       /* the process ends */
	struct error error;    /* why it failed */
	bool may_retry;

	/* Loaded. */
	struct arena *arena;
	const char *collection_id, *owner_id, *user_id, *name, *language, *embedding;
	int64_t piece_tokens, overlap_tokens;
	enum media media;
	struct buf bytes;

	struct read_text text;
	struct piece *pieces;
	size_t n, cap, done, batch; /* of pieces */
	int64_t tokens;
	size_t dimension;
	struct buf vectors;           /* of the batch, as they are stored */
	struct str texts[WORK_BATCH]; /* of the batch, as they are embedded */

	struct db_job db;
	struct deadline again;
	unsigned failures;
	struct job job;
	struct embed embed;
	struct pdf pdf;
};

void work_start(struct work *w);
/* The process ends: what is under way ends soon, and on_ended comes. */
void work_stop(struct work *w);
void work_free(struct work *w);
