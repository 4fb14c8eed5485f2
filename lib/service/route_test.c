#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/request.h"
#include "service/route.h"

static const struct route routes[] = {
	{HTTP_GET_, "/api/agents", NULL, 0, 0, NULL},
	{HTTP_POST_, "/api/agents", NULL, 0, 0, NULL},
	{HTTP_GET_, "/api/agents/{id}", NULL, 0, 0, NULL},
	{HTTP_PATCH_, "/api/agents/{id}", NULL, 0, 0, NULL},
	{HTTP_GET_, "/api/agents/default", NULL, 0, 0, NULL},
	{HTTP_GET_, "/api/agents/{id}/versions/{version}", NULL, 0, 0, NULL},
	{HTTP_GET_, "/langgraph/{rest*}", NULL, 0, 0, NULL},
	{HTTP_GET_, "/langgraph/info", NULL, 0, 0, NULL},
	{HTTP_GET_, "/", NULL, 0, 0, NULL},
};

static struct router *router;
static struct route_match match;

static int set_up(void **state)
{
	router = router_new();
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
		router_add(router, &routes[i], NULL);
	return 0;
}

static int tear_down(void **state)
{
	router_free(router);
	return 0;
}

/* The pattern found, or "". */
static const char *find(enum http_method method, const char *path)
{
	router_match(router, method, str_of(path), &match);
	return match.entry ? match.entry->route->pattern : "";
}

static void a_path_finds_its_route(void **state)
{
	assert_string_equal(find(HTTP_GET_, "/api/agents"), "/api/agents");
	assert_string_equal(find(HTTP_GET_, "/"), "/");
	assert_string_equal(find(HTTP_GET_, "/api/agents/7"), "/api/agents/{id}");
	assert_true(str_is(match.params[0], "7"));
	assert_string_equal(find(HTTP_GET_, "/api/agents/7/versions/3"), "/api/agents/{id}/versions/{version}");
	assert_true(str_is(match.params[0], "7"));
	assert_true(str_is(match.params[1], "3"));
}

static void a_fixed_segment_goes_before_a_parameter(void **state)
{
	assert_string_equal(find(HTTP_GET_, "/api/agents/default"), "/api/agents/default");
	assert_string_equal(find(HTTP_PATCH_, "/api/agents/default"), "/api/agents/{id}");
	assert_true(str_is(match.params[0], "default"));
	assert_string_equal(find(HTTP_GET_, "/api/agents/default/versions/1"), "/api/agents/{id}/versions/{version}");
}

static void a_rest_takes_what_is_left(void **state)
{
	assert_string_equal(find(HTTP_GET_, "/langgraph/info"), "/langgraph/info");
	assert_string_equal(find(HTTP_GET_, "/langgraph/threads/1/runs"), "/langgraph/{rest*}");
	assert_true(str_is(match.params[0], "threads/1/runs"));
	assert_string_equal(find(HTTP_GET_, "/langgraph/info/x"), "/langgraph/{rest*}");
	assert_true(str_is(match.params[0], "info/x"));
	assert_string_equal(find(HTTP_GET_, "/langgraph/"), "/langgraph/{rest*}");
	assert_string_equal(find(HTTP_GET_, "/langgraph"), "");
}

static void what_is_not_there_is_not_found(void **state)
{
	static const char *const paths[] = {"",
					    "api/agents",
					    "/api",
					    "/api/agents/",
					    "/api//agents",
					    "//api/agents",
					    "/api/agents/7/",
					    "/api/agentsx",
					    "/api/agents/7/versions",
					    "/API/agents",
					    "/api/agents//versions/1"};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		assert_string_equal(find(HTTP_GET_, paths[i]), "");
		assert_int_equal(match.allowed, 0);
	}
}

static void a_wrong_method_names_the_right_ones(void **state)
{
	struct arena *a = arena_new();

	assert_string_equal(find(HTTP_DELETE_, "/api/agents"), "");
	assert_string_equal(route_allow(a, match.allowed), "GET, HEAD, POST, OPTIONS");
	assert_string_equal(find(HTTP_DELETE_, "/api/agents/default"), "");
	assert_string_equal(route_allow(a, match.allowed), "GET, HEAD, PATCH, OPTIONS");
	arena_free(a);
}

static void head_is_served_by_get(void **state)
{
	assert_string_equal(find(HTTP_HEAD_, "/api/agents/7"), "/api/agents/{id}");
	assert_int_equal(match.entry->route->method, HTTP_GET_);
}

static struct http_headers one_header(struct arena *a, const char *name, const char *value)
{
	struct http_headers h = {.arena = a};

	http_header_add(&h, name, str_of(value));
	return h;
}

static void a_request_id_is_kept_when_it_is_well_formed(void **state)
{
	struct arena *a = arena_new();
	struct http_headers good = one_header(a, "x-request-id", "abc_DEF-1.2"), bad;

	assert_string_equal(request_id_of(&good, 1, a), "abc_DEF-1.2");
	bad = one_header(a, "X-Request-Id", "abc def ghi");
	assert_int_equal(strlen(request_id_of(&bad, 1, a)), 36);
	bad = one_header(a, "X-Request-Id", "short");
	assert_int_equal(strlen(request_id_of(&bad, 1, a)), 36);
	bad = one_header(a, "X-Other", "x");
	assert_int_equal(strlen(request_id_of(&bad, 1, a)), 36);
	arena_free(a);
}

static void a_traceparent_is_kept_when_it_is_well_formed(void **state)
{
	static const char good[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
	static const char *const bad[] = {"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
					  "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
					  "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
					  "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
					  "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
					  "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01"};
	struct arena *a = arena_new();
	struct http_headers h = one_header(a, "traceparent", good);

	assert_string_equal(traceparent_of(&h, a), good);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		h = one_header(a, "traceparent", bad[i]);
		assert_null(traceparent_of(&h, a));
	}
	arena_free(a);
}

static void a_bearer_token_is_found_and_two_are_told(void **state)
{
	struct arena *a = arena_new();
	struct http_headers h = one_header(a, "authorization", "bearer abc.def.ghi");
	struct str token;

	assert_int_equal(request_bearer(&h, &token), BEARER_TOKEN);
	assert_true(str_is(token, "abc.def.ghi"));
	http_header_add(&h, "Authorization", STR("Bearer abc.def.ghi"));
	assert_int_equal(request_bearer(&h, &token), BEARER_REPEATED);
	h = one_header(a, "Authorization", "Basic YTpi");
	assert_int_equal(request_bearer(&h, &token), BEARER_OTHER);
	h = one_header(a, "Authorization", "Bearer");
	assert_int_equal(request_bearer(&h, &token), BEARER_OTHER);
	h = one_header(a, "X-Authorization", "Bearer abc");
	assert_int_equal(request_bearer(&h, &token), BEARER_NONE);
	arena_free(a);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_path_finds_its_route),
		T(a_fixed_segment_goes_before_a_parameter),
		T(a_rest_takes_what_is_left),
		T(what_is_not_there_is_not_found),
		T(a_wrong_method_names_the_right_ones),
		T(head_is_served_by_get),
		cmocka_unit_test(a_request_id_is_kept_when_it_is_well_formed),
		cmocka_unit_test(a_traceparent_is_kept_when_it_is_well_formed),
		cmocka_unit_test(a_bearer_token_is_found_and_two_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
