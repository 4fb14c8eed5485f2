#include "data/mysql_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

static void every_part_is_read(void **state)
{
	struct mysql_url u;

	assert_int_equal(
		mysql_url_parse("mysql://og%40ent:p%3Aa%2Fs%25s@db.example.org:3307/ogent_auth"
				"?ssl=verify-full&ssl_ca=/etc/ca%20x.pem&connect_timeout=3&statement_timeout=7",
				&u, NULL),
		0);
	assert_string_equal(u.user, "og@ent");
	assert_string_equal(u.password, "p:a/s%s");
	assert_string_equal(u.host, "db.example.org");
	assert_int_equal(u.port, 3307);
	assert_string_equal(u.database, "ogent_auth");
	assert_int_equal(u.tls, MYSQL_TLS_VERIFY_FULL);
	assert_string_equal(u.ssl_ca, "/etc/ca x.pem");
	assert_int_equal(u.connect_s, 3);
	assert_int_equal(u.statement_s, 7);
	assert_null(u.socket);
	mysql_url_deinit(&u);
	assert_null(u.password);
}

static void what_is_left_out_has_its_default(void **state)
{
	struct mysql_url u;

	assert_int_equal(mysql_url_parse("mariadb://ogent@h/db", &u, NULL), 0);
	assert_string_equal(u.user, "ogent");
	assert_null(u.password);
	assert_int_equal(u.port, 3306);
	assert_int_equal(u.tls, MYSQL_TLS_PREFER);
	assert_int_equal(u.connect_s, 10);
	assert_int_equal(u.statement_s, 30);
	mysql_url_deinit(&u);
	assert_int_equal(mysql_url_parse("mysql://a:b@@[::1]:3308/db?", &u, NULL), 0);
	assert_string_equal(u.password, "b@");
	assert_string_equal(u.host, "::1");
	assert_int_equal(u.port, 3308);
	mysql_url_deinit(&u);
	assert_int_equal(mysql_url_parse("mysql://a:b@/db?socket=/run/s", &u, NULL), 0);
	assert_null(u.host);
	assert_string_equal(u.socket, "/run/s");
	mysql_url_deinit(&u);
}

static void what_cannot_be_read_is_refused_without_telling_the_password(void **state)
{
	static const char *const bad[] = {
		"mysql:tiger",
		"mysql://h/db",
		"mysql://:tiger@h/db",
		"mysql://u:tiger@h",
		"mysql://u:tiger@h/",
		"mysql://u:tiger@h/a/b",
		"mysql://u:tiger@/db",
		"mysql://u:tiger@h:0/db",
		"mysql://u:tiger@h:65536/db",
		"mysql://u:tig/er@h/db",
		"mysql://u:a@tig/er@h",
		"mysql://u:tig?er@h/db",
		"mysql://u:tiger%@h/db",
		"mysql://u:tiger%00@h/db",
		"mysql://u:tiger@[::1/db",
		"mysql://u:tiger@[::1]x/db",
		"mysql://u:tiger@h/db?ssl=true",
		"mysql://u:tiger@h/db?ssl=verify-ca",
		"mysql://u:tiger@h/db?ssl_ca=relative",
		"mysql://u:tiger@h/db?socket=",
		"mysql://u:tiger@h/db?connect_timeout=0",
		"mysql://u:tiger@h/db?statement_timeout=soon",
		"mysql://u:tiger@h/db?sslmode=require",
		"mysql://u:tiger@h/db?ssl=require&&",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct mysql_url u;
		struct error err = {0};

		if (mysql_url_parse(bad[i], &u, &err) != -EINVAL)
			fail_msg("%s was taken", bad[i]);
		assert_string_equal(err.code, "db_url");
		assert_null(strstr(err.message, "tig"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_part_is_read),
		cmocka_unit_test(what_is_left_out_has_its_default),
		cmocka_unit_test(what_cannot_be_read_is_refused_without_telling_the_password),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
