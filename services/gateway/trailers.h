/* What stands behind a chunked body and passes the gateway (RFC 9110 section 6.5). Trailers go through on both sides;
 * not those that a reader could take for fields of the head: framing, routing, credentials, controls and conditions,
 * form of the content, and what only the gateway says. */
#pragma once

#include "io/http.h"

/* Whose trailers they are. */
enum trailer_side { TRAILERS_OF_CLIENT, TRAILERS_OF_ROLE };

/* Those of `from` that pass, views of it; the list is in the arena. from == NULL, or none of them: NULL. head: that of
 * the same message, whose Connection field may name some. */
const struct http_headers *trailers_passing(struct arena *a, enum trailer_side side, const struct http_headers *head,
					    const struct http_headers *from);
/* The value for a Trailer field: the names announced in `head` that pass; p == NULL when there are none. */
struct str trailers_announced(struct arena *a, enum trailer_side side, const struct http_headers *head);
/* Whether a client says that it takes trailers: TE has "trailers", and Connection names TE (RFC 9110 section 10.1.4).
 */
bool trailers_wanted(const struct http_headers *head);
