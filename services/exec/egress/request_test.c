#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those first */
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "egress/request.h"

static const struct head_case {
	const char *head;
	int result;
	const char *host;
	uint16_t port;
	const char *passed; /* what the host gets */
} cases[] = {
	{"CONNECT Example.org:443 HTTP/1.1\r\nHost: other\r\n\r\n", 0, "example.org", 443, ""},
	{"CONNECT [2001:db8::1]:8443 HTTP/1.1\r\n\r\n", 0, "2001:db8::1", 8443, ""},
	{"GET http://example.org/a?b=c HTTP/1.1\r\nHost: other.example\r\nX-A: 1\r\nProxy-Connection: keep-alive\r\n"
	 "Proxy-Authorization: Basic eA==\r\nConnection: keep-alive\r\n\r\n",
	 0, "example.org", 80, "GET /a?b=c HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\nX-A: 1\r\n\r\n"},
	{"GET HTTP://example.org:8080 HTTP/1.0\r\n\r\n", 0, "example.org", 8080,
	 "GET / HTTP/1.0\r\nHost: example.org:8080\r\nConnection: close\r\n\r\n"},
	{"GET http://example.org?x HTTP/1.1\r\n\r\n", 0, "example.org", 80,
	 "GET /?x HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n"},
	{"CONNECT example.org:443 HTTP/1.1\r\n", -EAGAIN},
	{"", -EAGAIN},
	{"CONNECT example.org HTTP/1.1\r\n\r\n", -EINVAL},
	{"CONNECT example.org:0 HTTP/1.1\r\n\r\n", -EINVAL},
	{"CONNECT example.org:65536 HTTP/1.1\r\n\r\n", -EINVAL},
	{"CONNECT a@example.org:443 HTTP/1.1\r\n\r\n", -EINVAL},
	{"GET http://good.com@evil.com/ HTTP/1.1\r\n\r\n", -EINVAL},
	{"GET http://evil.com#good.com/ HTTP/1.1\r\n\r\n", -EINVAL},
	{"GET http://good.com\\@evil.com/ HTTP/1.1\r\n\r\n", -EINVAL},
	{"GET http://0x7f.1/ HTTP/1.1\r\n\r\n", -EINVAL},
	{"GET /path HTTP/1.1\r\nHost: example.org\r\n\r\n", -EPROTO},
	{"GET https://example.org/ HTTP/1.1\r\n\r\n", -EPROTO},
	{"GET http://example.org/ HTTP/2.0\r\n\r\n", -EBADMSG},
	{"GET http://example.org/ b HTTP/1.1\r\n\r\n", -EBADMSG},
	{"GET http://example.org/ HTTP/1.1\r\nX: 1\nY: 2\r\n\r\n", -EBADMSG},
	{"GET http://example.org/ HTTP/1.1\r\nX : 1\r\n\r\n", -EBADMSG},
	{"GET http://example.org/ HTTP/1.1\r\nX: 1\r\n folded\r\n\r\n", -EBADMSG},
	{"GET http://example.org/ HTTP/1.1\r\nX: a\rb\r\n\r\n", -EBADMSG},
	{"G(T http://example.org/ HTTP/1.1\r\n\r\n", -EBADMSG},
	{"POST http://example.org/ HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", -EBADMSG},
	{"POST http://example.org/ HTTP/1.1\r\nContent-Length: 5\r\ncontent-length: 6\r\n\r\n", -EBADMSG},
	{"POST http://example.org/ HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 0, "example.org", 80,
	 "POST / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\nContent-Length: 5\r\n\r\n"},
	{"CONNECT [::ffff:169.254.169.254]:80 HTTP/1.1\r\n\r\n", 0, "::ffff:169.254.169.254", 80, ""},
	{"CONNECT 0:80 HTTP/1.1\r\n\r\n", -EINVAL},
	{"CONNECT 017700000001:80 HTTP/1.1\r\n\r\n", -EINVAL},
	{"CONNECT 0x7f000001:80 HTTP/1.1\r\n\r\n", -EINVAL},
	{"CONNECT 127.0.1:80 HTTP/1.1\r\n\r\n", -EINVAL},
	{"CONNECT 1\342\221\2407.0.0.1:80 HTTP/1.1\r\n\r\n", -EINVAL},
	{"CONNECT ex\303\244mple.org:443 HTTP/1.1\r\n\r\n", -EINVAL},
	{"CONNECT example.org:443:22 HTTP/1.1\r\n\r\n", -EINVAL},
	{"CONNECT example.org:+443 HTTP/1.1\r\n\r\n", -EINVAL},
	{"CONNECT example.org: 443 HTTP/1.1\r\n\r\n", -EBADMSG},
	{"CONNECT example.org%00.evil:443 HTTP/1.1\r\n\r\n", -EINVAL},
	{"CONNECT http://example.org:443 HTTP/1.1\r\n\r\n", -EINVAL},
	{"GET http://example.org:80@evil.com/ HTTP/1.1\r\n\r\n", -EINVAL},
	{"GET http:example.org/ HTTP/1.1\r\n\r\n", -EPROTO},
	{"GET http:///evil.com/ HTTP/1.1\r\n\r\n", -EINVAL},
	{"GET ftp://example.org/ HTTP/1.1\r\n\r\n", -EPROTO},
	{"GET http://[::1/ HTTP/1.1\r\n\r\n", -EINVAL},
	{"GET http://example.org%2f@evil.com/ HTTP/1.1\r\n\r\n", -EINVAL},
	{"GET http://example.org;evil.com/ HTTP/1.1\r\n\r\n", -EINVAL},
	{"GET http://example.org/ HTTP/1.1\r\n: x\r\n\r\n", -EBADMSG},
	{"GET http://example.org/ HTTP/1.1\r\nX\r\n\r\n", -EBADMSG},
	{"GET\thttp://example.org/ HTTP/1.1\r\n\r\n", -EBADMSG},
	{"\r\n\r\n", -EBADMSG},
};

static void one_request_names_one_host(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct head_case *c = &cases[i];
		struct egress_request r;
		int result = egress_request_parse(str_of(c->head), &r);

		if (result != c->result)
			fail_msg("%s: %d", c->head, result);
		if (result)
			continue;
		assert_string_equal(r.host, c->host);
		assert_int_equal(r.port, c->port);
		assert_int_equal(r.head_n, strlen(c->head));
		assert_string_equal(r.head.n ? r.head.p : "", c->passed);
		buf_deinit(&r.head);
	}
}

static void a_head_without_end_is_refused(void **state)
{
	char *data = xmalloc(EGRESS_HEAD_MAX);
	struct egress_request r;

	memset(data, 'a', EGRESS_HEAD_MAX);
	assert_int_equal(egress_request_parse((struct str){data, EGRESS_HEAD_MAX - 1}, &r), -EAGAIN);
	assert_int_equal(egress_request_parse((struct str){data, EGRESS_HEAD_MAX}, &r), -EMSGSIZE);
	free(data);
}

static void a_nul_in_a_name_ends_nothing(void **state)
{
	static const char head[] = "CONNECT evil.example\0.good.example:443 HTTP/1.1\r\n\r\n";
	struct egress_request r;

	assert_true(egress_request_parse((struct str){head, sizeof(head) - 1}, &r) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_request_names_one_host),
		cmocka_unit_test(a_head_without_end_is_refused),
		cmocka_unit_test(a_nul_in_a_name_ends_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
