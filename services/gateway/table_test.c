#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "limit.h"
#include "table.h"

static const char *role(const char *path)
{
	const struct public_path *p = table_find(str_of(path));

	return p ? role_names[p->role] : "";
}

static void each_path_has_its_role(void **state)
{
	assert_string_equal(role("/api/auth/login"), "auth");
	assert_string_equal(role("/.well-known/jwks.json"), "auth");
	assert_string_equal(role("/api/users"), "auth");
	assert_string_equal(role("/api/users/7"), "auth");
	assert_string_equal(role("/api/agents"), "agent");
	assert_string_equal(role("/api/conversations/7/messages"), "agent");
	assert_string_equal(role("/v1/chat/completions"), "agent");
	assert_string_equal(role("/mcp"), "agent");
	assert_string_equal(role("/api/commands/7/stream"), "exec");
	assert_string_equal(role("/ws"), "socket");
	assert_string_equal(role("/socket.io/"), "socket");
	assert_string_equal(role("/api/publish"), "socket");
}

static void what_is_inside_stays_inside(void **state)
{
	static const char *const paths[] = {
		"/",
		"/metrics",
		"/routes",
		"/healthz",
		"/readyz",
		"/api",
		"/api/",
		"/api/agentsx",
		"/api/internal",
		"/API/agents",
		"//api/agents",
		"/v1",
		"/v1x/y",
		"/api/auth",
		"/wsx",
		"/socket.io",
		"/.well-knownx/jwks",
		"/internal/x",
		"/demo/script",
		"",
	};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (*role(paths[i]))
			fail_msg("%s goes to %s", paths[i], role(paths[i]));
}

static void only_what_says_so_is_public(void **state)
{
	assert_true(table_find(STR("/api/auth/login"))->flags & PATH_PUBLIC);
	assert_true(table_find(STR("/ws"))->flags & PATH_PUBLIC);
	assert_false(table_find(STR("/api/users"))->flags & PATH_PUBLIC);
	assert_false(table_find(STR("/api/agents"))->flags & PATH_PUBLIC);
	assert_false(table_find(STR("/api/publish"))->flags & PATH_PUBLIC);
	assert_false(table_find(STR("/v1/models"))->flags & PATH_PUBLIC);
}

#define SECOND 1000000

static unsigned count_allowed(struct limiter *l, const char *key, uint64_t at, unsigned tries)
{
	struct limit_verdict v;
	unsigned n = 0;

	while (tries--) {
		limiter_take(l, str_of(key), at, &v);
		n += v.allowed;
	}
	return n;
}

static void a_client_has_its_burst_and_then_its_rate(void **state)
{
	struct limiter *l = limiter_new(10, 20);
	uint64_t now = 1000 * SECOND;

	assert_int_equal(count_allowed(l, "a", now, 50), 20);
	assert_int_equal(count_allowed(l, "a", now + SECOND / 20, 50), 0);
	assert_int_equal(count_allowed(l, "a", now + SECOND / 10, 50), 1);
	assert_int_equal(count_allowed(l, "a", now + SECOND, 50), 9);
	assert_int_equal(count_allowed(l, "a", now + 100 * SECOND, 50), 20);
	limiter_free(l);
}

static void one_client_does_not_use_up_anothers_rate(void **state)
{
	struct limiter *l = limiter_new(10, 5);

	assert_int_equal(count_allowed(l, "a", SECOND, 50), 5);
	assert_int_equal(count_allowed(l, "b", SECOND, 50), 5);
	limiter_free(l);
}

static void a_verdict_says_what_is_left_and_how_long_to_wait(void **state)
{
	struct limiter *l = limiter_new(1, 3);
	struct limit_verdict v;

	limiter_take(l, STR("a"), SECOND, &v);
	assert_true(v.allowed);
	assert_int_equal(v.remaining, 2);
	assert_int_equal(v.full_s, 1);
	assert_int_equal(v.retry_after, 0);
	count_allowed(l, "a", SECOND, 2);
	limiter_take(l, STR("a"), SECOND, &v);
	assert_false(v.allowed);
	assert_int_equal(v.remaining, 0);
	assert_int_equal(v.full_s, 3);
	assert_int_equal(v.retry_after, 1);
	limiter_free(l);
}

static void very_many_clients_fit_into_a_bounded_table(void **state)
{
	struct limiter *l = limiter_new(1, 1);
	unsigned allowed = 0;

	for (unsigned i = 0; i < 100000; i++) {
		char key[16];

		snprintf(key, sizeof(key), "%u", i);
		allowed += count_allowed(l, key, SECOND, 1);
	}
	assert_int_equal(allowed, 100000);
	limiter_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_path_has_its_role),
		cmocka_unit_test(what_is_inside_stays_inside),
		cmocka_unit_test(only_what_says_so_is_public),
		cmocka_unit_test(a_client_has_its_burst_and_then_its_rate),
		cmocka_unit_test(one_client_does_not_use_up_anothers_rate),
		cmocka_unit_test(a_verdict_says_what_is_left_and_how_long_to_wait),
		cmocka_unit_test(very_many_clients_fit_into_a_bounded_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
