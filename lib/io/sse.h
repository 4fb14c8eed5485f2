/* Server-sent events (WHATWG HTML section 9.2): parsing a stream and writing events. */
#pragma once

#include "base/buf.h"

struct sse_event {
	struct str type; /* empty = "message" */
	struct str data; /* lines joined by LF */
	struct str id;   /* the stream's last event id */
};

struct sse_parser {
	size_t max_event;                                          /* bytes; a longer event is -EMSGSIZE */
	bool (*on_event)(void *owner, const struct sse_event *ev); /* false stops */
	void *owner;

	struct buf line, data, type, id;
	bool has_data, skip_lf, started;
};

void sse_parser_init(struct sse_parser *p, size_t max_event, bool (*on_event)(void *, const struct sse_event *),
		     void *owner);
void sse_parser_deinit(struct sse_parser *p);
/* CR, LF and CRLF end lines; a leading BOM and comments are skipped. Returns 0 or -EMSGSIZE. */
int sse_parser_feed(struct sse_parser *p, const char *data, size_t n);

/* Appends one event; id 0 and type NULL are left out. data may hold line breaks. */
void sse_write(struct buf *out, uint64_t id, const char *type, struct str data);
