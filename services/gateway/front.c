/* The way of a request from outside: who is the client, which role serves the path, is the token good, is it within its
 * rate; then it is passed on or answered. */
#include "gateway.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "fields.h"
#include "service/request.h"
#include "service/route.h"

#define KEEP_VISITS 256
#define LOGGED_PATH 256 /* bytes */

/* ---- Visits ---- */

static void visit_init(struct visit *v, struct gateway_worker *w, struct arena *arena)
{
	memset(v, 0, sizeof(*v));
	v->worker = w;
	v->gateway = w->gateway;
	v->arena = arena;
	list_init(&v->link);
}

static struct visit *visit_new(struct gateway_worker *w)
{
	struct visit *v = list_first(&w->idle, struct visit, link);

	if (v) {
		list_remove(&v->link);
		w->n_idle--;
	} else {
		v = xmalloc(sizeof(*v));
		visit_init(v, w, arena_new());
	}
	return v;
}

static void visit_free(struct visit *v)
{
	arena_free(v->arena);
	free(v);
}

void visit_release(struct visit *v)
{
	struct gateway_worker *w = v->worker;
	struct arena *arena = v->arena;

	if (v->r || v->calling || v->readiness)
		return;
	routes_unref(v->routes);
	arena_reset(arena);
	list_remove(&v->link);
	visit_init(v, w, arena);
	if (w->n_idle >= KEEP_VISITS) {
		visit_free(v);
		return;
	}
	list_prepend(&w->idle, &v->link);
	w->n_idle++;
}

void visits_free(struct gateway_worker *w)
{
	struct visit *v;

	list_foreach (v, &w->idle, struct visit, link)
		visit_free(v);
	list_init(&w->idle);
	w->n_idle = KEEP_VISITS; /* what is released later is freed */
}

/* Decimal digits; printf is too dear for every request. Returns their end, where the NUL is. */
char *put_number(char *to, uint64_t n)
{
	char digits[20];
	size_t i = 0;

	do
		digits[i++] = (char)('0' + n % 10);
	while (n /= 10);
	while (i)
		*to++ = digits[--i];
	*to = '\0';
	return to;
}

static void write_access_log(const struct visit *v, const struct http_request *r, int err, uint64_t us)
{
	struct buf *line;

	if (v->is_health && (r->status == 200 || r->status == 503))
		return;
	line = log_begin(LOG_INFO, err ? STR("request broken off") : STR("request"), clock_wall_us(r->started_us + us));
	if (!line)
		return;
	log_plain(line, LOG_NAME("request_id"), str_of(v->request_id));
	log_plain(line, LOG_NAME("trace_id"), (struct str){v->trace.trace_id, 32});
	log_plain(line, LOG_NAME("span_id"), (struct str){v->trace.span_id, 16});
	log_plain(line, LOG_NAME("method"), str_of(http_method_name(r->method)));
	log_text(line, LOG_NAME("path"), (struct str){r->path.p, MIN(r->path.n, (size_t)LOGGED_PATH)});
	log_number(line, LOG_NAME("status"), (uint64_t)r->status);
	log_number(line, LOG_NAME("bytes_in"), r->bytes_in);
	log_number(line, LOG_NAME("bytes_out"), r->bytes_out);
	log_ms(line, LOG_NAME("ms"), us);
	if (v->who.user_id)
		log_text(line, LOG_NAME("user"), str_of(v->who.user_id));
	log_plain(line, LOG_NAME("client"), str_of(v->client.address));
	if (v->path)
		log_text(line, LOG_NAME("role"), str_of(v->path->upstream->settings.name));
	if (v->endpoint) {
		log_text(line, LOG_NAME("upstream"), str_of(v->endpoint));
		log_ms(line, LOG_NAME("wait_ms"), v->sent_us - r->started_us);
	}
	if (v->head_us)
		log_ms(line, LOG_NAME("first_byte_ms"), v->head_us - v->sent_us);
	log_end(line, LOG_INFO);
}

