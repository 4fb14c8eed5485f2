#include "outbox.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "io/smtp.h"

#define KEEP_US (30 * 24 * 3600 * INT64_C(1000000)) /* what was sent is to be seen */
#define GIVE_UP_US (2 * 24 * 3600 * INT64_C(1000000))
#define SWEEP_EVERY 256 /* looks, on average */
#define RETRY_MAX_MS 3600000
#define LEASE_MORE_MS 5000  /* beyond the longest try: then another process takes a row over */
#define LOOK_OWN_MS 60000   /* how often it looks of itself */
#define LOOK_SHARED_MS 5000 /* on a database that other auth processes write to */
#define FAILED_MS 2000      /* after the database failed */
#define CALL_MS 10000

enum outbox_state { OUTBOX_RESTING, OUTBOX_TAKING, OUTBOX_SENDING, OUTBOX_SAVING };

struct outbox {
	struct auth *auth;
	struct job_lane *lane; /* for SMTP; made with the first mail */
	struct deadline next;
	enum outbox_state state;
	bool was_woken; /* while it was not resting */
	atomic_bool is_ending;
	struct arena *arena; /* of the item */

	/* TAKING */
	struct db_job job;
	struct outbox_item item;
	bool has_item, may_have_more;
	int64_t next_us; /* when the next row is due; 0: none waits */

	/* SENDING */
	struct job sending;
	struct buf text, link, ends;
	struct smtp_mail mail;
	struct http_fetch *call;
	enum smtp_result result;
	struct error error;
};

static void look(struct outbox *o);

static bool is_shared(const struct outbox *o)
{
	return strcmp(db_url_dialect(o->auth->db), "sqlite") != 0;
}

/* ---- Adding ---- */

static const char *facts_text(struct arena *a, const struct mail_facts *f)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	const struct {
		const char *name, *value;
	} texts[] = {
		{"name", f->name}, {"by", f->by}, {"address", f->address}, {"agent", f->agent}, {"other", f->other}};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (texts[i].value)
			json_add_str(doc, obj, texts[i].name, texts[i].value);
	yyjson_mut_obj_add_int(doc, obj, "at", f->at ? f->at : clock_now_us());
	return json_text(a, doc).p;
}

static int add(struct db_conn *c, const char *kind, const char *to, const char *user_id, const char *link_id,
	       const char *facts)
{
	int64_t now = clock_now_us();
	char id[ID_SIZE];

	id_new(id);
	return error_only(db_exec(c,
				  "insert into outbox (id, kind, recipient, user_id, link_id, facts, state, attempts, "
				  "next_at, created_at) values (?, ?, ?, ?, ?, ?, 'waiting', 0, ?, ?)",
				  DB_TEXT(id), DB_TEXT(kind), DB_TEXT(to), DB_TEXT(user_id), DB_TEXT(link_id),
				  DB_TEXT(facts), DB_INT(now), DB_INT(now)));
}

int outbox_add(struct db_conn *c, struct arena *a, const struct outbox_mail *mail)
{
	return add(c, mail->kind, mail->to, mail->user_id, mail->link_id, facts_text(a, &mail->facts));
}

int outbox_add_call(struct db_conn *c, const char *kind, const char *user_id, const char *json)
{
	return add(c, kind, "", user_id, NULL, json);
}

/* ---- Taking ---- */

static int sweep(struct db_conn *c, int64_t now)
{
	int64_t r = 0;

	if (!randombytes_uniform(SWEEP_EVERY))
		r = db_exec(c, "delete from outbox where ended_at < ?", DB_INT(now - KEEP_US));
	return (int)MIN(r, 0);
}

/* 1 with the row that waits longest, 0 when none is due, or -errno. */
static int find_due(struct db_conn *c, struct outbox *o, int64_t now)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c,
			 "select id, kind, recipient, user_id, link_id, facts, attempts, created_at from outbox "
			 "where state = 'waiting' and next_at <= ? order by next_at limit 1" DB_FOR_UPDATE,
			 DB_INT(now));
	int r = db_step(c, st);

	if (r == 1)
		o->item = (struct outbox_item){
			.id = db_col_dup(st, 0, o->arena),
			.kind = db_col_dup(st, 1, o->arena),
			.to = db_col_dup(st, 2, o->arena),
			.user_id = db_col_dup(st, 3, o->arena),
			.link_id = db_col_dup(st, 4, o->arena),
			.facts = db_col_dup(st, 5, o->arena),
			.attempts = db_col_int(st, 6),
			.created_at = db_col_int(st, 7),
		};
	return r;
}

