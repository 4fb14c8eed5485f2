/* Routes built in and from files: which fits, and which files are refused, with the line and the reason. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "routes.h"

#define EXAMPLE OGENT_SOURCE_ROOT "/docs/gateway-routes.conf"

struct house {
	uv_loop_t loop;
	struct wheel *wheel;
	struct upstreams *registry;
	struct upstream_settings builtin[ROLE_COUNT + 1];
	struct upstream_address addresses[ROLE_COUNT + 1];
	struct routes *routes;
	struct limit_rules limits;
	struct error err;
	char file[64];
};

static int set_up(void **state)
{
	struct house *h = calloc(1, sizeof(*h));

	uv_loop_init(&h->loop);
	h->wheel = wheel_new(&h->loop);
	h->registry = upstreams_new(&h->loop, h->wheel, "127.0.0.1:1");
	for (int i = 0; i <= ROLE_COUNT; i++) {
		h->addresses[i] = (struct upstream_address){"127.0.0.1:1", 1, 0};
		h->builtin[i] = upstream_defaults;
		h->builtin[i].name = i < ROLE_COUNT ? role_names[i] : "gateway";
		h->builtin[i].role = i;
		h->builtin[i].addresses = &h->addresses[i];
		h->builtin[i].n_addresses = 1;
	}
	*state = h;
	return 0;
}

static int tear_down(void **state)
{
	struct house *h = *state;

	routes_unref(h->routes);
	upstreams_free(h->registry);
	if (*h->file)
		unlink(h->file);
	for (unsigned i = 0; i < 3; i++)
		uv_run(&h->loop, UV_RUN_NOWAIT);
	wheel_free(h->wheel);
	uv_run(&h->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&h->loop), 0);
	free(h);
	return 0;
}

static int load_file(struct house *h, const char *file)
{
	const struct routes_source source = {file, h->builtin, ARRAY_SIZE(h->builtin), h->registry, &h->limits};
	struct routes *r;
	int result = routes_load(&source, &r, &h->err);

	if (result)
		return result;
	upstreams_use(h->registry, r->upstreams, r->n_upstreams);
	routes_unref(h->routes);
	h->routes = r;
	return 0;
}

/* NULL: no file. */
static int load(struct house *h, const char *text)
{
	int fd;

	if (!text)
		return load_file(h, "");
	if (*h->file)
		unlink(h->file);
	strcpy(h->file, "/tmp/ogent-routes-XXXXXX");
	fd = mkstemp(h->file);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return load_file(h, h->file);
}

static const struct gateway_route *find(struct house *h, const char *host, enum http_method method, const char *path)
{
	const struct route_wanted w = {str_of(host), str_of(path), method};
	unsigned allowed;

	return routes_find(h->routes, &w, &allowed);
}

static const char *upstream(struct house *h, const char *path)
{
	const struct gateway_route *r = find(h, "h", HTTP_GET_, path);

	return r ? r->upstream->settings.name : "";
}

static const char *name(struct house *h, const char *host, enum http_method method, const char *path)
{
	const struct gateway_route *r = find(h, host, method, path);

	return r ? r->name : "";
}

