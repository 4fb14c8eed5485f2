/* POST /api/auth/verify: the link of who signed up becomes a user, with the password that was chosen then. Whoever
 * opens somebody else's link does not know it, so nobody gets an account with a stranger's password. */
#include "audit/audit.h"
#include "guard.h"
#include "handlers.h"
#include "mail/outbox.h"
#include "new_user.h"
#include "password.h"
#include "sessions.h"
#include "settings.h"

#include <errno.h>

/* The role of somebody who signed up. */
#define FIRST_ROLE "member"

struct verify {
	struct exchange_job job;
	struct hash_op hash;
	struct exchange *x; /* held while the password is checked */
	struct guard guard;
	struct buf password;
	char link_id[ID_SIZE];
	struct link_row link;
	bool is_gone;
	struct session_grant grant;
};

static void wipe(void *arg)
{
	buf_wipe(arg);
}

static int save_run(struct db_conn *c, struct exchange_job *job)
{
	static const char *const roles[] = {FIRST_ROLE, NULL};
	struct verify *v = container_of(job, struct verify, job);
	struct new_user user = {.name = v->link.name, .email = v->link.email};
	char id[ID_SIZE];
	int r = link_use(c, v->link_id);

	v->is_gone = r == 0;
	if (r <= 0)
		return r;
	snprintf(user.email_key, sizeof(user.email_key), "%s", v->link.email_key);
	r = new_user_insert(c, &user, v->hash.has_made ? v->hash.made : v->link.password_hash, roles, id);
	if (r == 0)
		r = user_email_verified(c, id);
	return r < 0 ? r : session_create(c, job->x->self, job->x->arena, id, &v->guard.client, &v->grant);
}

static void save_done(struct exchange_job *job, int result)
{
	struct verify *v = container_of(job, struct verify, job);

	if (v->is_gone || result == -EEXIST) {
		reply_link_gone(job->x);
	} else if (result < 0) {
		reply_db_failure(job->x, result);
	} else {
		audit_act(job->x, "user.created", AUDIT_SUCCESS, v->grant.account.id, "user", v->grant.account.id);
		session_reply(job->x, 201, &v->guard.client, &v->grant);
	}
}

static void hash_done(struct hash_op *op)
{
	struct verify *v = container_of(op, struct verify, hash);
	struct exchange *x = v->x;
	const struct auth *auth = x->self;

	guard_end(auth, &v->guard, op->has_failed ? THROTTLE_UNKNOWN : op->matches ? THROTTLE_PASSED : THROTTLE_FAILED);
	if (op->has_failed) {
		reply_hash_busy(x);
	} else if (!op->matches) {
		reply_problem(x, 401, "invalid_credentials", "This is not the password that was chosen at sign-up.");
	} else {
		v->job = (struct exchange_job){.x = x, .run = save_run, .done = save_done};
		exchange_write(auth->db, &v->job);
	}
	exchange_drop(x);
}

static int find_run(struct db_conn *c, struct exchange_job *job)
{
	struct verify *v = container_of(job, struct verify, job);
	int r = link_find(c, job->x->arena, v->link_id, LINK_SIGNUP, &v->link);

	v->is_gone = r == 0;
	return MIN(r, 0);
}

static void find_done(struct exchange_job *job)
{
	struct verify *v = container_of(job, struct verify, job);
	const struct auth *auth = job->x->self;

	if (v->is_gone) {
		reply_link_gone(job->x);
		return;
	}
	snprintf(v->guard.email_key, sizeof(v->guard.email_key), "%s", v->link.email_key);
	if (!guard_begin(job->x, &v->guard))
		return;
	v->hash = (struct hash_op){
		.password = v->password, .is_check = true, .stored = v->link.password_hash, .done = hash_done};
	v->password = BUF_INIT;
	if (hasher_start(auth->hasher, &v->hash) == 0) {
		exchange_hold(job->x);
		return;
	}
	guard_end(auth, &v->guard, THROTTLE_UNKNOWN);
	reply_hash_busy(job->x);
}

void auth_verify(struct exchange *x)
{
	static const struct json_field fields[] = {{"token", JSON_STRING, .required = true, .max = 512},
						   {"password", JSON_STRING, .required = true, .max = 8192}};
	const struct auth *auth = x->self;
	struct verify *v = arena_new_of(x->arena, struct verify);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x) || !link_token_read(x, v->link_id))
		return;
	v->x = x;
	client_read(x, &v->guard.client);
	arena_defer(x->arena, wipe, &v->password);
	if (password_normalise(str_of(json_get_str(x->body, "password", "")), &v->password, NULL) < 0)
		buf_add_char(&v->password, '\n'); /* no password holds it */
	v->job = (struct exchange_job){.x = x, .run = find_run, .done_ok = find_done};
	exchange_read(auth->db, &v->job);
}
