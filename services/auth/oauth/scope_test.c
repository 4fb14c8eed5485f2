#include "oauth/scope.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "service/token.h"

static struct arena *arena;

static int set_up(void **state)
{
	arena = arena_new();
	return 0;
}

static int tear_down(void **state)
{
	arena_free(arena);
	return 0;
}

static struct scope_list read_list(const char *text)
{
	struct scope_list l;

	assert_int_equal(scope_read(text, &l), 0);
	return l;
}

static void unknown_scopes_are_left_out(void **state)
{
	struct scope_list l = read_list("openid  agents.read nothing agents.read *");

	assert_string_equal(scope_text(arena, &l), "openid agents.read");
	l = read_list(NULL);
	assert_string_equal(scope_text(arena, &l), "mcp");
	assert_true(scope_read("a\"b", &l) < 0);
	assert_true(scope_read("a\nb", &l) < 0);
}

static void a_token_may_what_scope_and_user_may(void **state)
{
	static const char *const held[] = {"agents.*", "executions.read", "!agents.read.x", NULL};
	struct scope_list l = read_list("openid agents.write users.manage mcp");
	const struct identity id = {.permissions = scope_permissions(arena, &l, held)};

	assert_true(identity_may(&id, "agents.write"));
	assert_true(identity_may(&id, "agents.read"));
	assert_true(identity_may(&id, "executions.read"));
	assert_false(identity_may(&id, "agents.read.x"));
	assert_false(identity_may(&id, "conversations.use"));
	assert_false(identity_may(&id, "users.manage"));
	assert_false(identity_may(&id, "agents.*"));
	scope_keep_held(&l, held);
	assert_string_equal(scope_text(arena, &l), "openid agents.write mcp");
}

static void scopes_are_compared(void **state)
{
	struct scope_list small = read_list("openid agents.read"), large = read_list("agents.read agents.write openid");

	assert_true(scope_is_within(&small, &large));
	assert_false(scope_is_within(&large, &small));
	scope_join(&small, &large);
	assert_string_equal(scope_text(arena, &small), "openid agents.read agents.write");
}

static void every_scope_says_what_it_means(void **state)
{
	const char *name;

	for (size_t i = 0; (name = scope_name(i)); i++)
		assert_true(*scope_description(name));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(unknown_scopes_are_left_out),
		T(a_token_may_what_scope_and_user_may),
		T(scopes_are_compared),
		T(every_scope_says_what_it_means),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
