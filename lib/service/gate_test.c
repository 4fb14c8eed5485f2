/* A whole service in this process, asked over its Unix socket one request after the other. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/encode.h"
#include "service/service.h"

static struct options *options;
static struct token_key key;
static char dir[64];
static struct db *db;
static unsigned gone;

/* ---- The service ---- */

static void get_thing(struct exchange *x)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	json_add_str(doc, obj, "id", x->params[0].p);
	json_add_str(doc, obj, "user", x->who.user_id);
	json_add_str(doc, obj, "caller", x->who.service);
	reply_json(x, 200, doc);
}

static void list_things(struct exchange *x)
{
	struct page page;

	if (page_read(x, &page))
		reply_raw_json(x, 200,
			       str_of(arena_printf(x->arena, "{\"limit\":%d,\"after\":\"%s\",\"cursor\":\"%s\"}",
						   (int)page.limit, page.after ? page.after : "",
						   page_cursor(x->arena, "2026 \xc3\xa9"))));
}

struct make_job {
	struct exchange_job job;
	int status;
	struct str text;
};

static int make_run(struct db_conn *c, struct exchange_job *job)
{
	struct make_job *m = container_of(job, struct make_job, job);
	int r = idempotency_begin(c, job->x, &m->status, &m->text);

	if (r < 0)
		return r;
	if (r == IDEM_REPLAY)
		return 0;
	m->status = r == IDEM_MISMATCH ? 422 : 201;
	m->text = str_of(arena_printf(job->x->arena, "{\"made\":%u}", (unsigned)randombytes_random()));
	return r == IDEM_MISMATCH ? 0 : idempotency_store(c, job->x, m->status, m->text);
}

static void make_done(struct exchange_job *job)
{
	struct make_job *m = container_of(job, struct make_job, job);

	reply_raw_json(job->x, m->status, m->text);
}

static void make_thing(struct exchange *x)
{
	struct make_job *m = arena_new_of(x->arena, struct make_job);

	m->job = (struct exchange_job){.x = x, .run = make_run, .done_ok = make_done};
	exchange_write(db, &m->job);
}

static int fail_run(struct db_conn *c, struct exchange_job *job)
{
	return -ENOSPC;
}

static void break_down(struct exchange *x)
{
	struct exchange_job *job = arena_new_of(x->arena, struct exchange_job);

	*job = (struct exchange_job){.x = x, .run = fail_run};
	exchange_write(db, job);
}

static void echo(struct exchange *x)
{
	reply_raw_json(x, 200, x->body ? json_val_text(x->arena, x->body) : STR("null"));
}

static void on_gone(struct exchange *x)
{
	gone++;
}

static void stream(struct exchange *x)
{
	x->on_gone = on_gone;
	reply_sse_start(x);
	reply_sse(x, 7, "text.delta", STR("{\"a\":1}"));
	if (x->req->query.n == 0)
		reply_sse_end(x);
}

static const struct route routes[] = {
	{HTTP_GET_, "/things/{id}", "things.read", 0, 0, get_thing},
	{HTTP_GET_, "/things", NULL, 0, 0, list_things},
	{HTTP_POST_, "/things", "things.write", ROUTE_BODY_JSON, 0, make_thing},
	{HTTP_GET_, "/inside", NULL, ROUTE_INTERNAL, 0, get_thing},
	{HTTP_POST_, "/echo", NULL, ROUTE_BODY_JSON | ROUTE_PUBLIC, 100, echo},
	{HTTP_POST_, "/maybe", NULL, ROUTE_BODY_JSON | ROUTE_PUBLIC | ROUTE_BODY_OPTIONAL, 0, echo},
	{HTTP_GET_, "/stream", NULL, ROUTE_PUBLIC, 0, stream},
	{HTTP_GET_, "/fail", NULL, ROUTE_PUBLIC, 0, break_down},
};

/* ---- Requests ---- */

enum bearing { NOBODY, MEMBER, EXPIRED, FOREIGN, GARBAGE, SERVICE, SERVICE_FOR_USER, BASIC, TWICE };

