/* POST /api/auth/login. Whatever is wrong (no such account, disabled, no password, wrong password) takes the same way:
 * one look-up, one hash, one answer. */
#include "audit/audit.h"
#include "guard.h"
#include "handlers.h"
#include "mfa/second_step.h"
#include "new_user.h"
#include "password.h"
#include "sign_in.h"

#include <errno.h>

#include "base/clock.h"

/* What a login waits for. */
enum login_state { LOGIN_FINDING, LOGIN_HASHING, LOGIN_SAVING, LOGIN_ENDED };

struct login {
	struct exchange_job job; /* finding, saving */
	struct hash_op hash;
	struct exchange *x; /* held until LOGIN_ENDED */
	enum login_state state;
	int err;

	struct guard guard;
	struct buf password;
	const char *stored;     /* the hash; NULL: no such account */
	bool is_open;           /* the account may sign in, if the password is right */
	bool is_gone;           /* it was disabled or deleted meanwhile */
	struct sign_in sign_in; /* user_id NULL: no such account */
	struct factors factors;
};

static enum login_state login_next(struct login *l);

static void login_go_on(struct login *l, int err)
{
	struct exchange *x = l->x;

	l->err = err;
	l->state = login_next(l);
	if (l->state == LOGIN_ENDED)
		exchange_drop(x);
}

/* ---- Finding ---- */

static int find_run(struct db_conn *c, struct exchange_job *job)
{
	struct login *l = container_of(job, struct login, job);
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select id, password_hash, disabled, failed_logins from users where email_key = ?",
			 DB_TEXT(l->guard.email_key));
	int r = db_step(c, st);

	l->sign_in.user_id = l->stored = NULL;
	l->is_open = false;
	if (r == 1) {
		l->sign_in.user_id = db_col_dup(st, 0, job->x->arena);
		l->stored = db_col_dup(st, 1, job->x->arena);
		l->sign_in.failures = db_col_int(st, 3);
		l->is_open = l->stored && db_col_int(st, 2) == 0 &&
			     (l->sign_in.failures < GUARD_MAX_FAILURES || l->guard.is_known);
	}
	return MIN(r, 0);
}

static void job_done(struct exchange_job *job, int result)
{
	login_go_on(container_of(job, struct login, job), result);
}

static enum login_state login_find(struct login *l)
{
	const struct auth *auth = l->x->self;

	l->job = (struct exchange_job){.x = l->x, .run = find_run, .done = job_done};
	exchange_read(auth->db, &l->job);
	return LOGIN_FINDING;
}

/* ---- Hashing ---- */

static void hash_done(struct hash_op *op)
{
	login_go_on(container_of(op, struct login, hash), 0);
}

static enum login_state login_give_up(struct login *l)
{
	guard_end(l->x->self, &l->guard, THROTTLE_UNKNOWN);
	reply_hash_busy(l->x);
	return LOGIN_ENDED;
}

static enum login_state login_hash(struct login *l)
{
	const struct auth *auth = l->x->self;

	l->hash = (struct hash_op){.password = l->password, .is_check = true, .stored = l->stored, .done = hash_done};
	l->password = BUF_INIT;
	return hasher_start(auth->hasher, &l->hash) == 0 ? LOGIN_HASHING : login_give_up(l);
}

/* ---- Saving ---- */

/* Behind the password there may be a second step: then there is no session yet. */
static int look_for_factors(struct db_conn *c, struct login *l)
{
	int64_t one;
	int r = factors_load(c, l->x->self, l->sign_in.user_id, &l->factors);

	sodium_memzero(l->factors.secret, sizeof(l->factors.secret));
	if (r < 0 || !factors_are_on(&l->factors))
		return r;
	r = db_get_int(c, &one, "select 1 from users where id = ? and password_hash = ? and disabled = 0",
		       DB_TEXT(l->sign_in.user_id), DB_TEXT(l->stored));
	l->is_gone = r == 0;
	return MIN(r, 0);
}

