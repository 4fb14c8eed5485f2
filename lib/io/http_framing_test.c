/* What may and may not stand in a request (RFC 9110, RFC 9112): bytes in, status out, each whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those first */
#include <cmocka.h>
#include <stdio.h>

#include "io/server_for_tests.h"

#define H "Host: a.example\r\n"
#define GET(target) "GET " target " HTTP/1.1\r\n" H "\r\n"
#define POST(fields, body) "POST /echo HTTP/1.1\r\n" H fields "\r\n" body

struct framing_case {
	const char *name;
	const char *bytes;
	int status; /* of the first answer; 0 = closed without one */
	size_t n;   /* when there is a NUL in the bytes */
	const char *body;
	bool goes_on; /* a second request on the connection is served */
};

#define BYTES(status, literal) (literal), (status), sizeof(literal) - 1

static const struct framing_case cases[] = {
	/* What is fine. */
	{"a plain request", GET("/hello"), 200, .body = "hello", .goes_on = true},
	{"an empty line before it", "\r\n" GET("/hello"), 200, .goes_on = true},
	{"a query", GET("/path?a=/../b"), 200, .body = "/path", .goes_on = true},
	{"an escaped path", GET("/path%20x"), 200, .body = "/path x", .goes_on = true},
	{"an escaped slash", GET("/path%2Fx"), 200, .body = "/path/x", .goes_on = true},
	{"dots that are no segment", GET("/path/..x/.y"), 200, .body = "/path/..x/.y", .goes_on = true},
	{"Host in another case", "GET /hello HTTP/1.1\r\nhOST: a.example\r\n\r\n", 200, .goes_on = true},
	{"Host with a port", "GET /hello HTTP/1.1\r\nHost: [::1]:8420\r\n\r\n", 200, .goes_on = true},
	{"no blank behind the colon", "GET /hello HTTP/1.1\r\nHost:a.example\r\n\r\n", 200, .goes_on = true},
	{"blanks around a value", "GET /field HTTP/1.1\r\n" H "X-Field: \t one two \t \r\n\r\n", 200, .body = "one two",
	 .goes_on = true},
	{"a value of any bytes", "GET /field HTTP/1.1\r\n" H "X-Field: a\tb ~\x80\xff c=d; e\r\n\r\n", 200,
	 .body = "a\tb ~\x80\xff c=d; e", .goes_on = true},
	{"a value of one byte", "GET /field HTTP/1.1\r\n" H "X-Field: a\r\n\r\n", 200, .body = "a", .goes_on = true},
	{"a value of blanks", "GET /field HTTP/1.1\r\n" H "X-Field:  \t \r\n\r\n", 200, .body = "", .goes_on = true},
	{"an empty value", "GET /field HTTP/1.1\r\n" H "X-Field:\r\n\r\n", 200, .body = "", .goes_on = true},
	{"absolute form for the same host", GET("http://a.example/path?q"), 200, .body = "/path", .goes_on = true},
	{"absolute form without a path", GET("http://A.example?q"), 200, .goes_on = true},
	{"OPTIONS for the server", "OPTIONS * HTTP/1.1\r\n" H "\r\n", 200, .goes_on = true},
	{"a body with its length", POST("Content-Length: 3\r\n", "abc"), 200, .body = "abc", .goes_on = true},
	{"an empty body with its length", POST("Content-Length: 0\r\n", ""), 200, .body = "", .goes_on = true},
	{"a chunked body", POST("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"), 200,
	 .body = "abcd", .goes_on = true},
	{"chunked in another case", POST("Transfer-Encoding: CHUNKED\r\n", "3\r\nabc\r\n0\r\n\r\n"), 200, .body = "abc",
	 .goes_on = true},
	{"a chunk with an extension", POST("Transfer-Encoding: chunked\r\n", "3;a=b;c=\"d\"\r\nabc\r\n0\r\n\r\n"), 200,
	 .body = "abc", .goes_on = true},
	{"trailers are read", POST("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\nHost: b\r\nX-Field: y\r\n\r\n"),
	 200, .body = "abc", .goes_on = true},
	{"HTTP/1.0 without Host", "GET /hello HTTP/1.0\r\n\r\n", 200},
	{"HTTP/1.0 that stays", "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, .goes_on = true},
	{"HTTP/1.1 that goes", "GET /hello HTTP/1.1\r\n" H "Connection: close\r\n\r\n", 200},
	{"an upgrade that nobody takes", "GET /hello HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 200,
	 .goes_on = true},
	{"Expect on HTTP/1.0 is ignored", "POST /echo HTTP/1.0\r\n" H "Expect: x\r\nContent-Length: 1\r\n\r\na", 200,
	 .body = "a"},

	/* The body's length. */
	{"Content-Length and Transfer-Encoding",
	 POST("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"), 400},
	{"Transfer-Encoding and Content-Length",
	 POST("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "3\r\nabc\r\n0\r\n\r\n"), 400},
	{"two lengths that differ", POST("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), 400},
	{"two lengths that agree", POST("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), 400},
	{"a list of lengths", POST("Content-Length: 3, 3\r\n", "abc"), 400},
	{"a negative length", POST("Content-Length: -1\r\n", ""), 400},
	{"a length with a plus", POST("Content-Length: +3\r\n", "abc"), 400},
	{"a hexadecimal length", POST("Content-Length: 0x3\r\n", "abc"), 400},
	{"an empty length", POST("Content-Length:\r\n", ""), 400},
	{"a length with a blank inside", POST("Content-Length: 1 2\r\n", "abc"), 400},
	{"a length beyond 64 bits", POST("Content-Length: 99999999999999999999\r\n", ""), 400},
	{"a length beyond the limit", POST("Content-Length: 2000000\r\n", ""), 413},
	{"a coding that is not chunked", POST("Transfer-Encoding: gzip\r\n", ""), 400},
	{"chunked that is not last", POST("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"), 400},
	{"another coding before chunked", POST("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 400},
	{"chunked twice", POST("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 400},
	{"two Transfer-Encoding fields",
	 POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
	{"identity", POST("Transfer-Encoding: identity\r\n", ""), 400},
	{"an empty coding", POST("Transfer-Encoding:\r\n", ""), 400},
	{"something like chunked", POST("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 400},
	{"chunked in quotes", POST("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), 400},
	{"a vertical tab before chunked",
	 POST("Transfer-Encoding: \x0b"
	      "chunked\r\n",
	      "0\r\n\r\n"),
	 400},
	{"chunked on HTTP/1.0", "POST /echo HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},

	/* Chunks. */
	{"a chunk size that is none", POST("Transfer-Encoding: chunked\r\n", "x\r\nabc\r\n0\r\n\r\n"), 400},
	{"a chunk size with 0x", POST("Transfer-Encoding: chunked\r\n", "0x3\r\nabc\r\n0\r\n\r\n"), 400},
	{"a negative chunk size", POST("Transfer-Encoding: chunked\r\n", "-3\r\nabc\r\n0\r\n\r\n"), 400},
	{"an empty chunk size", POST("Transfer-Encoding: chunked\r\n", "\r\nabc\r\n0\r\n\r\n"), 400},
	{"a blank before a chunk size", POST("Transfer-Encoding: chunked\r\n", " 3\r\nabc\r\n0\r\n\r\n"), 400},
	{"a blank behind a chunk size", POST("Transfer-Encoding: chunked\r\n", "3 \r\nabc\r\n0\r\n\r\n"), 400},
	{"a chunk size beyond 64 bits", POST("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\nabc\r\n"), 400},
	{"a chunk beyond the limit", POST("Transfer-Encoding: chunked\r\n", "200000\r\nabc"), 413},
	{"a chunk longer than its size", POST("Transfer-Encoding: chunked\r\n", "3\r\nabcd\r\n0\r\n\r\n"), 400},
	{"a chunk ended by LF", POST("Transfer-Encoding: chunked\r\n", "3\r\nabc\n0\r\n\r\n"), 400},
	{"a chunk size ended by LF", POST("Transfer-Encoding: chunked\r\n", "3\nabc\r\n0\r\n\r\n"), 400},
	{"a chunk size ended by CR", POST("Transfer-Encoding: chunked\r\n", "3\rabc\r\n0\r\n\r\n"), 400},
	{"the last chunk ended by LF", POST("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\n\n"), 400},
	{"the end ended by LF", POST("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\n"), 400},
	{"a LF in a chunk's extension", POST("Transfer-Encoding: chunked\r\n", "3;a\nb\r\nabc\r\n0\r\n\r\n"), 400},
	{"a NUL in a chunk's extension",
	 BYTES(400, POST("Transfer-Encoding: chunked\r\n", "3;a\0b\r\nabc\r\n0\r\n\r\n"))},
	{"a Content-Length among the trailers",
	 POST("Transfer-Encoding: chunked\r\n", "0\r\nContent-Length: 9\r\n\r\n"), 400},
	{"a bare CR in a trailer", POST("Transfer-Encoding: chunked\r\n", "0\r\nX: a\rb\r\n\r\n"), 400},

	/* Lines and fields. */
	{"a LF before the request", "\n" GET("/hello"), 400},
	{"a CR before the request", "\r" GET("/hello"), 400},
	{"two empty lines before it", "\r\n\r\n" GET("/hello"), 400},
	{"a folded field", "GET /hello HTTP/1.1\r\n" H "X-Field: a\r\n b\r\n\r\n", 400},
	{"a folded first field", "GET /hello HTTP/1.1\r\n Host: a.example\r\n\r\n", 400},
	{"a request line ended by LF", "GET /hello HTTP/1.1\n" H "\r\n", 400},
	{"a request line ended by CR", "GET /hello HTTP/1.1\r" H "\r\n", 400},
	{"a field ended by LF",
	 "GET /hello HTTP/1.1\r\n"
	 "Host: a.example\n\r\n",
	 400},
	{"a field ended by LF alone", "GET /hello HTTP/1.1\r\n" H "X-Field: a\nX-Other: b\r\n\r\n", 400},
	{"a control in a value", "GET /hello HTTP/1.1\r\n" H "X-Field: ab\x01 c\r\n\r\n", 400},
	{"a CR and no LF behind a value", "GET /hello HTTP/1.1\r\n" H "X-Field: ab\r\rX-Other: c\r\n\r\n", 400},
	{"a field ended by CR", "GET /hello HTTP/1.1\r\n" H "X-Field: a\rX-Other: b\r\n\r\n", 400},
	{"a head ended by LF", "GET /hello HTTP/1.1\r\n" H "\n", 400},
	{"everything ended by LF", "GET /hello HTTP/1.1\nHost: a.example\n\n", 400},
	{"a NUL in a value", BYTES(400, "GET /hello HTTP/1.1\r\n" H "X-Field: a\0b\r\n\r\n")},
	{"a NUL in a name", BYTES(400, "GET /hello HTTP/1.1\r\n" H "X-\0Field: ab\r\n\r\n")},
	{"a DEL in a value",
	 "GET /hello HTTP/1.1\r\n" H "X-Field: a\x7f"
	 "b\r\n\r\n",
	 400},
	{"a blank before the colon", "GET /hello HTTP/1.1\r\n" H "X-Field : a\r\n\r\n", 400},
	{"a blank in a name", "GET /hello HTTP/1.1\r\n" H "X Field: a\r\n\r\n", 400},
	{"a field without a name", "GET /hello HTTP/1.1\r\n" H ": a\r\n\r\n", 400},
	{"a field without a colon", "GET /hello HTTP/1.1\r\n" H "X-Field\r\n\r\n", 400},
	{"a name that is no token", "GET /hello HTTP/1.1\r\n" H "X(Field): a\r\n\r\n", 400},

	/* Who is asked for. */
	{"no Host", "GET /hello HTTP/1.1\r\n\r\n", 400},
	{"two Hosts", "GET /hello HTTP/1.1\r\n" H H "\r\n", 400},
	{"two Hosts on HTTP/1.0", "GET /hello HTTP/1.0\r\n" H H "\r\n", 400},
	{"an empty Host", "GET /hello HTTP/1.1\r\nHost:\r\n\r\n", 400},
	{"a Host with a path", "GET /hello HTTP/1.1\r\nHost: a.example/b\r\n\r\n", 400},
	{"a Host with a user", "GET /hello HTTP/1.1\r\nHost: u@a.example\r\n\r\n", 400},
	{"a Host with a blank", "GET /hello HTTP/1.1\r\nHost: a.example b\r\n\r\n", 400},
	{"a list of Hosts", "GET /hello HTTP/1.1\r\nHost: a.example, b\r\n\r\n", 400},
	{"absolute form for another host", GET("http://b.example/path"), 400},
	{"absolute form with another port", GET("http://a.example:81/path"), 400},
	{"absolute form with a user", GET("http://u@a.example/path"), 400},
	{"another scheme", GET("ftp://a.example/path"), 400},
	{"a fragment", GET("/hello#x"), 400},
	{"a target without a slash", GET("hello"), 400},
	{"* for a GET", GET("*"), 400},
	{"a dot segment", GET("/a/../b"), 400},
	{"a dot segment at the end", GET("/a/.."), 400},
	{"a single dot", GET("/a/./b"), 400},
	{"an escaped dot segment", GET("/a/%2e%2e/b"), 400},
	{"a dot segment behind an escaped slash", GET("/a%2F../b"), 400},
	{"an escaped NUL", GET("/a%00b"), 400},
	{"half an escape", GET("/a%2"), 400},
	{"a wrong escape", GET("/a%zz"), 400},
	{"invalid UTF-8 in escapes", GET("/a%ff"), 400},
	{"a raw byte above ASCII", GET("/a\xc3\xa4"), 400},
	{"a control character in the target", GET("/a\x01"), 400},
	{"a tab in the target", "GET /a\tb HTTP/1.1\r\n" H "\r\n", 400},

	/* Methods and versions. */
	{"a lower-case method", "get /hello HTTP/1.1\r\n" H "\r\n", 400},
	{"an unknown method", "BREW /hello HTTP/1.1\r\n" H "\r\n", 400},
	{"a method with more behind it", "GETX /hello HTTP/1.1\r\n" H "\r\n", 400},
	{"TRACE", "TRACE /hello HTTP/1.1\r\n" H "\r\n", 405},
	{"CONNECT", "CONNECT a.example:80 HTTP/1.1\r\n" H "\r\n", 405},
	{"a method of WebDAV", "PROPFIND /hello HTTP/1.1\r\n" H "\r\n", 405},
	{"HTTP/0.9", "GET /hello\r\n", 505},
	{"HTTP/1.2", "GET /hello HTTP/1.2\r\n" H "\r\n", 505},
	{"HTTP/2.0", "GET /hello HTTP/2.0\r\n" H "\r\n", 505},
	{"HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
	{"HTTP/3.0", "GET /hello HTTP/3.0\r\n" H "\r\n", 505},
	{"a version that is none", "GET /hello HTTP/x.y\r\n" H "\r\n", 400},
	{"a version in lower case", "GET /hello http/1.1\r\n" H "\r\n", 400},
	{"two blanks before the version", "GET /hello  HTTP/1.1\r\n" H "\r\n", 400},
	{"a tab before the version", "GET /hello\tHTTP/1.1\r\n" H "\r\n", 400},
	{"a blank before the method", " GET /hello HTTP/1.1\r\n" H "\r\n", 400},

	{"another protocol", "GET /hello RTSP/1.0\r\n" H "\r\n", 400},
	{"two blanks in the request line", "GET  /hello HTTP/1.1\r\n" H "\r\n", 400},
	{"a blank behind the version", "GET /hello HTTP/1.1 \r\n" H "\r\n", 400},
	{"TLS on a plain port", BYTES(400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")},

	/* Expectations and upgrades. */
	{"an unknown expectation", POST("Expect: magic\r\nContent-Length: 1\r\n", "a"), 417},
	{"two expectations", POST("Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n", "a"), 417},
	{"an upgrade with a body", POST("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n", "a"),
	 400},
	{"an upgrade with a chunked body",
	 POST("Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
};

/* The second request must be served exactly when the first was fine; nothing is served behind an error. */
static bool case_is_right(const struct framing_case *c, size_t piece)
{
	static const char second[] = "GET /hello?second HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
	struct test_server *t = test_server_new(NULL);
	struct test_client *client = test_client_new(t);
	struct test_answer first, then;

	test_client_send(client, c->bytes, c->n ? c->n : strlen(c->bytes), piece);
	test_client_send(client, second, sizeof(second) - 1, piece);
	test_client_read_all(client, 2000);
	first = test_client_answer(client);
	then = test_client_answer(client);
	bool is_right = first.status == c->status && (!c->body || strcmp(first.body, c->body) == 0) &&
			then.status == (c->goes_on ? 200 : 0) && client->is_closed && client->in.n == 0;
	if (!is_right)
		print_error("%s, %zu bytes at a time: status %d, then %d, closed %d\n%s\n", c->name, piece,
			    first.status, then.status, client->is_closed, first.body);
	test_client_free(client);
	test_server_free(t);
	return is_right;
}

static void check_all(size_t piece)
{
	unsigned n_wrong = 0;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		n_wrong += !case_is_right(&cases[i], piece);
	assert_int_equal(n_wrong, 0);
}

static void each_case_gets_its_status(void **state)
{
	check_all(SIZE_MAX);
}

static void each_case_gets_the_same_status_byte_by_byte(void **state)
{
	check_all(1);
}

#define NAME "X-Field: "
#define LONG_NAME "Cookie: "

/* A field whose value may be long goes past the parser: it gets what any other field gets. */
static void each_case_gets_the_same_status_in_a_long_field(void **state)
{
	unsigned n_wrong = 0, n_cases = 0;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct framing_case c = cases[i];
		size_t n = c.n ? c.n : strlen(c.bytes), before, after;
		const char *at = memmem(c.bytes, n, NAME, strlen(NAME));
		struct buf bytes = BUF_INIT;

		if (!at)
			continue;
		before = (size_t)(at - c.bytes);
		after = before + strlen(NAME);
		buf_add(&bytes, c.bytes, before);
		buf_add_str(&bytes, LONG_NAME);
		buf_add(&bytes, c.bytes + after, n - after);
		c.bytes = bytes.p;
		c.n = bytes.n;
		n_wrong += !case_is_right(&c, SIZE_MAX) + !case_is_right(&c, 1) + !case_is_right(&c, 50);
		n_cases++;
		buf_deinit(&bytes);
	}
	assert_int_equal(n_wrong, 0);
	assert_true(n_cases > 5);
}

/* head, then `n` times `fill`, then tail. */
static int status_of_long(const char *head, const char *fill, size_t n, const char *tail)
{
	struct test_server *t = test_server_new(NULL);
	struct test_client *client = test_client_new(t);
	struct buf bytes = BUF_INIT;

	buf_add_str(&bytes, head);
	for (size_t i = 0; i < n; i++)
		buf_add_str(&bytes, fill);
	buf_add_str(&bytes, tail);
	test_client_send(client, bytes.p, bytes.n, SIZE_MAX);
	test_client_wait_answer(client, 2000);
	int status = test_client_answer(client).status;
	buf_deinit(&bytes);
	test_client_free(client);
	test_server_free(t);
	return status;
}

static void limits_of_the_head_are_kept(void **state)
{
	assert_int_equal(status_of_long("GET /", "a", 8000, " HTTP/1.1\r\n" H "\r\n"), 200);
	assert_int_equal(status_of_long("GET /", "a", 9000, " HTTP/1.1\r\n" H "\r\n"), 414);
	assert_int_equal(status_of_long("GET /", "a", 900000, " HTTP/1.1\r\n" H "\r\n"), 414);
	assert_int_equal(status_of_long("GET / HTTP/1.1\r\n" H "X: ", "a", 32000, "\r\n\r\n"), 200);
	assert_int_equal(status_of_long("GET / HTTP/1.1\r\n" H "X: ", "a", 33000, "\r\n\r\n"), 431);
	assert_int_equal(status_of_long("GET / HTTP/1.1\r\n" H "Cookie: ", "a", 32000, "\r\n\r\n"), 200);
	assert_int_equal(status_of_long("GET / HTTP/1.1\r\n" H "Cookie: ", "a", 33000, "\r\n\r\n"), 431);
	assert_int_equal(status_of_long("GET / HTTP/1.1\r\n" H, "a", 33000, ": b\r\n\r\n"), 431);
	assert_int_equal(status_of_long("GET / HTTP/1.1\r\n" H, "X: y\r\n", 99, "\r\n"), 200);
	assert_int_equal(status_of_long("GET / HTTP/1.1\r\n" H, "X: y\r\n", 100, "\r\n"), 431);
	assert_int_equal(status_of_long("GET / HTTP/1.1\r\n" H "X:", " ", 900000, "\r\n\r\n"), 431);
}

#define CHUNKED "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"

static void limits_of_chunk_framing_are_kept(void **state)
{
	assert_int_equal(status_of_long(CHUNKED "1;x=", "a", 1000, "\r\na\r\n0\r\n\r\n"), 200);
	assert_int_equal(status_of_long(CHUNKED "1;x=", "a", 10000, "\r\na\r\n0\r\n\r\n"), 400);
	assert_int_equal(status_of_long(CHUNKED, "0", 10000, "1\r\na\r\n0\r\n\r\n"), 400);
	assert_int_equal(status_of_long(CHUNKED, "1\r\na\r\n", 20000, "0\r\n\r\n"), 200);
	assert_int_equal(status_of_long(CHUNKED, "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\na\r\n", 20000, "0\r\n\r\n"), 400);
	assert_int_equal(status_of_long(CHUNKED "0\r\n", "X: y\r\n", 100, "\r\n"), 200);
	assert_int_equal(status_of_long(CHUNKED "0\r\n", "X: y\r\n", 10000, "\r\n"), 431);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_case_gets_its_status),
		cmocka_unit_test(each_case_gets_the_same_status_byte_by_byte),
		cmocka_unit_test(each_case_gets_the_same_status_in_a_long_field),
		cmocka_unit_test(limits_of_the_head_are_kept),
		cmocka_unit_test(limits_of_chunk_framing_are_kept),
	};

	return cmocka_run_group_tests_name("http framing", tests, NULL, NULL);
}
