/* The text of a PDF, by poppler's pdftotext in the sandbox: the file goes into a workspace of its own at the exec
 * service, a command makes text of it, and the workspace is removed. What a hostile file makes the program do stays in
 * there and ends by the command's limits of time, memory and output. */
#pragma once

#include "agent/agent.h"
#include "base/id.h"

/* Fill the first part; it lives until on_done, which comes once, last, never from inside start: 0, -ECANCELED, or -EIO
 * with `error` set. */
struct pdf {
	struct agent *agent;
	const char *document_id, *user_id;
	int64_t claim; /* the same work has the same number */
	struct str bytes;
	void *owner;
	void (*on_done)(struct pdf *p, int err);

	/* Results. */
	struct buf text; /* pages divided by form feeds */
	struct error error;
	bool may_retry;

	/* Its own. */
	int state;
	int err;
	bool is_cancelled, is_answered;
	struct arena *arena;
	struct http_fetch *fetch;
};

void pdf_start(struct pdf *p);
void pdf_cancel(struct pdf *p);
/* Frees what the results hold. */
void pdf_clear(struct pdf *p);
