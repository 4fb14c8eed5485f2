/* Vectors of texts by a model: one request to the OpenAI-compatible /embeddings of its provider, or Ollama's
 * /api/embed, several attempts, in turn with the other calls of that provider. */
#pragma once

#include "agent/models/model.h"

#define EMBED_TEXTS_MAX 32

/* What it waits for. */
enum embed_state { EMBED_TURN, EMBED_ANSWER, EMBED_PAUSE };

/* Fill the first part; it lives until on_done, which comes once, last, never from inside start: 0, -ECANCELED, or
 * -EIO with `error` set. */
struct embed {
	struct agent *agent;
	const char *model;   /* as agents name it */
	const char *user_id; /* whose models it may be */
	const struct str *texts;
	size_t n;
	void *owner;
	void (*on_done)(struct embed *e, int err);

	/* Results. */
	float *vectors; /* n of `dimension` numbers each */
	size_t dimension;
	struct error error;
	bool may_retry; /* later it may work */

	/* Its own. */
	enum embed_state state;
	struct arena *arena;
	const struct model_target *target;
	struct model_turn turn;
	struct model_http http;
	struct buf body, answer;
	int status;
	unsigned attempt;
	bool is_cancelled;
	struct deadline wait;
};

void embed_start(struct embed *e);
void embed_cancel(struct embed *e);
/* Frees what the results hold. */
void embed_clear(struct embed *e);

/* The numbers of an answer: {data: [{index, embedding}]} or {embeddings: [[…]]}. Returns the vectors (free them) and
 * their dimension, or NULL with err set: not n of them, not of one length, no numbers. */
float *embed_read(struct str answer, size_t n, size_t *ret_dimension, struct error *err);
