/* The one gate in front of all handlers: route, token, permission, body; then the handler, the log line, the figures.
 */
#include "service/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/id.h"
#include "service/request.h"

#define BODY_MAX (1024 * 1024)
#define IDEMPOTENCY_KEY_MAX 255

static void exchange_unref(struct exchange_full *f)
{
	struct service *s = f->x.service;
	struct arena *a = f->x.arena;

	if (--f->refs)
		return;
	if (s->n_arenas < SERVICE_ARENAS) {
		arena_reset(a);
		s->arenas[s->n_arenas++] = a;
	} else {
		arena_free(a);
	}
}

void exchange_hold(struct exchange *x)
{
	exchange_full(x)->refs++;
}

void exchange_drop(struct exchange *x)
{
	exchange_unref(exchange_full(x));
}

static void write_access_log(struct exchange_full *f, const struct http_request *r, int err, uint64_t us)
{
	const struct route *route = f->x.route;
	char status[16], ms[32], in[24], out[24];

	if (!log_enabled(LOG_INFO) || (route && (route->flags & ROUTE_QUIET) && (r->status == 200 || r->status == 503)))
		return;
	snprintf(status, sizeof(status), "%d", r->status);
	snprintf(ms, sizeof(ms), "%.3f", (double)us / 1000);
	snprintf(in, sizeof(in), "%llu", (unsigned long long)r->bytes_in);
	snprintf(out, sizeof(out), "%llu", (unsigned long long)r->bytes_out);
	log_event(LOG_INFO, err ? "request broken off" : "request", "request_id", f->x.request_id, "trace_id",
		  f->x.trace.trace_id, "span_id", f->x.trace.span_id, "method", http_method_name(r->method), "route",
		  route ? route->pattern : "", "status", status, "bytes_in", in, "bytes_out", out, "ms", ms, "user",
		  f->x.who.user_id ? f->x.who.user_id : "", "caller", f->x.who.service ? f->x.who.service : "", "actor",
		  f->x.who.actor ? f->x.who.actor : "", NULL);
}

/* Those of health.c, which are asked all the time, are not counted. */
static void count_answer(const struct exchange_full *f, unsigned class, uint64_t us)
{
	const struct route_entry *e = f->match.entry;

	if (!e)
		metric_add(f->x.service->answers[class], 1);
	if (!e || !e->seconds)
		return;
	metric_add(e->answers[class], 1);
	metric_observe(e->seconds, (double)us / 1e6);
}

static void export_span(const struct exchange_full *f, const struct http_request *r, int err, uint64_t us)
{
	const struct route *route = f->x.route;
	struct otlp *otlp = f->x.service->otlp;

	if (!otlp_wants(otlp, &f->x.trace) || (route && route->flags & ROUTE_QUIET))
		return;
	otlp_add_served(otlp, &(struct served){.trace = &f->x.trace,
					       .method = http_method_name(r->method),
					       .route = route ? route->pattern : "",
					       .request_id = f->x.request_id,
					       .status = r->status,
					       .err = err,
					       .us = us});
}

/* The answer is out, or the client has left. */
static void on_close(struct http_request *r, int err)
{
	struct exchange_full *f = r->owner;
	uint64_t us = clock_mono_us() - r->started_us;
	unsigned class = (unsigned)r->status / 100;

	key_wait_cancel(&f->key_wait);
	sse_stop(f);
	f->x.req = NULL;
	count_answer(f, class < ANSWER_CLASSES ? class : 0, us);
	write_access_log(f, r, err, us);
	export_span(f, r, err, us);
	if ((err || f->sse_cut) && f->x.on_gone)
		f->x.on_gone(&f->x);
	exchange_unref(f);
}

static struct exchange_full *exchange_new(struct service *s, struct http_request *r)
{
	struct arena *a = s->n_arenas ? s->arenas[--s->n_arenas] : arena_new();
	struct exchange_full *f = arena_new_of(a, struct exchange_full);

	f->refs = 1;
	f->headers.arena = a;
	f->x.service = s;
	f->x.arena = a;
	f->x.req = r;
	f->x.request_id = request_id_of(&r->headers, clock_wall_us(r->started_us), a);
	trace_begin(&f->x.trace, traceparent_of(&r->headers, a), f->x.request_id);
	char *traceparent = arena_alloc(a, TRACEPARENT_SIZE);
	trace_write(&f->x.trace, traceparent);
	f->x.traceparent = traceparent;
	r->owner = f;
	r->on_close = on_close;
	return f;
}

static void handle(struct exchange_full *f)
{
	f->x.route->handler(&f->x);
}

static bool is_json(struct str type)
{
	struct str rest = type, name = str_trim(str_cut(&rest, ';'));

	if (!str_ieq(name, STR("application/json")))
		return false;
	rest = str_trim(rest);
	return !rest.n || str_ieq(rest, STR("charset=utf-8")) || str_ieq(rest, STR("charset=\"utf-8\""));
}

