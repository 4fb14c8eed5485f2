#include "io/safe_fetch.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/networks.h"
#include "io/peer_for_tests.h"

struct fetched {
	int done, err, status;
	unsigned redirects;
	struct error error;
	char url[300], type[60];
	struct buf body;
	bool is_cut;
};

static void on_done(void *arg, int err, const struct error *error, const struct safe_fetch_answer *a)
{
	struct fetched *f = arg;

	f->done++;
	f->err = err;
	if (err) {
		assert_null(a);
		f->error = *error;
		return;
	}
	f->status = a->status;
	f->redirects = a->redirects;
	f->is_cut = a->is_cut;
	snprintf(f->url, sizeof(f->url), "%s", a->url);
	snprintf(f->type, sizeof(f->type), "%s", a->content_type);
	buf_clear(&f->body);
	buf_add(&f->body, a->body.p, a->body.n);
}

static struct networks loopback(void)
{
	struct networks n;

	assert_int_equal(networks_parse(&n, "127.0.0.1", "x", NULL), 0);
	return n;
}

static void fetch(struct peer *p, struct outbound *o, struct fetched *f, struct safe_fetch_request *r)
{
	buf_deinit(&f->body);
	*f = (struct fetched){0};
	if (!r->method)
		r->method = "GET";
	safe_fetch_start(o, r, on_done, f);
	assert_int_equal(f->done, 0);
	peer_run_until(p, &f->done, 1);
}

static void finish(struct peer *p, struct outbound *o, struct fetched *f)
{
	buf_deinit(&f->body);
	outbound_free(o);
	peer_stop(p);
}

/* ---- Addresses ---- */

static void no_form_of_an_inner_address_is_asked(void **state)
{
	static const char *const inner[] = {
		"http://127.0.0.1/",
		"http://127.1/",
		"http://127.0.1/",
		"http://2130706433/",
		"http://017700000001/",
		"http://0177.0.0.1/",
		"http://0x7f000001/",
		"http://0x7f.1/",
		"http://0X7F.0x0.0.01/",
		"http://%31%32%37.0.0.1/",
		"http://0/",
		"http://0.0.0.0/",
		"http://10.0.0.1/",
		"http://100.64.0.1/",
		"http://169.254.169.254/latest/meta-data/",
		"http://2852039166/",
		"http://172.16.0.1/",
		"http://192.168.0.1/",
		"http://198.18.0.1/",
		"http://224.0.0.1/",
		"http://255.255.255.255/",
		"http://[::]/",
		"http://[::1]/",
		"http://[0:0:0:0:0:0:0:1]/",
		"http://[::ffff:127.0.0.1]/",
		"http://[::ffff:7f00:1]/",
		"http://[::127.0.0.1]/",
		"http://[::ffff:0:127.0.0.1]/",
		"http://[64:ff9b::127.0.0.1]/",
		"http://[64:ff9b::a9fe:a9fe]/",
		"http://[64:ff9b:1::7f00:1]/",
		"http://[2002:7f00:1::]/",
		"http://[2001::1]/",
		"http://[fc00::1]/",
		"http://[fd00:ec2::254]/",
		"http://[fe80::1]/",
		"http://[fec0::1]/",
		"http://[ff02::1]/",
		"http://localhost/",
		"http://LOCALHOST/",
		"https://localhost:8443/",
	};
	struct peer p;
	struct fetched f = {0};

	peer_start(&p, NULL, 0);
	struct outbound *o = outbound_new(&p.loop);
	for (size_t i = 0; i < ARRAY_SIZE(inner); i++) {
		struct safe_fetch_request r = {.url = inner[i], .max_redirects = 3};
		fetch(&p, o, &f, &r);
		if (f.err != -EACCES || strcmp(f.error.code, "address_not_public") != 0)
			fail_msg("%s: %d %s %s", inner[i], f.err, f.error.code, f.error.message);
	}
	assert_int_equal(p.n_connections, 0);
	finish(&p, o, &f);
}

