#include "email.h"

#include <errno.h>
#include <stdlib.h>
#include <utf8proc.h>

#include "base/utf8.h"

static bool has_blank_or_control(const char *s)
{
	utf8proc_int32_t c;
	utf8proc_category_t cat;

	for (const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)s; *p;) {
		p += utf8proc_iterate(p, -1, &c);
		cat = utf8proc_category(c);
		if (cat == UTF8PROC_CATEGORY_CC || cat == UTF8PROC_CATEGORY_ZS || cat == UTF8PROC_CATEGORY_ZL ||
		    cat == UTF8PROC_CATEGORY_ZP || cat == UTF8PROC_CATEGORY_CN)
			return true;
	}
	return false;
}

static bool is_address(const char *s, size_t n)
{
	const char *at = strchr(s, '@');

	return n > 0 && n <= EMAIL_MAX && at && at != s && at[1] && !strchr(at + 1, '@') && !has_blank_or_control(s);
}

int email_canonical(struct str given, char ret[static EMAIL_SIZE])
{
	utf8proc_uint8_t *folded = NULL;
	utf8proc_ssize_t n;
	int r = -EINVAL;

	given = str_trim(given);
	if (given.n == 0 || given.n > EMAIL_MAX || memchr(given.p, 0, given.n) || !utf8_is_valid(given))
		return -EINVAL;
	n = utf8proc_map((const utf8proc_uint8_t *)given.p, given.n, &folded,
			 UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);
	if (n > 0 && is_address((char *)folded, n)) {
		memcpy(ret, folded, n + 1);
		r = 0;
	}
	free(folded);
	return r;
}

struct str email_local_part(const char *canonical)
{
	return (struct str){canonical, strcspn(canonical, "@")};
}
