#include "password.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <utf8proc.h>

#include "base/utf8.h"
#include "common_password.h"
#include "email.h"

/* A shorter name inside a password is chance. */
#define LOCAL_PART_MIN_BYTES 3

static utf8proc_int32_t space_to_ascii(utf8proc_int32_t c, void *data)
{
	return utf8proc_category(c) == UTF8PROC_CATEGORY_ZS ? ' ' : c;
}

static bool has_control(struct str s)
{
	utf8proc_int32_t c;
	size_t at = 0;

	while (at < s.n) {
		at += utf8proc_iterate((const utf8proc_uint8_t *)s.p + at, s.n - at, &c);
		if (utf8proc_category(c) == UTF8PROC_CATEGORY_CC)
			return true;
	}
	return false;
}

static int64_t count_code_points(struct str s)
{
	int64_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((uint8_t)s.p[i] & 0xc0) != 0x80;
	return n;
}

int password_normalise(struct str given, struct buf *ret, struct error *err)
{
	utf8proc_uint8_t *normal = NULL;
	utf8proc_ssize_t n;

	if (given.n > PASSWORD_MAX_BYTES)
		return error_set(err, "password_too_long", "The password must have at most %d bytes.",
				 PASSWORD_MAX_BYTES);
	if (!utf8_is_valid(given) || has_control(given))
		return error_set(err, "password_invalid",
				 "The password must be valid UTF-8 text without control characters.");
	n = utf8proc_map_custom((const utf8proc_uint8_t *)given.p, given.n, &normal,
				UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_REJECTNA, space_to_ascii, NULL);
	if (n < 0)
		return error_set(err, "password_undefined",
				 "The password has a character that Unicode does not define yet; leave it out.");
	buf_add(ret, normal, n);
	sodium_memzero(normal, n);
	free(normal);
	return 0;
}

/* Case-folded copy, for comparing; NULL when it cannot be made. */
static char *fold(struct str s)
{
	utf8proc_uint8_t *folded = NULL;

	if (utf8proc_map((const utf8proc_uint8_t *)s.p, s.n, &folded,
			 UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE) <
	    0)
		return NULL;
	return (char *)folded;
}

static bool holds(const char *folded, struct str word)
{
	return word.n >= LOCAL_PART_MIN_BYTES && memmem(folded, strlen(folded), word.p, word.n);
}

static bool is_guessable(const char *folded, const struct password_rules *rules)
{
	char *org = fold(str_of(rules->org));
	bool ret = strstr(folded, "ogent") || strstr(folded, rules->email_key) ||
		   holds(folded, email_local_part(rules->email_key)) || (org && holds(folded, str_trim(str_of(org))));

	free(org);
	return ret;
}

int password_check(struct str password, const struct password_rules *rules, struct error *err)
{
	char *folded = fold(password);
	bool common = folded && password_is_common(str_of(folded));
	bool guessable = !folded || is_guessable(folded, rules);

	if (folded)
		sodium_memzero(folded, strlen(folded));
	free(folded);
	if (common)
		return error_set(
			err, "password_breached",
			"This password is on the lists of those that attackers try first; choose another one.");
	if (count_code_points(password) < rules->min)
		return error_set(err, "password_too_short",
				 "The password must have at least %" PRId64
				 " characters; a sentence of several words is a good one.",
				 rules->min);
	if (guessable)
		return error_set(
			err, "password_guessable",
			"The password must not contain the name in the e-mail address, \"ogent\" or the name of "
			"the organisation.");
	return 0;
}
