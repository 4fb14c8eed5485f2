/* The one file of a multipart/form-data body (RFC 7578). */
#pragma once

#include "base/arena.h"
#include "base/error.h"

struct multipart_file {
	struct str bytes; /* a view of the body */
	const char *name; /* as sent, without folders; "" = none */
	const char *type; /* its Content-Type, "" = none */
};

/* content_type: of the request. Strings are in the arena. Returns 0, or -EINVAL with err set. */
int multipart_read(struct arena *a, struct str content_type, struct str body, struct multipart_file *ret,
		   struct error *err);