static void an_address_that_is_no_plain_web_address_is_refused(void **state)
{
	static const struct {
		const char *url, *code;
	} cases[] = {
		{"", "url_invalid"},
		{"example.org", "url_invalid"},
		{"//example.org/", "url_invalid"},
		{"ftp://example.org/", "url_invalid"},
		{"file:///etc/passwd", "url_invalid"},
		{"gopher://example.org/", "url_invalid"},
		{"dict://example.org:2628/", "url_invalid"},
		{"javascript:alert(1)", "url_invalid"},
		{"http://", "url_invalid"},
		{"http://user@example.org/", "url_invalid"},
		{"http://user:secret@example.org/", "url_invalid"},
		{"http://:secret@example.org/", "url_invalid"},
		{"http://example.org\\@127.0.0.1/", "url_invalid"},
		{"http://exa mple.org/", "url_invalid"},
		{"http://example.org/\r\nX: y", "url_invalid"},
		{"http://[fe80::1%25eth0]/", "url_invalid"},
		{"http://[::1/", "url_invalid"},
		{"http://example.org:0/", "port_refused"},
		{"http://example.org:22/", "port_refused"},
		{"http://example.org:25/", "port_refused"},
		{"http://example.org:6667/", "port_refused"},
		{"http://example.org:65536/", "url_invalid"},
		{"http://example.org:http/", "url_invalid"},
	};
	_cleanup_(arena_free_p) struct arena *a = arena_new();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = {0};
		int result = safe_url_check(cases[i].url, NULL, a, NULL, &err);
		if (!result || strcmp(err.code, cases[i].code) != 0)
			fail_msg("%s: %d %s", cases[i].url, result, err.code);
		assert_null(strstr(err.message, "secret"));
	}
}

static void a_good_address_gives_its_host(void **state)
{
	static const struct {
		const char *url, *host;
	} cases[] = {
		{"https://Example.ORG/a?b#c", "example.org"},
		{"http://example.org:8080", "example.org"},
		{"HTTPS://93.184.216.34/", "93.184.216.34"},
		{"https://[2606:4700::1111]/", "[2606:4700::1111]"},
	};
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct networks inner = loopback();
	const char *host;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(safe_url_check(cases[i].url, NULL, a, &host, NULL), 0);
		assert_string_equal(host, cases[i].host);
	}
	assert_int_equal(safe_url_check("http://0x7f.1:8000/", &inner, a, NULL, NULL), 0);
	assert_int_equal(safe_url_check("http://127.0.0.2:8000/", &inner, a, NULL, NULL), -EACCES);
}

