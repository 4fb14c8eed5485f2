#include "mfa/factors.h"

#include <errno.h>
#include <sodium.h>

#include "base/clock.h"
#include "base/encode.h"

#define RECOVERY_CHARS 25
#define GROUP 5

static struct str totp_context(const char *user_id, char *memory, size_t size)
{
	return (struct str){memory, (size_t)snprintf(memory, size, "totp %s", user_id)};
}

static int open_secret(const struct auth *auth, const char *user_id, struct str sealed, struct factors *ret)
{
	_cleanup_(buf_wipe) struct buf plain = BUF_INIT;
	char context[ID_SIZE + 8];
	int r = unseal(&auth->factors_key, totp_context(user_id, context, sizeof(context)), sealed, &plain);

	if (r < 0)
		return r;
	if (plain.n != TOTP_SECRET_SIZE)
		return -EBADMSG;
	memcpy(ret->secret, plain.p, TOTP_SECRET_SIZE);
	ret->has_totp = true;
	return 0;
}

static int load_totp(struct db_conn *c, const struct auth *auth, const char *user_id, struct factors *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select secret, last_step from totp where user_id = ?", DB_TEXT(user_id));
	int r = db_step(c, st);

	if (r != 1)
		return r;
	ret->last_step = db_col_int(st, 1);
	return open_secret(auth, user_id, db_col_str(st, 0), ret);
}

int factors_load(struct db_conn *c, const struct auth *auth, const char *user_id, struct factors *ret)
{
	int64_t confirms = 0;
	int r;

	*ret = (struct factors){0};
	r = load_totp(c, auth, user_id, ret);
	if (r == 0)
		r = db_get_int(c, &ret->n_recovery,
			       "select count(*) from recovery_codes where user_id = ? and used_at is null",
			       DB_TEXT(user_id));
	if (r >= 0)
		r = db_get_int(c, &ret->n_passkeys, "select count(*) from passkeys where user_id = ?",
			       DB_TEXT(user_id));
	if (r >= 0)
		r = db_get_int(c, &confirms, "select confirm_approvals from users where id = ?", DB_TEXT(user_id));
	ret->confirms_approvals = r == 1 && confirms;
	return MIN(r, 0);
}

bool factors_are_on(const struct factors *f)
{
	return f->has_totp || f->n_passkeys > 0;
}

int factors_set_totp(struct db_conn *c, const struct auth *auth, const char *user_id,
		     const uint8_t secret[static TOTP_SECRET_SIZE], uint64_t step)
{
	_cleanup_(buf_deinit) struct buf sealed = BUF_INIT;
	char context[ID_SIZE + 8];
	int64_t r = factors_remove_totp(c, user_id);

	if (r < 0)
		return (int)r;
	seal(&auth->factors_key, totp_context(user_id, context, sizeof(context)),
	     (struct str){(const char *)secret, TOTP_SECRET_SIZE}, &sealed);
	r = db_exec(c, "insert into totp (user_id, secret, last_step, created_at) values (?, ?, ?, ?)",
		    DB_TEXT(user_id), DB_STR(buf_str(&sealed)), DB_INT((int64_t)step), DB_INT(clock_now_us()));
	return (int)MIN(r, 0);
}

int factors_remove_totp(struct db_conn *c, const char *user_id)
{
	return error_only(db_exec(c, "delete from totp where user_id = ?", DB_TEXT(user_id)));
}

static int remove_codes(struct db_conn *c, const char *user_id)
{
	return error_only(db_exec(c, "delete from recovery_codes where user_id = ?", DB_TEXT(user_id)));
}

