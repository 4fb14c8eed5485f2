#include "io/http_response.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"

/* What came: "200 a=b|" per head, then the body, then "; a=b|" for trailers. */
struct seen {
	struct buf text;
};

static void see_fields(struct seen *s, const struct http_headers *headers)
{
	for (size_t i = 0; i < headers->n; i++)
		buf_printf(&s->text, " %.*s=%.*s", STR_ARG(headers->items[i].name), STR_ARG(headers->items[i].value));
	buf_add_char(&s->text, '|');
}

static bool on_head(void *owner, int status, const struct http_headers *headers)
{
	struct seen *s = owner;

	buf_printf(&s->text, "%d", status);
	see_fields(s, headers);
	return true;
}

static bool on_body(void *owner, const char *data, size_t n)
{
	buf_add(&((struct seen *)owner)->text, data, n);
	return true;
}

static const struct http_response_events events = {.on_head = on_head, .on_body = on_body, .on_interim = on_head};

enum { HEAD = 1, UPGRADE = 2, CLOSES = 4, RESTS = 8 };

struct response_case {
	const char *name, *bytes;
	int flags; /* HEAD, UPGRADE: the request; CLOSES: the connection is not reused; RESTS: bytes are left over */
	int result;
	const char *seen; /* of a sound answer */
};

#define OK "HTTP/1.1 200 OK\r\n"
#define EOF_ENDS 100 /* after the bytes the peer closes, and that is the answer's end */

