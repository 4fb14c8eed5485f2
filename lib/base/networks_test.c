#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those first */
#include <cmocka.h>

#include "base/networks.h"

static void a_wrong_list_is_refused(void **state)
{
	static const char *const bad[] = {"10.0.0.0/33", "::1/129",     "example.org",
					  "10.0.0",      "10.0.0.1:80", "10.0.0.0/x"};
	struct networks n;
	struct in6_addr address;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (!networks_parse(&n, bad[i], "x", NULL))
			fail_msg("%s was taken", bad[i]);
	assert_int_equal(networks_parse(&n, "10.0.0.0/9,fd00::/8, unix", "x", NULL), 0);
	assert_true(n.has_unix);
	assert_int_equal(ip_parse(STR("10.127.0.1"), &address), 0);
	assert_true(networks_contain(&n, &address));
	assert_int_equal(ip_parse(STR("10.128.0.1"), &address), 0);
	assert_false(networks_contain(&n, &address));
	assert_int_equal(ip_parse(STR("[fd12::1]:443"), &address), 0);
	assert_true(networks_contain(&n, &address));
}

static void an_address_is_written_in_its_short_form(void **state)
{
	static const char *const each[] = {"0.0.0.0", "1.20.255.100", "255.255.255.255",
					   "::",      "2001:db8::1",  "fe80::1:0:0:2"};
	struct in6_addr address;
	char text[INET6_ADDRSTRLEN];

	for (size_t i = 0; i < ARRAY_SIZE(each); i++) {
		assert_int_equal(ip_parse(str_of(each[i]), &address), 0);
		ip_write(&address, text);
		assert_string_equal(text, each[i]);
	}
}

static void only_what_anybody_may_have_is_public(void **state)
{
	static const char *const open[] = {"1.1.1.1",     "100.63.255.255", "100.128.0.1",     "172.32.0.1",
					   "192.88.98.1", "198.20.0.1",     "223.255.255.255", "2606:4700::1111",
					   "2a00::1",     "2001:200::1"};
	static const char *const hidden[] = {
		"0.0.0.0",
		"10.1.2.3",
		"100.64.0.1",
		"127.0.0.1",
		"127.255.255.254",
		"168.63.129.16",
		"169.254.169.254",
		"172.16.0.1",
		"172.31.255.255",
		"192.0.0.170",
		"192.168.1.1",
		"198.18.0.1",
		"198.19.255.255",
		"224.0.0.1",
		"255.255.255.255",
		"::",
		"::1",
		"::127.0.0.1",
		"::ffff:10.0.0.1",
		"64:ff9b::7f00:1",
		"fe80::1",
		"fc00::1",
		"fd00:ec2::254",
		"ff02::1",
		"2001::1",
		"2001:db8::1",
		"2002:7f00:1::",
		"3fff::1",
		"4000::1",
		"fec0::1",
	};
	struct in6_addr ip;

	for (size_t i = 0; i < ARRAY_SIZE(open); i++)
		if (ip_parse(str_of(open[i]), &ip) || !ip_is_public(&ip))
			fail_msg("%s is public", open[i]);
	for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
		if (ip_parse(str_of(hidden[i]), &ip) || ip_is_public(&ip))
			fail_msg("%s is not public", hidden[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wrong_list_is_refused),
		cmocka_unit_test(an_address_is_written_in_its_short_form),
		cmocka_unit_test(only_what_anybody_may_have_is_public),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
