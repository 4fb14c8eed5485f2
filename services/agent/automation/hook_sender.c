/* Sends what waits in the outbox. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "agent/automation/hooks.h"
#include "agent/runner.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "io/safe_fetch.h"

#define EACH_MS 1000
#define MAX_SENDING 32
#define EACH_WEBHOOK 4 /* claimed at a time, so that a slow one leaves room for others */
#define CLAIM_US (60 * 1000000ll)
#define ANSWER_MS 15000
#define RESPONSE_MAX 1024
#define DISABLE_AFTER_US (5 * 86400 * 1000000ll)

/* One delivery under way. */
struct sending {
	struct list link; /* in hook_sender.sending */
	struct hook_sender *sender;
	struct arena *arena;
	struct safe_fetch *fetch;
	struct db_job db;
	const char *id, *webhook_id, *event, *url, *body;
	const char *secret_sealed, *old_secret_sealed;
	int64_t old_until, tries, started_at;

	/* How it ended. */
	int status; /* 0: no answer */
	const char *error, *response;
	int64_t ended_at, wait_ms; /* wait_ms -1: no more tries */
	enum webhook_outcome outcome;
	const char *disabled; /* why the webhook is, or NULL */
};

struct hook_sender {
	struct agent *agent;
	const struct seal_key *key;
	struct deadline again;
	struct list sending; /* struct sending */
	unsigned n_sending;
	struct db_job db;    /* claiming */
	struct list claimed; /* struct sending, of that job */
	bool is_claiming, is_woken, is_stopped, is_begun;
};

static void sending_free(struct sending *s)
{
	arena_free(s->arena);
}

static struct sending *sending_new(struct hook_sender *sender)
{
	struct arena *a = arena_new();
	struct sending *s = arena_new_of(a, struct sending);

	s->arena = a;
	s->sender = sender;
	return s;
}

/* ---- How a try ended ---- */

static const char *text_of(struct arena *a, struct str body)
{
	char *text = arena_strndup(a, body.p ? body.p : "", MIN(body.n, RESPONSE_MAX));

	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f)
			*p = *p == '\n' ? '\n' : '?';
	return text;
}

static int store_try(struct db_conn *c, const struct sending *s)
{
	return error_only(db_exec(
		c,
		"insert into webhook_tries (delivery_id, number, at, duration_ms, status, error, response) "
		"values (?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
		DB_TEXT(s->id), DB_INT(s->tries), DB_INT(s->started_at), DB_INT((s->ended_at - s->started_at) / 1000),
		s->status ? DB_INT(s->status) : DB_NULL(), DB_TEXT(s->error), DB_TEXT(s->response)));
}

static int store_delivery(struct db_conn *c, const struct sending *s)
{
	bool is_over = s->outcome != WEBHOOK_AGAIN || s->wait_ms < 0;
	const char *status = s->outcome == WEBHOOK_DELIVERED ? "delivered" : is_over ? "failed" : "pending";

	return error_only(
		db_exec(c,
			"update webhook_deliveries set status = ?, tries = ?, next_at = ?, claimed_until = 0, "
			"ended_at = ? where id = ? and status = 'pending'",
			DB_TEXT(status), DB_INT(s->tries), DB_INT(s->ended_at + s->wait_ms * 1000),
			is_over ? DB_INT(s->ended_at) : DB_NULL(), DB_TEXT(s->id)));
}

static int disable(struct db_conn *c, struct sending *s, const char *reason)
{
	int64_t n =
		db_exec(c,
			"update webhooks set status = 'disabled', reason = ?, version = version + 1, updated_at = ? "
			"where id = ? and status = 'active'",
			DB_TEXT(reason), DB_INT(s->ended_at), DB_TEXT(s->webhook_id));

	if (n <= 0)
		return (int)n;
	s->disabled = reason;
	n = db_exec(c,
		    "update webhook_deliveries set status = 'dropped', ended_at = ? where webhook_id = ? and status = "
		    "'pending'",
		    DB_INT(s->ended_at), DB_TEXT(s->webhook_id));
	return (int)MIN(n, 0);
}

static int store_webhook(struct db_conn *c, struct sending *s)
{
	int64_t since = 0, n;
	int r;

	if (s->outcome == WEBHOOK_DELIVERED)
		return error_only(
			db_exec(c,
				"update webhooks set failing_since = null where id = ? and failing_since is not "
				"null",
				DB_TEXT(s->webhook_id)));
	if (s->outcome == WEBHOOK_ENDED)
		return disable(c, s, "gone");
	/* Another try may succeed meanwhile and clear it. */
	n = db_exec(c, "update webhooks set failing_since = ? where id = ? and failing_since is null",
		    DB_INT(s->started_at), DB_TEXT(s->webhook_id));
	if (n != 0)
		return (int)MIN(n, 0);
	r = db_get_int(c, &since, "select failing_since from webhooks where id = ? and failing_since is not null",
		       DB_TEXT(s->webhook_id));
	return r == 1 && since < s->ended_at - DISABLE_AFTER_US ? disable(c, s, "failing") : MIN(r, 0);
}

