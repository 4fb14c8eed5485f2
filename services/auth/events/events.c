#include "events/events.h"

#include <errno.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "audit/chain.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/networks.h"
#include "io/safe_fetch.h"
#include "oauth/oauth.h"
#include "service/webhook.h"
#include "sso/sso.h"

#define SENDERS 4 /* at one time */
#define TOTAL_MS 10000
#define LEASE_US (60 * INT64_C(1000000))
#define KEEP_US (30 * 24 * 3600 * INT64_C(1000000)) /* deliveries that ended */
#define LOOK_MS 60000                               /* without anybody saying so, for other processes' */
#define COMMIT_MS 50                                /* until what was written is there */
#define COMMIT_WAIT_US 5000000
#define SWEEP_EVERY 64
#define ANSWER_MAX 4096

struct item {
	const char *id, *webhook_id, *body, *url, *secret;
	int64_t tries;
};

/* What a sender waits for. */
enum sender_state { SENDER_IDLE, SENDER_TAKING, SENDER_SENDING, SENDER_SAVING };

struct sender {
	struct events *events;
	enum sender_state state;
	struct db_job job;
	struct arena *arena;
	struct item item;
	bool has_item, may_have_more;
	int64_t next_us; /* when the next one is due, 0 = there is none */
	int status;
	int64_t retry_after_s;
	char error[200];
};

struct events {
	struct auth *auth;
	struct networks inner;
	uv_async_t written; /* by jobs: there is something new */
	struct db_job job;  /* at the start */
	struct deadline next;
	uint64_t woken_us; /* monotonic: when something was written last */
	bool is_ending;
	struct sender senders[SENDERS];
};

/* ---- Adding ---- */

const char *events_secret_context(struct arena *a, const char *webhook_id)
{
	return arena_printf(a, "security_webhooks.secret %s", webhook_id);
}

static const char *body_of(struct arena *a, const struct audit_event *e, const char *id, int64_t at)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *data, *actor;

	json_add_str(doc, obj, "type", e->event);
	json_add_time(doc, obj, "timestamp", at);
	data = yyjson_mut_obj_add_obj(doc, obj, "data");
	json_add_str(doc, data, "id", id);
	json_add_str(doc, data, "outcome", audit_outcomes[e->outcome]);
	actor = yyjson_mut_obj_add_obj(doc, data, "actor");
	json_add_str(doc, actor, "kind", e->actor_kind);
	json_add_str(doc, actor, "id", e->actor_id);
	json_add_str(doc, actor, "name", e->actor_name);
	json_add_str(doc, data, "target", e->target);
	json_add_str(doc, data, "address", e->address);
	json_add_str(doc, data, "session_id", e->session_id);
	json_add_str(doc, data, "request_id", e->request_id);
	json_add_raw(doc, data, "detail", e->detail);
	return json_text(a, doc).p;
}

int events_add_one(struct db_conn *c, const struct auth *auth, const char *webhook_id, const struct audit_event *e,
		   int64_t at)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	char id[ID_SIZE];
	int64_t r;

	id_new(id);
	r = db_exec(c,
		    "insert into security_deliveries (id, webhook_id, event, body, created_at, state, tries, next_at, "
		    "leased) values (?, ?, ?, ?, ?, 'waiting', 0, ?, 0)",
		    DB_TEXT(id), DB_TEXT(webhook_id), DB_TEXT(e->event), DB_TEXT(body_of(a, e, id, at)), DB_INT(at),
		    DB_INT(at));
	if (r >= 0 && auth->events)
		uv_async_send(&auth->events->written);
	return (int)MIN(r, 0);
}

static bool is_wanted(struct arena *a, const char *patterns, const char *event)
{
	yyjson_doc *doc = json_parse(a, patterns, strlen(patterns), NULL);
	yyjson_val *list = doc ? yyjson_doc_get_root(doc) : NULL, *item;
	size_t i, n;

	if (yyjson_is_arr(list) && yyjson_arr_size(list) == 0)
		return true;
	yyjson_arr_foreach(list, i, n, item)
	{
		if (yyjson_is_str(item) && permission_covers(yyjson_get_str(item), event))
			return true;
	}
	return false;
}

