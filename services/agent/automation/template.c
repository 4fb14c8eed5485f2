#include "agent/automation/template.h"

#include <errno.h>

static int fill_one(struct str *rest, template_lookup *lookup, void *arg, struct buf *out, struct error *err)
{
	const char *end = memmem(rest->p, rest->n, "}}", 2);
	struct str name;

	if (!end)
		return error_set(err, "template_invalid", "\"{{\" has no \"}}\" behind it.");
	name = str_trim((struct str){rest->p, (size_t)(end - rest->p)});
	if (name.n == 0 || name.n > TEMPLATE_NAME_MAX || !lookup(arg, name, out))
		return error_set(err, "template_invalid", "There is nothing to put in the place of {{%.*s}}.",
				 (int)MIN(name.n, 60), name.p ? name.p : "");
	rest->n -= (size_t)(end + 2 - rest->p);
	rest->p = end + 2;
	return 0;
}

int template_fill(struct str text, template_lookup *lookup, void *arg, size_t max, struct buf *out, struct error *err)
{
	size_t from = out->n;

	while (text.n > 0) {
		const char *at = memmem(text.p, text.n, "{{", 2);
		size_t n = at ? (size_t)(at - text.p) : text.n;

		buf_add(out, text.p, n);
		text = (struct str){text.p + n, text.n - n};
		if (at) {
			text = (struct str){text.p + 2, text.n - 2};
			if (fill_one(&text, lookup, arg, out, err) < 0)
				return -EINVAL;
		}
		if (out->n - from > max)
			return error_set(err, "template_too_long", "The filled text has more than %zu bytes.", max);
	}
	return 0;
}