static int store(struct db_conn *c, struct db_job *job)
{
	struct sending *s = container_of(job, struct sending, db);
	int r;

	s->disabled = NULL;
	r = store_try(c, s);
	if (r == 0)
		r = store_delivery(c, s);
	return r ? r : store_webhook(c, s);
}

static void on_stored(struct db_job *job, int result)
{
	struct sending *s = container_of(job, struct sending, db);
	struct hook_sender *sender = s->sender;

	/* Not stored: the claim runs out, and it is sent again. */
	if (result < 0)
		log_warn("a try of delivery %s was not stored: %s", s->id, strerror(-result));
	if (result == 0 && s->disabled)
		log_event(LOG_WARN, "a webhook was disabled", "webhook_id", s->webhook_id, "reason", s->disabled, NULL);
	list_remove(&s->link);
	sender->n_sending--;
	sending_free(s);
	hook_sender_wake(sender);
}

static void end(struct sending *s, int status, const char *error, int64_t retry_after_s)
{
	s->fetch = NULL;
	s->status = status;
	s->error = error;
	s->ended_at = clock_now_us();
	s->tries++;
	s->outcome = webhook_outcome_of(status);
	s->wait_ms = webhook_wait_ms((unsigned)s->tries, randombytes_random(), retry_after_s);
	if (s->outcome != WEBHOOK_AGAIN)
		s->wait_ms = 0;
	s->db.run = store;
	s->db.done = on_stored;
	db_write(s->sender->agent->db, &s->db);
}

static void on_answer(void *arg, int err, const struct error *error, const struct safe_fetch_answer *answer)
{
	struct sending *s = arg;
	const char *after;

	if (err == -ECANCELED) {
		/* The process ends: whoever is next sends it again. */
		list_remove(&s->link);
		s->sender->n_sending--;
		sending_free(s);
		return;
	}
	if (err < 0) {
		end(s, 0, arena_strdup(s->arena, error->message), 0);
		return;
	}
	after = answer->status == 429 || answer->status == 503 ? safe_fetch_header(answer, s->arena, "retry-after")
							       : NULL;
	s->response = text_of(s->arena, answer->body);
	end(s, answer->status, NULL, after ? webhook_retry_after(str_of(after), clock_now_us() / 1000000) : 0);
}

/* ---- Sending ---- */

static size_t open_secrets(const struct sending *s, struct webhook_secret ret[static WEBHOOK_SECRETS])
{
	const char *sealed[] = {s->secret_sealed, s->old_until > s->started_at ? s->old_secret_sealed : NULL};
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sealed); i++) {
		const char *text = hook_unseal(s->sender->key, s->arena, "webhooks", s->webhook_id, sealed[i]);

		if (text && webhook_secret_parse(str_of(text), &ret[n]) == 0)
			n++;
	}
	return n;
}

static const char *const *make_headers(struct sending *s, const struct webhook_secret *secrets, size_t n)
{
	const char **headers = arena_alloc(s->arena, 6 * sizeof(*headers));
	_cleanup_(buf_deinit) struct buf signature = BUF_INIT;
	int64_t at = s->started_at / 1000000;

	webhook_sign(secrets, n, str_of(s->id), at, str_of(s->body), &signature);
	headers[0] = "Content-Type: application/json";
	headers[1] = "User-Agent: Ogent-Webhook/1";
	headers[2] = arena_printf(s->arena, "webhook-id: %s", s->id);
	headers[3] = arena_printf(s->arena, "webhook-timestamp: %lld", (long long)at);
	headers[4] = arena_printf(s->arena, "webhook-signature: %s", signature.p);
	return headers;
}

static void begin(struct sending *s)
{
	struct agent *agent = s->sender->agent;
	struct webhook_secret secrets[WEBHOOK_SECRETS];
	struct safe_fetch_request r = {.method = "POST",
				       .url = s->url,
				       .body = str_of(s->body),
				       .inner = &agent->outbound_allow,
				       .max_body = RESPONSE_MAX,
				       .is_cut_taken = true,
				       .total_ms = ANSWER_MS};
	size_t n;

	s->started_at = clock_now_us();
	n = open_secrets(s, secrets);
	if (n == 0) {
		end(s, 0, "The secret cannot be opened with the key of this process: make a new one (rotate).", 0);
		return;
	}
	r.headers = make_headers(s, secrets, n);
	sodium_memzero(secrets, sizeof(secrets));
	s->fetch = safe_fetch_start(agent_outbound(agent), &r, on_answer, s);
}

/* ---- Claiming ---- */

#define DUE                                                                                                       \
	"select d.id, d.webhook_id, d.event, w.url, d.body, w.secret_sealed, w.old_secret_sealed, w.old_until, "  \
	"d.tries from webhook_deliveries d join webhooks w on w.id = d.webhook_id where d.id in (select id from " \
	"(select id, row_number() over (partition by webhook_id order by next_at, id) as place from "             \
	"webhook_deliveries where status = 'pending' and next_at <= ? and claimed_until < ?) as due where place " \
	"<= ?) and d.status = 'pending' and d.claimed_until < ? limit ? /*! for update of d skip locked */"

