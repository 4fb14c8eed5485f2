/* Which header fields pass the gateway, and which it adds. */
#pragma once

#include "routes.h"
#include "visitor.h"

struct request_fields {
	const char *request_id, *traceparent;
	const struct client *client;
	bool is_upgrade;      /* passes Upgrade and the handshake on */
	bool wants_trailers;  /* says so to the role, too */
	struct str announced; /* value of Trailer; p == NULL = none */
};

/* The head for the role. Names and values are views of the request's head; only new ones are in ret's arena. */
void fields_for_upstream(const struct http_request *r, const struct gateway_route *path, const struct request_fields *f,
			 struct http_headers *ret);
/* The fields of an interim answer (1xx) for the client; views of `from`. */
void fields_of_interim(const struct http_headers *from, struct http_headers *ret);
/* The head for the client; views of `from`. What stands in `ret` already wins over the role's, Vary is joined. With
 * `cors` what the role says of other origins is dropped. */
void fields_for_client(const struct http_headers *from, bool is_upgrade, const struct cors *cors,
		       struct http_headers *ret);
/* Adds a field without copying: name and value must outlive `h`. */
void fields_add(struct http_headers *h, struct str name, struct str value);