/* What of a row waits for a server is under way until its lease ends; what is for the administrators is done. */
static int take(struct db_conn *c, struct outbox *o, int64_t now)
{
	const struct outbox_item *i = &o->item;
	int64_t lease = now + (o->auth->mail.timeout_ms + LEASE_MORE_MS) * 1000, r;

	if (!o->auth->mail.is_on && mail_kind_is_known(i->kind)) {
		r = db_exec(c,
			    "update outbox set state = 'shown', kind = ?, recipient = ?, user_id = ?, link_id = ?, "
			    "ended_at = ? where id = ?",
			    DB_TEXT(i->kind), DB_TEXT(i->to), DB_TEXT(i->user_id), DB_TEXT(i->link_id), DB_INT(now),
			    DB_TEXT(i->id));
		return (int)MIN(r, 0);
	}
	r = db_exec(c,
		    "update outbox set attempts = attempts + 1, next_at = ?, error = null, kind = ?, recipient = ?, "
		    "user_id = ?, link_id = ? where id = ?",
		    DB_INT(lease), DB_TEXT(i->kind), DB_TEXT(i->to), DB_TEXT(i->user_id), DB_TEXT(i->link_id),
		    DB_TEXT(i->id));
	o->item.attempts++;
	o->has_item = r == 1;
	return (int)MIN(r, 0);
}

static int take_run(struct db_conn *c, struct db_job *job)
{
	struct outbox *o = container_of(job, struct outbox, job);
	int64_t now = clock_now_us();
	int r;

	arena_reset(o->arena);
	o->has_item = false;
	o->next_us = 0;
	r = find_due(c, o, now);
	o->may_have_more = r == 1;
	if (r == 0) {
		r = db_get_int(c, &o->next_us,
			       "select min(next_at) from outbox where state = 'waiting' having count(*) > 0");
		return r < 0 ? r : sweep(c, now);
	}
	if (r == 1)
		r = outbox_resolve(c, o->auth, o->arena, &o->item);
	if (r == 1)
		return take(c, o, now);
	if (r == 0)
		r = error_only(db_exec(c, "delete from outbox where id = ?", DB_TEXT(o->item.id)));
	return r;
}

/* ---- Saving what came of it ---- */

static int64_t wait_us(const struct outbox *o)
{
	uint64_t doublings = (uint64_t)MIN(MAX(o->item.attempts - 1, 0), 20);

	return (int64_t)MIN((uint64_t)o->auth->mail.retry_ms << doublings, (uint64_t)RETRY_MAX_MS) * 1000;
}

static int save_run(struct db_conn *c, struct db_job *job)
{
	struct outbox *o = container_of(job, struct outbox, job);
	bool is_call = !mail_kind_is_known(o->item.kind);
	int64_t now = clock_now_us(), next = now + wait_us(o), r;

	if (o->result == SMTP_LATER && atomic_load(&o->is_ending))
		next = now;
	if (o->result == SMTP_LATER && !is_call && now > o->item.created_at + GIVE_UP_US)
		o->result = SMTP_REFUSED;
	if (o->result == SMTP_LATER)
		r = db_exec(c, "update outbox set next_at = ?, error = ? where id = ?", DB_INT(next),
			    DB_TEXT(o->error.message), DB_TEXT(o->item.id));
	else
		r = db_exec(c, "update outbox set state = ?, error = ?, ended_at = ? where id = ?",
			    DB_TEXT(o->result == SMTP_SENT ? "sent" : "failed"),
			    DB_TEXT(o->result == SMTP_SENT ? NULL : o->error.message), DB_INT(now),
			    DB_TEXT(o->item.id));
	return (int)MIN(r, 0);
}