static void export_span(const struct visit *v, const struct http_request *r, int err, uint64_t us)
{
	struct otlp *otlp = service_otlp(v->gateway->service);

	if (!otlp_wants(otlp, &v->trace) || v->is_health)
		return;
	otlp_add_served(otlp, &(struct served){.trace = &v->trace,
					       .method = http_method_name(r->method),
					       .route = v->path && v->path->prefix.n ? v->path->prefix.p : "/",
					       .request_id = v->request_id,
					       .role = v->path ? v->path->upstream->settings.name : "gateway",
					       .status = r->status,
					       .err = err,
					       .us = us});
}

/* The health checks, which come all the time, are not counted. */
static void count(const struct visit *v, const struct http_request *r, uint64_t us)
{
	int role = v->path ? v->path->upstream->settings.role : ROLE_COUNT;
	size_t class = (size_t)r->status / 100;

	if (v->is_health)
		return;
	if (role < 0)
		role = ROLE_COUNT + 1;
	metric_observe(v->gateway->requests[role], (double)us / 1e6);
	metric_add(v->gateway->answers[role][class < 6 ? class : 0], 1);
	if (v->endpoint)
		metric_observe(v->gateway->waits[role], (double)(v->sent_us - r->started_us) / 1e6);
	if (v->head_us)
		metric_observe(v->gateway->first_bytes[role], (double)(v->head_us - v->sent_us) / 1e6);
}

/* The client was answered, or has left. */
static void on_close(struct http_request *r, int err)
{
	struct visit *v = r->owner;
	uint64_t us = clock_mono_us() - r->started_us;

	key_wait_cancel(&v->key_wait);
	limit_wait_cancel(&v->limit_wait);
	count(v, r, us);
	write_access_log(v, r, err, us);
	export_span(v, r, err, us);
	v->r = NULL;
	proxy_cancel(v);
	ready_cancel(v);
	visit_release(v);
}

/* ---- Answers of our own ---- */

struct http_headers *visit_headers(struct visit *v)
{
	struct http_headers *h = &v->answer;

	h->arena = v->arena;
	fields_add(h, STR("X-Request-Id"), str_of(v->request_id));
	if (v->rate.p) {
		fields_add(h, STR("RateLimit-Policy"), v->rate_policy);
		fields_add(h, STR("RateLimit"), v->rate);
	}
	if (v->path && v->path->cors && v->r)
		cors_add(v->path->cors, v->r, h);
	return h;
}

void visit_problem(struct visit *v, int status, const char *code, const char *detail)
{
	if (v->r && !http_reply_has_started(v->r))
		problem_reply_with(v->r, status, code, v->request_id, visit_headers(v), detail);
}

static bool is_read(const struct http_request *r)
{
	return r->method == HTTP_GET_ || r->method == HTTP_HEAD_;
}

static void reply_health(struct visit *v)
{
	static const char text[] = "{\"status\":\"ok\",\"role\":\"gateway\",\"version\":\"" OGENT_VERSION "\"}";
	struct http_headers *h = visit_headers(v);

	fields_add(h, STR("Cache-Control"), STR("no-store"));
	http_reply(v->r, 200, "application/json", h, text, sizeof(text) - 1);
}

/* What the gateway has itself. */
static const struct own_path {
	const char *path;
	void (*reply)(struct visit *v);
	bool is_health; /* asked all the time: not counted, not logged unless it fails */
} own_paths[] = {
	{"/healthz", reply_health, true},
	{"/readyz", ready_start, true},
	{"/api/openapi.json", openapi_reply, false},
};

static const struct own_path *find_own(struct str path)
{
	for (size_t i = 0; i < ARRAY_SIZE(own_paths); i++)
		if (str_is(path, own_paths[i].path))
			return &own_paths[i];
	return NULL;
}

static void reply_own(struct visit *v)
{
	const struct own_path *own = find_own(v->r->path);

	if (!own && str_has_prefix(v->r->path, STR("/api/"))) {
		visit_problem(v, 404, "not_found", "There is nothing at this path.");
	} else if (!is_read(v->r)) {
		v->answer.arena = v->arena;
		fields_add(&v->answer, STR("Allow"), STR("GET, HEAD"));
		visit_problem(v, 405, "method_not_allowed", "This can only be read: use GET.");
	} else if (own) {
		own->reply(v);
	} else {
		web_reply(v);
	}
}

