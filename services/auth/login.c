/* POST /api/auth/login. Whatever is wrong (no such account, disabled, no password, wrong password) takes the same way:
 * one look-up, one hash, one answer. */
#include "email.h"
#include "handlers.h"
#include "new_user.h"
#include "password.h"
#include "sessions.h"

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

	struct client client;
	char email_key[EMAIL_SIZE]; /* or the raw text of what is no address */
	char pair_name[EMAIL_SIZE + CLIENT_ADDRESS_SIZE];
	bool is_known_pair;
	struct buf password;
	const char *user_id, *stored; /* NULL: no such account */
	bool is_open;                 /* the account may sign in, if the password is right */
	bool is_gone;                 /* it was disabled or deleted meanwhile */
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

/* ---- Throttling: by address, and by account unless this address has signed in to it before ---- */

static uint64_t now_ms(void)
{
	return clock_mono_us() / 1000;
}

/* The throttle of this account that counts for this address. */
static struct throttle *account_throttle(struct login *l, struct str *ret_name)
{
	const struct auth *auth = l->x->self;

	*ret_name = str_of(l->is_known_pair ? l->pair_name : l->email_key);
	return l->is_known_pair ? auth->by_pair : auth->by_account;
}

static void end_try(struct login *l, enum throttle_outcome outcome)
{
	const struct auth *auth = l->x->self;
	struct str name;
	struct throttle *t = account_throttle(l, &name);

	throttle_end(t, name, outcome, now_ms());
	throttle_end(auth->by_address, str_of(l->client.address), outcome, now_ms());
	if (outcome == THROTTLE_PASSED && !l->is_known_pair)
		throttle_end(auth->by_pair, str_of(l->pair_name), outcome, now_ms());
}

/* Returns 0 or the milliseconds to wait. */
static uint64_t begin_try(struct login *l)
{
	const struct auth *auth = l->x->self;
	uint64_t wait = throttle_begin(auth->by_address, str_of(l->client.address), now_ms());
	struct throttle *t;
	struct str name;

	if (wait > 0)
		return wait;
	snprintf(l->pair_name, sizeof(l->pair_name), "%s %s", l->client.address, l->email_key);
	l->is_known_pair = throttle_has_passed(auth->by_pair, str_of(l->pair_name), now_ms());
	t = account_throttle(l, &name);
	wait = throttle_begin(t, name, now_ms());
	if (wait > 0)
		throttle_end(auth->by_address, str_of(l->client.address), THROTTLE_UNKNOWN, now_ms());
	return wait;
}

/* ---- Finding ---- */

static int find_run(struct db_conn *c, struct exchange_job *job)
{
	struct login *l = container_of(job, struct login, job);
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select id, password_hash, disabled from users where email_key = ?", DB_TEXT(l->email_key));
	int r = db_step(c, st);

	l->user_id = l->stored = NULL;
	l->is_open = false;
	if (r == 1) {
		l->user_id = db_col_dup(st, 0, job->x->arena);
		l->stored = db_col_dup(st, 1, job->x->arena);
		l->is_open = l->stored && db_col_int(st, 2) == 0;
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
	end_try(l, THROTTLE_UNKNOWN);
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

static int save_run(struct db_conn *c, struct exchange_job *job)
{
	struct login *l = container_of(job, struct login, job);
	int64_t r;

	/* Only while the password that was checked is still the one. */
	r = db_exec(c,
		    "update users set password_hash = ?, last_login_at = ? "
		    "where id = ? and password_hash = ? and disabled = 0",
		    DB_TEXT(l->hash.has_made ? l->hash.made : l->stored), DB_INT(clock_now_us()), DB_TEXT(l->user_id),
		    DB_TEXT(l->stored));
	l->is_gone = r == 0;
	if (r <= 0)
		return r;
	return session_create(c, job->x->self, job->x->arena, l->user_id, &l->client, &l->grant);
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
	end_try(l, THROTTLE_FAILED);
	log_event(LOG_INFO, "sign-in refused", "event", "login_failed", "user_id", l->user_id ? l->user_id : "",
		  "address", l->client.address, "request_id", l->x->request_id, NULL);
	reply_header(l->x, "Cache-Control", "no-store");
	reply_problem(l->x, 401, "invalid_credentials", "E-mail address or password is wrong.");
	return LOGIN_ENDED;
}

static enum login_state login_fail(struct login *l)
{
	end_try(l, THROTTLE_UNKNOWN);
	password_wipe(&l->password);
	reply_db_failure(l->x, l->err);
	return LOGIN_ENDED;
}

static enum login_state login_grant(struct login *l)
{
	const struct auth *auth = l->x->self;

	metric_add(auth->metrics.logins_granted, 1);
	end_try(l, THROTTLE_PASSED);
	log_event(LOG_INFO, "signed in", "event", "login", "user_id", l->user_id, "session_id",
		  l->grant.token.session_id, "address", l->client.address, "request_id", l->x->request_id, NULL);
	session_reply(l->x, 200, &l->client, &l->grant);
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

	if (email_canonical(email, l->email_key) < 0)
		snprintf(l->email_key, sizeof(l->email_key), "?%.*s", (int)MIN(email.n, 100u), email.p);
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
	uint64_t wait;

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x))
		return;
	l = arena_new_of(x->arena, struct login);
	l->x = x;
	client_read(x, &l->client);
	read_credentials(l);
	wait = begin_try(l);
	if (wait > 0) {
		metric_add(((const struct auth *)x->self)->metrics.logins_throttled, 1);
		password_wipe(&l->password);
		reply_header(x, "Retry-After", arena_printf(x->arena, "%u", (unsigned)((wait + 999) / 1000)));
		reply_problem(x, 429, "too_many_attempts", "Too many failed attempts; wait and try again.");
		return;
	}
	exchange_hold(x);
	l->state = login_find(l);
}
