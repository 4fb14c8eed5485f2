/* POST /api/auth/register: signing up, when an administrator has opened it. Every address gets the same answer at the
 * same cost: what is filled in waits as a link, and whether the address is free is found out off this way
 * (mail/resolve.c). The user is made when the link is opened (verify.c). */
#include "audit/audit.h"
#include "handlers.h"
#include "mail/outbox.h"
#include "new_user.h"
#include "settings.h"

struct sign_up {
	struct exchange_job job;
	struct hash_op hash;
	struct exchange *x; /* held while the hash is made */
	struct client client;
	struct new_user user;
	bool is_open;
};

static void reply_closed(struct exchange *x)
{
	reply_problem(x, 403, "registration_closed", "Sign-up is closed; ask an administrator for an invitation.");
}

static int save_run(struct db_conn *c, struct exchange_job *job)
{
	struct sign_up *s = container_of(job, struct sign_up, job);
	const struct auth *auth = job->x->self;
	struct link_row link = {
		.kind = LINK_SIGNUP,
		.email = s->user.email,
		.email_key = s->user.email_key,
		.name = s->user.name,
		.password_hash = s->hash.made,
	};
	struct outbox_mail mail = {.kind = MAIL_SIGNUP, .to = s->user.email, .facts.name = s->user.name};
	int r = registration_is_open(c);

	s->is_open = r == 1;
	if (r <= 0)
		return r;
	r = link_add(c, job->x->arena, &link, auth->mail.verify_us);
	mail.link_id = link.id;
	return r < 0 ? r : outbox_add(c, job->x->arena, &mail);
}

static void save_done(struct exchange_job *job)
{
	struct sign_up *s = container_of(job, struct sign_up, job);

	if (!s->is_open) {
		reply_closed(job->x);
		return;
	}
	audit_act(job->x, "user.sign_up_asked", AUDIT_SUCCESS, NULL, NULL, NULL);
	reply_header(job->x, "Cache-Control", "no-store");
	reply_empty(job->x, 202);
	outbox_wake(job->x->self);
}

static void hash_done(struct hash_op *op)
{
	struct sign_up *s = container_of(op, struct sign_up, hash);
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

static int open_run(struct db_conn *c, struct exchange_job *job)
{
	struct sign_up *s = container_of(job, struct sign_up, job);
	int r = registration_is_open(c);

	s->is_open = r == 1;
	return MIN(r, 0);
}

/* A closed door is said before a hash is spent or the fields are judged. */
static void open_done(struct exchange_job *job)
{
	static const struct json_field fields[] = {NEW_USER_FIELDS};
	struct sign_up *s = container_of(job, struct sign_up, job);

	if (!s->is_open) {
		reply_closed(s->x);
		return;
	}
	if (!new_user_read(s->x, fields, ARRAY_SIZE(fields), &s->user))
		return;
	if (mail_allow(s->x, &s->client, s->user.email_key) && new_user_hash(s->x, &s->user, &s->hash, hash_done))
		exchange_hold(s->x);
}

void auth_register(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct sign_up *s;

	if (client_refuse_cross_site(x))
		return;
	s = arena_new_of(x->arena, struct sign_up);
	s->x = x;
	client_read(x, &s->client);
	s->job = (struct exchange_job){.x = x, .run = open_run, .done_ok = open_done};
	exchange_read(auth->db, &s->job);
}