/* ---- The gate ---- */

static void forbid(struct visit *v)
{
	visit_problem(v, 403, "forbidden",
		      arena_printf(v->arena, "This needs the permission %s.", v->path->permission));
}

static void refuse_method(struct visit *v)
{
	v->answer.arena = v->arena;
	fields_add(&v->answer, STR("Allow"), str_of(route_allow(v->arena, v->allowed)));
	visit_problem(v, 405, "method_not_allowed", "This path does not have that method: Allow names those it has.");
}

/* A browser asks whether a page of another origin may. Nobody is signed in for that. */
static void reply_preflight(struct visit *v)
{
	if (!cors_allows(v->path->cors, v->r)) {
		visit_problem(v, 403, "origin_not_allowed", "Pages of this origin may not use this path.");
		return;
	}
	visit_headers(v);
	cors_add_preflight(v->path->cors, &v->answer);
	http_reply(v->r, 204, NULL, &v->answer, NULL, 0);
}

static void pass(struct visit *v)
{
	if (v->is_preflight)
		reply_preflight(v);
	else if (v->path && v->path->permission && !identity_may(&v->who, v->path->permission))
		forbid(v);
	else if (v->path)
		proxy_start(v);
	else if (v->allowed)
		refuse_method(v);
	else
		reply_own(v);
}

/* MCP clients find the authorization server by what stands here (RFC 9728 section 5.1). */
static const char *with_metadata(struct visit *v, const char *challenge)
{
	const char *url = service_public_url(v->gateway->service), *separator = strchr(challenge, ' ') ? "," : "";

	if (!*url || !(str_is(v->r->path, "/mcp") || str_has_prefix(v->r->path, STR("/mcp/"))))
		return challenge;
	return arena_printf(v->arena, "%s%s resource_metadata=\"%s/.well-known/oauth-protected-resource/mcp\"",
			    challenge, separator, url);
}

static void refuse(struct visit *v, const char *challenge, const char *detail)
{
	challenge = with_metadata(v, challenge);
	v->answer.arena = v->arena;
	fields_add(&v->answer, STR("WWW-Authenticate"), str_of(challenge));
	visit_problem(v, 401, "unauthorized", detail);
}

/* Within its rate, the request goes its way. */
static void go_on(struct visit *v)
{
	switch (v->admission) {
	case ADMIT: pass(v); break;
	case REFUSE_NOBODY: refuse(v, "Bearer", "Sign in and send the access token as Authorization: Bearer."); break;
	case REFUSE_TOKEN:
		refuse(v, "Bearer error=\"invalid_token\"", "The access token is not valid (any more). Sign in again.");
		break;
	case REFUSE_WITHOUT_KEYS:
		v->answer.arena = v->arena;
		fields_add(&v->answer, STR("Retry-After"), STR("1"));
		visit_problem(v, 503, "unavailable",
			      "The auth service does not answer, so the access token cannot be checked. Try again in "
			      "a moment.");
		break;
	}
}

static void on_allowance(struct limit_wait *w)
{
	struct visit *v = container_of(w, struct visit, limit_wait);
	struct http_request *r = v->r;

	if (allowance_take(v))
		go_on(v);
	if (!w->share)
		http_body_resume(r);
}

/* Every request counts, whatever becomes of it. */
static void admit(struct visit *v, enum admission admission)
{
	v->admission = admission;
	v->limit_wait.done = on_allowance;
	if (allowance_take(v))
		go_on(v);
}

/* Without people's keys nobody can tell: the client is to come again, not to sign in again. */
static enum admission admission_of(const struct visit *v, enum token_result r)
{
	if (r == TOKEN_OK)
		return ADMIT;
	return r == TOKEN_UNKNOWN_KEY && keyring_cannot_tell(v->worker->keyring) ? REFUSE_WITHOUT_KEYS : REFUSE_TOKEN;
}

