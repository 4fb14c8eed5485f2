#include "confirm.h"
#include "audit/audit.h"

#include "new_user.h"
#include "password.h"

static void refuse(struct confirm *cf)
{
	struct auth *auth = cf->x->self;

	metric_add(auth->metrics.logins_refused, 1);
	guard_end(auth, &cf->guard, THROTTLE_FAILED);
	audit_act(cf->x, "password.refused", AUDIT_FAILURE, NULL, "user", cf->account.id);
	reply_header(cf->x, "Cache-Control", "no-store");
	reply_problem(cf->x, 401, "invalid_credentials", "The current password is wrong.");
	guard_count_failure(auth, cf->account.id);
}

static void hash_done(struct hash_op *op)
{
	struct confirm *cf = container_of(op, struct confirm, hash);
	struct exchange *x = cf->x;
	const struct auth *auth = x->self;

	if (op->has_failed) {
		guard_end(auth, &cf->guard, THROTTLE_UNKNOWN);
		reply_hash_busy(x);
	} else if (!op->matches || !cf->is_open) {
		refuse(cf);
	} else {
		guard_end(auth, &cf->guard, THROTTLE_PASSED);
		cf->done(cf);
	}
	exchange_drop(x);
}

static void hash(struct confirm *cf)
{
	const struct auth *auth = cf->x->self;

	cf->hash =
		(struct hash_op){.password = cf->password, .is_check = true, .stored = cf->stored, .done = hash_done};
	cf->password = BUF_INIT;
	if (hasher_start(auth->hasher, &cf->hash) == 0) {
		exchange_hold(cf->x);
		return;
	}
	guard_end(auth, &cf->guard, THROTTLE_UNKNOWN);
	reply_hash_busy(cf->x);
}

static int find_run(struct db_conn *c, struct exchange_job *job)
{
	struct confirm *cf = container_of(job, struct confirm, job);
	struct db_stmt *st;
	int r;

	cf->actor = actor_check(c, job->x, &cf->account);
	if (cf->actor != ACTOR_OK)
		return MIN(cf->actor, 0);
	st = db_query(c, "select password_hash, email_key, failed_logins from users where id = ?",
		      DB_TEXT(cf->account.id));
	r = db_step(c, st);
	if (r == 1) {
		cf->stored = db_col_dup(st, 0, job->x->arena);
		snprintf(cf->guard.email_key, sizeof(cf->guard.email_key), "%.*s", STR_ARG(db_col_str(st, 1)));
		cf->is_open = cf->stored && db_col_int(st, 2) < GUARD_MAX_FAILURES;
	}
	db_done(st);
	return MIN(r, 0);
}

static void find_done(struct exchange_job *job)
{
	struct confirm *cf = container_of(job, struct confirm, job);

	if (cf->actor != ACTOR_OK)
		actor_refuse(job->x, cf->actor);
	else if (guard_begin(job->x, &cf->guard))
		hash(cf);
}

static void wipe(void *arg)
{
	buf_wipe(arg);
}

void confirm_password(struct exchange *x, struct confirm *cf, const char *password, void (*done)(struct confirm *cf))
{
	const struct auth *auth = x->self;

	cf->x = x;
	cf->done = done;
	client_read(x, &cf->guard.client);
	arena_defer(x->arena, wipe, &cf->password);
	if (password_normalise(str_of(password), &cf->password, NULL) < 0)
		buf_add_char(&cf->password, '\n'); /* no password holds it */
	cf->job = (struct exchange_job){.x = x, .run = find_run, .done_ok = find_done};
	exchange_read(auth->db, &cf->job);
}
