#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fields.h"
#include "web.h"

static struct arena *arena;
static struct http_request request;
static struct http_headers out;

/* The request's connection comes from there. */
static void from(const char *address)
{
	static struct in6_addr peer;

	assert_int_equal(ip_parse(str_of(address), &peer), 0);
	request.peer = &peer;
}

static int set_up(void **state)
{
	arena = arena_new();
	request = (struct http_request){.arena = arena, .headers = {.arena = arena}};
	from("10.0.0.9");
	out = (struct http_headers){.arena = arena};
	http_header_add(&request.headers, "Host", STR("ogent.test"));
	return 0;
}

static int tear_down(void **state)
{
	arena_free(arena);
	return 0;
}

static void add(const char *name, const char *value)
{
	http_header_add(&request.headers, name, str_of(value));
}

/* As those built in: only its flags count here. */
static const struct gateway_route *route_of(const char *path)
{
	static struct gateway_route route;

	route = (struct gateway_route){0};
	for (size_t i = 0; i < builtin_routes_n; i++)
		if (str_has_prefix(str_of(path), str_of(builtin_routes[i].path)))
			route.flags = builtin_routes[i].flags;
	return &route;
}

/* What the role sees when `trusted` are the trusted proxies. */
static const struct http_headers *pass(const char *path, const char *trusted)
{
	static struct client client; /* the fields point into it */
	struct networks networks;
	struct request_fields f = {"the-request-id", "the-trace", &client, false};

	assert_int_equal(networks_parse(&networks, trusted, "", NULL), 0);
	visitor_find(&request, &networks, false, &client);
	out.n = 0;
	fields_for_upstream(&request, route_of(path), &f, &out);
	return &out;
}

static unsigned count(const char *name)
{
	unsigned n = 0;

	for (size_t i = 0; i < out.n; i++)
		n += str_ieq(out.items[i].name, str_of(name));
	return n;
}

static bool has(const char *name, const char *value)
{
	return count(name) == 1 && str_is(http_header_get(&out, name), value);
}

static void ordinary_fields_pass(void **state)
{
	add("Accept", "text/html");
	add("Authorization", "Bearer x");
	add("Idempotency-Key", "k");
	add("X-Ogent-Client", "web");
	add("Last-Event-ID", "7");
	pass("/api/agents", "");
	assert_true(has("accept", "text/html"));
	assert_true(has("authorization", "Bearer x"));
	assert_true(has("idempotency-key", "k"));
	assert_true(has("x-ogent-client", "web"));
	assert_true(has("last-event-id", "7"));
}

static void fields_of_one_connection_and_those_it_names_do_not_pass(void **state)
{
	static const char *const names[] = {"Connection",        "Keep-Alive",       "TE",
					    "Trailer",           "Upgrade",          "Expect",
					    "X-Named",           "Proxy-Connection", "Proxy-Authorization",
					    "Transfer-Encoding", "Content-Length"};

	add("Connection", "close, x-named");
	for (size_t i = 1; i < ARRAY_SIZE(names); i++)
		add(names[i], "1");
	pass("/api/agents", "");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (count(names[i]))
			fail_msg("%s passed", names[i]);
}

