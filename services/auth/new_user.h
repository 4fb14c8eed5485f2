/* Name, e-mail and password from outside, checked, for set-up, registration and administrators alike. */
#pragma once

#include "account.h"
#include "auth.h"
#include "client.h"
#include "email.h"

struct new_user {
	const char *name;  /* arena */
	const char *email; /* arena, as given, trimmed */
	char email_key[EMAIL_SIZE];
	struct buf password; /* normal form; goes over to the hash */
};

/* The members of a body that holds a new user, for its table of fields. */
#define NEW_USER_FIELDS                                                                                             \
	{"name", JSON_STRING, .required = true, .max = 400}, {"email", JSON_STRING, .required = true, .max = 1024}, \
	{                                                                                                           \
		"password", JSON_STRING, .required = true, .max = 8192                                              \
	}

/* Reads and checks them; answers 422 and returns false when something is wrong. `ret` lives in the exchange's arena,
 * which wipes the password in the end. */
bool new_user_read(struct exchange *x, const struct json_field *fields, size_t n_fields, struct new_user *ret);
/* A new password from this member of the body, in normal form, for the account of this address. Answers 422 and returns
 * false when it cannot be one. The exchange's arena wipes it in the end. */
bool new_password_read(struct exchange *x, const char *field, const char *email_key, struct buf *ret);
/* Takes it over into a hash to be made and starts it, as new_user_hash. */
bool new_password_hash(struct exchange *x, struct buf *password, struct hash_op *op, void (*done)(struct hash_op *op));
/* Takes the password over into a hash to be made and starts it; answers 503 when too many wait. Returns whether `done`
 * will come. */
bool new_user_hash(struct exchange *x, struct new_user *user, struct hash_op *op, void (*done)(struct hash_op *op));
/* Inside a write job: the row and its roles (names, NULL at the end). Returns 0, -EEXIST (the e-mail is taken), -ENOENT
 * (no such role) or another -errno. */
int new_user_insert(struct db_conn *c, const struct new_user *user, const char *password_hash, const char *const *roles,
		    char ret_id[static ID_SIZE]);
/* Inside a write job: the user's roles are replaced by these. Returns 0, -ENOENT (no such role) or -errno. */
int user_roles_set(struct db_conn *c, const char *user_id, const char *const *roles);
/* Inside a write job: the user's password is this one from now on, and failed attempts are forgotten. 1, 0 (there is no
 * such user) or -errno. */
int user_password_set(struct db_conn *c, const char *user_id, const char *password_hash);
/* Inside a write job: his address was proved to be his. 0 or -errno. */
int user_email_verified(struct db_conn *c, const char *user_id);
/* Before something is sent to an address because somebody asks for it: answers 429 when the client asks too often, or
 * 202 without doing anything when the address got much already; then it returns false. */
bool mail_allow(struct exchange *x, const struct client *client, const char *email_key);
void reply_invalid_email(struct exchange *x);
/* 503: too many hashes wait, or there is no memory for one. */
void reply_hash_busy(struct exchange *x);
void reply_email_taken(struct exchange *x);