static void each_path_has_its_role(void **state)
{
	struct house *h = *state;

	assert_int_equal(load(h, NULL), 0);
	assert_string_equal(upstream(h, "/api/auth/login"), "auth");
	assert_string_equal(upstream(h, "/.well-known/jwks.json"), "auth");
	assert_string_equal(upstream(h, "/api/users"), "auth");
	assert_string_equal(upstream(h, "/api/users/7"), "auth");
	assert_string_equal(upstream(h, "/api/agents"), "agent");
	assert_string_equal(upstream(h, "/api/conversations/7/messages"), "agent");
	assert_string_equal(upstream(h, "/v1/chat/completions"), "agent");
	assert_string_equal(upstream(h, "/mcp"), "agent");
	assert_string_equal(upstream(h, "/api/commands/7/stream"), "exec");
	assert_string_equal(upstream(h, "/ws"), "socket");
	assert_string_equal(upstream(h, "/socket.io/"), "socket");
	assert_string_equal(upstream(h, "/api/publish"), "socket");
	assert_string_equal(upstream(h, "/api/gateway/routes"), "gateway");
	assert_int_equal(find(h, "", HTTP_POST_, "/v1/x")->first_byte_ms, 900000);
	assert_int_equal(find(h, "", HTTP_POST_, "/api/agents")->first_byte_ms, 60000);
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
		"/api/gateway",
		"",
	};
	struct house *h = *state;

	assert_int_equal(load(h, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (*upstream(h, paths[i]))
			fail_msg("%s goes to %s", paths[i], upstream(h, paths[i]));
}

/* More routes than a word has bits, with prefixes shorter, as long as and longer than the index tells apart. */
static void each_of_many_routes_is_found(void **state)
{
	struct house *h = *state;
	struct buf text = BUF_INIT;
	char path[200], below[210], wanted[16];

	for (unsigned i = 0; i < 150; i++)
		buf_printf(&text, "[route r%u]\npath = /m%0*u\nupstream = agent\n", i, 3 + (int)i % 110, i);
	assert_int_equal(load(h, text.p), 0);
	for (unsigned i = 0; i < 150; i++) {
		snprintf(wanted, sizeof(wanted), "r%u", i);
		snprintf(path, sizeof(path), "/m%0*u", 3 + (int)i % 110, i);
		assert_string_equal(name(h, "", HTTP_GET_, path), wanted);
		snprintf(below, sizeof(below), "%s/x", path);
		assert_string_equal(name(h, "", HTTP_GET_, below), wanted);
		snprintf(below, sizeof(below), "%sx", path);
		assert_string_equal(name(h, "", HTTP_GET_, below), "");
		path[strlen(path) - 1] = 'y';
		assert_string_equal(name(h, "", HTTP_GET_, path), "");
	}
	buf_deinit(&text);
}

static void a_file_does_not_open_the_roles_own_house(void **state)
{
	struct house *h = *state;
	const struct gateway_route *r;

	assert_int_equal(load(h, "[upstream other]\nendpoint = 127.0.0.1:9\n"
				 "[route a]\npath = /agent\nupstream = agent\nstrip_prefix = true\n"
				 "[route b]\npath = /other\nupstream = other\nstrip_prefix = true\n"
				 "[route all]\npath = /\nupstream = auth\n"),
			 0);
	r = find(h, "", HTTP_GET_, "/agent/metrics");
	assert_string_equal(r->name, "a");
	assert_true(route_leads_inside(r, STR("/agent/metrics")));
	assert_false(route_leads_inside(r, STR("/agent/metrics2")));
	assert_false(route_leads_inside(find(h, "", HTTP_GET_, "/other/metrics"), STR("/other/metrics")));
	assert_true(route_leads_inside(find(h, "", HTTP_GET_, "/readyz"), STR("/readyz")));
}

static void only_what_says_so_is_public(void **state)
{
	struct house *h = *state;

	assert_int_equal(load(h, NULL), 0);
	assert_true(find(h, "", HTTP_GET_, "/api/auth/login")->flags & PATH_PUBLIC);
	assert_true(find(h, "", HTTP_GET_, "/ws")->flags & PATH_PUBLIC);
	assert_false(find(h, "", HTTP_GET_, "/api/users")->flags & PATH_PUBLIC);
	assert_false(find(h, "", HTTP_GET_, "/api/agents")->flags & PATH_PUBLIC);
	assert_false(find(h, "", HTTP_GET_, "/api/publish")->flags & PATH_PUBLIC);
	assert_false(find(h, "", HTTP_GET_, "/v1/models")->flags & PATH_PUBLIC);
	assert_false(find(h, "", HTTP_GET_, "/api/gateway/routes")->flags & PATH_PUBLIC);
}

static void priority_goes_before_host_and_host_before_length(void **state)
{
	struct house *h = *state;

	assert_int_equal(load(h, "[upstream u]\nendpoint = 127.0.0.1:9\n"
				 "[route short]\npath = /x\nupstream = u\n"
				 "[route long]\npath = /x/y\nupstream = u\n"
				 "[route post]\npath = /x/y\nupstream = u\nmethods = POST, PUT\n"
				 "[route wild]\npath = /x\nupstream = u\nhost = *.Example.org\n"
				 "[route exact]\npath = /x\nupstream = u\nhost = a.example.org, b.example.org\n"
				 "[route first]\npath = /x/y/z\nupstream = u\npriority = 5\n"
				 "[route last]\npath = /x/y/z/w\nupstream = u\npriority = -5\n"),
			 0);
	assert_string_equal(name(h, "h", HTTP_GET_, "/x"), "short");
	assert_string_equal(name(h, "h", HTTP_GET_, "/x/y"), "long");
	assert_string_equal(name(h, "h", HTTP_POST_, "/x/y"), "post");
	assert_string_equal(name(h, "A.example.ORG:8420", HTTP_POST_, "/x/y"), "exact");
	assert_string_equal(name(h, "c.example.org", HTTP_GET_, "/x/y"), "wild");
	assert_string_equal(name(h, "example.org", HTTP_GET_, "/x"), "short");
	assert_string_equal(name(h, "[::1]:80", HTTP_GET_, "/x"), "short");
	assert_string_equal(name(h, "a.example.org", HTTP_GET_, "/x/y/z"), "first");
	assert_string_equal(name(h, "h", HTTP_GET_, "/x/y/z/w"), "first");
}

static void a_method_without_a_route_is_told_apart_from_a_path_without_one(void **state)
{
	struct house *h = *state;
	const struct route_wanted w = {STR("h"), STR("/x"), HTTP_GET_};
	unsigned allowed;

	assert_int_equal(load(h, "[upstream u]\nendpoint = 127.0.0.1:9\n"
				 "[route a]\npath = /x\nupstream = u\nmethods = POST\n"
				 "[route b]\npath = /x\nupstream = u\nmethods = PUT\nhost = h\n"),
			 0);
	assert_null(routes_find(h->routes, &w, &allowed));
	assert_int_equal(allowed, 1u << HTTP_POST_ | 1u << HTTP_PUT_);
}

static void a_file_changes_what_is_built_in_and_keeps_the_rest(void **state)
{
	struct house *h = *state;
	const struct gateway_route *r;

	assert_int_equal(load(h, "[defaults]\nfirst_byte_timeout = 10s\nretries = 2\n"
				 "[cors app]\norigins = https://a.example, https://b.example:8443\ncredentials = true\n"
				 "[route agents]\npermission = agents.write\ncors = app\nbody_limit = 1K\n"
				 "[route usage]\nenabled = false\n"
				 "[upstream agent]\neject_after = 9\n"),
			 0);
	r = find(h, "", HTTP_GET_, "/api/agents/7");
	assert_string_equal(r->permission, "agents.write");
	assert_string_equal(r->upstream->settings.name, "agent");
	assert_string_equal(r->upstream->settings.addresses[0].address, "127.0.0.1:1");
	assert_int_equal(r->upstream->settings.balance.eject_after, 9);
	assert_int_equal(r->max_body, 1024);
	assert_int_equal(r->first_byte_ms, 10000);
	assert_int_equal(r->retries, 2);
	assert_int_equal(r->cors->n_origins, 2);
	assert_null(find(h, "", HTTP_GET_, "/api/usage"));
	assert_int_equal(find(h, "", HTTP_POST_, "/v1/x")->first_byte_ms, 900000); /* its own goes before the default */
	assert_null(find(h, "", HTTP_GET_, "/api/models")->permission);
}

static void an_upstream_has_endpoints_with_weights_or_a_name(void **state)
{
	struct house *h = *state;
	const struct upstream *u;

	assert_int_equal(load(h, "[upstream a]\nendpoint = 127.0.0.1:9001 weight=3\nendpoint = [::1]:9002, unix:/x\n"
				 "[upstream b]\ndns = service.test:80\n"
				 "[upstream c]\nsrv = _s._tcp.test\n"
				 "[route a]\npath = /a\nupstream = a\n[route b]\npath = /b\nupstream = b\n"
				 "[route c]\npath = /c\nupstream = c\n"),
			 0);
	u = find(h, "", HTTP_GET_, "/a")->upstream;
	assert_int_equal(u->balancer.n, 3);
	assert_int_equal(u->balancer.items[0]->weight, 3);
	assert_string_equal(u->balancer.items[1]->address, "[::1]:9002");
	assert_string_equal(u->balancer.items[2]->address, "unix:/x");
	u = find(h, "", HTTP_GET_, "/b")->upstream;
	assert_int_equal(u->settings.kind, DISCOVER_HOST);
	assert_int_equal(u->settings.dns_port, 80);
	assert_int_equal(find(h, "", HTTP_GET_, "/c")->upstream->settings.kind, DISCOVER_SRV);
}

#define U "[upstream u]\nendpoint = 127.0.0.1:9\n"

static void a_wrong_file_is_refused_with_line_and_reason(void **state)
{
	static const struct {
		const char *text, *line, *reason;
	} cases[] = {
		{"[route a]\nx = 1\n", "line 2", "there is no \"x\" in a section [route]"},
		{"[road a]\nx = 1\n", "line 2", "sections are"},
		{"[route]\npath = /\n", "line 2", "a name has 1 to 32"},
		{"[defaults x]\nretries = 1\n", "line 2", "[defaults] has none"},
		{"nonsense\n", "line 1", "not of the form"},
		{"[route a]\npath = /a\n", "line 2", "[route a] has no upstream"},
		{"[route a]\npath = /a\nupstream = b\n", "line 3", "there is no [upstream b]"},
		{U "[route a]\nupstream = u\n", "line 4", "is no path"},
		{U "[route a]\nupstream = u\npath = a\n", "line 5", "is no path"},
		{U "[route a]\nupstream = u\npath = /a/../b\n", "line 5", "is no path"},
		{U "[route a]\nupstream = u\npath = /a\npath = /b\n", "line 6", "path stands twice"},
		{U "[route a]\nupstream = u\npath = /a\nmethods = GET, FETCH\n", "line 6", "\"FETCH\" is none of"},
		{U "[route a]\nupstream = u\npath = /a\npublic = true\npermission = x.y\n", "line 4", "a public route"},
		{U "[route a]\nupstream = u\npath = /a\nhost = a.b:80\n", "line 6", "is no name"},
		{U "[route a]\nupstream = u\npath = /a\ncors = c\n", "line 6", "there is no [cors c]"},
		{U "[route a]\nupstream = u\npath = /a\ntotal_timeout = soon\n", "line 6", "total_timeout"},
		{U "[route a]\nupstream = u\npath = /a\nrate_limit = l\n", "line 6", "has no limit \"l\""},
		{"[defaults]\ncors = c\n", "line 2", "there is no [cors c]"},
		{"[cors c]\ncredentials = true\n", "line 2", "origins is missing"},
		{"[cors c]\norigins = *\ncredentials = true\n", "line 2", "name the origins"},
		{"[cors c]\norigins = https://a.example/\n", "line 2", "is no origin"},
		{"[cors c]\norigins = https://A.example\n", "line 2", "is no origin"},
		{"[upstream u]\nendpoint = nowhere\n", "line 2", "is no address"},
		{"[upstream u]\nendpoint = a:1 weight=0\n", "line 2", "a weight is"},
		{"[upstream u]\neject_after = 1\n", "line 2", "say where it is"},
		{"[upstream u]\ndns = name\n", "line 2", "write NAME:PORT"},
		{"[upstream u]\ndns = name:80\nsrv = _a._tcp.b\n", "line 2", "do not go together"},
		{"[upstream u]\nendpoint = a:1\nhealth_path = x\n", "line 3", "begins with /"},
		{"[upstream u]\nendpoint = a:1\nmax_requests = 0\n", "line 3", "max_requests"},
	};
	struct house *h = *state;

	assert_int_equal(load(h, NULL), 0);
	struct routes *before = h->routes;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(load(h, cases[i].text), -EINVAL);
		if (!strstr(h->err.message, cases[i].line) || !strstr(h->err.message, cases[i].reason))
			fail_msg("expected %s: %s, got: %s", cases[i].line, cases[i].reason, h->err.message);
	}
	assert_int_equal(load_file(h, "/nonexistent/routes.conf"), -EINVAL);
	assert_ptr_equal(h->routes, before);
}