struct step {
	const char *what, *method, *target;
	enum bearing bearing;
	const char *type, *body;
	const char *header, *value;
	int status;
	const char *expected; /* a part of the answer; NULL = anything */
	bool same;            /* the answer of the step before */
};

#define TYPE "application/json"

static const struct step steps[] = {
	{"alive", "GET", "/healthz", NOBODY, .status = 200, .expected = "\"role\":\"agent\""},
	{"not ready without auth", "GET", "/readyz", NOBODY, .status = 503, .expected = "\"name\":\"keys\""},
	{"figures", "GET", "/metrics", NOBODY, .status = 200, .expected = "# TYPE ogent_http_requests_total counter"},
	{"routes", "GET", "/routes", NOBODY, .status = 200, .expected = "\"permission\":\"things.read\""},
	{"no such path", "GET", "/nothing", NOBODY, .status = 404, .expected = "\"code\":\"not_found\""},
	{"wrong method", "DELETE", "/things", NOBODY, .status = 405, .expected = "\"code\":\"method_not_allowed\""},
	{"options", "OPTIONS", "/things", NOBODY, .status = 204},
	{"no token", "GET", "/things", NOBODY, .status = 401, .expected = "\"code\":\"unauthorized\""},
	{"expired token", "GET", "/things", EXPIRED, .status = 401, .expected = "\"code\":\"unauthorized\""},
	{"unknown key while auth is away", "GET", "/things", FOREIGN, .status = 503,
	 .expected = "\"code\":\"unavailable\""},
	{"garbage", "GET", "/things", GARBAGE, .status = 401, .expected = "\"code\":\"unauthorized\""},
	{"basic", "GET", "/things", BASIC, .status = 401, .expected = "\"code\":\"unauthorized\""},
	{"two tokens", "GET", "/things", TWICE, .status = 400, .expected = "\"code\":\"bad_request\""},
	{"a parameter", "GET", "/things/a%20b", MEMBER, .status = 200, .expected = "{\"id\":\"a b\",\"user\":\"u1\""},
	{"head", "HEAD", "/things/7", MEMBER, .status = 200},
	{"an escape in the query", "GET", "/things/7?a=%C3%A9&b=%25", MEMBER, .status = 200},
	{"half an escape in the query", "GET", "/things/7?a=1&b=%2", MEMBER, .status = 400, .expected = "bad_request"},
	{"NUL in the query", "GET", "/things/7?a%00=1", MEMBER, .status = 400, .expected = "bad_request"},
	{"no UTF-8 in the query", "GET", "/things/7?a=%ff", MEMBER, .status = 400, .expected = "bad_request"},
	{"permission missing", "POST", "/things", MEMBER, TYPE, "{}", .status = 403, .expected = "things.write"},
	{"a user is no service", "GET", "/inside", MEMBER, .status = 403, .expected = "forbidden"},
	{"a service is", "GET", "/inside", SERVICE, .status = 200, .expected = "\"caller\":\"agent\""},
	{"but not from outside", "GET", "/inside", SERVICE, .header = "X-Forwarded-For", .value = "203.0.113.9",
	 .status = 401},
	{"a service for a user, while nobody tells what he may", "GET", "/things/1", SERVICE_FOR_USER, .status = 503},
	{"page", "GET", "/things", MEMBER, .status = 200, .expected = "{\"limit\":50,\"after\":\"\""},
	{"next page", "GET", "/things?limit=7&after=MjAyNiDDqQ", MEMBER, .status = 200,
	 .expected = "{\"limit\":7,\"after\":\"2026 \xc3\xa9\""},
	{"limit 0", "GET", "/things?limit=0", MEMBER, .status = 400, .expected = "bad_request"},
	{"limit 201", "GET", "/things?limit=201", MEMBER, .status = 400, .expected = "bad_request"},
	{"limit -1", "GET", "/things?limit=-1", MEMBER, .status = 400, .expected = "bad_request"},
	{"cursor with padding", "GET", "/things?after=YQ%3D%3D", MEMBER, .status = 400, .expected = "bad_request"},
	{"cursor with NUL", "GET", "/things?after=AA", MEMBER, .status = 400, .expected = "bad_request"},
	{"body", "POST", "/echo", NOBODY, TYPE, "{\"a\":1}", .status = 200, .expected = "{\"a\":1}"},
	{"charset", "POST", "/echo", NOBODY, "Application/JSON; charset=UTF-8", "{}", .status = 200},
	{"wrong charset", "POST", "/echo", NOBODY, "application/json; charset=latin1", "{}", .status = 415},
	{"wrong type", "POST", "/echo", NOBODY, "text/plain", "{}", .status = 415,
	 .expected = "unsupported_media_type"},
	{"no JSON", "POST", "/echo", NOBODY, TYPE, "{\"a\":", .status = 400, .expected = "invalid_json"},
	{"a key twice", "POST", "/echo", NOBODY, TYPE, "{\"a\":1,\"a\":2}", .status = 400, .expected = "invalid_json"},
	{"no object", "POST", "/echo", NOBODY, TYPE, "[1]", .status = 400, .expected = "invalid_json"},
	{"no body", "POST", "/echo", NOBODY, .status = 400, .expected = "invalid_json"},
	{"no body where none is needed", "POST", "/maybe", NOBODY, .status = 200, .expected = "null"},
	{"body over its limit", "POST", "/echo", NOBODY, TYPE,
	 "{\"a\":"
	 "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}",
	 .status = 413, .expected = "body_too_large"},
	{"encoded body", "POST", "/echo", NOBODY, TYPE, "{}", "Content-Encoding", "gzip", .status = 415},
	{"a bad token on a public path", "POST", "/maybe", GARBAGE, .status = 200},
	{"events", "GET", "/stream", NOBODY, .status = 200,
	 .expected = "id: 7\nevent: text.delta\ndata: {\"a\":1}\n\n"},
	{"disk full", "GET", "/fail", NOBODY, .status = 507, .expected = "storage_full"},
	{"made", "POST", "/things", SERVICE, TYPE, "{\"n\":1}", "Idempotency-Key", "k1", .status = 201},
	{"made once", "POST", "/things", SERVICE, TYPE, "{\"n\":1}", "Idempotency-Key", "k1", .status = 201,
	 .same = true},
	{"another body", "POST", "/things", SERVICE, TYPE, "{\"n\":2}", "Idempotency-Key", "k1", .status = 422},
	{"bad key", "POST", "/things", SERVICE, TYPE, "{}", "Idempotency-Key", "\xc3\xa9", .status = 400,
	 .expected = "bad_request"},
	{"request id", "GET", "/nothing", NOBODY, NULL, NULL, "X-Request-Id", "my.request-1", .status = 404,
	 .expected = "\"request_id\":\"my.request-1\""},
};