static const struct response_case cases[] = {
	{"with a length", OK "Content-Length: 2\r\n\r\nhi", 0, HTTP_RESPONSE_DONE, "200 Content-Length=2|hi"},
	{"blanks around a value", OK "X: \t a b \t \r\nContent-Length: 0\r\n\r\n", 0, HTTP_RESPONSE_DONE,
	 "200 X=a b Content-Length=0|"},
	{"without a reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 0, HTTP_RESPONSE_DONE,
	 "200 Content-Length=0|"},
	{"chunked", OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3;x=y\r\n yo\r\n0\r\n\r\n", 0, HTTP_RESPONSE_DONE,
	 "200 Transfer-Encoding=chunked|hi yo"},
	{"chunked with trailers", OK "Transfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\nX-U: \t2 \r\n\r\n", 0,
	 HTTP_RESPONSE_DONE, "200 Transfer-Encoding=Chunked|hi; X-T=1 X-U=2|"},
	{"a Content-Length among the trailers", OK "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n",
	 0, -EBADMSG, 0},
	{"a folded trailer", OK "Transfer-Encoding: chunked\r\n\r\n0\r\nX: 1\r\n 2\r\n\r\n", 0, -EBADMSG, 0},
	{"a bare CR in a trailer", OK "Transfer-Encoding: chunked\r\n\r\n0\r\nX: a\rb\r\n\r\n", 0, -EBADMSG, 0},
	{"to a HEAD", OK "Content-Length: 5\r\n\r\n", HEAD, HTTP_RESPONSE_DONE, "200 Content-Length=5|"},
	{"204", "HTTP/1.1 204 No Content\r\n\r\n", 0, HTTP_RESPONSE_DONE, "204|"},
	{"304 may tell a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 0, HTTP_RESPONSE_DONE,
	 "304 Content-Length=5|"},
	{"100 before", "HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 1\r\n\r\na", 0, HTTP_RESPONSE_DONE,
	 "100|200 Content-Length=1|a"},
	{"102 and 103 with fields before",
	 "HTTP/1.1 102 X\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK "Content-Length: 1\r\n\r\na", 0,
	 HTTP_RESPONSE_DONE, "102|103 Link=x|200 Content-Length=1|a"},
	{"until the end", OK "\r\nhello", CLOSES, EOF_ENDS, "200|hello"},
	{"1.0 until the end", "HTTP/1.0 200 OK\r\n\r\nhello", CLOSES, EOF_ENDS, "200|hello"},
	{"Connection: close", OK "Connection: close\r\nContent-Length: 1\r\n\r\na", CLOSES, HTTP_RESPONSE_DONE,
	 "200 Connection=close Content-Length=1|a"},
	{"1.0 closes", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", CLOSES, HTTP_RESPONSE_DONE,
	 "200 Content-Length=1|a"},
	{"bytes behind it", OK "Content-Length: 1\r\n\r\nab", RESTS, HTTP_RESPONSE_DONE, "200 Content-Length=1|a"},
	{"a body to a HEAD", OK "Content-Length: 1\r\n\r\na", HEAD | RESTS, HTTP_RESPONSE_DONE,
	 "200 Content-Length=1|"},
	{"101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nxy",
	 UPGRADE | RESTS, HTTP_RESPONSE_UPGRADED, "101 Upgrade=websocket Connection=Upgrade|"},
	{"101 nobody asked for",
	 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 0, -EBADMSG, 0},

	{"both lengths", OK "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, -EBADMSG, 0},
	{"both lengths, turned", OK "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", 0, -EBADMSG, 0},
	{"two lengths", OK "Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi", 0, -EBADMSG, 0},
	{"the same length twice", OK "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", 0, -EBADMSG, 0},
	{"a list of lengths", OK "Content-Length: 2, 2\r\n\r\nhi", 0, -EBADMSG, 0},
	{"a negative length", OK "Content-Length: -1\r\n\r\n", 0, -EBADMSG, 0},
	{"a length with plus", OK "Content-Length: +1\r\n\r\na", 0, -EBADMSG, 0},
	{"a length in hexadecimal", OK "Content-Length: 0x1\r\n\r\na", 0, -EBADMSG, 0},
	{"an empty length", OK "Content-Length:\r\n\r\n", 0, -EBADMSG, 0},
	{"a huge length", OK "Content-Length: 99999999999999999999\r\n\r\n", 0, -EBADMSG, 0},
	{"gzip, chunked", OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 0, -EBADMSG, 0},
	{"chunked, gzip", OK "Transfer-Encoding: chunked, gzip\r\n\r\nx", 0, -EBADMSG, 0},
	{"identity", OK "Transfer-Encoding: identity\r\n\r\nx", 0, -EBADMSG, 0},
	{"xchunked", OK "Transfer-Encoding: xchunked\r\n\r\nx", 0, -EBADMSG, 0},
	{"chunked twice", OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, -EBADMSG,
	 0},
	{"chunked on 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, -EBADMSG, 0},
	{"a bad chunk size", OK "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 0, -EBADMSG, 0},
	{"a chunk size with a blank", OK "Transfer-Encoding: chunked\r\n\r\n2 \r\nhi\r\n0\r\n\r\n", 0, -EBADMSG, 0},
	{"a huge chunk size", OK "Transfer-Encoding: chunked\r\n\r\n11111111111111111\r\n", 0, -EBADMSG, 0},
	{"a chunk without its CRLF", OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi0\r\n\r\n", 0, -EBADMSG, 0},
	{"a chunk that is longer", OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhix\r\n0\r\n\r\n", 0, -EBADMSG, 0},
	{"bare LF in a chunk", OK "Transfer-Encoding: chunked\r\n\r\n2\nhi\n0\n\n", 0, -EBADMSG, 0},
	{"bare LF in the head", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", 0, -EBADMSG, 0},
	{"bare CR", OK "X: a\rb\r\nContent-Length: 0\r\n\r\n", 0, -EBADMSG, 0},
	{"a folded field", OK "X: a\r\n b\r\nContent-Length: 0\r\n\r\n", 0, -EBADMSG, 0},
	{"a blank before the colon", OK "Content-Length : 0\r\n\r\n", 0, -EBADMSG, 0},
	{"a field without a name", OK ": a\r\n\r\n", 0, -EBADMSG, 0},
	{"a field without a colon", OK "abc\r\n\r\n", 0, -EBADMSG, 0},
	{"HTTP/2.0", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", 0, -EBADMSG, 0},
	{"HTTP/0.9", "HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n", 0, -EBADMSG, 0},
	{"HTTP/1.2", "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", 0, -EBADMSG, 0},
	{"no HTTP", "hello\r\n\r\n", 0, -EBADMSG, 0},
	{"a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, -EBADMSG, 0},
	{"status 99", "HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n", 0, -EBADMSG, 0},
	{"status of four digits", "HTTP/1.1 2000 X\r\nContent-Length: 0\r\n\r\n", 0, -EBADMSG, 0},
	{"204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nhi", 0, -EBADMSG, 0},
	{"204 chunked", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, -EBADMSG, 0},
	{"100 with a body", "HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\nhi", 0, -EBADMSG, 0},

	{"cut in the head", "HTTP/1.1 200 O", 0, -ECONNRESET, 0},
	{"cut in the body", OK "Content-Length: 5\r\n\r\nhi", 0, -ECONNRESET, 0},
	{"cut in a chunk", OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhi", 0, -ECONNRESET, 0},
	{"cut before the last chunk", OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", 0, -ECONNRESET, 0},
	{"cut after 100", "HTTP/1.1 100 Continue\r\n\r\n", 0, -ECONNRESET, 0},
	{"nothing", "", 0, -ECONNRESET, 0},
};

static int read_all(struct http_response *r, const char *bytes, size_t n, size_t step, size_t *ret_rest)
{
	*ret_rest = 0;
	for (size_t i = 0; i < n; i += step) {
		size_t part = MIN(step, n - i), used;
		char *copy = xmalloc(part);

		memcpy(copy, bytes + i, part);
		int result = http_response_feed(r, copy, part, &used);
		free(copy);
		if (result != HTTP_RESPONSE_MORE) {
			*ret_rest = n - i - used;
			return result;
		}
	}

	int result = http_response_eof(r);

	return result == HTTP_RESPONSE_DONE ? EOF_ENDS : result;
}

static void check(const struct response_case *c, struct http_response *r, struct seen *seen, size_t step)
{
	size_t rest;

	buf_clear(&seen->text);
	http_response_begin(r, c->flags & HEAD, c->flags & UPGRADE);
	int result = read_all(r, c->bytes, strlen(c->bytes), step, &rest);
	if (result == HTTP_RESPONSE_DONE && r->trailers) {
		buf_add_char(&seen->text, ';');
		see_fields(seen, r->trailers);
	}
	const char *text = seen->text.n ? seen->text.p : "";

	if (result != c->result)
		fail_msg("%s (step %zu): %d instead of %d, %s", c->name, step, result, c->result, text);
	if (result < 0)
		return;
	if (strcmp(text, c->seen) != 0)
		fail_msg("%s (step %zu): %s", c->name, step, text);
	if ((rest > 0) != !!(c->flags & RESTS))
		fail_msg("%s (step %zu): %zu bytes left over", c->name, step, rest);
	if (result == HTTP_RESPONSE_DONE)
		assert_int_equal(r->keep_alive, !(c->flags & CLOSES));
}

static void sound_answers_are_read_and_broken_ones_refused(void **state)
{
	struct seen seen = {0};
	struct http_response r;

	http_response_init(&r, &events, &seen);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (size_t step = 1; step < 300; step = step * 3)
			check(&cases[i], &r, &seen, step);
	http_response_deinit(&r);
	buf_deinit(&seen.text);
}

/* `head`, then `piece` again and again. */
static int endless(const char *head, const char *piece)
{
	struct seen seen = {0};
	struct http_response r;
	size_t used;

	http_response_init(&r, &events, &seen);
	http_response_begin(&r, false, false);
	int result = http_response_feed(&r, head, strlen(head), &used);
	for (int i = 0; i < 200000 && result == HTTP_RESPONSE_MORE; i++)
		result = http_response_feed(&r, piece, strlen(piece), &used);
	http_response_deinit(&r);
	buf_deinit(&seen.text);
	return result;
}

static void nothing_but_a_body_may_go_on_for_ever(void **state)
{
	assert_int_equal(endless(OK, "X: yyyyyyyy\r\n"), -EMSGSIZE);
	assert_int_equal(endless(OK "X: ", "yyyyyyyyyyyy"), -EMSGSIZE);
	assert_int_equal(endless(OK, "yyyyyyyyyyyy"), -EMSGSIZE);
	assert_int_equal(endless("HTTP/1.1 200 ", "O"), -EMSGSIZE);
	assert_int_equal(endless("", "HTTP/1.1 100 Continue\r\n\r\n"), -EBADMSG);
	assert_int_equal(endless(OK "Transfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n"), -EMSGSIZE);
	assert_int_equal(endless(OK "Transfer-Encoding: chunked\r\n\r\n1;", "xxxx"), -EMSGSIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound_answers_are_read_and_broken_ones_refused),
		cmocka_unit_test(nothing_but_a_body_may_go_on_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