/* What makes two requests the same for an Idempotency-Key. Keyed with our own secret: a body may hold a password, which
 * a plain hash in the database would make cheap to guess. */
static void hash_request(struct exchange_full *f, struct str body)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	const struct token_key *key = service_key(f->x.service);
	crypto_auth_hmacsha256_state st;
	uint8_t mac[crypto_auth_hmacsha256_BYTES];

	buf_printf(&text, "%s ", http_method_name(f->x.req->method));
	buf_add(&text, f->x.req->target.p, f->x.req->target.n);
	buf_add_char(&text, '\n');
	crypto_auth_hmacsha256_init(&st, key->secret_key, sizeof(key->secret_key));
	crypto_auth_hmacsha256_update(&st, (const uint8_t *)text.p, text.n);
	crypto_auth_hmacsha256_update(&st, (const uint8_t *)body.p, body.n);
	crypto_auth_hmacsha256_final(&st, mac);
	hex_encode(mac, sizeof(mac), f->request_hash);
}

static void on_body(struct http_request *r, int err, struct str body)
{
	struct exchange_full *f = r->owner;
	struct error why = {0};

	if (err || http_reply_has_started(r))
		return;
	if (f->idempotency_key)
		hash_request(f, body);
	f->x.raw_body = arena_str(f->x.arena, body);
	if (!body.n && (f->x.route->flags & ROUTE_BODY_OPTIONAL)) {
		handle(f);
		return;
	}
	if (!body.n) {
		reply_problem(&f->x, 400, "invalid_json", "Send a JSON object as the body of this request.");
		return;
	}

	yyjson_doc *doc = json_parse(f->x.arena, f->x.raw_body.p, f->x.raw_body.n, &why);
	f->x.body = doc ? yyjson_doc_get_root(doc) : NULL;
	if (!doc)
		reply_problem(&f->x, 400, "invalid_json", "%s", why.message);
	else if (!yyjson_is_obj(f->x.body))
		reply_problem(&f->x, 400, "invalid_json", "The body must be a JSON object.");
	else
		handle(f);
}

static void read_json(struct exchange_full *f)
{
	struct http_request *r = f->x.req;
	size_t max = f->x.route->max_body ? f->x.route->max_body : BODY_MAX;

	if (r->content_length > 0 && (uint64_t)r->content_length > max) {
		reply_problem(&f->x, 413, "body_too_large", "The body has more than the %zu bytes allowed here.", max);
		return;
	}
	if (r->content_length && !is_json(http_header_get(&r->headers, "Content-Type"))) {
		reply_problem(&f->x, 415, "unsupported_media_type",
			      "Send the body with Content-Type: application/json.");
		return;
	}
	if (http_header_get(&r->headers, "Content-Encoding").p) {
		reply_problem(&f->x, 415, "unsupported_media_type", "Send the body without a Content-Encoding.");
		return;
	}
	http_set_max_body(r, max);
	http_read_body(r, on_body);
}

/* Returns false after answering 400. */
static bool read_idempotency_key(struct exchange_full *f)
{
	struct str key = http_header_get(&f->x.req->headers, "Idempotency-Key");

	if (!key.p)
		return true;
	for (size_t i = 0; i < key.n; i++)
		if (key.p[i] < ' ' || key.p[i] > '~')
			key.n = 0;
	if (!key.n || key.n > IDEMPOTENCY_KEY_MAX) {
		reply_problem(&f->x, 400, "bad_request", "An Idempotency-Key has 1 to %d printable ASCII characters.",
			      IDEMPOTENCY_KEY_MAX);
		return false;
	}
	f->idempotency_key = arena_strndup(f->x.arena, key.p, key.n);
	return true;
}

/* What everybody who is signed in may do, a program that acts for somebody may not without more. */
static bool is_kept_from(const struct route *route, const struct identity *who)
{
	if (!who->user_id || !who->client_id[0] || route->permission || route->flags & ROUTE_PUBLIC)
		return false;
	return !route->client_permission ||
	       (route->client_permission[0] && !identity_may(who, route->client_permission));
}

