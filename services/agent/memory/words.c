#include "agent/memory/words.h"

#include <ctype.h>

#define MAX_WORDS 16
#define MAX_WORD 64

static bool is_of_word(char c)
{
	return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

static struct str next_word(struct str *rest)
{
	struct str word;

	while (rest->n > 0 && !is_of_word(*rest->p)) {
		rest->p++;
		rest->n--;
	}
	word = (struct str){rest->p, 0};
	while (rest->n > 0 && is_of_word(*rest->p)) {
		rest->p++;
		rest->n--;
		word.n++;
	}
	return word;
}

void memory_words_query(struct str text, bool is_postgres, struct buf *out)
{
	struct str word;

	for (int n = 0; n < MAX_WORDS && (word = next_word(&text)).n > 0;) {
		if (word.n > MAX_WORD)
			continue;
		if (n++ > 0)
			buf_add_str(out, is_postgres ? " | " : " OR ");
		buf_printf(out, is_postgres ? "'%.*s':*" : "\"%.*s\"*", STR_ARG(word));
	}
}
