#include "trailers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"

static struct arena *arena;
static struct http_headers head, came;

static int set_up(void **state)
{
	arena = arena_new();
	head = (struct http_headers){.arena = arena};
	came = (struct http_headers){.arena = arena};
	return 0;
}

static int tear_down(void **state)
{
	arena_free(arena);
	return 0;
}

/* The names that pass, each with a blank behind it. */
static const char *names(enum trailer_side side)
{
	const struct http_headers *kept = trailers_passing(arena, side, &head, &came);
	struct buf text = BUF_INIT;
	char *copy;

	for (size_t i = 0; kept && i < kept->n; i++)
		buf_printf(&text, "%.*s ", STR_ARG(kept->items[i].name));
	copy = arena_strndup(arena, text.n ? text.p : "", text.n);
	buf_deinit(&text);
	return copy;
}

static void what_tells_of_the_body_passes_in_its_order(void **state)
{
	http_header_add(&came, "X-Sum", STR("1"));
	http_header_add(&came, "Server-Timing", STR("db;dur=5"));
	http_header_add(&came, "Content-Digest", STR("sha-256=:AA==:"));
	http_header_add(&came, "ETag", STR("\"1\""));
	http_header_add(&came, "x-sum", STR("2"));
	assert_string_equal(names(TRAILERS_OF_ROLE), "X-Sum Server-Timing Content-Digest ETag x-sum ");
	assert_string_equal(names(TRAILERS_OF_CLIENT), "X-Sum Server-Timing Content-Digest ETag x-sum ");
	assert_null(trailers_passing(arena, TRAILERS_OF_ROLE, &head, NULL));
}

static void fields_of_the_head_do_not_pass_behind_the_body(void **state)
{
	static const char *const list[] = {
		"Transfer-Encoding",
		"Content-Length",
		"Host",
		"Trailer",
		"TE",
		"Connection",
		"Keep-Alive",
		"Upgrade",
		"Content-Type",
		"Content-Encoding",
		"Content-Range",
		"content-ENCODING",
		"Authorization",
		"Cookie",
		"Set-Cookie",
		"WWW-Authenticate",
		"Proxy-Authorization",
		"Cache-Control",
		"Expires",
		"Vary",
		"Date",
		"Age",
		"Location",
		"Retry-After",
		"Range",
		"If-Match",
		"If-None-Match",
		"Expect",
		"Max-Forwards",
		"Origin",
		"Access-Control-Allow-Origin",
		"Sec-WebSocket-Key",
		"X-Forwarded-For",
		"Forwarded",
		"X-Real-IP",
		"X-Request-Id",
		"traceparent",
		"X-Ogent-Service",
		"RateLimit",
		"Strict-Transport-Security",
	};

	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		http_header_add(&came, list[i], STR("x"));
	assert_string_equal(names(TRAILERS_OF_ROLE), "");
	assert_string_equal(names(TRAILERS_OF_CLIENT), "");
}

static void a_client_cannot_say_behind_the_body_who_it_is(void **state)
{
	http_header_add(&came, "X-User-Id", STR("admin"));
	http_header_add(&came, "X-Internal-Role", STR("admin"));
	http_header_add(&came, "X-Forwarded-Proto", STR("https"));
	http_header_add(&came, "x_user_id", STR("admin"));
	http_header_add(&came, "X-Fine", STR("1"));
	assert_string_equal(names(TRAILERS_OF_CLIENT), "X-Fine ");
}

static void what_connection_names_is_of_that_connection(void **state)
{
	http_header_add(&head, "Connection", STR("close, X-Sum"));
	http_header_add(&head, "Trailer", STR("X-Sum, X-Fine"));
	http_header_add(&came, "X-Sum", STR("1"));
	http_header_add(&came, "X-Fine", STR("1"));
	assert_string_equal(names(TRAILERS_OF_ROLE), "X-Fine ");
	assert_true(str_is(trailers_announced(arena, TRAILERS_OF_ROLE, &head), "X-Fine"));
}

static void only_what_may_come_is_announced(void **state)
{
	assert_null(trailers_announced(arena, TRAILERS_OF_ROLE, &head).p);
	http_header_add(&head, "Trailer", STR("Content-Length, , X-Sum,a b, Set-Cookie"));
	http_header_add(&head, "trailer", STR("X-User-Id , X-More"));
	assert_true(str_is(trailers_announced(arena, TRAILERS_OF_ROLE, &head), "X-Sum, X-User-Id, X-More"));
	assert_true(str_is(trailers_announced(arena, TRAILERS_OF_CLIENT, &head), "X-Sum, X-More"));
	head = (struct http_headers){.arena = arena};
	http_header_add(&head, "Trailer", STR("Host"));
	assert_null(trailers_announced(arena, TRAILERS_OF_ROLE, &head).p);
}

static void who_takes_trailers_says_so_in_two_fields(void **state)
{
	assert_false(trailers_wanted(&head));
	http_header_add(&head, "TE", STR("deflate;q=0.5, Trailers"));
	assert_false(trailers_wanted(&head));
	http_header_add(&head, "Connection", STR("keep-alive, te"));
	assert_true(trailers_wanted(&head));
	head = (struct http_headers){.arena = arena};
	http_header_add(&head, "TE", STR("deflate"));
	http_header_add(&head, "Connection", STR("TE"));
	assert_false(trailers_wanted(&head));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_tells_of_the_body_passes_in_its_order),
		T(fields_of_the_head_do_not_pass_behind_the_body),
		T(a_client_cannot_say_behind_the_body_who_it_is),
		T(what_connection_names_is_of_that_connection),
		T(only_what_may_come_is_announced),
		T(who_takes_trailers_says_so_in_two_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