int events_add(struct db_conn *c, const struct auth *auth, const struct audit_event *e, int64_t at)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct db_stmt *st = db_query(c, "select id, events from security_webhooks where enabled = 1");
	const char *ids[32];
	size_t n = 0;
	int r;

	while ((r = db_step(c, st)) == 1 && n < ARRAY_SIZE(ids))
		if (is_wanted(a, db_col_dup(st, 1, a), e->event))
			ids[n++] = db_col_dup(st, 0, a);
	db_done(st);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = events_add_one(c, auth, ids[i], e, at);
	return MIN(r, 0);
}

int events_url_check(const struct auth *auth, struct arena *a, const char *url, struct error *err)
{
	if (!provider_url_is_fine(url, false))
		return error_set(err, "invalid_field", "`url` must be an https address of at most 500 bytes.");
	return safe_url_check(url, &auth->events->inner, a, NULL, err);
}

/* ---- Taking ---- */

static int sweep(struct db_conn *c, int64_t now)
{
	if (randombytes_uniform(SWEEP_EVERY))
		return 0;
	return error_only(db_exec(c, "delete from security_deliveries where ended_at < ?", DB_INT(now - KEEP_US)));
}

static int find_item(struct db_conn *c, struct sender *s, int64_t now)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c,
		"select d.id, d.webhook_id, d.body, d.tries, w.url, w.secret, d.next_at from security_deliveries d "
		"join security_webhooks w on w.id = d.webhook_id where d.state = 'waiting' and w.enabled = 1 order by "
		"d.next_at, d.id limit 1");
	int r = db_step(c, st);

	s->has_item = s->may_have_more = false;
	s->next_us = 0;
	if (r != 1)
		return r;
	s->next_us = db_col_int(st, 6);
	s->has_item = s->next_us <= now;
	s->item = (struct item){
		.id = db_col_dup(st, 0, s->arena),
		.webhook_id = db_col_dup(st, 1, s->arena),
		.body = db_col_dup(st, 2, s->arena),
		.tries = db_col_int(st, 3) + 1,
		.url = db_col_dup(st, 4, s->arena),
		.secret = db_col_dup(st, 5, s->arena),
	};
	return 1;
}

static int take_run(struct db_conn *c, struct db_job *job)
{
	struct sender *s = container_of(job, struct sender, job);
	int64_t now = clock_now_us(), r;

	arena_reset(s->arena);
	r = find_item(c, s, now);
	if (r <= 0 || !s->has_item)
		return (int)MIN(r, 0);
	r = db_exec(c,
		    "update security_deliveries set tries = ?, next_at = ?, leased = 1 where id = ? and tries = ? and "
		    "state = 'waiting'",
		    DB_INT(s->item.tries), DB_INT(now + LEASE_US), DB_TEXT(s->item.id), DB_INT(s->item.tries - 1));
	s->has_item = r == 1;
	s->may_have_more = true;
	return r < 0 ? (int)r : sweep(c, now);
}

/* ---- Saving ---- */

static int end_row(struct db_conn *c, struct sender *s, const char *state, int64_t now)
{
	return error_only(
		db_exec(c,
			"update security_deliveries set state = ?, leased = 0, status = ?, error = ?, ended_at = ? "
			"where id = ?",
			DB_TEXT(state), s->status ? DB_INT(s->status) : DB_NULL(), DB_TEXT(*s->error ? s->error : NULL),
			DB_INT(now), DB_TEXT(s->item.id)));
}

