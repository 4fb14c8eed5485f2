/* application/x-www-form-urlencoded, as in query strings and in the bodies of OAuth requests. */
#pragma once

#include "base/arena.h"

#define FORM_MAX 64

struct form {
	struct {
		const char *name, *value; /* decoded, in the arena */
	} items[FORM_MAX];
	size_t n;
	const char *repeated; /* a name that is there twice, which RFC 6749 section 3.1 forbids; or NULL */
};

/* Returns 0, -EINVAL (a bad escape, NUL or no UTF-8) or -E2BIG. */
int form_parse(struct arena *a, struct str text, struct form *ret);
bool form_is_repeated(const struct form *f, const char *name);
/* NULL when it is absent or empty, which is the same there. */
const char *form_get(const struct form *f, const char *name);
