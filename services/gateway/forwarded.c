#include "forwarded.h"

#include <errno.h>

static void skip_blanks(struct str *s)
{
	while (s->n && (*s->p == ' ' || *s->p == '\t')) {
		s->p++;
		s->n--;
	}
}

static void skip(struct str *s, size_t n)
{
	s->p += n;
	s->n -= n;
}

/* tchar of RFC 9110 section 5.6.2; a value without quotes may not hold a colon or brackets either. */
static size_t token_length(struct str s)
{
	size_t n = 0;

	while (n < s.n && ((s.p[n] >= 'a' && s.p[n] <= 'z') || (s.p[n] >= 'A' && s.p[n] <= 'Z') ||
			   (s.p[n] >= '0' && s.p[n] <= '9') || (s.p[n] && strchr("!#$%&'*+-.^_`|~", s.p[n]))))
		n++;
	return n;
}

/* A token, or a text between quotes. */
static int take_value(struct str *s, struct str *ret)
{
	size_t n = token_length(*s);
	const char *end;

	if (n) {
		*ret = (struct str){s->p, n};
		skip(s, n);
		return 0;
	}
	if (!s->n || *s->p != '"')
		return -EINVAL;
	skip(s, 1);
	end = s->n ? memchr(s->p, '"', s->n) : NULL;
	if (!end)
		return -EINVAL;
	*ret = (struct str){s->p, (size_t)(end - s->p)};
	skip(s, ret->n + 1);
	return memchr(ret->p, '\\', ret->n) ? -EINVAL : 0;
}

/* NAME=VALUE; each name once. */
static int take_pair(struct str *s, struct forwarded *ret)
{
	struct str name = {s->p, token_length(*s)}, value, *at = NULL;

	skip(s, name.n);
	if (!name.n || !s->n || *s->p != '=')
		return -EINVAL;
	skip(s, 1);
	if (take_value(s, &value) < 0)
		return -EINVAL;
	if (str_ieq(name, STR("for")))
		at = &ret->client;
	else if (str_ieq(name, STR("proto")))
		at = &ret->proto;
	else if (str_ieq(name, STR("host")))
		at = &ret->host;
	if (!at)
		return 0;
	if (at->p)
		return -EINVAL;
	*at = value;
	return 0;
}

int forwarded_parse(struct str value, struct forwarded ret[static FORWARDED_MAX])
{
	struct str s = value;
	int n = 0;

	for (;;) {
		skip_blanks(&s);
		if (n == FORWARDED_MAX)
			return -EINVAL;
		ret[n] = (struct forwarded){0};
		for (;;) {
			if (take_pair(&s, &ret[n]) < 0)
				return -EINVAL;
			if (!s.n || *s.p != ';')
				break;
			skip(&s, 1);
		}
		n++;
		skip_blanks(&s);
		if (!s.n)
			return n;
		if (*s.p != ',')
			return -EINVAL;
		skip(&s, 1);
	}
}
