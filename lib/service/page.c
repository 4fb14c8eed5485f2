#include "service/internal.h"

#include <string.h>

#include "base/encode.h"
#include "base/utf8.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 200
#define CURSOR_MAX 512 /* bytes of the decoded form */

/* The decoded cursor, or NULL. */
static const char *decode_cursor(struct arena *a, const char *text)
{
	char *key = arena_alloc(a, CURSOR_MAX + 1);
	ssize_t n = base64url_decode(str_of(text), key, CURSOR_MAX);

	if (n <= 0 || memchr(key, '\0', n) || !utf8_is_valid((struct str){key, (size_t)n}))
		return NULL;
	key[n] = '\0';
	return key;
}

bool page_read(struct exchange *x, struct page *ret)
{
	const char *limit = http_query_get(x->arena, x->req->query, "limit");
	const char *after = http_query_get(x->arena, x->req->query, "after");
	uint64_t n = LIMIT_DEFAULT;

	if (limit && (str_to_u64(str_of(limit), LIMIT_MAX, &n) || !n)) {
		reply_problem(x, 400, "bad_request", "limit is a number from 1 to %d.", LIMIT_MAX);
		return false;
	}
	ret->limit = (int64_t)n;
	ret->after = after && *after ? decode_cursor(x->arena, after) : NULL;
	if (after && *after && !ret->after) {
		reply_problem(x, 400, "bad_request",
			      "after is not a cursor: take it from \"next\" of the page before.");
		return false;
	}
	return true;
}

const char *page_cursor(struct arena *a, const char *key)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	base64url_encode(&text, key, strlen(key));
	return arena_strndup(a, text.p, text.n);
}