static int claim(struct db_conn *c, struct db_job *job)
{
	struct hook_sender *sender = container_of(job, struct hook_sender, db);
	const char *owner = runner_owner(sender->agent->runner);
	int64_t now = clock_now_us(), room = MAX_SENDING - (int64_t)sender->n_sending, n = 0;
	struct sending *s;
	struct db_stmt *st;
	int r;

	list_foreach (s, &sender->claimed, struct sending, link)
		sending_free(s);
	list_init(&sender->claimed);
	/* What this process had claimed before it was killed. */
	if (!sender->is_begun)
		n = db_exec(
			c,
			"update webhook_deliveries set claimed_until = 0 where claimed_by = ? and status = 'pending'",
			DB_TEXT(owner));
	if (n < 0)
		return (int)n;
	st = db_query(c, DUE, DB_INT(now), DB_INT(now), DB_INT(EACH_WEBHOOK), DB_INT(now), DB_INT(room));
	while ((r = db_step(c, st)) == 1) {
		s = sending_new(sender);
		s->id = db_col_dup(st, 0, s->arena);
		s->webhook_id = db_col_dup(st, 1, s->arena);
		s->event = db_col_dup(st, 2, s->arena);
		s->url = db_col_dup(st, 3, s->arena);
		s->body = db_col_dup(st, 4, s->arena);
		s->secret_sealed = db_col_dup(st, 5, s->arena);
		s->old_secret_sealed = db_col_dup(st, 6, s->arena);
		s->old_until = db_col_int(st, 7);
		s->tries = db_col_int(st, 8);
		list_append(&sender->claimed, &s->link);
	}
	db_done(st);
	list_foreach (s, &sender->claimed, struct sending, link) {
		if (r < 0)
			break;
		n = db_exec(c, "update webhook_deliveries set claimed_by = ?, claimed_until = ? where id = ?",
			    DB_TEXT(owner), DB_INT(now + CLAIM_US), DB_TEXT(s->id));
		r = (int)MIN(n, 0);
	}
	return r;
}

static void on_claimed(struct db_job *job, int result)
{
	struct hook_sender *sender = container_of(job, struct hook_sender, db);
	struct sending *s;

	sender->is_claiming = false;
	if (result < 0)
		log_warn("webhooks wait, their outbox cannot be read: %s", strerror(-result));
	if (result == 0)
		sender->is_begun = true;
	list_foreach (s, &sender->claimed, struct sending, link) {
		list_remove(&s->link);
		if (result < 0 || sender->is_stopped) {
			sending_free(s);
			continue;
		}
		list_append(&sender->sending, &s->link);
		sender->n_sending++;
		begin(s);
	}
	if (!sender->is_stopped && !deadline_is_set(&sender->again))
		deadline_set(service_wheel(sender->agent->service), &sender->again, sender->is_woken ? 1 : EACH_MS);
}

/* A look that costs no write. */
static int look(struct db_conn *c, struct db_job *job)
{
	struct hook_sender *sender = container_of(job, struct hook_sender, db);
	int64_t now = clock_now_us(), one;

	if (!sender->is_begun)
		return 1;
	return db_get_int(c, &one,
			  "select 1 from webhook_deliveries where status = 'pending' and next_at <= ? and "
			  "claimed_until < ? limit 1",
			  DB_INT(now), DB_INT(now));
}

static void on_looked(struct db_job *job, int result)
{
	struct hook_sender *sender = container_of(job, struct hook_sender, db);

	if (result != 1 || sender->is_stopped || sender->n_sending >= MAX_SENDING) {
		on_claimed(job, 1);
		return;
	}
	sender->db.run = claim;
	sender->db.done = on_claimed;
	db_write(sender->agent->db, &sender->db);
}

static void on_again(struct deadline *d)
{
	struct hook_sender *sender = container_of(d, struct hook_sender, again);

	sender->is_claiming = true;
	sender->is_woken = false;
	sender->db.run = look;
	sender->db.done = on_looked;
	db_read(sender->agent->db, &sender->db);
}

struct hook_sender *hook_sender_new(struct agent *agent, const struct seal_key *key)
{
	struct hook_sender *s = xcalloc(1, sizeof(*s));

	s->agent = agent;
	s->key = key;
	list_init(&s->sending);
	list_init(&s->claimed);
	deadline_init(&s->again, on_again);
	return s;
}

void hook_sender_start(struct hook_sender *s)
{
	deadline_set(service_wheel(s->agent->service), &s->again, 1);
}

void hook_sender_stop(struct hook_sender *s)
{
	struct sending *one;

	s->is_stopped = true;
	deadline_clear(&s->again);
	list_foreach (one, &s->sending, struct sending, link)
		if (one->fetch)
			safe_fetch_cancel(one->fetch);
}

void hook_sender_free(struct hook_sender *s)
{
	free(s);
}

void hook_sender_wake(struct hook_sender *s)
{
	s->is_woken = true;
	if (!s->is_claiming && !s->is_stopped)
		deadline_set(service_wheel(s->agent->service), &s->again, 1);
}