static struct service *service;
static struct http_pool *pool;
static struct arena *arena;
static size_t at;
static char *last;

static void sign(const struct token_key *k, int64_t exp, struct buf *out)
{
	_cleanup_(buf_deinit) struct buf claims = BUF_INIT;

	buf_printf(&claims,
		   "{\"iss\":\"ogent\",\"aud\":\"ogent-api\",\"sub\":\"u1\",\"permissions\":[\"things.read\"],"
		   "\"iat\":%lld,\"exp\":%lld}",
		   (long long)exp - 600, (long long)exp);
	token_sign(k, buf_str(&claims), out);
}

static struct http_headers *headers_for(const struct step *s)
{
	struct http_headers *h = arena_new_of(arena, struct http_headers);
	_cleanup_(buf_deinit) struct buf value = BUF_INIT;
	struct token_key foreign;
	int64_t now = time(NULL);

	h->arena = arena;
	buf_add_str(&value, "Bearer ");
	switch (s->bearing) {
	case NOBODY: buf_clear(&value); break;
	case TWICE:
	case MEMBER: sign(&key, now + 500, &value); break;
	case EXPIRED: sign(&key, now - 60, &value); break;
	case FOREIGN:
		token_key_new(&foreign);
		sign(&foreign, now + 500, &value);
		break;
	case GARBAGE: buf_add_str(&value, "sk-test"); break;
	case SERVICE: token_sign_internal(service_key(service), "agent", "agent", "", &value); break;
	case SERVICE_FOR_USER: token_sign_internal(service_key(service), "agent", "agent", "u9", &value); break;
	case BASIC:
		buf_clear(&value);
		buf_add_str(&value, "Basic YTpi");
		break;
	}
	if (value.n)
		http_header_add(h, "Authorization", buf_str(&value));
	if (s->bearing == TWICE)
		http_header_add(h, "authorization", buf_str(&value));
	if (s->header)
		http_header_add(h, s->header, str_of(s->value));
	return h;
}

