#include "oauth/form.h"

#include <errno.h>

#include "base/encode.h"

static const char *decode(struct arena *a, struct str s)
{
	struct buf out = BUF_INIT;
	const char *text = NULL;

	if (percent_decode(s, true, &out) == 0)
		text = arena_strndup(a, out.n ? out.p : "", out.n);
	buf_deinit(&out);
	return text;
}

static bool has(const struct form *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++)
		if (!strcmp(f->items[i].name, name))
			return true;
	return false;
}

int form_parse(struct arena *a, struct str text, struct form *ret)
{
	struct str rest = text, value;
	const char *name;

	*ret = (struct form){0};
	while (rest.n > 0) {
		value = str_cut(&rest, '&');
		if (value.n == 0)
			continue;
		if (ret->n == FORM_MAX)
			return -E2BIG;
		name = decode(a, str_cut(&value, '='));
		if (!name)
			return -EINVAL;
		if (has(ret, name))
			ret->repeated = name;
		ret->items[ret->n].name = name;
		ret->items[ret->n].value = decode(a, value);
		if (!ret->items[ret->n++].value)
			return -EINVAL;
	}
	return 0;
}

bool form_is_repeated(const struct form *f, const char *name)
{
	unsigned n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += !strcmp(f->items[i].name, name);
	return n > 1;
}

const char *form_get(const struct form *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++)
		if (!strcmp(f->items[i].name, name))
			return *f->items[i].value ? f->items[i].value : NULL;
	return NULL;
}
