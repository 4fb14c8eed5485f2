/* The event stream parser: the same bytes in pieces of any size give the same events, and an event that is written is
 * read back. */
#include <stdlib.h>

#include "io/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MAX_EVENT 10000

static void check(bool ok)
{
	if (!ok)
		abort();
}

static bool on_event(void *owner, const struct sse_event *ev)
{
	struct buf *out = owner;

	check(ev->data.n <= MAX_EVENT);
	buf_printf(out, "%zu %zu %zu ", ev->type.n, ev->data.n, ev->id.n);
	buf_add(out, ev->type.p, ev->type.n);
	buf_add(out, ev->data.p, ev->data.n);
	buf_add(out, ev->id.p, ev->id.n);
	return true;
}

static bool keep_data(void *owner, const struct sse_event *ev)
{
	buf_add(owner, ev->data.p, ev->data.n);
	return true;
}

static int feed(const char *data, size_t n, size_t step, bool (*cb)(void *, const struct sse_event *), struct buf *out)
{
	struct sse_parser p;
	int err = 0;

	sse_parser_init(&p, MAX_EVENT, cb, out);
	for (size_t i = 0; i < n && !err; i += step)
		err = sse_parser_feed(&p, data + i, MIN(step, n - i));
	sse_parser_deinit(&p);
	return err;
}

static void check_written(const char *data, size_t n)
{
	_cleanup_(buf_deinit) struct buf stream = BUF_INIT, read = BUF_INIT, expected = BUF_INIT;

	sse_write(&stream, 1, "x", (struct str){data, n});
	check(feed(stream.p, stream.n, stream.n, keep_data, &read) == 0);
	for (size_t i = 0; i < n; i++) {
		buf_add_char(&expected, data[i] == '\r' ? '\n' : data[i]);
		i += data[i] == '\r' && i + 1 < n && data[i + 1] == '\n';
	}
	check(str_eq(buf_str(&read), buf_str(&expected)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_(buf_deinit) struct buf whole = BUF_INIT, pieces = BUF_INIT;
	const char *text = (const char *)data;
	size_t step = n > 0 ? data[0] % 20 + 1 : 1;

	/* In one piece an event may be refused earlier than in several, but not later. */
	if (n > MAX_EVENT)
		return 0;
	check(feed(text, n, n ? n : 1, on_event, &whole) == 0);
	check(feed(text, n, step, on_event, &pieces) == 0);
	check(str_eq(buf_str(&whole), buf_str(&pieces)));
	if (n < MAX_EVENT / 2)
		check_written(text, n);
	return 0;
}
