/* Documents as text: what kind a file is, by its bytes before its name, and its text in UTF-8. PDF is read elsewhere
 * (pdf.h), by a program in the sandbox; what that program prints comes here as MEDIA_PDF_TEXT. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

enum media { MEDIA_TEXT, MEDIA_MARKDOWN, MEDIA_HTML, MEDIA_PDF, MEDIA_PDF_TEXT };

const char *media_type_name(enum media m); /* "text/plain", … */
/* The other way round; false when it is none of them. */
bool media_of_type(const char *type, enum media *ret);

/* What a file is. type: as the sender calls it, "" = he does not. Returns 0, or -EINVAL with err set (code
 * "document_type"): a sentence that says what can be read. */
int media_detect(struct str bytes, const char *name, const char *type, enum media *ret, struct error *err);

struct read_text {
	struct buf text;  /* UTF-8, lines end with a line feed, no NUL */
	struct buf title; /* "" = it says none */
	bool is_markdown;
	size_t *pages; /* where each begins; NULL = it has none */
	size_t n_pages;
};

/* Returns 0, or -errno with err set (codes "document_empty", "document_unreadable", "html_reader_missing"). Any
 * thread. End with read_text_deinit, whatever it returned. */
int read_document(enum media m, struct str bytes, struct read_text *ret, struct error *err);
void read_text_deinit(struct read_text *t);
