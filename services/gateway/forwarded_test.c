#include "forwarded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "visitor.h"

static struct forwarded list[FORWARDED_MAX];

static int parse(const char *value)
{
	return forwarded_parse(str_of(value), list);
}

static void elements_are_read_in_their_order(void **state)
{
	assert_int_equal(
		parse("for=192.0.2.43, FOR=\"[2001:db8:cafe::17]:4711\";proto=https;by=203.0.113.43 ,for=unknown;"
		      "Host=\"a.example:8443\";secret=_x"),
		3);
	assert_true(str_is(list[0].client, "192.0.2.43"));
	assert_true(str_is(list[1].client, "[2001:db8:cafe::17]:4711"));
	assert_true(str_is(list[1].proto, "https"));
	assert_true(str_is(list[2].client, "unknown"));
	assert_true(str_is(list[2].host, "a.example:8443"));
	/* What looks like an end inside quotes is none. */
	assert_int_equal(parse("for=\"a, for=10.0.0.1;\";proto=http"), 1);
	assert_true(str_is(list[0].client, "a, for=10.0.0.1;"));
}

static void what_is_misshapen_is_not_believed(void **state)
{
	static const char *const bad[] = {
		"",
		"for",
		"for=",
		"=x",
		"for=1.1.1.1,",
		",for=1.1.1.1",
		"for=\"x",
		"for=\"a\\\"b\"",
		"for=a for=b",
		"for=a;",
		"for=a;;proto=b",
		"for=a;for=b",
		"for=[::1]",
		"for=1.1.1.1:80",
		"for= a",
	};
	char many[FORWARDED_MAX * 8 + 16] = "for=a";

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (parse(bad[i]) != -EINVAL)
			fail_msg("%s was taken", bad[i]);
	for (int i = 0; i < FORWARDED_MAX; i++)
		strcat(many, ",for=a");
	assert_int_equal(parse(many), -EINVAL);
}

/* ---- Whom the gateway believes ---- */

static const char *client_of(const char *value, const char *x_forwarded_for, struct client *ret)
{
	struct http_header items[2] = {{.name = STR("Forwarded"), .value = str_of(value)},
				       {.name = STR("X-Forwarded-For"), .value = str_of(x_forwarded_for)}};
	struct in6_addr peer;
	struct http_request r = {.peer = &peer, .headers = {.items = items, .n = 2}};
	struct networks trusted;

	assert_int_equal(ip_parse(STR("10.0.0.1"), &peer), 0);
	assert_int_equal(networks_parse(&trusted, "10.0.0.0/8", "", NULL), 0);
	visitor_find(&r, &trusted, true, ret);
	return ret->address;
}

static void the_last_address_that_is_no_trusted_proxy_is_the_client(void **state)
{
	struct client c;

	assert_string_equal(
		client_of("for=6.6.6.6, for=203.0.113.5;proto=https;host=og.example, for=10.0.0.7", "7.7.7.7", &c),
		"203.0.113.5");
	assert_true(str_is(c.proto, "https"));
	assert_true(str_is(c.host, "og.example"));
	assert_string_equal(client_of("for=\"[2001:db8::9]:1\"", "", &c), "2001:db8::9");
	/* A stranger's rubbish in front of what is believed is not looked at, a proxy's own is the end. */
	assert_string_equal(client_of("for=unknown, for=203.0.113.5", "", &c), "203.0.113.5");
	assert_string_equal(client_of("for=203.0.113.5, for=_hidden", "", &c), "10.0.0.1");
	assert_string_equal(client_of("for=203.0.113.5, rubbish", "7.7.7.7", &c), "10.0.0.1");
	assert_false(c.proto.n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elements_are_read_in_their_order),
		cmocka_unit_test(what_is_misshapen_is_not_believed),
		cmocka_unit_test(the_last_address_that_is_no_trusted_proxy_is_the_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
