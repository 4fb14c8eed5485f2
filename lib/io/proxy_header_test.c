#include "io/proxy_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>

#include "base/buf.h"

static const char *parse(struct str bytes, int *ret)
{
	static char text[INET6_ADDRSTRLEN + 8];
	struct proxy_header h;

	*ret = proxy_header_parse(bytes.p, bytes.n, &h);
	if (*ret <= 0 || !h.has_source)
		return "";
	assert_non_null(inet_ntop(AF_INET6, &h.source, text, sizeof(text)));
	return text;
}

/* All of it, and no part of it is taken for all or for wrong. */
static void takes(struct str bytes, const char *source)
{
	struct proxy_header h;
	int n;

	assert_string_equal(parse(bytes, &n), source);
	assert_int_equal(n, bytes.n);
	for (size_t i = 0; i < bytes.n; i++)
		assert_int_equal(proxy_header_parse(bytes.p, i, &h), 0);
}

static void version_1_tells_the_source(void **state)
{
	takes(STR("PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n"), "::ffff:203.0.113.7");
	takes(STR("PROXY TCP6 2001:db8::7 ::1 1 0\r\n"), "2001:db8::7");
	takes(STR("PROXY UNKNOWN\r\n"), "");
	takes(STR("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), "");
}

static void what_stands_behind_it_is_left(void **state)
{
	struct proxy_header h;
	const struct str s = STR("PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\nGET / HTTP/1.1\r\n");

	assert_int_equal(proxy_header_parse(s.p, s.n, &h), 43);
	assert_int_equal(h.port, 56324);
}

static void what_is_no_header_is_refused(void **state)
{
	static const char *const bad[] = {
		"GET / HTTP/1.1\r\n",
		"PROXX",
		"\r\n\r\nG",
		"PROXY \r\n",
		"PROXY TCP4\r\n",
		"PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n",
		"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
		"PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n",
		"PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n",
		"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n",
		"PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n",
		"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
		"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
		"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
		"PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n",
		"PROXY TCP4 ::1 ::1 1 2\r\n",
		"PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
		"proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
	};
	struct proxy_header h;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (proxy_header_parse(bad[i], strlen(bad[i]), &h) != -EPROTO)
			fail_msg("%s was taken", bad[i]);
	/* Without an end. */
	char long_one[200];
	memset(long_one, 'x', sizeof(long_one));
	memcpy(long_one, "PROXY UNKNOWN ", 14);
	assert_int_equal(proxy_header_parse(long_one, 106, &h), 0);
	assert_int_equal(proxy_header_parse(long_one, 107, &h), -EPROTO);
}

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static void version_2_tells_the_source(void **state)
{
	takes(STR(SIGNATURE "\x21\x11\x00\x0c\xcb\x00\x71\x07\x0a\x00\x00\x01\xdc\x04\x01\xbb"), "::ffff:203.0.113.7");
	takes(STR(SIGNATURE "\x21\x21\x00\x24"
			    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
			    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
			    "\xdc\x04\x01\xbb"),
	      "2001:db8::7");
	/* Extra values behind the addresses are passed over. */
	takes(STR(SIGNATURE "\x21\x11\x00\x10\xcb\x00\x71\x07\x0a\x00\x00\x01\xdc\x04\x01\xbb\x04\x00\x01\x00"),
	      "::ffff:203.0.113.7");
	/* LOCAL, and families that are not told. */
	takes(STR(SIGNATURE "\x20\x00\x00\x00"), "");
	takes(STR(SIGNATURE "\x20\x11\x00\x0c\xcb\x00\x71\x07\x0a\x00\x00\x01\xdc\x04\x01\xbb"), "");
	takes(STR(SIGNATURE "\x21\x00\x00\x03\x04\x00\x00"), "");
}

static void a_version_2_that_is_wrong_is_refused(void **state)
{
	struct proxy_header h;
	const struct str bad[] = {
		STR(SIGNATURE "\x11\x11\x00\x0c\xcb\x00\x71\x07\x0a\x00\x00\x01\xdc\x04\x01\xbb"), /* version 1 */
		STR(SIGNATURE "\x22\x11\x00\x0c\xcb\x00\x71\x07\x0a\x00\x00\x01\xdc\x04\x01\xbb"), /* command 2 */
		STR(SIGNATURE "\x21\x41\x00\x00"),                                                 /* family 4 */
		STR(SIGNATURE "\x21\x13\x00\x00"),                                                 /* transport 3 */
		STR(SIGNATURE "\x21\x11\x00\x0b\xcb\x00\x71\x07\x0a\x00\x00\x01\xdc\x04\x01"),     /* too short */
		STR(SIGNATURE "\x21\x21\x00\x0c\xcb\x00\x71\x07\x0a\x00\x00\x01\xdc\x04\x01\xbb"),
		STR(SIGNATURE "\x21\x11\xff\xff"), /* too long */
		STR("\r\n\r\n\0\r\nQUIT\r"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(proxy_header_parse(bad[i].p, bad[i].n, &h), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_1_tells_the_source),           cmocka_unit_test(what_stands_behind_it_is_left),
		cmocka_unit_test(what_is_no_header_is_refused),         cmocka_unit_test(version_2_tells_the_source),
		cmocka_unit_test(a_version_2_that_is_wrong_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