static void what_stays_the_same_is_the_same_object_after_a_reload(void **state)
{
	struct house *h = *state;
	struct upstream *agent, *a, *b;

	assert_int_equal(load(h, "[upstream a]\nendpoint = 127.0.0.1:1\n[upstream b]\nendpoint = 127.0.0.1:2\n"
				 "[route a]\npath = /a\nupstream = a\n[route b]\npath = /b\nupstream = b\n"),
			 0);
	agent = find(h, "", HTTP_GET_, "/api/agents")->upstream;
	a = find(h, "", HTTP_GET_, "/a")->upstream;
	b = find(h, "", HTTP_GET_, "/b")->upstream;
	b->balancer.items[0]->is_down = true;
	assert_int_equal(load(h, "[upstream a]\nendpoint = 127.0.0.1:1\n"
				 "[upstream b]\nendpoint = 127.0.0.1:2, 127.0.0.1:3\n"
				 "[route a]\npath = /new\nupstream = a\n[route b]\npath = /b\nupstream = b\n"),
			 0);
	assert_ptr_equal(find(h, "", HTTP_GET_, "/api/agents")->upstream, agent);
	assert_ptr_equal(find(h, "", HTTP_GET_, "/new")->upstream, a);
	b = find(h, "", HTTP_GET_, "/b")->upstream;
	assert_int_equal(b->balancer.n, 2);
	assert_true(b->balancer.items[0]->is_down); /* what was known of it goes on */
}

static void the_example_in_the_manual_is_good(void **state)
{
	struct house *h = *state;

	if (load_file(h, EXAMPLE))
		fail_msg("%s", h->err.message);
	assert_true(h->routes->n > builtin_routes_n);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(each_path_has_its_role),
		T(what_is_inside_stays_inside),
		T(each_of_many_routes_is_found),
		T(a_file_does_not_open_the_roles_own_house),
		T(only_what_says_so_is_public),
		T(priority_goes_before_host_and_host_before_length),
		T(a_method_without_a_route_is_told_apart_from_a_path_without_one),
		T(a_file_changes_what_is_built_in_and_keeps_the_rest),
		T(an_upstream_has_endpoints_with_weights_or_a_name),
		T(a_wrong_file_is_refused_with_line_and_reason),
		T(what_stays_the_same_is_the_same_object_after_a_reload),
		T(the_example_in_the_manual_is_good),
	};

	return cmocka_run_group_tests_name("routes", tests, NULL, NULL);
}
