/* A view of bytes owned by somebody else; not NUL-terminated unless said so. */
#pragma once

#include <string.h>

#include "base/util.h"

struct str {
	const char *p;
	size_t n;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
/* For printf("%.*s", STR_ARG(s)). */
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct str str_of(const char *s)
{
	return (struct str){s, s ? strlen(s) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_is(struct str a, const char *s)
{
	return str_eq(a, str_of(s));
}

/* ASCII case is ignored; for header names and schemes. */
bool str_ieq(struct str a, struct str b);
/* Whether `part` stands anywhere in `s`, ASCII case ignored. */
bool str_ihas(struct str s, struct str part);
bool str_has_prefix(struct str s, struct str prefix);
bool str_has_suffix(struct str s, struct str suffix);
struct str str_trim(struct str s);

/* Cuts `s` at the first `sep`: returns what stands before it and moves `s` behind it. Without `sep` returns all of `s`
 * and leaves it empty with p == NULL. */
struct str str_cut(struct str *s, char sep);

/* The whole of `s` as a decimal number of at most `max`. Returns 0, -EINVAL (not digits only) or -ERANGE. */
int str_to_u64(struct str s, uint64_t max, uint64_t *ret);
