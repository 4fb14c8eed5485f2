/* The second factors of a user, in the database. */
#pragma once

#include "auth.h"
#include "mfa/totp.h"

#define RECOVERY_CODES 10
#define RECOVERY_CODE_SIZE 30 /* 25 letters and digits in groups of 5, a NUL */
#define PASSKEYS_MAX 20       /* of a user */

struct factors {
	bool has_totp;
	uint8_t secret[TOTP_SECRET_SIZE]; /* wiped by who loads it */
	int64_t last_step;
	int64_t n_recovery; /* codes that are left */
	int64_t n_passkeys;
	bool confirms_approvals; /* his choice */
};

/* Inside a job. Returns 0 or -errno (-EBADMSG: the key of the secrets is not the one they were sealed with). */
int factors_load(struct db_conn *c, const struct auth *auth, const char *user_id, struct factors *ret);
/* Whether a sign-in by password needs a second step. */
bool factors_are_on(const struct factors *f);

/* Inside write jobs. 0 or -errno. */
int factors_set_totp(struct db_conn *c, const struct auth *auth, const char *user_id,
		     const uint8_t secret[static TOTP_SECRET_SIZE], uint64_t step);
int factors_remove_totp(struct db_conn *c, const char *user_id);
/* New codes in place of those that were there; in the arena. */
int factors_new_codes(struct db_conn *c, struct arena *a, const char *user_id, const char *ret[static RECOVERY_CODES]);
/* When the last factor is gone, its recovery codes go too. */
int factors_tidy(struct db_conn *c, const struct auth *auth, const char *user_id);
/* All of a user who goes. */
int factors_remove_all(struct db_conn *c, const char *user_id);

enum factor_code { FACTOR_CODE_WRONG, FACTOR_CODE_TOTP, FACTOR_CODE_RECOVERY };
/* Takes a code: of six digits by time, or a recovery code (case, blanks and dashes do not count). Once: a step and a
 * recovery code are used by one conditional update. Returns a factor_code or -errno. */
int factors_take_code(struct db_conn *c, const struct auth *auth, const char *user_id, struct str code);
