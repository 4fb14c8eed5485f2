#include "data/redis_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

static void every_part_is_read(void **state)
{
	struct redis_url u;

	assert_int_equal(redis_url_parse("redis://og%40ent:p%3Aa%2Fs@redis.example.org:6380/3", &u, NULL), 0);
	assert_string_equal(u.address, "redis.example.org:6380");
	assert_string_equal(u.user, "og@ent");
	assert_string_equal(u.password, "p:a/s");
	assert_int_equal(u.database, 3);
	redis_url_deinit(&u);
	assert_null(u.password);

	assert_int_equal(redis_url_parse("unix:/run/redis%20x.sock?db=2&user=a&password=b%26", &u, NULL), 0);
	assert_string_equal(u.address, "unix:/run/redis x.sock");
	assert_string_equal(u.user, "a");
	assert_string_equal(u.password, "b&");
	assert_int_equal(u.database, 2);
	redis_url_deinit(&u);
}

static void what_is_left_out_has_its_default(void **state)
{
	struct redis_url u;

	assert_int_equal(redis_url_parse("redis://[::1]", &u, NULL), 0);
	assert_string_equal(u.address, "[::1]:6379");
	assert_null(u.user);
	assert_null(u.password);
	assert_int_equal(u.database, 0);
	redis_url_deinit(&u);
	assert_int_equal(redis_url_parse("redis://:tiger@[fe80::2]:7000/", &u, NULL), 0);
	assert_string_equal(u.address, "[fe80::2]:7000");
	assert_null(u.user);
	assert_string_equal(u.password, "tiger");
	redis_url_deinit(&u);
	assert_int_equal(redis_url_parse("redis://tiger@h", &u, NULL), 0);
	assert_null(u.user);
	assert_string_equal(u.password, "tiger");
	redis_url_deinit(&u);
	assert_int_equal(redis_url_parse("unix:///run/r.sock", &u, NULL), 0);
	assert_string_equal(u.address, "unix:/run/r.sock");
	redis_url_deinit(&u);
}

static void what_cannot_be_read_is_refused_without_telling_the_password(void **state)
{
	static const char *const bad[] = {
		"",
		"tiger",
		"redis:tiger",
		"redis://",
		"redis:///0",
		"redis://a:tiger@",
		"redis://a:@h",
		"redis://a:tiger@h:0",
		"redis://a:tiger@h:65536",
		"redis://a:tiger@h:x",
		"redis://a:tiger@h/x",
		"redis://a:tiger@h/1/2",
		"redis://a:tiger@h/99999",
		"redis://a:ti/ger@h",
		"redis://a:ti%ger@h",
		"redis://a:tiger@[::1",
		"redis://a:tiger@[::1]6379",
		"redis://a:tiger@h h",
		"unix:tiger",
		"unix:/s?user=tiger",
		"unix:/s?tiger=1",
		"unix:/s?db=tiger",
	};
	struct redis_url u;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error err = {0};

		if (redis_url_parse(bad[i], &u, &err) != -EINVAL)
			fail_msg("%s was taken", bad[i]);
		assert_null(strstr(err.message, "tiger"));
	}
}

static void tls_is_refused_with_what_to_do_instead(void **state)
{
	struct redis_url u;
	struct error err = {0};

	assert_int_equal(redis_url_parse("rediss://h:6379", &u, &err), -EINVAL);
	assert_non_null(strstr(err.message, "tunnel"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_part_is_read),
		cmocka_unit_test(what_is_left_out_has_its_default),
		cmocka_unit_test(what_cannot_be_read_is_refused_without_telling_the_password),
		cmocka_unit_test(tls_is_refused_with_what_to_do_instead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