static void a_client_cannot_say_who_it_is(void **state)
{
	static const char *const names[] = {"X-User-Id", "x-user-roles",     "X-Internal-Token", "X-Ogent-Service",
					    "X_User_Id", "X-Forwarded-User", "Forwarded",        "X-Real-IP"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		add(names[i], "admin");
	pass("/api/agents", "");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (count(names[i]))
			fail_msg("%s passed", names[i]);
}

static void cookies_go_to_auth_only(void **state)
{
	add("Cookie", "ogent_session=x");
	pass("/api/agents", "");
	assert_int_equal(count("cookie"), 0);
	pass("/api/auth/refresh", "");
	assert_true(has("cookie", "ogent_session=x"));
}

static void a_stranger_is_not_believed_about_his_address(void **state)
{
	add("X-Forwarded-For", "1.2.3.4");
	add("X-Forwarded-Proto", "https");
	add("X-Forwarded-Host", "evil.test");
	add("X-Request-Id", "theirs");
	add("traceparent", "theirs");
	pass("/api/agents", "10.1.0.0/16");
	assert_true(has("x-forwarded-for", "10.0.0.9"));
	assert_true(has("x-forwarded-proto", "http"));
	assert_true(has("x-forwarded-host", "ogent.test"));
	assert_true(has("x-request-id", "the-request-id"));
	assert_true(has("traceparent", "the-trace"));
}

static void a_trusted_proxy_is(void **state)
{
	add("X-Forwarded-For", "6.6.6.6, 1.2.3.4");
	add("X-Forwarded-For", "10.0.0.7");
	add("X-Forwarded-Proto", "https");
	add("X-Forwarded-Host", "ogent.example");
	pass("/api/agents", "10.0.0.0/8, ::1");
	assert_true(has("x-forwarded-for", "1.2.3.4"));
	assert_true(has("x-forwarded-proto", "https"));
	assert_true(has("x-forwarded-host", "ogent.example"));
}

static void one_ipv6_network_is_one_client(void **state)
{
	struct networks none = {0};
	struct client a, b, c;

	from("2001:db8:1:2:3:4:5:6");
	visitor_find(&request, &none, false, &a);
	from("2001:db8:1:2::9");
	visitor_find(&request, &none, false, &b);
	from("2001:db8:1:3::9");
	visitor_find(&request, &none, false, &c);
	assert_true(str_eq(a.key, b.key));
	assert_false(str_eq(a.key, c.key));
	from("10.0.0.1");
	visitor_find(&request, &none, false, &a);
	from("10.0.0.2");
	visitor_find(&request, &none, false, &b);
	assert_false(str_eq(a.key, b.key));
	request.peer = NULL;
	visitor_find(&request, &none, false, &a);
	assert_string_equal(a.address, "unix");
}

static void an_answer_loses_the_fields_of_its_connection(void **state)
{
	add("Connection", "x-secret");
	add("X-Secret", "1");
	add("Server", "x");
	add("Date", "x");
	add("Content-Length", "7");
	add("X-Request-Id", "theirs");
	add("ETag", "\"1\"");
	add("Set-Cookie", "a=1");
	add("Set-Cookie", "b=2");
	fields_add(&out, STR("X-Request-Id"), STR("ours"));
	fields_for_client(&request.headers, false, NULL, &out);
	assert_int_equal(
		count("connection") + count("x-secret") + count("server") + count("date") + count("content-length"), 0);
	assert_true(has("x-request-id", "ours"));
	assert_true(has("etag", "\"1\""));
	assert_int_equal(count("set-cookie"), 2);
}

static const struct web_file files[] = {
	{"/assets/app-1.js", "text/javascript", "aaaa", true, {"js", 2}, {"b", 1}, {"g", 1}},
	{"/favicon.svg", "image/svg+xml", "bbbb", false, {"svg", 3}, {0}, {"g", 1}},
	{"/index.html", "text/html", "cccc", false, {"html", 4}, {0}, {0}},
};

static const char *find(const char *path, const char *accept)
{
	const struct web_file *f = web_find(files, ARRAY_SIZE(files), str_of(path), str_of(accept));

	return f ? f->path : "";
}

static void a_page_of_the_app_is_the_index_and_a_missing_file_is_not(void **state)
{
	const char *browser = "text/html,application/xhtml+xml,*/*;q=0.8";

	assert_string_equal(find("/", "*/*"), "/index.html");
	assert_string_equal(find("/assets/app-1.js", "*/*"), "/assets/app-1.js");
	assert_string_equal(find("/history/7", browser), "/index.html");
	assert_string_equal(find("/history/7", "application/json"), "");
	assert_string_equal(find("/assets/app-2.js", browser), "");
	assert_string_equal(find("/metrics", "*/*"), "");
}

static void the_smallest_form_that_the_client_takes_is_chosen(void **state)
{
	assert_int_equal(web_choose(&files[0], STR("gzip, deflate, br")), WEB_BROTLI);
	assert_int_equal(web_choose(&files[0], STR("gzip, br;q=0")), WEB_GZIP);
	assert_int_equal(web_choose(&files[0], STR("gzip;q=0.0,br;q=0.5")), WEB_BROTLI);
	assert_int_equal(web_choose(&files[0], STR("identity")), WEB_PLAIN);
	assert_int_equal(web_choose(&files[0], (struct str){0}), WEB_PLAIN);
	assert_int_equal(web_choose(&files[1], STR("gzip, br")), WEB_GZIP);
	assert_int_equal(web_choose(&files[2], STR("gzip, br")), WEB_PLAIN);
}

static void an_etag_is_known_in_every_form(void **state)
{
	assert_true(web_etag_matches(STR("\"aaaa\""), "aaaa"));
	assert_true(web_etag_matches(STR("\"x\", W/\"aaaa-br\""), "aaaa"));
	assert_true(web_etag_matches(STR("*"), "aaaa"));
	assert_false(web_etag_matches(STR("\"aaaab\""), "aaaa"));
	assert_false(web_etag_matches(STR("aaaa"), "aaaa"));
	assert_false(web_etag_matches((struct str){0}, "aaaa"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(ordinary_fields_pass),
		T(fields_of_one_connection_and_those_it_names_do_not_pass),
		T(a_client_cannot_say_who_it_is),
		T(cookies_go_to_auth_only),
		T(a_stranger_is_not_believed_about_his_address),
		T(a_trusted_proxy_is),
		T(one_ipv6_network_is_one_client),
		T(an_answer_loses_the_fields_of_its_connection),
		T(a_page_of_the_app_is_the_index_and_a_missing_file_is_not),
		T(the_smallest_form_that_the_client_takes_is_chosen),
		T(an_etag_is_known_in_every_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