/* ---- Sending ---- */

static void send_run(struct job *job)
{
	struct outbox *o = container_of(job, struct outbox, sending);
	const struct auth *auth = o->auth;
	struct smtp_server server = {
		.url = option_str(service_options(auth->service), "mail_url"),
		.user = option_str(service_options(auth->service), "mail_user"),
		.password = option_str(service_options(auth->service), "mail_password"),
		.tls = auth->mail.tls,
		.total_ms = auth->mail.timeout_ms,
		.is_ending = &o->is_ending,
	};

	o->result = smtp_send(&server, &o->mail, &o->error);
}

static void job_done(struct db_job *job, int result);

static void save(struct outbox *o)
{
	o->state = OUTBOX_SAVING;
	o->job = (struct db_job){.run = save_run, .done = job_done};
	db_write(o->auth->db, &o->job);
}

static void send_done(struct job *job)
{
	save(container_of(job, struct outbox, sending));
}

static void read_facts(struct outbox *o, struct mail_facts *ret)
{
	yyjson_doc *doc = json_parse(o->arena, o->item.facts, strlen(o->item.facts), NULL);
	yyjson_val *v = doc ? yyjson_doc_get_root(doc) : NULL;

	*ret = (struct mail_facts){
		.name = json_get_str(v, "name", NULL),
		.by = json_get_str(v, "by", NULL),
		.address = json_get_str(v, "address", NULL),
		.agent = json_get_str(v, "agent", NULL),
		.other = json_get_str(v, "other", NULL),
		.at = json_get_int(v, "at", 0),
	};
}

/* When the link's life ends, for people. */
static const char *link_ends(struct outbox *o, const char *kind)
{
	const struct auth *auth = o->auth;
	int64_t life = !strcmp(kind, MAIL_INVITE)  ? auth->mail.invite_us
		       : !strcmp(kind, MAIL_RESET) ? auth->mail.reset_us
						   : auth->mail.verify_us;
	char text[TIME_TEXT_SIZE];

	time_format(o->item.created_at + life, text);
	text[10] = ' ';
	return arena_strndup(o->arena, text, 16);
}

static void send_mail(struct outbox *o)
{
	const struct auth *auth = o->auth;
	struct mail_facts facts;
	struct mail_head head = {
		.id = o->item.id,
		.from = auth->mail.from,
		.to = o->item.to,
		.org = auth->mail.org,
		.site = auth->mail.public_url,
		.link = o->item.link_id ? link_url(auth, o->arena, o->item.kind, o->item.link_id) : NULL,
		.link_ends = o->item.link_id ? link_ends(o, o->item.kind) : NULL,
		.now = clock_now_us(),
	};

	read_facts(o, &facts);
	buf_clear(&o->text);
	mail_write(o->item.kind, &head, &facts, &o->text);
	o->mail = (struct smtp_mail){auth->mail.bare_from, o->item.to, buf_str(&o->text)};
	smtp_load();
	if (!o->lane)
		o->lane = job_lane_new(service_loop(auth->service), "mail", 1, 1, NULL, NULL, NULL);
	o->sending = (struct job){.run = send_run, .done = send_done};
	if (job_submit(o->lane, &o->sending) < 0)
		fatal("the lane for mail is full");
}

static void call_done(void *arg, int err, int status, struct str body)
{
	struct outbox *o = arg;

	o->call = NULL;
	o->result = !err && status / 100 == 2 ? SMTP_SENT : SMTP_LATER;
	error_set(&o->error, "call_failed", "The agent service did not take it: %s.",
		  err ? strerror(-err) : arena_printf(o->arena, "status %d", status));
	save(o);
}

static void send_call(struct outbox *o)
{
	struct service *s = o->auth->service;
	const char *path = arena_printf(o->arena, "/users/%s/gone", o->item.user_id);

	o->call = http_fetch(service_peer(s, "agent"), "POST", path,
			     service_peer_headers(s, "agent", "", NULL, NULL, o->arena), "application/json",
			     str_of(o->item.facts), 4096, CALL_MS, call_done, o);
}

