#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those first */
#include <cmocka.h>
#include <stdio.h>

#include "egress/rules.h"

static void a_name_has_one_form(void **state)
{
	static const char *const cases[][2] = {
		{"Example.ORG", "example.org"},
		{"example.org.", "example.org"},
		{"a_b.x-1.example", "a_b.x-1.example"},
		{"127.0.0.1", "127.0.0.1"},
		{"[2001:DB8::0:1]", "2001:db8::1"},
		{"2001:db8:0:0::1", "2001:db8::1"},
		{"localhost", "localhost"},
	};
	char name[EGRESS_NAME_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (egress_name(str_of(cases[i][0]), name) || strcmp(name, cases[i][1]) != 0)
			fail_msg("%s became %s", cases[i][0], name);
}

static void what_is_no_name_is_refused(void **state)
{
	static const struct str bad[] = {
		STR(""),
		STR("."),
		STR(".example.org"),
		STR("example..org"),
		STR("example.org.."),
		STR("-a.example"),
		STR("a-.example"),
		STR("a b.example"),
		STR("a%2e.example"),
		STR("b\xc3\xbc.example"),
		STR("evil.example\0.good.example"),
		STR("user@example.org"),
		STR("example.org:80"),
		STR("*.example.org"),
		/* addresses in forms that some resolvers take */
		STR("2130706433"),
		STR("0x7f.1"),
		STR("127.1"),
		STR("127.0.0.1."),
		STR("0177.0.0.1"),
		STR("127.0.0.0x1"),
		STR("[127.0.0.1"),
		STR("[::1%25lo]"),
		STR("::1%lo"),
		STR("1.2.3.4.5"),
	};
	char name[EGRESS_NAME_SIZE], label[80];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (!egress_name(bad[i], name))
			fail_msg("%s was taken as %s", bad[i].p, name);
	memset(label, 'a', sizeof(label));
	assert_true(egress_name((struct str){label, 64}, name) < 0);
	assert_int_equal(egress_name((struct str){label, 63}, name), 0);
}

static bool allows(const char *rules, const char *host, uint16_t port)
{
	struct egress_rules r;
	struct error err = {0};

	if (egress_rules_parse(&r, rules, "hosts", &err))
		fail_msg("%s", err.message);
	return egress_allows(&r, host, port);
}

static void only_named_hosts_are_allowed(void **state)
{
	assert_true(allows("example.org", "example.org", 443));
	assert_true(allows("example.org", "example.org", 80));
	assert_false(allows("example.org", "example.org", 22));
	assert_false(allows("example.org", "www.example.org", 443));
	assert_true(allows("a.example, example.org:8443", "example.org", 8443));
	assert_false(allows("example.org:8443", "example.org", 443));
	assert_true(allows("*.good.com", "a.b.good.com", 443));
	assert_false(allows("*.good.com", "good.com", 443));
	assert_false(allows("*.good.com", "evilgood.com", 443));
	assert_false(allows("*.good.com", "good.com.evil.example", 443));
	assert_true(allows("*", "anything.example", 443));
	assert_true(allows("*:8080", "anything.example", 8080));
	assert_false(allows("*", "10.0.0.1", 443));
	assert_true(allows("10.0.0.1", "10.0.0.1", 443));
	assert_true(allows("[2001:db8::1]:443", "2001:db8::1", 443));
	assert_false(allows("", "example.org", 443));
}

static void a_wrong_list_of_hosts_is_refused(void **state)
{
	static const char *const bad[] = {
		"http://example.org", "example.org/x", "*example.org",   "a.*.org", "**",
		"example.org:0",      "example.org:",  "example.org:x",  "*.",      "*.127.0.0.1",
		"example.org:65536",  "ex ample.org",  "*.*.example.org"};
	struct egress_rules r;
	struct error err = {0};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (!egress_rules_parse(&r, bad[i], "hosts", &err))
			fail_msg("%s was taken", bad[i]);
}

static bool covers(const char *granted, const char *asked)
{
	struct egress_rules g, a;
	const struct egress_rule *missing;

	assert_int_equal(egress_rules_parse(&g, granted, "", NULL), 0);
	assert_int_equal(egress_rules_parse(&a, asked, "", NULL), 0);
	return egress_covers(&g, &a, &missing);
}

static void no_more_can_be_asked_for_than_is_granted(void **state)
{
	assert_true(covers("example.org", "example.org"));
	assert_true(covers("example.org", "example.org:443"));
	assert_false(covers("example.org:443", "example.org"));
	assert_true(covers("example.org:443, example.org:80", "example.org"));
	assert_true(covers("*.example.org", "a.example.org, *.example.org, *.b.example.org"));
	assert_false(covers("*.example.org", "example.org"));
	assert_false(covers("a.example.org", "*.example.org"));
	assert_false(covers("*.example.org", "*"));
	assert_true(covers("*", "*, *.example.org, example.org"));
	assert_false(covers("*", "10.0.0.1"));
	assert_false(covers("", "example.org"));
	assert_true(covers("", ""));
}

static void a_rule_is_written_as_it_was_read(void **state)
{
	static const char *const rules[] = {"example.org", "*.example.org:8443", "*",
					    "*:443",       "[2001:db8::1]:80",   "10.0.0.1"};
	struct egress_rules r;
	char text[300];

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		assert_int_equal(egress_rules_parse(&r, rules[i], "", NULL), 0);
		egress_rule_format(&r.items[0], text, sizeof(text));
		assert_string_equal(text, rules[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_has_one_form),
		cmocka_unit_test(what_is_no_name_is_refused),
		cmocka_unit_test(only_named_hosts_are_allowed),
		cmocka_unit_test(a_wrong_list_of_hosts_is_refused),
		cmocka_unit_test(no_more_can_be_asked_for_than_is_granted),
		cmocka_unit_test(a_rule_is_written_as_it_was_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