/* 32 letters and digits that are not mistaken for one another (Crockford's base 32). */
static void make_code(char *ret)
{
	static const char letters[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

	for (int i = 0; i < RECOVERY_CHARS; i++) {
		if (i > 0 && i % GROUP == 0)
			*ret++ = '-';
		*ret++ = letters[randombytes_uniform(32)];
	}
	*ret = '\0';
}

/* What a person typed, as it was made. Returns false when it cannot be a code. */
static bool normalise(struct str given, char ret[static RECOVERY_CHARS])
{
	size_t n = 0;

	for (size_t i = 0; i < given.n; i++) {
		char ch = given.p[i];

		if (ch == '-' || ch == ' ')
			continue;
		if (n == RECOVERY_CHARS)
			return false;
		if (ch >= 'a' && ch <= 'z')
			ch = (char)(ch - 'a' + 'A');
		ret[n++] = ch == 'O' ? '0' : ch == 'I' || ch == 'L' ? '1' : ch;
	}
	return n == RECOVERY_CHARS;
}

static void hash_code(const char code[static RECOVERY_CHARS], char ret[static SHA256_HEX_SIZE])
{
	sha256_hex(code, RECOVERY_CHARS, ret);
}

int factors_new_codes(struct db_conn *c, struct arena *a, const char *user_id, const char *ret[static RECOVERY_CODES])
{
	int64_t r = remove_codes(c, user_id);

	for (int i = 0; r >= 0 && i < RECOVERY_CODES; i++) {
		char plain[RECOVERY_CHARS], hash[SHA256_HEX_SIZE], *code = arena_alloc(a, RECOVERY_CODE_SIZE);

		make_code(code);
		ret[i] = code;
		normalise(str_of(code), plain);
		hash_code(plain, hash);
		r = db_exec(c, "insert into recovery_codes (user_id, code_hash, created_at) values (?, ?, ?)",
			    DB_TEXT(user_id), DB_TEXT(hash), DB_INT(clock_now_us()));
	}
	return (int)MIN(r, 0);
}

int factors_tidy(struct db_conn *c, const struct auth *auth, const char *user_id)
{
	struct factors f;
	int r = factors_load(c, auth, user_id, &f);

	sodium_memzero(f.secret, sizeof(f.secret));
	return r < 0 || factors_are_on(&f) ? r : remove_codes(c, user_id);
}

int factors_remove_all(struct db_conn *c, const char *user_id)
{
	int64_t r = factors_remove_totp(c, user_id);

	if (r >= 0)
		r = remove_codes(c, user_id);
	if (r >= 0)
		r = db_exec(c, "delete from passkeys where user_id = ?", DB_TEXT(user_id));
	return (int)MIN(r, 0);
}

static int take_totp(struct db_conn *c, const struct auth *auth, const char *user_id, struct str code)
{
	struct factors f;
	uint64_t step;
	int64_t r = factors_load(c, auth, user_id, &f);
	bool ok = r == 0 && f.has_totp && totp_matches(f.secret, code, clock_now_us(), (uint64_t)f.last_step, &step);

	sodium_memzero(f.secret, sizeof(f.secret));
	if (!ok)
		return (int)MIN(r, 0);
	r = db_exec(c, "update totp set last_step = ? where user_id = ? and last_step < ?", DB_INT((int64_t)step),
		    DB_TEXT(user_id), DB_INT((int64_t)step));
	return r < 0 ? (int)r : r == 1 ? FACTOR_CODE_TOTP : FACTOR_CODE_WRONG;
}

int factors_take_code(struct db_conn *c, const struct auth *auth, const char *user_id, struct str code)
{
	char plain[RECOVERY_CHARS], hash[SHA256_HEX_SIZE];
	int64_t r;

	code = str_trim(code);
	if (!normalise(code, plain))
		return take_totp(c, auth, user_id, code);
	hash_code(plain, hash);
	r = db_exec(c, "update recovery_codes set used_at = ? where user_id = ? and code_hash = ? and used_at is null",
		    DB_INT(clock_now_us()), DB_TEXT(user_id), DB_TEXT(hash));
	return r < 0 ? (int)r : r == 1 ? FACTOR_CODE_RECOVERY : FACTOR_CODE_WRONG;
}
