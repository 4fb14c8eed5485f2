/* A text as the words that are looked for: letters and digits that belong together, in lower case and without accents.
 * Scripts that put no blanks between words (Chinese, Japanese, Thai …) come as pairs of neighbouring characters, so
 * that parts of a sentence are found; the same is done with what is asked. */
#pragma once

#include "base/buf.h"

#define WORD_MAX 64 /* bytes; longer ones are cut */

struct words {
	struct str rest;
	uint32_t pair;  /* the character before, of a script without blanks; 0 = none */
	bool is_paired; /* it stood in a pair already */
	char word[WORD_MAX + 8];
};

void words_init(struct words *w, struct str text);
/* The next word (valid until the next call), or false at the end. */
bool words_next(struct words *w, struct str *ret);
/* Appends the words of a text with a blank between: what the databases index. */
void words_write(struct str text, struct buf *out);

/* Words that say little in a language ("english", "german", …), which a question need not be searched for. */
bool word_is_common(struct str word, const char *language);
