/* HTML as plain text with the marks of Markdown where they carry meaning: headings ("## "), list items ("- "), fences
 * around preformatted text, cells divided by " | ". Scripts, styles, templates and other things that nobody reads are
 * left out. Read by libxml2's HTML parser, which is loaded at first use; it opens no files and no addresses. */
#pragma once

#include "base/buf.h"

enum html_text_flags {
	HTML_TEXT_LINKS = 1, /* "[text](href)" instead of the text alone */
};

/* Appends the text (UTF-8 without control characters but line break and tab) to `out`, and the document's title to
 * `title` (may be NULL). charset: as a Content-Type names it, or NULL: UTF-8 where the bytes are that, otherwise what
 * the document says. Returns 0, -ENOSYS (libxml2 is not installed) or -EINVAL (nothing could be read). Any thread. The
 * input is limited by the caller; the output is at most some times as long. */
int html_text(struct str html, const char *charset, unsigned flags, struct buf *out, struct buf *title);