/* A name is checked when it is connected to; a connection that another call has left is not taken instead. */
static void what_is_connected_to_is_checked_not_what_a_name_meant_before(void **state)
{
	static const struct peer_answer answer = {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", PEER_KEEP};
	struct peer p;
	struct fetched f = {0};
	char url[100];

	peer_start(&p, &answer, 1);
	struct outbound *o = outbound_new(&p.loop);
	snprintf(url, sizeof(url), "http://localhost:%s/", strrchr(listener_address(p.listener), ':') + 1);

	struct networks inner = loopback();
	struct safe_fetch_request r = {.url = url, .inner = &inner};
	fetch(&p, o, &f, &r);
	assert_int_equal(f.err, 0);
	r.inner = NULL;
	fetch(&p, o, &f, &r);
	assert_int_equal(f.err, -EACCES);
	assert_int_equal(p.n_connections, 1);
	finish(&p, o, &f);
}

static void on_plain_done(struct outbound_call *c, int err, const struct error *error)
{
	*(int *)c->owner += 1;
}

static void a_connection_that_somebody_else_keeps_is_not_taken(void **state)
{
	static const struct peer_answer answer = {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", PEER_KEEP};
	struct peer p;
	struct fetched f = {0};
	char url[100];
	int done = 0;

	peer_start(&p, &answer, 1);
	struct outbound *o = outbound_new(&p.loop);
	snprintf(url, sizeof(url), "http://%s/", listener_address(p.listener));

	struct outbound_call plain = {.method = "GET", .url = url, .owner = &done, .on_done = on_plain_done};
	outbound_start(o, &plain);
	peer_run_until(&p, &done, 1);
	/* A name that is no address in the text, so that nothing but the connection's check is left. */
	snprintf(url, sizeof(url), "http://localhost:%s/", strrchr(listener_address(p.listener), ':') + 1);
	struct safe_fetch_request r = {.url = url};
	fetch(&p, o, &f, &r);
	assert_int_equal(f.err, -EACCES);
	assert_int_equal(p.n_answered, 1);
	finish(&p, o, &f);
}

/* ---- Redirects ---- */

static void redirect(struct peer_answer *a, char *text, size_t size, int status, const char *to)
{
	snprintf(text, size, "HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", status, to);
	*a = (struct peer_answer){text, PEER_KEEP};
}

static void a_redirect_to_an_inner_address_is_refused(void **state)
{
	static const struct {
		const char *to, *code;
	} cases[] = {
		{"http://169.254.169.254/latest/", "address_not_public"},
		{"http://2130706434/", "address_not_public"},
		{"//[::1]/", "address_not_public"},
		{"http://ip6-localhost/", "address_not_public"},
		{"file:///etc/passwd", "url_invalid"},
		{"gopher://127.0.0.1/", "url_invalid"},
		{"http://u:p@127.0.0.1/", "url_invalid"},
		{"http://127.0.0.1:22/", "port_refused"},
	};
	struct networks inner = loopback();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct peer_answer answer;
		struct fetched f = {0};
		struct peer p;
		char text[300], url[100];
		if (strstr(cases[i].to, "ip6-localhost") && system("getent ahosts ip6-localhost >/dev/null") != 0) {
			print_message("# not here: the name ip6-localhost\n");
			continue;
		}
		redirect(&answer, text, sizeof(text), 302, cases[i].to);
		peer_start(&p, &answer, 1);
		struct outbound *o = outbound_new(&p.loop);
		snprintf(url, sizeof(url), "http://%s/", listener_address(p.listener));
		struct safe_fetch_request r = {.url = url, .inner = &inner, .max_redirects = 5};
		fetch(&p, o, &f, &r);
		if (!f.err || strcmp(f.error.code, cases[i].code) != 0)
			fail_msg("%s: %d %s %s", cases[i].to, f.err, f.error.code, f.error.message);
		assert_int_equal(p.n_answered, 1);
		finish(&p, o, &f);
	}
}

static void redirects_are_followed_hop_by_hop_and_bounded(void **state)
{
	static const struct peer_answer script[] = {
		{"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 3\r\n\r\nabc", PEER_KEEP},
		{"HTTP/1.1 307 Found\r\nLocation: c?d=e#f\r\nContent-Length: 0\r\n\r\n", PEER_KEEP},
		{"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nthere", PEER_KEEP},
		{"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n", PEER_KEEP},
		{"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n", PEER_KEEP},
		{"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n", PEER_KEEP},
		{"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 1\r\n\r\nx", PEER_KEEP},
	};
	static const char *const headers[] = {"Authorization: Bearer key", "Content-Type: application/json", NULL};
	struct networks inner = loopback();
	struct peer p;
	struct fetched f = {0};
	char url[100], expected[120];

	peer_start(&p, script, ARRAY_SIZE(script));
	struct outbound *o = outbound_new(&p.loop);
	snprintf(url, sizeof(url), "http://%s/a", listener_address(p.listener));
	struct safe_fetch_request r = {.url = url,
				       .inner = &inner,
				       .max_redirects = 2,
				       .method = "POST",
				       .headers = headers,
				       .body = STR("{}")};
	fetch(&p, o, &f, &r);
	assert_int_equal(f.err, 0);
	assert_int_equal(f.status, 200);
	assert_int_equal(f.redirects, 2);
	assert_string_equal(f.body.p, "there");
	assert_string_equal(f.type, "text/plain");
	snprintf(expected, sizeof(expected), "http://%s/c?d=e", listener_address(p.listener));
	assert_string_equal(f.url, expected);
	assert_non_null(strstr(p.received.p, "POST /a "));
	const char *second = strstr(p.received.p, "GET /b ");
	assert_non_null(second); /* a POST becomes a GET, and its body is gone */
	assert_null(strstr(second, "application/json"));
	assert_non_null(strstr(second, "Bearer key")); /* to the same origin */
	assert_non_null(strstr(second, "GET /c?d=e "));

	r.method = "GET";
	r.body = (struct str){0};
	fetch(&p, o, &f, &r);
	assert_int_equal(f.err, -ELOOP);
	assert_string_equal(f.error.code, "too_many_redirects");
	r.max_redirects = 0;
	fetch(&p, o, &f, &r);
	assert_int_equal(f.err, 0);
	assert_int_equal(f.status, 302);
	finish(&p, o, &f);
}

static void secrets_and_bodies_do_not_go_to_another_origin(void **state)
{
	static const char *const headers[] = {"Authorization: Bearer key", "X-Api-Key: key", "Cookie: key",
					      "Accept: text/plain", NULL};
	static const struct peer_answer ok = {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", PEER_KEEP};
	struct networks inner = loopback();
	struct peer_answer script[3];
	struct peer p, other;
	struct fetched f = {0};
	char url[100], to[100], text[300];

	peer_start(&other, NULL, 0);
	peer_start(&p, script, 3);
	/* The same host on another port is another origin. */
	struct listener *second;
	assert_int_equal(listener_open(&p.loop, p.wheel, "127.0.0.1:0", 8, peer_on_connection, &p, &second), 0);
	snprintf(to, sizeof(to), "http://%s/there", listener_address(second));
	redirect(&script[0], text, sizeof(text), 307, to);
	script[1] = ok;
	script[2] = script[0];
	struct outbound *o = outbound_new(&p.loop);
	snprintf(url, sizeof(url), "http://%s/", listener_address(p.listener));
	struct safe_fetch_request r = {.url = url, .inner = &inner, .max_redirects = 3, .headers = headers};
	fetch(&p, o, &f, &r);
	assert_int_equal(f.status, 200);
	const char *there = strstr(p.received.p, "GET /there ");
	assert_non_null(there);
	assert_null(strstr(there, "key"));
	assert_non_null(strstr(there, "Accept: text/plain"));
	r.method = "POST";
	r.body = STR("secret");
	fetch(&p, o, &f, &r);
	assert_int_equal(f.err, -EACCES);
	assert_string_equal(f.error.code, "redirect_refused");
	listener_close(second);
	finish(&p, o, &f);
	peer_stop(&other);
}

static bool only_this_host(void *arg, const char *host)
{
	return strcmp(host, arg) == 0;
}

static void hosts_are_asked_for_at_each_step(void **state)
{
	struct networks inner = loopback();
	struct peer_answer script[1];
	struct peer p;
	struct fetched f = {0};
	char url[100], to[100], text[300], host[] = "127.0.0.1";

	peer_start(&p, script, 1);
	snprintf(to, sizeof(to), "http://localhost:%s/", strrchr(listener_address(p.listener), ':') + 1);
	redirect(&script[0], text, sizeof(text), 302, to);
	struct outbound *o = outbound_new(&p.loop);
	snprintf(url, sizeof(url), "http://%s/", listener_address(p.listener));
	struct safe_fetch_request r = {
		.url = url, .inner = &inner, .max_redirects = 3, .is_host_allowed = only_this_host, .arg = host};
	fetch(&p, o, &f, &r);
	assert_int_equal(f.err, -EACCES);
	assert_string_equal(f.error.code, "host_not_allowed");
	assert_int_equal(p.n_answered, 1);
	r.url = to;
	fetch(&p, o, &f, &r);
	assert_string_equal(f.error.code, "host_not_allowed");
	finish(&p, o, &f);
}

/* ---- Limits ---- */

/* Gzip of `n` zeros, with a head. */
static void bomb(struct buf *out, size_t n)
{
	static char zeros[64 * 1024];
	_cleanup_(buf_deinit) struct buf packed = BUF_INIT;
	z_stream z = {0};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
	for (size_t done = 0; done < n || z.avail_out == 0;) {
		char piece[4096];
		z.avail_in = (unsigned)MIN(sizeof(zeros), n - done);
		z.next_in = (unsigned char *)zeros;
		done += z.avail_in;
		do {
			z.avail_out = sizeof(piece);
			z.next_out = (unsigned char *)piece;
			deflate(&z, done == n ? Z_FINISH : Z_NO_FLUSH);
			buf_add(&packed, piece, sizeof(piece) - z.avail_out);
		} while (z.avail_out == 0);
	}
	deflateEnd(&z);
	buf_printf(out, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n", packed.n);
	buf_add(out, packed.p, packed.n);
}

static void a_body_counts_decoded_and_is_cut_or_refused(void **state)
{
	_cleanup_(buf_deinit) struct buf head = BUF_INIT;
	struct networks inner = loopback();
	struct peer p;
	struct fetched f = {0};
	char url[100];

	bomb(&head, 100 * 1024 * 1024);
	assert_true(head.n < 200 * 1024);
	struct peer_answer answer = {head.p, PEER_KEEP, head.n};
	struct peer_answer script[] = {answer, answer, {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour", PEER_KEEP}};
	peer_start(&p, script, 3);
	struct outbound *o = outbound_new(&p.loop);
	snprintf(url, sizeof(url), "http://%s/", listener_address(p.listener));
	struct safe_fetch_request r = {.url = url, .inner = &inner, .max_body = 1000};
	fetch(&p, o, &f, &r);
	assert_int_equal(f.err, -EFBIG);
	assert_string_equal(f.error.code, "body_too_large");
	r.is_cut_taken = true;
	fetch(&p, o, &f, &r);
	assert_int_equal(f.err, 0);
	assert_true(f.is_cut);
	assert_int_equal(f.body.n, 1000);
	r.max_body = 4;
	fetch(&p, o, &f, &r);
	assert_false(f.is_cut);
	assert_string_equal(f.body.p, "four");
	finish(&p, o, &f);
}

static void a_long_head_and_a_slow_body_end_the_request(void **state)
{
	_cleanup_(buf_deinit) struct buf head = BUF_INIT;
	struct networks inner = loopback();
	struct peer p;
	struct fetched f = {0};
	char url[100];

	buf_add_str(&head, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 100; i++)
		buf_printf(&head, "X-%d: %01000d\r\n", i, 0);
	buf_add_str(&head, "\r\n");
	struct peer_answer script[] = {{head.p, PEER_KEEP, head.n},
				       {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nslow", PEER_KEEP},
				       {NULL, PEER_KEEP}};
	peer_start(&p, script, 3);
	struct outbound *o = outbound_new(&p.loop);
	snprintf(url, sizeof(url), "http://%s/", listener_address(p.listener));
	struct safe_fetch_request r = {.url = url, .inner = &inner};
	fetch(&p, o, &f, &r);
	assert_int_equal(f.err, -EPROTO);
	assert_string_equal(f.error.code, "head_too_large");
	r.total_ms = 60;
	for (int i = 0; i < 2; i++) {
		fetch(&p, o, &f, &r);
		assert_int_equal(f.err, -ETIMEDOUT);
	}
	finish(&p, o, &f);
}

static void fields_that_frame_a_request_cannot_be_set(void **state)
{
	static const char *const bad[] = {"Host: other",
					  "Content-Length: 5",
					  "transfer-encoding: chunked",
					  "Connection: close",
					  "X: a\r\nY: b",
					  "no colon",
					  "Sp ace: x",
					  ": x"};
	struct peer p;
	struct fetched f = {0};

	peer_start(&p, NULL, 0);
	struct outbound *o = outbound_new(&p.loop);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *const headers[] = {bad[i], NULL};
		struct safe_fetch_request r = {.url = "http://example.org/", .headers = headers};
		fetch(&p, o, &f, &r);
		assert_int_equal(f.err, -EINVAL);
		assert_string_equal(f.error.code, "header_invalid");
	}
	finish(&p, o, &f);
}

static void a_cancel_comes_once_whenever_it_is(void **state)
{
	static const struct peer_answer silent = {NULL, PEER_KEEP};
	struct networks inner = loopback();
	struct peer p;
	struct fetched f = {0};
	char url[100];

	peer_start(&p, &silent, 1);
	struct outbound *o = outbound_new(&p.loop);
	snprintf(url, sizeof(url), "http://%s/", listener_address(p.listener));
	struct safe_fetch_request r = {.method = "GET", .url = url, .inner = &inner};
	struct safe_fetch *fetch = safe_fetch_start(o, &r, on_done, &f);
	safe_fetch_cancel(fetch);
	safe_fetch_cancel(fetch);
	peer_run_until(&p, &f.done, 1);
	assert_int_equal(f.err, -ECANCELED);
	assert_int_equal(p.n_connections, 0);
	fetch = safe_fetch_start(o, &r, on_done, &f);
	while (p.n_answered == 0)
		uv_run(&p.loop, UV_RUN_ONCE);
	safe_fetch_cancel(fetch);
	peer_run_until(&p, &f.done, 2);
	assert_int_equal(f.err, -ECANCELED);
	peer_run_ms(&p, 5);
	assert_int_equal(f.done, 2);
	finish(&p, o, &f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_form_of_an_inner_address_is_asked),
		cmocka_unit_test(an_address_that_is_no_plain_web_address_is_refused),
		cmocka_unit_test(a_good_address_gives_its_host),
		cmocka_unit_test(what_is_connected_to_is_checked_not_what_a_name_meant_before),
		cmocka_unit_test(a_connection_that_somebody_else_keeps_is_not_taken),
		cmocka_unit_test(a_redirect_to_an_inner_address_is_refused),
		cmocka_unit_test(redirects_are_followed_hop_by_hop_and_bounded),
		cmocka_unit_test(secrets_and_bodies_do_not_go_to_another_origin),
		cmocka_unit_test(hosts_are_asked_for_at_each_step),
		cmocka_unit_test(a_body_counts_decoded_and_is_cut_or_refused),
		cmocka_unit_test(a_long_head_and_a_slow_body_end_the_request),
		cmocka_unit_test(fields_that_frame_a_request_cannot_be_set),
		cmocka_unit_test(a_cancel_comes_once_whenever_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
