/* Cross-origin requests (Fetch standard, section "CORS protocol"): which pages of other origins may use a route. The
 * gateway answers the browser's question in advance itself; what an upstream says about it is dropped. */
#pragma once

#include "io/http_server.h"

struct cors {
	const char *name;
	const struct str *origins; /* exact: scheme, host and port; lower case */
	size_t n_origins;
	bool any; /* "*": every origin; never with credentials */
	bool credentials;
	const char *methods, *headers, *expose; /* lists with commas */
	const char *max_age;                    /* seconds */
};

/* Its method is OPTIONS, and it names Origin and Access-Control-Request-Method: a browser asks in advance. */
bool cors_is_preflight(const struct http_request *r);
/* The method that the page wants to use, of those that we know; false: none of them. */
bool cors_wanted_method(const struct http_request *r, enum http_method *ret);
/* Whether the request's Origin may; false as well when it has none. */
bool cors_allows(const struct cors *c, const struct http_request *r);
/* What every answer of the route carries, those of errors too: Vary, and for an allowed origin what lets its page read
 * the answer. Values are views of the policy and of the request's head. */
void cors_add(const struct cors *c, const struct http_request *r, struct http_headers *answer);
/* What the answer to a question in advance carries besides. */
void cors_add_preflight(const struct cors *c, struct http_headers *answer);
/* Of an upstream's answer: ours to write. */
bool cors_is_ours(struct str name);
/* Whether it is an origin as browsers write it: http or https, host, port if it is not the scheme's own. */
bool cors_is_origin(struct str text);
