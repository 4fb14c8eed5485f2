/* POST /api/auth/email: the address of who is signed in is to be another one, or the present one is to be confirmed: a
 * link goes there, word of it to the present one. The answer does not tell whether the new one is taken.
 * POST /api/auth/email/confirm: the link; word goes to both. */
#include "audit/audit.h"
#include "base/clock.h"
#include "handlers.h"
#include "mail/outbox.h"
#include "new_user.h"
#include "sessions.h"

#include <errno.h>

struct email_change {
	struct exchange_job job;
	struct client client;
	const char *email;
	char email_key[EMAIL_SIZE];
	int actor;
	struct account account;
};

static int tell(struct db_conn *c, struct email_change *e, const char *kind, const char *to, const char *link_id,
		const char *other)
{
	struct outbox_mail mail = {
		.kind = kind,
		.to = to,
		.user_id = e->account.id,
		.link_id = link_id,
		.facts = {.name = e->account.name,
			  .address = e->client.address,
			  .agent = e->client.user_agent,
			  .other = other},
	};

	return outbox_add(c, e->job.x->arena, &mail);
}

static int change_run(struct db_conn *c, struct exchange_job *job)
{
	struct email_change *e = (struct email_change *)job;
	const struct auth *auth = job->x->self;
	struct link_row link = {.kind = LINK_EMAIL, .email = e->email, .email_key = e->email_key};
	int r;

	e->actor = actor_check_fresh(c, job->x, &e->account);
	if (e->actor != ACTOR_OK)
		return MIN(e->actor, 0);
	r = links_withdraw(c, LINK_EMAIL, e->account.id);
	link.user_id = e->account.id;
	if (r == 0)
		r = link_add(c, job->x->arena, &link, auth->mail.verify_us);
	if (r == 0)
		r = tell(c, e, MAIL_EMAIL, e->email, link.id, e->email);
	if (r == 0 && e->account.email && strcmp(e->account.email, e->email))
		r = tell(c, e, MAIL_EMAIL_CHANGING, e->account.email, NULL, e->email);
	return r;
}

static void change_done(struct exchange_job *job)
{
	struct email_change *e = (struct email_change *)job;

	if (e->actor != ACTOR_OK) {
		actor_refuse(job->x, e->actor);
		return;
	}
	audit_act(job->x, "email.change_asked", AUDIT_SUCCESS, NULL, "user", e->account.id);
	outbox_wake(job->x->self);
	reply_empty(job->x, 202);
}

void auth_email(struct exchange *x)
{
	static const struct json_field fields[] = {{"email", JSON_STRING, .required = true, .max = 1024}};
	const struct auth *auth = x->self;
	struct email_change *e = arena_new_of(x->arena, struct email_change);
	struct str email = str_trim(str_of(json_get_str(x->body, "email", "")));
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x))
		return;
	if (email_canonical(email, e->email_key) < 0) {
		reply_invalid_email(x);
		return;
	}
	client_read(x, &e->client);
	if (!mail_allow(x, &e->client, e->email_key))
		return;
	e->email = arena_strndup(x->arena, email.p, email.n);
	e->job = (struct exchange_job){.x = x, .run = change_run, .done_ok = change_done};
	exchange_write(auth->db, &e->job);
}

/* ---- Confirming ---- */

struct email_confirm {
	struct email_change change;
	char link_id[ID_SIZE];
	struct link_row link;
	bool is_gone;
};

static int save_address(struct db_conn *c, struct email_confirm *f)
{
	int64_t now = clock_now_us();
	int64_t r = db_exec(
		c, "update users set email = ?, email_key = ?, email_verified_at = ?, updated_at = ? where id = ?",
		DB_TEXT(f->link.email), DB_TEXT(f->link.email_key), DB_INT(now), DB_INT(now), DB_TEXT(f->link.user_id));

	return r < 0 ? (int)r : links_withdraw(c, LINK_RESET, f->link.user_id);
}

static int confirm_run(struct db_conn *c, struct exchange_job *job)
{
	struct email_confirm *f = (struct email_confirm *)job;
	struct email_change *e = &f->change;
	int r = link_find(c, job->x->arena, f->link_id, LINK_EMAIL, &f->link);

	if (r == 1)
		r = account_load(c, job->x->arena, f->link.user_id, &e->account);
	if (r == 1)
		r = e->account.disabled ? 0 : link_use(c, f->link_id);
	f->is_gone = r == 0;
	if (r <= 0)
		return r;
	r = save_address(c, f);
	if (r < 0 || !e->account.email || !strcmp(e->account.email, f->link.email))
		return r;
	r = tell(c, e, MAIL_EMAIL_CHANGED, e->account.email, NULL, f->link.email);
	return r < 0 ? r : tell(c, e, MAIL_EMAIL_CHANGED, f->link.email, NULL, f->link.email);
}

static void confirm_done(struct exchange_job *job, int result)
{
	struct email_confirm *f = (struct email_confirm *)job;

	if (f->is_gone || result == -EEXIST) {
		reply_link_gone(job->x);
	} else if (result < 0) {
		reply_db_failure(job->x, result);
	} else {
		log_event(LOG_WARN, "security event: e-mail address confirmed", "event", "email_changed", "user_id",
			  f->link.user_id, "address", f->change.client.address, "request_id", job->x->request_id, NULL);
		audit_act(job->x, "email.changed", AUDIT_SUCCESS, f->link.user_id, "user", f->link.user_id);
		outbox_wake(job->x->self);
		reply_empty(job->x, 204);
	}
}

void auth_email_confirm(struct exchange *x)
{
	static const struct json_field fields[] = {{"token", JSON_STRING, .required = true, .max = 512}};
	const struct auth *auth = x->self;
	struct email_confirm *f = arena_new_of(x->arena, struct email_confirm);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x) || !link_token_read(x, f->link_id))
		return;
	client_read(x, &f->change.client);
	f->change.job = (struct exchange_job){.x = x, .run = confirm_run, .done = confirm_done};
	exchange_write(auth->db, &f->change.job);
}
