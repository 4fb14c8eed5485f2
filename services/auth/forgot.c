/* POST /api/auth/forgot: a link to a new password, by mail. Every address gets the same answer: that there is an
 * account is found out later (mail/resolve.c). POST /api/users/{id}/reset: an administrator sends it. */
#include "audit/audit.h"
#include "base/clock.h"
#include "handlers.h"
#include "mail/outbox.h"
#include "new_user.h"
#include "role_list.h"
#include "users.h"

struct forgot {
	struct exchange_job job;
	struct client client;
	const char *email;
};

static int forgot_run(struct db_conn *c, struct exchange_job *job)
{
	struct forgot *f = (struct forgot *)job;
	const struct outbox_mail mail = {.kind = MAIL_RESET, .to = f->email};

	return outbox_add(c, job->x->arena, &mail);
}

static void forgot_done(struct exchange_job *job)
{
	log_event(LOG_INFO, "password forgotten", "event", "password_forgotten", "address",
		  ((struct forgot *)job)->client.address, "request_id", job->x->request_id, NULL);
	reply_header(job->x, "Cache-Control", "no-store");
	reply_empty(job->x, 202);
	outbox_wake(job->x->self);
}

void auth_forgot(struct exchange *x)
{
	static const struct json_field fields[] = {{"email", JSON_STRING, .required = true, .max = 1024}};
	const struct auth *auth = x->self;
	struct forgot *f = arena_new_of(x->arena, struct forgot);
	struct str email;
	char key[EMAIL_SIZE];
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x))
		return;
	client_read(x, &f->client);
	email = str_trim(str_of(json_get_str(x->body, "email", "")));
	if (email_canonical(email, key) < 0) {
		reply_invalid_email(x);
		return;
	}
	if (!mail_allow(x, &f->client, key))
		return;
	f->email = arena_strndup(x->arena, email.p, email.n);
	f->job = (struct exchange_job){.x = x, .run = forgot_run, .done_ok = forgot_done};
	exchange_write(auth->db, &f->job);
}

/* ---- By an administrator ---- */

enum send_outcome { SEND_DONE, SEND_REFUSED, SEND_MISSING, SEND_IMPOSSIBLE, SEND_MIGHTIER };

struct send_reset {
	struct exchange_job job;
	enum send_outcome outcome;
	int actor;
	struct account actor_account, account;
	struct link_row link;
};

static int send_run(struct db_conn *c, struct exchange_job *job)
{
	struct send_reset *s = (struct send_reset *)job;
	const struct auth *auth = job->x->self;
	struct outbox_mail mail = {.kind = MAIL_RESET};
	char key[EMAIL_SIZE];
	int r;

	s->outcome = SEND_REFUSED;
	s->actor = actor_check(c, job->x, &s->actor_account);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	r = account_load(c, job->x->arena, job->x->params[0].p, &s->account);
	s->outcome = SEND_MISSING;
	if (r <= 0)
		return r;
	s->outcome = !s->account.email || s->account.disabled                               ? SEND_IMPOSSIBLE
		     : !auth->mail.is_on && !account_covers(&s->actor_account, &s->account) ? SEND_MIGHTIER
											    : SEND_DONE;
	if (s->outcome != SEND_DONE)
		return 0;
	r = email_canonical(str_of(s->account.email), key);
	if (r < 0)
		return r;
	s->link = (struct link_row){
		.kind = LINK_RESET,
		.user_id = s->account.id,
		.email = s->account.email,
		.email_key = key,
		.created_by = s->actor_account.id,
	};
	r = link_add(c, job->x->arena, &s->link, auth->mail.reset_us);
	mail.to = s->account.email;
	mail.user_id = s->account.id;
	mail.link_id = s->link.id;
	mail.facts.name = s->account.name;
	return r < 0 ? r : outbox_add(c, job->x->arena, &mail);
}

static void reply_sent(struct send_reset *s)
{
	struct exchange *x = s->job.x;
	const struct auth *auth = x->self;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);
	char expires[TIME_TEXT_SIZE];

	audit_act(x, "password.reset_sent", AUDIT_SUCCESS, NULL, "user", s->account.id);
	time_format(s->link.expires_at, expires);
	yyjson_mut_obj_add_bool(doc, obj, "mailed", auth->mail.is_on);
	json_add_str(doc, obj, "link", auth->mail.is_on ? NULL : link_url(auth, x->arena, LINK_RESET, s->link.id));
	json_add_str(doc, obj, "expires_at", expires);
	reply_header(x, "Cache-Control", "no-store");
	reply_json(x, 202, doc);
	outbox_wake(x->self);
}

static void send_done(struct exchange_job *job)
{
	struct send_reset *s = (struct send_reset *)job;

	switch (s->outcome) {
	case SEND_DONE: reply_sent(s); break;
	case SEND_REFUSED: actor_refuse(job->x, s->actor); break;
	case SEND_MISSING: user_reply_missing(job->x); break;
	case SEND_IMPOSSIBLE:
		reply_problem(job->x, 409, "no_sign_in",
			      "This user is disabled or has no e-mail address, so there is no password to be set.");
		break;
	case SEND_MIGHTIER:
		reply_problem(job->x, 403, "forbidden",
			      "Without a mail server you would see the link, and this user has rights that you lack.");
		break;
	}
}

void users_send_reset(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct send_reset *s = arena_new_of(x->arena, struct send_reset);

	s->job = (struct exchange_job){.x = x, .run = send_run, .done_ok = send_done};
	exchange_write(auth->db, &s->job);
}
