#include "new_user.h"

#include <errno.h>

#include "base/clock.h"
#include "base/id.h"
#include "guard.h"
#include "password.h"

static int check_password(const struct auth *auth, const struct buf *password, const char *email_key, struct error *err)
{
	const struct password_rules rules = {auth->password_min, email_key, auth->mail.org};

	return password_check(buf_str(password), &rules, err);
}

static int check(struct exchange *x, struct new_user *ret, struct error *err)
{
	const struct auth *auth = x->self;
	struct str email = str_trim(str_of(json_get_str(x->body, "email", "")));

	ret->name = account_name_check(x->arena, json_get_str(x->body, "name", ""), err);
	if (!ret->name)
		return -EINVAL;
	if (email_canonical(email, ret->email_key) < 0)
		return error_set(err, "invalid_email",
				 "`email` must be an address such as ada@example.org, of at most %d "
				 "bytes.",
				 EMAIL_MAX);
	ret->email = arena_strndup(x->arena, email.p, email.n);
	if (password_normalise(str_of(json_get_str(x->body, "password", "")), &ret->password, err) < 0)
		return -EINVAL;
	return check_password(auth, &ret->password, ret->email_key, err);
}

static void wipe(void *arg)
{
	buf_wipe(arg);
}

bool new_user_read(struct exchange *x, const struct json_field *fields, size_t n_fields, struct new_user *ret)
{
	struct error err = {0};

	arena_defer(x->arena, wipe, &ret->password);
	if (json_check(x->body, fields, n_fields, &err) == 0 && check(x, ret, &err) == 0)
		return true;
	reply_error(x, strcmp(err.code, "password_undefined") ? 422 : 400, &err);
	return false;
}

void reply_hash_busy(struct exchange *x)
{
	reply_header(x, "Retry-After", "1");
	reply_problem(x, 503, "busy", "Too many passwords are being checked right now; try again in a second.");
}

void reply_email_taken(struct exchange *x)
{
	reply_problem(x, 409, "email_taken", "Somebody with this e-mail address exists already.");
}

bool new_password_read(struct exchange *x, const char *field, const char *email_key, struct buf *ret)
{
	struct error err = {0};

	arena_defer(x->arena, wipe, ret);
	if (password_normalise(str_of(json_get_str(x->body, field, "")), ret, &err) == 0 &&
	    check_password(x->self, ret, email_key, &err) == 0)
		return true;
	reply_error(x, strcmp(err.code, "password_undefined") ? 422 : 400, &err);
	return false;
}

bool new_password_hash(struct exchange *x, struct buf *password, struct hash_op *op, void (*done)(struct hash_op *op))
{
	const struct auth *auth = x->self;

	*op = (struct hash_op){.password = *password, .done = done};
	*password = BUF_INIT;
	if (hasher_start(auth->hasher, op) == 0)
		return true;
	reply_hash_busy(x);
	return false;
}

bool new_user_hash(struct exchange *x, struct new_user *user, struct hash_op *op, void (*done)(struct hash_op *op))
{
	return new_password_hash(x, &user->password, op, done);
}

int user_password_set(struct db_conn *c, const char *user_id, const char *password_hash)
{
	int64_t now = clock_now_us();

	return (int)db_exec(
		c,
		"update users set password_hash = ?, password_changed_at = ?, failed_logins = 0, updated_at = ? "
		"where id = ?",
		DB_TEXT(password_hash), DB_INT(now), DB_INT(now), DB_TEXT(user_id));
}

int user_email_verified(struct db_conn *c, const char *user_id)
{
	int64_t now = clock_now_us();

	return error_only(db_exec(c, "update users set email_verified_at = ?, updated_at = ? where id = ?", DB_INT(now),
				  DB_INT(now), DB_TEXT(user_id)));
}

bool mail_allow(struct exchange *x, const struct client *client, const char *email_key)
{
	const struct auth *auth = x->self;
	uint64_t now = clock_mono_ms(), wait;
	struct str address = str_of(client->address), email = str_of(email_key);

	wait = throttle_begin(auth->mail_by_address, address, now);
	if (wait > 0) {
		reply_throttled(x, wait, "Too many mails were asked for; wait and try again.");
		return false;
	}
	throttle_end(auth->mail_by_address, address, THROTTLE_FAILED, now);
	if (throttle_begin(auth->mail_by_account, email, now) > 0) {
		reply_header(x, "Cache-Control", "no-store");
		reply_empty(x, 202);
		return false;
	}
	throttle_end(auth->mail_by_account, email, THROTTLE_FAILED, now);
	return true;
}

void reply_invalid_email(struct exchange *x)
{
	reply_problem(x, 422, "invalid_email",
		      "`email` must be an address such as ada@example.org, of at most %d bytes.", EMAIL_MAX);
}

int user_roles_set(struct db_conn *c, const char *user_id, const char *const *roles)
{
	int64_t r = db_exec(c, "delete from user_roles where user_id = ?", DB_TEXT(user_id));

	for (; r >= 0 && *roles; roles++) {
		r = db_exec(c,
			    "insert into user_roles (user_id, role_id, created_at) select ?, id, ? from roles where "
			    "name = ?",
			    DB_TEXT(user_id), DB_INT(clock_now_us()), DB_TEXT(*roles));
		if (r == 0)
			return -ENOENT;
	}
	return MIN(r, 0);
}

int new_user_insert(struct db_conn *c, const struct new_user *user, const char *password_hash, const char *const *roles,
		    char ret_id[static ID_SIZE])
{
	int64_t now = clock_now_us(), r;

	id_new(ret_id);
	r = db_exec(
		c,
		"insert into users (id, kind, name, email, email_key, password_hash, password_changed_at, disabled, "
		"permission_epoch, created_at, updated_at) values (?, 'user', ?, ?, ?, ?, ?, 0, 1, ?, ?)",
		DB_TEXT(ret_id), DB_TEXT(user->name), DB_TEXT(user->email), DB_TEXT(user->email_key),
		DB_TEXT(password_hash), DB_INT(now), DB_INT(now), DB_INT(now));
	return r < 0 ? (int)r : user_roles_set(c, ret_id, roles);
}
