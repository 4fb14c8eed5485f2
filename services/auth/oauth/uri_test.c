#include "oauth/uri.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void parts_are_told_apart(void **state)
{
	struct uri u;

	assert_int_equal(uri_parse(STR("https://user@app.example:8443/a/b?c=d"), &u), 0);
	assert_true(str_is(u.scheme, "https") && str_is(u.userinfo, "user") && str_is(u.host, "app.example"));
	assert_true(str_is(u.port, "8443") && str_is(u.path, "/a/b?c=d"));
	assert_int_equal(uri_parse(STR("http://[::1]:80"), &u), 0);
	assert_true(str_is(u.host, "[::1]") && str_is(u.port, "80") && u.path.n == 0);
	assert_int_equal(uri_parse(STR("com.example.app:/cb"), &u), 0);
	assert_null(u.host.p);
	assert_int_equal(uri_parse(STR("https://a.example/#x"), &u), 0);
	assert_true(u.has_fragment);
}

static void what_is_no_uri_is_refused(void **state)
{
	static const char *const bad[] = {"",
					  "x",
					  "://a",
					  "1a:/b",
					  "https://a:b/",
					  "https://a:0/",
					  "https://a:70000/",
					  "https://[::1/",
					  "https://[::1]x/",
					  "https://a/%4",
					  "https://a/ b",
					  "https://a/\\b",
					  "https://a/\x7f",
					  "HTTPS://a/",
					  "https://a/\xc3\xa4"};
	struct uri u;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_true(uri_parse(str_of(bad[i]), &u) < 0);
}

static const struct {
	const char *uri;
	bool is_fine;
} redirects[] = {
	{"https://app.example/cb", true},
	{"http://127.0.0.1/cb", true},
	{"http://[::1]:7/cb", true},
	{"http://localhost:7/cb", true},
	{"com.example.app:/cb", true},
	{"cursor://anysphere.cursor-retrieval/oauth/cb", true},
	{"http://app.example/cb", false},
	{"https://app.example/cb#x", false},
	{"https://u@app.example/cb", false},
	{"https:///cb", false},
	{"https:/cb", false},
	{"javascript:alert(1)", false},
	{"javascript://%0aalert(1)", false},
	{"data:text/html,x", false},
	{"file:///etc/passwd", false},
	{"app:cb", false},
	{"https://app.example/a/../b", false},
	{"http://127.0.0.1.example/cb", false},
};

static void redirect_uris_are_judged(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(redirects); i++) {
		bool is_fine = redirect_uri_check(str_of(redirects[i].uri), NULL) == 0;

		if (is_fine != redirects[i].is_fine)
			fail_msg("%s", redirects[i].uri);
	}
}

static void only_the_port_of_the_own_machine_is_free(void **state)
{
	static const struct {
		const char *registered, *given;
		bool matches;
	} table[] = {
		{"https://a.example/cb", "https://a.example/cb", true},
		{"https://a.example/cb", "https://a.example:443/cb", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:5000/cb", true},
		{"http://127.0.0.1:1/cb", "http://127.0.0.1/cb", true},
		{"http://[::1]/cb", "http://[::1]:5000/cb", true},
		{"http://127.0.0.1/cb", "http://localhost:5000/cb", false},
		{"http://127.0.0.1/cb", "https://127.0.0.1:5000/cb", false},
		{"http://127.0.0.1/cb", "http://x@127.0.0.1:5000/cb", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:5000/cb?x", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:5000/cb#x", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (redirect_uri_matches(str_of(table[i].registered), str_of(table[i].given)) != table[i].matches)
			fail_msg("%s %s", table[i].registered, table[i].given);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_are_told_apart),
		cmocka_unit_test(what_is_no_uri_is_refused),
		cmocka_unit_test(redirect_uris_are_judged),
		cmocka_unit_test(only_the_port_of_the_own_machine_is_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
