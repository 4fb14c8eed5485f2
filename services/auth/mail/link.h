/* Links in mails: signing up, invitations, new passwords, e-mail addresses. A link is a row; its token, the text behind
 * the # of the URL, is
 *
 *	"ogk_" and base64url of   link id (16) | HMAC-SHA-256 of it, cut to 128 bits (16)
 *
 * As it follows from the id and a key of the data folder, nothing secret is stored, and a mail that is sent again
 * later holds the same link. Each works once: the UPDATE that marks it used is the test. What stands behind a # is sent
 * to no server, so a scanner that opens links in mails uses nothing up. */
#pragma once

#include "auth/auth.h"
#include "base/id.h"

#define LINK_TOKEN_SIZE 48 /* 47 characters and a NUL */
#define LINK_SIGNUP "signup"
#define LINK_INVITE "invite"
#define LINK_RESET "reset"
#define LINK_EMAIL "email"

void link_key_derive(const struct refresh_key *from, struct link_key *ret);
void link_token_format(const struct link_key *key, const char *id, char ret[static LINK_TOKEN_SIZE]);
/* Returns 0, or -EINVAL for what was not made with this key. */
int link_token_parse(const struct link_key *key, struct str text, char ret_id[static ID_SIZE]);
/* Where the web app takes it: "https://…/reset#token=ogk_…", in the arena. */
const char *link_url(const struct auth *auth, struct arena *a, const char *kind, const char *id);

/* A row; NULL where there is nothing. */
struct link_row {
	const char *id, *kind, *user_id, *email, *email_key, *name, *password_hash, *roles, *created_by;
	int64_t created_at, expires_at; /* us */
};

/* Inside a job. 0 or -errno; gives it an id (in the arena) and its times. */
int link_add(struct db_conn *c, struct arena *a, struct link_row *link, int64_t life_us);
/* 1: it can be used; 0: it is used, withdrawn, too old or forgotten; or -errno. kind NULL: any. */
int link_find(struct db_conn *c, struct arena *a, const char *id, const char *kind, struct link_row *ret);
/* 1: it is used up now, by this job; 0: it was before; or -errno. */
int link_use(struct db_conn *c, const char *id);
/* Those of a kind that a user has open are good no more. 0 or -errno. */
int links_withdraw(struct db_conn *c, const char *kind, const char *user_id);
int link_withdraw(struct db_conn *c, const char *id);

/* Reads the token `token` of a body. Returns false after answering 403 link_invalid, or 429: an address that comes with
 * many links that are none, or are good no more, waits. */
bool link_token_read(struct exchange *x, char ret_id[static ID_SIZE]);
/* 410 */
void reply_link_gone(struct exchange *x);