static int save_run(struct db_conn *c, struct exchange_job *job)
{
	struct login *l = container_of(job, struct login, job);
	const char *user_id = l->sign_in.user_id;
	int64_t r = db_get_int(c, &l->sign_in.failures, "select failed_logins from users where id = ?" DB_FOR_UPDATE,
			       DB_TEXT(user_id));

	if (r >= 0)
		r = look_for_factors(c, l);
	if (r < 0 || factors_are_on(&l->factors))
		return (int)r;
	/* Only while the password that was checked is still the one. */
	r = db_exec(c,
		    "update users set password_hash = ?, last_login_at = ?, failed_logins = 0 "
		    "where id = ? and password_hash = ? and disabled = 0",
		    DB_TEXT(l->hash.has_made ? l->hash.made : l->stored), DB_INT(clock_now_us()), DB_TEXT(user_id),
		    DB_TEXT(l->stored));
	l->is_gone = r == 0;
	return r <= 0 ? (int)r : sign_in_save(c, job->x, &l->sign_in);
}

static enum login_state login_save(struct login *l)
{
	const struct auth *auth = l->x->self;

	l->job = (struct exchange_job){.x = l->x, .run = save_run, .done = job_done};
	exchange_write(auth->db, &l->job);
	return LOGIN_SAVING;
}

/* ---- Ends ---- */

static enum login_state login_refuse(struct login *l)
{
	const struct auth *auth = l->x->self;

	metric_add(auth->metrics.logins_refused, 1);
	guard_end(auth, &l->guard, THROTTLE_FAILED);
	audit_act(l->x, "login.refused", AUDIT_FAILURE, NULL, "user", l->sign_in.user_id);
	reply_header(l->x, "Cache-Control", "no-store");
	reply_problem(l->x, 401, "invalid_credentials", "E-mail address or password is wrong.");
	if (l->sign_in.user_id)
		guard_count_failure(l->x->self, l->sign_in.user_id);
	return LOGIN_ENDED;
}

static enum login_state login_fail(struct login *l)
{
	guard_end(l->x->self, &l->guard, THROTTLE_UNKNOWN);
	buf_wipe(&l->password);
	reply_db_failure(l->x, l->err);
	return LOGIN_ENDED;
}

/* The password was right; what it is worth shows with the second step. */
static enum login_state login_ask(struct login *l)
{
	guard_end(l->x->self, &l->guard, THROTTLE_UNKNOWN);
	second_step_ask(l->x, l->sign_in.user_id, l->stored, &l->factors);
	return LOGIN_ENDED;
}

static enum login_state login_grant(struct login *l)
{
	guard_end(l->x->self, &l->guard, THROTTLE_PASSED);
	sign_in_reply(l->x, &l->sign_in);
	return LOGIN_ENDED;
}

static enum login_state login_next(struct login *l)
{
	if (l->err < 0)
		return login_fail(l);
	if (l->state == LOGIN_HASHING && l->hash.has_failed)
		return login_give_up(l);
	switch (l->state) {
	case LOGIN_FINDING: return login_hash(l);
	case LOGIN_HASHING: return l->hash.matches && l->is_open ? login_save(l) : login_refuse(l);
	case LOGIN_SAVING:
		return l->is_gone ? login_refuse(l) : factors_are_on(&l->factors) ? login_ask(l) : login_grant(l);
	case LOGIN_ENDED: break;
	}
	abort();
}

/* What cannot be an address or a password of ours is looked up and hashed all the same. */
static void read_credentials(struct login *l)
{
	struct str email = str_of(json_get_str(l->x->body, "email", ""));
	struct str password = str_of(json_get_str(l->x->body, "password", ""));

	if (email_canonical(email, l->guard.email_key) < 0)
		snprintf(l->guard.email_key, sizeof(l->guard.email_key), "?%.*s", (int)MIN(email.n, 100u), email.p);
	if (password_normalise(password, &l->password, NULL) < 0)
		buf_add_char(&l->password, '\n'); /* no password holds it */
}

void auth_login(struct exchange *x)
{
	static const struct json_field fields[] = {
		{"email", JSON_STRING, .required = true, .max = 1024},
		{"password", JSON_STRING, .required = true, .max = 8192},
	};
	struct login *l;
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x))
		return;
	l = arena_new_of(x->arena, struct login);
	l->x = x;
	l->sign_in.guard = &l->guard;
	client_read(x, &l->guard.client);
	l->sign_in.replaced = session_of_cookie(x, &l->guard.client);
	read_credentials(l);
	if (!guard_begin(x, &l->guard)) {
		buf_wipe(&l->password);
		return;
	}
	exchange_hold(x);
	l->state = login_find(l);
}
