/* POST /api/auth/reset: a new password by the link of a mail. All sessions end; there is none afterwards: the user
 * signs in with the new password, and with his second factor if he has one. */
#include "audit/audit.h"
#include "base/clock.h"
#include "feed.h"
#include "handlers.h"
#include "mail/outbox.h"
#include "new_user.h"
#include "sessions.h"

struct reset {
	struct exchange_job job;
	struct hash_op hash;
	struct exchange *x; /* held while the hash is made */
	struct client client;
	struct buf password;
	char link_id[ID_SIZE];
	struct link_row link;
	struct account account;
	bool is_gone;
};

static int save_run(struct db_conn *c, struct exchange_job *job)
{
	struct reset *s = container_of(job, struct reset, job);
	struct outbox_mail mail = {.kind = MAIL_PASSWORD_CHANGED};
	int r = link_use(c, s->link_id);

	s->is_gone = r == 0;
	if (r == 1) {
		r = account_load(c, job->x->arena, s->link.user_id, &s->account);
		s->is_gone = r == 0 || (r == 1 && (s->account.disabled || !s->account.email));
	}
	if (r <= 0 || s->is_gone)
		return MIN(r, 0);
	r = user_password_set(c, s->link.user_id, s->hash.made);
	if (r >= 0 && ((const struct auth *)job->x->self)->mail.is_on)
		r = user_email_verified(c, s->link.user_id);
	if (r >= 0)
		r = links_withdraw(c, LINK_RESET, s->link.user_id);
	if (r >= 0)
		r = session_revoke_others(c, s->link.user_id, NULL, "password_reset");
	mail.to = s->account.email;
	mail.user_id = s->account.id;
	mail.facts = (struct mail_facts){
		.name = s->account.name, .address = s->client.address, .agent = s->client.user_agent};
	return r < 0 ? r : outbox_add(c, job->x->arena, &mail);
}

static void save_done(struct exchange_job *job)
{
	struct reset *s = container_of(job, struct reset, job);

	if (s->is_gone) {
		reply_link_gone(job->x);
		return;
	}
	log_event(LOG_WARN, "security event: password reset by mail", "event", "password_reset", "user_id",
		  s->account.id, "address", s->client.address, "request_id", job->x->request_id, NULL);
	audit_act(job->x, "password.reset", AUDIT_SUCCESS, s->account.id, "user", s->account.id);
	feed_wake(job->x->self);
	outbox_wake(job->x->self);
	reply_empty(job->x, 204);
}

static void hash_done(struct hash_op *op)
{
	struct reset *s = container_of(op, struct reset, hash);
	struct exchange *x = s->x;
	const struct auth *auth = x->self;

	if (op->has_failed) {
		reply_hash_busy(x);
	} else {
		s->job = (struct exchange_job){.x = x, .run = save_run, .done_ok = save_done};
		exchange_write(auth->db, &s->job);
	}
	exchange_drop(x);
}

static int find_run(struct db_conn *c, struct exchange_job *job)
{
	struct reset *s = container_of(job, struct reset, job);
	int r = link_find(c, job->x->arena, s->link_id, LINK_RESET, &s->link);

	s->is_gone = r == 0;
	return MIN(r, 0);
}

/* Nobody without a good link makes us hash. */
static void find_done(struct exchange_job *job)
{
	struct reset *s = container_of(job, struct reset, job);

	if (s->is_gone)
		reply_link_gone(job->x);
	else if (new_password_read(job->x, "password", s->link.email_key, &s->password) &&
		 new_password_hash(job->x, &s->password, &s->hash, hash_done))
		exchange_hold(job->x);
}

void auth_reset(struct exchange *x)
{
	static const struct json_field fields[] = {{"token", JSON_STRING, .required = true, .max = 512},
						   {"password", JSON_STRING, .required = true, .max = 8192}};
	const struct auth *auth = x->self;
	struct reset *s = arena_new_of(x->arena, struct reset);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x) || !link_token_read(x, s->link_id))
		return;
	s->x = x;
	client_read(x, &s->client);
	s->job = (struct exchange_job){.x = x, .run = find_run, .done_ok = find_done};
	exchange_read(auth->db, &s->job);
}

/* ---- POST /api/auth/link: what a link is for, without using it ---- */

struct peek {
	struct exchange_job job;
	char link_id[ID_SIZE];
	struct link_row link;
	bool is_gone;
};

static int peek_run(struct db_conn *c, struct exchange_job *job)
{
	struct peek *p = (struct peek *)job;
	int r = link_find(c, job->x->arena, p->link_id, NULL, &p->link);

	p->is_gone = r == 0;
	return MIN(r, 0);
}

static void peek_done(struct exchange_job *job)
{
	struct peek *p = (struct peek *)job;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;
	char expires[TIME_TEXT_SIZE];

	if (p->is_gone) {
		reply_link_gone(x);
		return;
	}
	obj = json_new_obj(x->arena, &doc);
	time_format(p->link.expires_at, expires);
	json_add_str(doc, obj, "kind", p->link.kind);
	json_add_str(doc, obj, "email", p->link.email);
	json_add_str(doc, obj, "name", p->link.name);
	json_add_str(doc, obj, "expires_at", expires);
	reply_header(x, "Cache-Control", "no-store");
	reply_json(x, 200, doc);
}

void auth_link(struct exchange *x)
{
	static const struct json_field fields[] = {{"token", JSON_STRING, .required = true, .max = 512}};
	const struct auth *auth = x->self;
	struct peek *p = arena_new_of(x->arena, struct peek);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x) || !link_token_read(x, p->link_id))
		return;
	p->job = (struct exchange_job){.x = x, .run = peek_run, .done_ok = peek_done};
	exchange_read(auth->db, &p->job);
}