static int save_run(struct db_conn *c, struct db_job *job)
{
	struct sender *s = container_of(job, struct sender, job);
	enum webhook_outcome outcome = webhook_outcome_of(s->status);
	int64_t now = clock_now_us(), wait = -1, r;

	if (outcome == WEBHOOK_DELIVERED)
		return end_row(c, s, "delivered", now);
	if (outcome == WEBHOOK_AGAIN)
		wait = webhook_wait_ms((unsigned)s->item.tries, randombytes_random(), s->retry_after_s);
	if (wait < 0) {
		r = end_row(c, s, "failed", now);
		if (r == 0 && outcome == WEBHOOK_ENDED)
			r = db_exec(c, "update security_webhooks set enabled = 0, updated_at = ? where id = ?",
				    DB_INT(now), DB_TEXT(s->item.webhook_id));
		return (int)MIN(r, 0);
	}
	return error_only(
		db_exec(c, "update security_deliveries set next_at = ?, leased = 0, status = ?, error = ? where id = ?",
			DB_INT(now + wait * 1000), s->status ? DB_INT(s->status) : DB_NULL(),
			DB_TEXT(*s->error ? s->error : NULL), DB_TEXT(s->item.id)));
}

/* ---- Sending ---- */

static void next(struct sender *s, int err);

static void job_done(struct db_job *job, int result)
{
	next(container_of(job, struct sender, job), result);
}

static void save(struct sender *s)
{
	s->state = SENDER_SAVING;
	s->job = (struct db_job){.run = save_run, .done = job_done};
	db_write(s->events->auth->db, &s->job);
}

static void on_answer(void *arg, int err, const struct error *error, const struct safe_fetch_answer *answer)
{
	struct sender *s = arg;

	/* The row keeps its lease, so that the next start sends it again. */
	if (s->events->is_ending) {
		s->state = SENDER_IDLE;
		return;
	}
	s->status = err ? 0 : answer->status;
	s->retry_after_s = 0;
	if (!err) {
		const char *after = safe_fetch_header(answer, s->arena, "Retry-After");

		s->retry_after_s = after ? webhook_retry_after(str_of(after), clock_now_us() / 1000000) : 0;
	}
	snprintf(s->error, sizeof(s->error), "%.190s", err ? error->message : "");
	save(s);
}

static bool sign(struct sender *s, int64_t now_s, struct buf *ret)
{
	struct auth *auth = s->events->auth;
	const char *text = oauth_unseal(auth->oauth, s->arena, events_secret_context(s->arena, s->item.webhook_id),
					s->item.secret);
	struct webhook_secret secret;
	bool is_fine = text && webhook_secret_parse(str_of(text), &secret) == 0;

	if (is_fine)
		webhook_sign(&secret, 1, str_of(s->item.id), now_s, str_of(s->item.body), ret);
	sodium_memzero(&secret, sizeof(secret));
	return is_fine;
}

static void send_item(struct sender *s)
{
	_cleanup_(buf_deinit) struct buf signature = BUF_INIT;
	int64_t now_s = clock_now_us() / 1000000;
	const char *headers[6] = {"Content-Type: application/json", "User-Agent: Ogent"};
	struct safe_fetch_request request = {
		.method = "POST",
		.url = s->item.url,
		.headers = headers,
		.body = str_of(s->item.body),
		.inner = &s->events->inner,
		.max_body = ANSWER_MAX,
		.is_cut_taken = true,
		.total_ms = TOTAL_MS,
	};

	s->state = SENDER_SENDING;
	if (!sign(s, now_s, &signature)) {
		s->status = 0;
		s->retry_after_s = 0;
		snprintf(s->error, sizeof(s->error),
			 "The webhook's secret cannot be read; remove it and add it again.");
		save(s);
		return;
	}
	headers[2] = arena_printf(s->arena, "webhook-id: %s", s->item.id);
	headers[3] = arena_printf(s->arena, "webhook-timestamp: %lld", (long long)now_s);
	headers[4] = arena_printf(s->arena, "webhook-signature: %s", signature.p);
	safe_fetch_start(s->events->auth->oauth->outbound, &request, on_answer, s);
}

/* ---- The flow ---- */

