/* Citations: an answer names passages by their ids in square brackets, "[k-01234567]" or "[k-01234567, k-89abcdef]".
 * Each is looked up among those that the calls of its conversation have found, so that an id that the model made up is
 * told apart from one that stands for something. */
#pragma once

#include "base/arena.h"
#include "base/str.h"

#define CITE_SOURCES_MAX 200 /* results of calls; the oldest go first */

/* What the calls found: JSON arrays of passages, as passage_write makes them. */
struct cite_sources {
	const char **items;
	size_t n, cap;
};

/* json lives as long as the arena. */
void cite_sources_add(struct cite_sources *s, struct arena *a, const char *json);

/* The citations of an answer, each id once, in the order in which they come: a JSON array of {id, number, found,
 * document_id, …}. number counts those that were found, from 1; it is null for the others, which have nothing else.
 * NULL when there are none. In the arena. */
const char *citations_make(struct arena *a, struct str answer, const struct cite_sources *s);
