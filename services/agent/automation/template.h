/* Texts with places to be filled: "{{name}}", blanks inside do not count. Pure. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#define TEMPLATE_NAME_MAX 200

/* Appends the value of a name; false: there is none. */
typedef bool template_lookup(void *arg, struct str name, struct buf *out);

/* Appends the text with its places filled. At most `max` bytes. Returns 0 or -EINVAL with err (code
 * "template_invalid": a name without value, or a place without end; "template_too_long"). */
int template_fill(struct str text, template_lookup *lookup, void *arg, size_t max, struct buf *out, struct error *err);