/* Who asks is known: may he? A service that acts for a user may what both may (user_rights.h). */
static void admit(struct exchange_full *f)
{
	const struct route *route = f->x.route;
	const struct identity *who = &f->x.who;
	bool is_service = who->user_id && who->service[0];

	/* A value that cannot be decoded would count as absent, and something else would be meant than what is named.
	 */
	if (!http_query_is_clean(f->x.arena, f->x.req->query)) {
		reply_problem(&f->x, 400, "bad_request",
			      "The query has a '%%' that is not followed by two digits of a byte, or is not UTF-8.");
		return;
	}
	if ((route->flags & ROUTE_INTERNAL) && !is_service) {
		reply_problem(&f->x, 403, "forbidden", "Only Ogent's own services may call this.");
		return;
	}
	if (route->permission && !identity_may(who, route->permission)) {
		reply_problem(&f->x, 403, "forbidden", "This needs the permission %s.", route->permission);
		return;
	}
	if (is_kept_from(route, who)) {
		reply_problem(&f->x, 403, "forbidden",
			      "A program that acts for you may not do this; sign in yourself.");
		return;
	}
	if (!read_idempotency_key(f))
		return;
	if (route->flags & ROUTE_BODY_JSON) {
		read_json(f);
		return;
	}
	if (f->idempotency_key)
		hash_request(f, (struct str){0});
	if (!(route->flags & ROUTE_STREAM) && route->max_body)
		http_set_max_body(f->x.req, route->max_body);
	handle(f);
}

/* Without people's keys nobody can tell: the client is to come again, not to sign in again. */
static void refuse_token(struct exchange_full *f, enum token_result r)
{
	if (r == TOKEN_UNKNOWN_KEY && keyring_cannot_tell(f->x.service->keyring)) {
		reply_problem(&f->x, 503, "unavailable",
			      "The auth service does not answer, so the access token cannot be checked. Try again in "
			      "a moment.");
		return;
	}
	if (f->is_user_gone) {
		reply_problem(&f->x, 403, "forbidden", "This user is disabled or removed, so nothing is done for him.");
		return;
	}
	reply_header(&f->x, "WWW-Authenticate", "Bearer error=\"invalid_token\"");
	reply_problem(&f->x, 401, "unauthorized", "The access token is not valid (any more). Sign in again.");
}

/* A service's token is good among services only: what the gateway brings from outside has X-Forwarded-For. */
static enum token_result identify(struct exchange_full *f)
{
	struct identity who = {0};
	enum token_result r = keyring_check_at(f->x.service->keyring, f->token, f->x.req->path, f->x.arena, &who);

	f->is_user_gone = r == TOKEN_REVOKED && who.service && who.service[0];
	if (r == TOKEN_OK && who.service[0] && http_header_get(&f->x.req->headers, "X-Forwarded-For").p)
		return TOKEN_NOT_FOR_US;
	if (r == TOKEN_OK)
		f->x.who = who;
	return r;
}

static void on_keys(struct key_wait *w)
{
	struct exchange_full *f = container_of(w, struct exchange_full, key_wait);

	enum token_result r = identify(f);

	if (r)
		refuse_token(f, r);
	else
		admit(f);
	http_body_resume(f->x.req);
}

static void check_token(struct exchange_full *f)
{
	bool is_public = f->x.route->flags & ROUTE_PUBLIC;
	enum token_result r;

	switch (request_bearer(&f->x.req->headers, &f->token)) {
	case BEARER_REPEATED: reply_problem(&f->x, 400, "bad_request", "Send one Authorization header only."); return;
	case BEARER_NONE:
		if (is_public) {
			admit(f);
			return;
		}
		reply_header(&f->x, "WWW-Authenticate", "Bearer");
		reply_problem(&f->x, 401, "unauthorized",
			      "Sign in and send the access token as Authorization: Bearer.");
		return;
	case BEARER_OTHER: r = TOKEN_MALFORMED; break;
	case BEARER_TOKEN: r = identify(f); break;
	default: abort();
	}

	if (r == TOKEN_OK || is_public) {
		admit(f);
		return;
	}
	f->key_wait.done = on_keys;
	if (r == TOKEN_UNKNOWN_KEY && keyring_wait(f->x.service->keyring, f->token, &f->key_wait))
		http_body_pause(f->x.req);
	else
		refuse_token(f, r);
}

static void answer_without_route(struct exchange_full *f)
{
	struct http_request *r = f->x.req;

	if (!f->match.allowed) {
		reply_problem(&f->x, 404, "not_found", "There is nothing at this path.");
		return;
	}
	reply_header(&f->x, "Allow", route_allow(f->x.arena, f->match.allowed));
	if (r->method == HTTP_OPTIONS_)
		reply_empty(&f->x, 204);
	else
		reply_problem(&f->x, 405, "method_not_allowed",
			      "%s is not possible here; the Allow header says what is.", http_method_name(r->method));
}

void gate_on_request(void *arg, struct http_request *r)
{
	struct service *s = arg;
	struct exchange_full *f = exchange_new(s, r);

	router_match(s->router, r->method, r->path, &f->match);
	if (!f->match.entry) {
		answer_without_route(f);
		return;
	}
	f->x.route = f->match.entry->route;
	f->x.self = f->match.entry->self;
	for (unsigned i = 0; i < ROUTE_MAX_PARAMS && f->match.params[i].p; i++) {
		struct str p = f->match.params[i];

		f->x.params[i] = (struct str){arena_strndup(f->x.arena, p.p, p.n), p.n};
	}
	check_token(f);
}
