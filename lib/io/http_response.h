/* Reads one HTTP/1.1 answer at a time from bytes, strictly, by llhttp. Refused with -EBADMSG: what llhttp refuses,
 * versions other than 1.0 and 1.1, a Transfer-Encoding other than one "chunked" or on 1.0 or beside a Content-Length, a
 * 1xx or 204 that announces a body, a 101 that nobody asked for, and more than HTTP_RESPONSE_MAX_INTERIM other 1xx. */
#pragma once

#include <llhttp.h>

#include "base/buf.h"
#include "io/http.h"

#define HTTP_RESPONSE_MAX_HEAD (64 * 1024)
#define HTTP_RESPONSE_MAX_HEADERS 128
#define HTTP_RESPONSE_MAX_INTERIM 16

struct http_response_events {
	/* Return false to stop: feed then returns -ECANCELED and the reader is to be left alone until the next begin.
	 */
	bool (*on_head)(void *owner, int status, const struct http_headers *headers);
	bool (*on_body)(void *owner, const char *data, size_t n);
	/* A 1xx other than 101, before on_head; its fields are valid during the call. May be NULL. */
	bool (*on_interim)(void *owner, int status, const struct http_headers *headers);
};

struct http_response {
	llhttp_t parser;
	const struct http_response_events *events;
	void *owner;
	struct arena *arena; /* of the head; reset by begin */
	struct http_headers headers;
	/* What came behind a chunked body, as it came; NULL = nothing. Complete with the answer, valid until the next
	 * begin. */
	struct http_headers *trailers;
	struct buf head;    /* names and values, each ended by NUL; kept for the next answer */
	struct buf trailer; /* those of trailers, apart, since the head must not move */
	size_t start;       /* of the name or value that is coming in, in head or trailer */
	struct str name;    /* of the field whose value is coming in: an offset, too */
	size_t head_bytes;
	unsigned interim; /* 1xx answers so far */
	bool is_head, may_upgrade;
	bool in_body;   /* the head is through */
	bool has_bytes; /* anything came at all */
	bool done;
	bool keep_alive; /* after the answer: the connection may be used again */
	int err;
};

enum http_response_result { HTTP_RESPONSE_MORE, HTTP_RESPONSE_DONE, HTTP_RESPONSE_UPGRADED };

void http_response_init(struct http_response *r, const struct http_response_events *events, void *owner);
void http_response_deinit(struct http_response *r);
/* For each answer. is_head: to a HEAD request. */
void http_response_begin(struct http_response *r, bool is_head, bool may_upgrade);
/* Returns an http_response_result, or -EBADMSG, -EMSGSIZE (head too big), -ECANCELED. *ret_used tells how many bytes
 * belong to the answer. */
int http_response_feed(struct http_response *r, const char *data, size_t n, size_t *ret_used);
/* The peer has closed: HTTP_RESPONSE_DONE when that is the answer's end, otherwise -ECONNRESET. */
int http_response_eof(struct http_response *r);