/* Tokens of services stay inside. */
static enum token_result check(struct visit *v)
{
	struct identity who;
	enum token_result r = keyring_check_at(v->worker->keyring, v->token, v->r->path, v->arena, &who);

	if (r == TOKEN_OK && who.service[0])
		return TOKEN_NOT_FOR_US;
	if (r == TOKEN_OK)
		v->who = who;
	return r;
}

static void on_keys(struct key_wait *w)
{
	struct visit *v = container_of(w, struct visit, key_wait);
	struct http_request *r = v->r;

	admit(v, admission_of(v, check(v)));
	if (!v->limit_wait.share)
		http_body_resume(r);
}

/* A path that needs a token gets none that is not good; for a public one the role decides what a bad one means. */
static void check_token(struct visit *v, enum bearer bearer)
{
	/* A browser cannot send a token along with a WebSocket: it comes in the first message, and the role checks it.
	 */
	bool is_public = !v->path || v->path->flags & PATH_PUBLIC ||
			 (bearer == BEARER_NONE && !v->path->permission && proxy_upgrades(v));
	enum token_result r = bearer == BEARER_TOKEN ? check(v) : TOKEN_MALFORMED;

	if (r == TOKEN_OK || is_public) {
		admit(v, ADMIT);
	} else if (bearer == BEARER_NONE) {
		admit(v, REFUSE_NOBODY);
	} else {
		v->key_wait.done = on_keys;
		if (r == TOKEN_UNKNOWN_KEY && keyring_wait(v->worker->keyring, v->token, &v->key_wait))
			http_body_pause(v->r);
		else
			admit(v, admission_of(v, r));
	}
}

/* What comes from outside is below the client's span, if it tells one. */
static void begin_trace(struct visit *v)
{
	char *text = arena_alloc_raw(v->arena, TRACEPARENT_SIZE);

	trace_begin(&v->trace, traceparent_of(&v->r->headers, v->arena), v->request_id);
	trace_write(&v->trace, text);
	v->traceparent = text;
}

/* Sets own, or path, or allowed. */
static const struct own_path *find_route(struct visit *v)
{
	struct http_request *r = v->r;
	struct route_wanted wanted = {.path = r->path, .method = r->method};
	const struct own_path *own = find_own(r->path);

	v->routes = routes_ref(reloader_routes(v->worker));
	if (own)
		return own;
	if (v->routes->has_hosts)
		wanted.host = http_field_get(&r->headers, FIELD_HOST);
	v->is_preflight = r->method == HTTP_OPTIONS_ && cors_is_preflight(r) && cors_wanted_method(r, &wanted.method);
	v->path = routes_find(v->routes, &wanted, &v->allowed);
	v->is_preflight = v->is_preflight && v->path && v->path->cors;
	if (v->path && !v->is_preflight && wanted.method != r->method) {
		wanted.method = r->method;
		v->path = routes_find(v->routes, &wanted, &v->allowed);
	}
	if (v->path && route_leads_inside(v->path, r->path))
		v->path = NULL;
	if (v->path)
		http_set_max_body(r, v->path->max_body);
	return NULL;
}

void front_on_request(void *worker, struct http_request *r)
{
	struct visit *v = visit_new(worker);
	const struct own_path *own;
	enum bearer bearer;

	r->owner = v;
	r->on_close = on_close;
	v->r = r;
	v->request_id = request_id_of(&r->headers, clock_wall_us(r->started_us), v->arena);
	begin_trace(v);
	own = find_route(v);
	v->is_health = own && own->is_health;
	visitor_find(r, &v->gateway->proxies, v->gateway->by_forwarded, &v->client);
	bearer = request_bearer(&r->headers, &v->token);
	if (v->is_preflight)
		admit(v, ADMIT);
	else if (bearer == BEARER_REPEATED)
		visit_problem(v, 400, "bad_request", "Send one Authorization header only.");
	else
		check_token(v, bearer);
}