/* ---- The flow ---- */

static void rest(struct outbox *o, uint64_t ms)
{
	o->state = OUTBOX_RESTING;
	if (!atomic_load(&o->is_ending))
		deadline_set(service_wheel(o->auth->service), &o->next, ms);
}

static void rest_until_due(struct outbox *o)
{
	int64_t now = clock_now_us(), most = is_shared(o) ? LOOK_SHARED_MS : LOOK_OWN_MS;

	rest(o, o->next_us ? (uint64_t)MIN(MAX((o->next_us - now) / 1000, 1), most) : (uint64_t)most);
}

static void log_outcome(const struct outbox *o)
{
	static const char *const outcomes[] = {"sent", "waits for another try", "failed"};

	log_event(o->result == SMTP_SENT ? LOG_INFO : LOG_WARN, "outbox", "event", "outbox", "outcome",
		  outcomes[o->result], "kind", o->item.kind, "id", o->item.id, "why",
		  o->result == SMTP_SENT ? "" : o->error.message, NULL);
}

/* What a step's end leads to. */
static void next(struct outbox *o, int err)
{
	if (err < 0)
		log_event(LOG_WARN, "the outbox waits for its database", "why", strerror(-err), NULL);
	if (err < 0 || atomic_load(&o->is_ending)) {
		rest(o, FAILED_MS);
		return;
	}
	switch (o->state) {
	case OUTBOX_TAKING:
		if (o->has_item) {
			o->state = OUTBOX_SENDING;
			o->error = (struct error){0};
			mail_kind_is_known(o->item.kind) ? send_mail(o) : send_call(o);
		} else if (o->may_have_more || o->was_woken) {
			look(o);
		} else {
			rest_until_due(o);
		}
		return;
	case OUTBOX_SAVING:
		log_outcome(o);
		look(o);
		return;
	case OUTBOX_SENDING:
	case OUTBOX_RESTING: break;
	}
	abort();
}

static void job_done(struct db_job *job, int result)
{
	next(container_of(job, struct outbox, job), result);
}

static void look(struct outbox *o)
{
	if (atomic_load(&o->is_ending)) {
		o->state = OUTBOX_RESTING;
		return;
	}
	o->was_woken = false;
	o->state = OUTBOX_TAKING;
	o->job = (struct db_job){.run = take_run, .done = job_done};
	db_write(o->auth->db, &o->job);
}

static void on_deadline(struct deadline *d)
{
	look(container_of(d, struct outbox, next));
}

void outbox_wake(struct auth *auth)
{
	struct outbox *o = auth->outbox;

	o->was_woken = true;
	if (o->state != OUTBOX_RESTING)
		return;
	deadline_clear(&o->next);
	look(o);
}

/* ---- Start and end ---- */

/* What the last process of this machine had under way when it ended. On a server another one may be at it: there the
 * lease decides. */
static int release_run(struct db_conn *c, struct db_job *job)
{
	return error_only(
		db_exec(c, "update outbox set next_at = ? where state = 'waiting' and attempts > 0 and error is null",
			DB_INT(clock_now_us())));
}

static void released(struct db_job *job, int result)
{
	look(container_of(job, struct outbox, job));
}

void outbox_open(struct auth *auth)
{
	struct outbox *o = xcalloc(1, sizeof(*o));

	o->auth = auth;
	o->arena = arena_new();
	deadline_init(&o->next, on_deadline);
	auth->outbox = o;
	if (is_shared(o)) {
		look(o);
		return;
	}
	o->state = OUTBOX_TAKING;
	o->job = (struct db_job){.run = release_run, .done = released};
	db_write(auth->db, &o->job);
}

void outbox_close(struct auth *auth)
{
	struct outbox *o = auth->outbox;

	if (!o)
		return;
	atomic_store(&o->is_ending, true);
	deadline_clear(&o->next);
	if (o->call)
		http_fetch_cancel(o->call);
	if (o->lane)
		job_lane_free(o->lane);
}

void outbox_free(struct outbox *o)
{
	if (!o)
		return;
	buf_deinit(&o->text);
	arena_free(o->arena);
	free(o);
}