static void next_step(void);

static void on_answer(void *arg, int err, int status, struct str body)
{
	const struct step *s = arg;

	if (err || status != s->status)
		fail_msg("%s: error %d, status %d instead of %d: %.*s", s->what, err, status, s->status, STR_ARG(body));
	if (s->expected && !strstr(body.p, s->expected))
		fail_msg("%s: \"%.*s\" lacks \"%s\"", s->what, STR_ARG(body), s->expected);
	if (s->same)
		assert_string_equal(body.p, last);
	free(last);
	last = xstrndup(body.n ? body.p : "", body.n);
	at++;
	next_step();
}

static void on_left(void *arg, int err, int status, struct str body)
{
	assert_int_equal(gone, 1);
}

/* The last: an event stream that does not end by itself must not hold up the end of the service. */
static void stop(uv_timer_t *t)
{
	uv_close((uv_handle_t *)t, NULL);
	raise(SIGTERM);
}

static void next_step(void)
{
	static uv_timer_t timer;

	if (at < ARRAY_SIZE(steps)) {
		const struct step *s = &steps[at];

		http_fetch(pool, s->method, s->target, headers_for(s), s->type, str_of(s->body), 1 << 20, 0, on_answer,
			   (void *)s);
		return;
	}
	http_fetch(pool, "GET", "/stream?for=ever", NULL, NULL, (struct str){0}, 1 << 20, 0, on_left, NULL);
	uv_timer_init(service_loop(service), &timer);
	uv_timer_start(&timer, stop, 100, 0);
}

static void on_stop(void *arg)
{
	db_close(db);
}

static void a_service_answers_as_the_gate_says(void **state)
{
	static const struct migration schema[] = {{"idempotency", IDEMPOTENCY_SCHEMA}};
	struct error err = {0};
	char url[128];

	service = service_new("agent", options);
	snprintf(url, sizeof(url), "sqlite:%s/test.db", dir);
	assert_int_equal(db_open(service_loop(service), url, 1, &db, &err), 0);
	assert_int_equal(db_migrate(db, schema, 1, &err), 0);
	token_key_new(&key);
	token_keys_add(service_keys(service), TOKEN_ISSUER, &key);
	service_routes(service, routes, ARRAY_SIZE(routes), NULL);
	service_on_stop(service, on_stop, NULL);
	service_listen(service);
	pool = service_peer(service, "agent");
	next_step();
	assert_int_equal(service_run(service), 0);
	assert_int_equal(at, ARRAY_SIZE(steps));
	assert_int_equal(gone, 1);
}

static int set_up(void **state)
{
	struct option_arg args[] = {{"data", dir}, {"log_level", "error"}};
	struct error err = {0};

	strcpy(dir, "/tmp/ogent-gate-test-XXXXXX");
	if (!mkdtemp(dir) || !(options = options_load(NULL, args, ARRAY_SIZE(args), &err)))
		return -1;
	arena = arena_new();
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	free(last);
	arena_free(arena);
	options_free(options);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_service_answers_as_the_gate_says, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
