/* The reader of answers: the same bytes in pieces of any size give the same head, body and verdict. */
#include <stdlib.h>

#include "io/http_response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void see_fields(struct buf *owner, const struct http_headers *headers)
{
	check(headers->n <= HTTP_RESPONSE_MAX_HEADERS);
	for (size_t i = 0; i < headers->n; i++) {
		check(headers->items[i].name.n > 0 && http_value_is_clean(headers->items[i].value));
		buf_add(owner, headers->items[i].name.p, headers->items[i].name.n);
		buf_add_char(owner, ':');
		buf_add(owner, headers->items[i].value.p, headers->items[i].value.n);
		buf_add_char(owner, '\n');
	}
}

static bool on_head(void *owner, int status, const struct http_headers *headers)
{
	check(status == 101 || (status >= 200 && status <= 999));
	buf_printf(owner, "%d|", status);
	see_fields(owner, headers);
	return true;
}

static bool on_interim(void *owner, int status, const struct http_headers *headers)
{
	check(status >= 100 && status < 200 && status != 101);
	buf_printf(owner, "%d|", status);
	see_fields(owner, headers);
	return true;
}

static bool on_body(void *owner, const char *data, size_t n)
{
	buf_add(owner, data, n);
	return true;
}

static const struct http_response_events events = {.on_head = on_head, .on_body = on_body, .on_interim = on_interim};

static int feed(const char *data, size_t n, size_t step, int flags, struct buf *seen, size_t *ret_used)
{
	struct http_response r;
	int result = HTTP_RESPONSE_MORE;
	size_t at = 0;

	http_response_init(&r, &events, seen);
	http_response_begin(&r, flags & 1, flags & 2);
	while (at < n && result == HTTP_RESPONSE_MORE) {
		size_t used, part = MIN(step, n - at);

		result = http_response_feed(&r, data + at, part, &used);
		check(used <= part);
		at += used;
	}
	*ret_used = at;
	if (result == HTTP_RESPONSE_MORE)
		result = http_response_eof(&r);
	if (result == HTTP_RESPONSE_DONE && r.trailers)
		see_fields(seen, r.trailers);
	http_response_deinit(&r);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_(buf_deinit) struct buf whole = BUF_INIT, pieces = BUF_INIT;
	int flags = n > 0 ? data[0] & 3 : 0;
	size_t step = n > 0 ? (data[0] >> 2) % 20 + 1 : 1, used_whole, used_pieces;

	if (n > 0) {
		data++;
		n--;
	}
	int a = feed((const char *)data, n, n ? n : 1, flags, &whole, &used_whole);
	int b = feed((const char *)data, n, step, flags, &pieces, &used_pieces);
	check(a == b);
	if (a < 0)
		return 0;
	check(used_whole == used_pieces);
	check(str_eq(buf_str(&whole), buf_str(&pieces)));
	return 0;
}
