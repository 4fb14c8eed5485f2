#include "limit_rule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

static void the_default_is_rate_limit_and_rate_burst(void **state)
{
	struct limit_rules r;

	assert_int_equal(limit_rules_parse(&r, 50, 200, "", NULL), 0);
	assert_int_equal(r.n, 1);
	assert_ptr_equal(r.by_default, &r.items[0]);
	assert_null(r.stop);
	assert_int_equal(r.by_default->interval_us, 20000);
	assert_int_equal(r.by_default->window_us, 4000000);
	assert_string_equal(r.by_default->policy, "\"default\";q=200;w=4");
	assert_int_equal(limit_rules_parse(&r, 0, 200, "", NULL), 0);
	assert_int_equal(r.n, 0);
	assert_null(r.by_default);
}

static void named_limits_have_a_key_and_a_burst(void **state)
{
	const struct limit_rule *l;
	struct limit_rules r;

	assert_int_equal(limit_rules_parse(&r, 50, 200,
					   " login=60/1m/address, messages=120/1m , all=1000/1s/route/50,"
					   "key=10/1h/token, off=0/1m,stop=600/1m,",
					   NULL),
			 0);
	assert_int_equal(r.n, 6);
	l = limit_rules_find(&r, STR("login"));
	assert_int_equal(l->by, LIMIT_BY_ADDRESS);
	assert_int_equal(l->burst, 60);
	assert_int_equal(l->interval_us, 1000000);
	assert_string_equal(l->policy, "\"login\";q=60;w=60");
	assert_int_equal(limit_rules_find(&r, STR("messages"))->by, LIMIT_BY_USER);
	l = limit_rules_find(&r, STR("all"));
	assert_int_equal(l->by, LIMIT_BY_ROUTE);
	assert_int_equal(l->burst, 50);
	assert_int_equal(l->interval_us, 1000);
	assert_string_equal(l->policy, "\"all\";q=50;w=1");
	assert_int_equal(limit_rules_find(&r, STR("key"))->by, LIMIT_BY_TOKEN);
	assert_null(limit_rules_find(&r, STR("off")));
	assert_null(limit_rules_find(&r, STR("nothing")));
	assert_ptr_equal(r.stop, limit_rules_find(&r, STR("stop")));
}

static void what_cannot_be_read_is_refused_with_its_text(void **state)
{
	static const char *const bad[] = {
		"login",
		"=1/1s",
		"login=1",
		"login=1/",
		"login=x/1s",
		"login=-1/1s",
		"login=1/1",
		"login=1/0s",
		"login=1/2d",
		"login=1/1s/host",
		"login=1/1s//0",
		"login=1/1s/user/x",
		"Login=1/1s",
		"a b=1/1s",
		"default=1/1s",
		"a=1/1s,a=2/1s",
		"login=1000001/1s",
		"login=1/1s/user/1000001",
		"1a=1/1s",
	};
	struct limit_rules r;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error err = {0};

		if (limit_rules_parse(&r, 1, 1, bad[i], &err) != -EINVAL)
			fail_msg("%s was taken", bad[i]);
		assert_non_null(strstr(err.message, "rate_limits: \""));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_default_is_rate_limit_and_rate_burst),
		cmocka_unit_test(named_limits_have_a_key_and_a_burst),
		cmocka_unit_test(what_cannot_be_read_is_refused_with_its_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
