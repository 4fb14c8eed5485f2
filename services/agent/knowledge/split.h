/* Cuts a document's text into pieces that are found and cited one by one: at headings first, then between paragraphs,
 * lines, sentences and, where nothing else helps, words. A piece follows the one before with some of its last sentences
 * again, so that what stands around a cut is found too. */
#pragma once

#include "base/str.h"

#define SPLIT_HEADING_MAX 300

struct split_piece {
	size_t start, end;   /* bytes of the text */
	uint32_t number;     /* from 0 */
	uint32_t page;       /* on which it begins, from 1; 0 = the document has none */
	int64_t tokens;      /* as models/estimate.h counts */
	const char *heading; /* "Chapter › Section", "" = none; valid during the call */
};

struct split_options {
	int64_t max_tokens, overlap_tokens;
	bool is_markdown;    /* has headings and fences */
	const size_t *pages; /* where each page begins, rising; NULL = it has none */
	size_t n_pages;
	size_t max_pieces;
};

/* Calls fn for each piece in order. Returns their number; more than max_pieces are counted, not told. */
size_t split_text(struct str text, const struct split_options *o, void (*fn)(void *arg, const struct split_piece *p),
		  void *arg);