static void look(struct events *e)
{
	struct sender *idle = NULL;

	if (e->is_ending)
		return;
	deadline_clear(&e->next);
	for (size_t i = 0; i < SENDERS; i++) {
		if (e->senders[i].state == SENDER_TAKING)
			return;
		if (e->senders[i].state == SENDER_IDLE)
			idle = &e->senders[i];
	}
	if (!idle)
		return;
	idle->state = SENDER_TAKING;
	idle->job = (struct db_job){.run = take_run, .done = job_done};
	db_write(e->auth->db, &idle->job);
}

static void rest(struct events *e, int64_t next_us)
{
	int64_t ms = next_us ? MAX((next_us - clock_now_us()) / 1000, 1) : LOOK_MS;

	if (e->woken_us && clock_mono_us() - e->woken_us < COMMIT_WAIT_US)
		ms = MIN(ms, COMMIT_MS * 4);
	if (!e->is_ending)
		deadline_set(service_wheel(e->auth->service), &e->next, (uint64_t)MIN(ms, LOOK_MS));
}

static void next(struct sender *s, int err)
{
	struct events *e = s->events;
	enum sender_state from = s->state;

	if (e->is_ending) {
		s->state = SENDER_IDLE;
		return;
	}
	if (err < 0) {
		log_event(LOG_WARN, "security events wait for their database", "why", strerror(-err), NULL);
		s->state = SENDER_IDLE;
		rest(e, clock_now_us() + 1000000);
		return;
	}
	if (from == SENDER_TAKING && s->has_item) {
		send_item(s);
		look(e);
		return;
	}
	s->state = SENDER_IDLE;
	if (from == SENDER_SAVING || s->may_have_more)
		look(e);
	else
		rest(e, s->next_us);
}

static void on_deadline(struct deadline *d)
{
	look(container_of(d, struct events, next));
}

static void on_written(uv_async_t *a)
{
	struct events *e = container_of(a, struct events, written);

	e->woken_us = clock_mono_us();
	if (!e->is_ending)
		deadline_set(service_wheel(e->auth->service), &e->next, COMMIT_MS);
}

/* ---- Start and end ---- */

/* What the last process of this machine had under way. On a server another one may be at it: there the lease decides.
 */
static int release_run(struct db_conn *c, struct db_job *job)
{
	if (strcmp(db_dialect(c), "sqlite") != 0)
		return 0;
	return error_only(db_exec(c,
				  "update security_deliveries set next_at = ?, leased = 0 where state = 'waiting' and "
				  "leased = 1",
				  DB_INT(clock_now_us())));
}

static void released(struct db_job *job, int result)
{
	look(container_of(job, struct events, job));
}

int events_open(struct auth *auth, struct error *err)
{
	struct events *e = xcalloc(1, sizeof(*e));

	e->auth = auth;
	auth->events = e;
	deadline_init(&e->next, on_deadline);
	for (size_t i = 0; i < SENDERS; i++)
		e->senders[i] = (struct sender){.events = e, .arena = arena_new()};
	uv_async_init(service_loop(auth->service), &e->written, on_written);
	uv_unref((uv_handle_t *)&e->written);
	e->job = (struct db_job){.run = release_run, .done = released};
	db_write(auth->db, &e->job);
	return networks_parse(&e->inner, option_str(service_options(auth->service), "outbound_allow"), "outbound_allow",
			      err);
}

void events_close(struct auth *auth)
{
	struct events *e = auth->events;

	e->is_ending = true;
	deadline_clear(&e->next);
}

static void closed(uv_handle_t *handle)
{
	struct events *e = container_of((uv_async_t *)handle, struct events, written);

	for (size_t i = 0; i < SENDERS; i++)
		arena_free(e->senders[i].arena);
	free(e);
}

void events_free(struct auth *auth)
{
	if (auth->events)
		uv_close((uv_handle_t *)&auth->events->written, closed);
	auth->events = NULL;
}
