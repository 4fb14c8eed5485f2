/* POST /api/auth/password: a new password for who is signed in and knows the current one. */
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
