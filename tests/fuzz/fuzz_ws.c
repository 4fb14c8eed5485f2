/* The WebSocket codec: the same bytes in pieces of any size give the same messages and the same verdict; messages keep
 * to the limit, text is UTF-8, control frames are short. */
#include <stdlib.h>

#include "io/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MAX_MESSAGE 5000

struct seen {
	struct buf text;
	bool stopped;
};

static void check(bool ok)
{
	if (!ok)
		abort();
}

static bool on_frame(void *owner, enum ws_opcode op, const char *data, size_t n)
{
	struct seen *s = owner;

	check(n <= (op >= WS_CLOSE ? 125 : MAX_MESSAGE));
	check(op != WS_TEXT || utf8_is_valid((struct str){data, n}));
	buf_printf(&s->text, "%d %zu ", op, n);
	buf_add(&s->text, data, n);
	s->stopped = op == WS_CLOSE;
	return !s->stopped;
}

static int feed(bool is_server, bool may_deflate, const char *data, size_t n, size_t step, struct seen *seen)
{
	struct ws_parser p;
	int code = 0;

	ws_parser_init(&p, is_server, MAX_MESSAGE, on_frame, seen);
	p.may_deflate = may_deflate;
	for (size_t i = 0; i < n && !code && !seen->stopped; i += step)
		code = ws_parser_feed(&p, data + i, MIN(step, n - i));
	ws_parser_deinit(&p);
	check(code == 0 || code == 1002 || code == 1007 || code == 1009);
	return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct seen whole = {0}, pieces = {0};
	bool is_server = n > 0 && data[0] & 1, may_deflate = n > 0 && data[0] & 0x80;
	size_t step = n > 0 ? (data[0] >> 1) % 20 + 1 : 1;

	if (n > 0) {
		data++;
		n--;
	}
	int a = feed(is_server, may_deflate, (const char *)data, n, n ? n : 1, &whole);
	int b = feed(is_server, may_deflate, (const char *)data, n, step, &pieces);
	check(a == b);
	check(str_eq(buf_str(&whole.text), buf_str(&pieces.text)));
	buf_deinit(&whole.text);
	buf_deinit(&pieces.text);
	return 0;
}
