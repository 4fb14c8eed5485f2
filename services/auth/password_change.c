/* POST /api/auth/password: a new password for who is signed in and knows the current one. POST /api/auth/reauth: the
 * password again, for acts that need it given a short while ago; the session gets a new id. */
#include "audit/audit.h"
#include "confirm.h"
#include "feed.h"
#include "handlers.h"
#include "mail/outbox.h"
#include "new_user.h"
#include "sessions.h"

struct password_change {
	struct exchange_job job;
	struct confirm confirm;
	struct hash_op hash;
	struct exchange *x; /* held while the new hash is made */
	struct buf password;
	bool ends_others, is_late;
};

static int save_run(struct db_conn *c, struct exchange_job *job)
{
	struct password_change *p = container_of(job, struct password_change, job);
	const struct account *a = &p->confirm.account;
	struct outbox_mail mail = {
		.kind = MAIL_PASSWORD_CHANGED,
		.to = a->email,
		.user_id = a->id,
		.facts = {.name = a->name,
			  .address = p->confirm.guard.client.address,
			  .agent = p->confirm.guard.client.user_agent},
	};
	int64_t one;
	/* Only while the password that was checked is still the one. */
	int r = db_get_int(c, &one,
			   "select 1 from users where id = ? and password_hash = ? and disabled = 0" DB_FOR_UPDATE,
			   DB_TEXT(a->id), DB_TEXT(p->confirm.stored));

	p->is_late = r == 0;
	if (r <= 0)
		return r;
	r = user_password_set(c, a->id, p->hash.made);
	if (r >= 0)
		r = links_withdraw(c, LINK_RESET, a->id);
	if (r >= 0 && p->ends_others)
		r = session_revoke_others(c, a->id, job->x->who.session_id, "password_changed");
	return r < 0 ? r : outbox_add(c, job->x->arena, &mail);
}

static void save_done(struct exchange_job *job)
{
	struct password_change *p = container_of(job, struct password_change, job);

	if (p->is_late) {
		actor_refuse(job->x, ACTOR_GONE);
		return;
	}
	audit_act(job->x, "password.changed", AUDIT_SUCCESS, NULL, "user", p->confirm.account.id);
	feed_wake(job->x->self);
	outbox_wake(job->x->self);
	reply_empty(job->x, 204);
}

static void hash_done(struct hash_op *op)
{
	struct password_change *p = container_of(op, struct password_change, hash);
	struct exchange *x = p->x;
	const struct auth *auth = x->self;

	if (op->has_failed) {
		reply_hash_busy(x);
	} else {
		p->job = (struct exchange_job){.x = x, .run = save_run, .done_ok = save_done};
		exchange_write(auth->db, &p->job);
	}
	exchange_drop(x);
}

static void confirmed(struct confirm *cf)
{
	struct password_change *p = container_of(cf, struct password_change, confirm);

	p->x = cf->x;
	if (new_password_read(p->x, "new_password", cf->guard.email_key, &p->password) &&
	    new_password_hash(p->x, &p->password, &p->hash, hash_done))
		exchange_hold(p->x);
}

void auth_password(struct exchange *x)
{
	static const struct json_field fields[] = {{"current_password", JSON_STRING, .required = true, .max = 8192},
						   {"new_password", JSON_STRING, .required = true, .max = 8192},
						   {"end_other_sessions", JSON_BOOL}};
	struct password_change *p = arena_new_of(x->arena, struct password_change);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x))
		return;
	p->ends_others = json_get_bool(x->body, "end_other_sessions", true);
	confirm_password(x, &p->confirm, json_get_str(x->body, "current_password", ""), confirmed);
}

/* ---- Reauth ---- */

struct reauth {
	struct exchange_job job;
	struct confirm confirm;
	const char *old;
	struct session_grant grant;
};

static int reauth_run(struct db_conn *c, struct exchange_job *job)
{
	struct reauth *r = container_of(job, struct reauth, job);
	int err = session_create(c, job->x->self, job->x->arena, r->confirm.account.id, &r->confirm.guard.client,
				 &r->grant);

	return err < 0 || !*r->old ? err : session_revoke(c, r->old, "replaced");
}

static void reauth_done(struct exchange_job *job)
{
	struct reauth *r = container_of(job, struct reauth, job);

	audit_act(job->x, "session.confirmed", AUDIT_SUCCESS, NULL, "session", r->grant.token.session_id);
	feed_wake(job->x->self);
	session_reply(job->x, 200, &r->confirm.guard.client, &r->grant);
}

static void reauth_confirmed(struct confirm *cf)
{
	struct reauth *r = container_of(cf, struct reauth, confirm);
	const struct auth *auth = cf->x->self;

	r->old = cf->x->who.session_id ? cf->x->who.session_id : "";
	r->job = (struct exchange_job){.x = cf->x, .run = reauth_run, .done_ok = reauth_done};
	exchange_write(auth->db, &r->job);
}

void auth_reauth(struct exchange *x)
{
	static const struct json_field fields[] = {{"password", JSON_STRING, .required = true, .max = 8192}};
	struct reauth *r = arena_new_of(x->arena, struct reauth);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x))
		return;
	confirm_password(x, &r->confirm, json_get_str(x->body, "password", ""), reauth_confirmed);
}
