/* POST /api/auth/login. Whatever is wrong (no such account, disabled, no password, wrong password) takes the same way:
 * one look-up, one hash, one answer. */
#include "feed.h"
#include "guard.h"
#include "handlers.h"
#include "mail/outbox.h"
#include "new_user.h"
#include "password.h"
#include "sessions.h"

#include <errno.h>

#include "base/clock.h"

#define NOTICE_FAILURES 5 /* failed attempts before a good one of which the user is told */

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
	const char *user_id, *stored; /* NULL: no such account */
	int64_t failures;             /* in a row until now */
	bool is_open;                 /* the account may sign in, if the password is right */
	bool is_gone;                 /* it was disabled or deleted meanwhile */
	const char *replaced;         /* the session of the cookie that came along, or NULL: it ends */
	bool is_new_device;
	struct session_grant grant;
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

	l->user_id = l->stored = NULL;
	l->is_open = false;
	if (r == 1) {
		l->user_id = db_col_dup(st, 0, job->x->arena);
		l->stored = db_col_dup(st, 1, job->x->arena);
		l->failures = db_col_int(st, 3);
		l->is_open =
			l->stored && db_col_int(st, 2) == 0 && (l->failures < GUARD_MAX_FAILURES || l->guard.is_known);
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

/* Whether the user has signed in before, but never like this. */
static int check_device(struct db_conn *c, struct login *l)
{
	const struct client *client = &l->guard.client;
	int64_t one;
	int r;

	l->is_new_device = false;
	if (l->guard.is_known)
		return 0;
	r = db_get_int(c, &one, "select 1 from sessions where user_id = ? and address = ? and user_agent = ? limit 1",
		       DB_TEXT(l->user_id), DB_TEXT(client->address), DB_TEXT(client->user_agent));
	if (r == 0)
		r = db_get_int(c, &one, "select 1 from sessions where user_id = ? limit 1", DB_TEXT(l->user_id));
	else
		return MIN(r, 0);
	l->is_new_device = r == 1;
	return MIN(r, 0);
}

static int tell(struct db_conn *c, struct login *l, const char *kind)
{
	const struct account *a = &l->grant.account;
	struct outbox_mail mail = {
		.kind = kind,
		.to = a->email,
		.user_id = a->id,
		.facts = {.name = a->name,
			  .address = l->guard.client.address,
			  .agent = l->guard.client.user_agent,
			  .other = arena_printf(l->x->arena, "%lld", (long long)l->failures)},
	};

	return a->email ? outbox_add(c, l->x->arena, &mail) : 0;
}

static int tell_user(struct db_conn *c, struct login *l)
{
	int r = 0;

	if (l->is_new_device)
		r = tell(c, l, MAIL_NEW_DEVICE);
	if (r == 0 && l->failures >= NOTICE_FAILURES)
		r = tell(c, l, MAIL_FAILURES);
	return r;
}

static int save_run(struct db_conn *c, struct exchange_job *job)
{
	struct login *l = container_of(job, struct login, job);
	int64_t r = db_get_int(c, &l->failures, "select failed_logins from users where id = ?" DB_FOR_UPDATE,
			       DB_TEXT(l->user_id));

	if (r < 0)
		return (int)r;
	/* Only while the password that was checked is still the one. */
	r = db_exec(c,
		    "update users set password_hash = ?, last_login_at = ?, failed_logins = 0 "
		    "where id = ? and password_hash = ? and disabled = 0",
		    DB_TEXT(l->hash.has_made ? l->hash.made : l->stored), DB_INT(clock_now_us()), DB_TEXT(l->user_id),
		    DB_TEXT(l->stored));
	l->is_gone = r == 0;
	if (r <= 0)
		return r;
	r = check_device(c, l);
	if (r == 0)
		r = session_create(c, job->x->self, job->x->arena, l->user_id, &l->guard.client, &l->grant);
	if (r == 0 && l->replaced)
		r = session_revoke(c, l->replaced, "replaced");
	return r < 0 ? (int)r : tell_user(c, l);
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
	log_event(LOG_INFO, "sign-in refused", "event", "login_failed", "user_id", l->user_id ? l->user_id : "",
		  "address", l->guard.client.address, "request_id", l->x->request_id, NULL);
	reply_header(l->x, "Cache-Control", "no-store");
	reply_problem(l->x, 401, "invalid_credentials", "E-mail address or password is wrong.");
	if (l->user_id)
		guard_count_failure(l->x->self, l->user_id);
	return LOGIN_ENDED;
}

static enum login_state login_fail(struct login *l)
{
	guard_end(l->x->self, &l->guard, THROTTLE_UNKNOWN);
	password_wipe(&l->password);
	reply_db_failure(l->x, l->err);
	return LOGIN_ENDED;
}

static void log_grant(struct login *l)
{
	const char *user = l->user_id, *address = l->guard.client.address;

	log_event(LOG_INFO, "signed in", "event", "login", "user_id", user, "session_id", l->grant.token.session_id,
		  "address", address, "request_id", l->x->request_id, NULL);
	if (l->is_new_device)
		log_event(LOG_WARN, "security event: sign-in from a new device", "event", "login_new_device", "user_id",
			  user, "address", address, "request_id", l->x->request_id, NULL);
	if (l->failures >= NOTICE_FAILURES)
		log_event(LOG_WARN, "security event: sign-in after failed attempts", "event", "login_after_failures",
			  "user_id", user, "address", address, "request_id", l->x->request_id, NULL);
}

static enum login_state login_grant(struct login *l)
{
	struct auth *auth = l->x->self;

	metric_add(auth->metrics.logins_granted, 1);
	guard_end(auth, &l->guard, THROTTLE_PASSED);
	log_grant(l);
	if (l->is_new_device || l->failures >= NOTICE_FAILURES)
		outbox_wake(auth);
	if (l->replaced)
		feed_wake(auth);
	session_reply(l->x, 200, &l->guard.client, &l->grant);
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
	case LOGIN_SAVING: return l->is_gone ? login_refuse(l) : login_grant(l);
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
	client_read(x, &l->guard.client);
	l->replaced = session_of_cookie(x, &l->guard.client);
	read_credentials(l);
	if (!guard_begin(x, &l->guard)) {
		password_wipe(&l->password);
		return;
	}
	exchange_hold(x);
	l->state = login_find(l);
}
