#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_path_has_its_role),
		cmocka_unit_test(what_is_inside_stays_inside),
		cmocka_unit_test(only_what_says_so_is_public),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
