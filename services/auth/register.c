/* POST /api/auth/register: signing up, when an administrator has opened it. */
#include "handlers.h"
#include "new_user.h"
#include "sessions.h"
#include "settings.h"
#include "setup.h"

#include <errno.h>

/* The role of somebody who signed up. */
#define FIRST_ROLE "member"

enum sign_up_outcome { SIGN_UP_DONE, SIGN_UP_CLOSED };

struct sign_up {
	struct exchange_job job;
	struct hash_op hash;
	struct exchange *x; /* held while the hash is made */
	struct client client;
	struct new_user user;
	enum sign_up_outcome outcome;
	struct session_grant grant;
};

static void reply_closed(struct exchange *x)
{
	reply_problem(x, 403, "registration_closed", "Sign-up is closed; ask an administrator for an account.");
}

static int save_run(struct db_conn *c, struct exchange_job *job)
{
	static const char *const roles[] = {FIRST_ROLE, NULL};
	struct sign_up *s = container_of(job, struct sign_up, job);
	char id[ID_SIZE];
	int r = registration_is_open(c);

	if (r <= 0) {
		s->outcome = SIGN_UP_CLOSED;
		return r;
	}
	s->outcome = SIGN_UP_DONE;
	r = new_user_insert(c, &s->user, s->hash.made, roles, id);
	return r < 0 ? r : session_create(c, job->x->self, job->x->arena, id, &s->client, &s->grant);
}

static void save_done(struct exchange_job *job, int result)
{
	struct sign_up *s = container_of(job, struct sign_up, job);

	if (result == -EEXIST) {
		reply_email_taken(job->x);
	} else if (result < 0) {
		reply_db_failure(job->x, result);
	} else if (s->outcome == SIGN_UP_CLOSED) {
		reply_closed(job->x);
	} else {
		log_event(LOG_INFO, "signed up", "event", "register", "user_id", s->grant.account.id, "address",
			  s->client.address, "request_id", job->x->request_id, NULL);
		session_reply(job->x, 201, &s->client, &s->grant);
	}
}

static void hash_done(struct hash_op *op)
{
	struct sign_up *s = container_of(op, struct sign_up, hash);
	struct exchange *x = s->x;
	const struct auth *auth = x->self;

	if (op->has_failed) {
		reply_hash_busy(x);
	} else {
		s->job = (struct exchange_job){.x = x, .run = save_run, .done = save_done};
		exchange_write(auth->db, &s->job);
	}
	exchange_drop(x);
}

static int open_run(struct db_conn *c, struct exchange_job *job)
{
	struct sign_up *s = container_of(job, struct sign_up, job);
	int r = registration_is_open(c);

	s->outcome = r == 1 ? SIGN_UP_DONE : SIGN_UP_CLOSED;
	return MIN(r, 0);
}

/* A closed door is said before a hash is spent or the fields are judged. */
static void open_done(struct exchange_job *job)
{
	static const struct json_field fields[] = {NEW_USER_FIELDS};
	struct sign_up *s = container_of(job, struct sign_up, job);

	if (s->outcome == SIGN_UP_CLOSED) {
		reply_closed(s->x);
		return;
	}
	if (!new_user_read(s->x, fields, ARRAY_SIZE(fields), &s->user))
		return;
	if (new_user_hash(s->x, &s->user, &s->hash, hash_done))
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
