/* What stands between two requests of one act: who passed the first step, what was asked of the authenticator. The
 * client holds it as a sealed text (lib/base/seal.h), so that who only begins costs no row; who finishes leaves its
 * hash, so that it is good once. */
#pragma once

#include "auth.h"
#include "base/encode.h"

#define TICKET_US (5 * 60 * INT64_C(1000000))
#define TICKET_DATA_SIZE 32
#define TICKET_TEXT_MAX 512

enum ticket_kind {
	TICKET_LOGIN,         /* the password was right; data: SHA-256 of its stored hash */
	TICKET_TOTP,          /* a new secret, not confirmed; data: the secret */
	TICKET_PASSKEY,       /* a new passkey is asked for; data: the challenge */
	TICKET_PASSKEY_LOGIN, /* sign-in by passkey, user "" = whoever has it; data: the challenge */
	TICKET_CONFIRM,       /* an act to be confirmed; data: the challenge, which is made of the act */
	TICKET_CONFIRMED,     /* it was; data: SHA-256 of the act */
	TICKET_REAUTH,        /* who is signed in shows himself again; data: the challenge */
};

struct ticket {
	enum ticket_kind kind;
	int64_t expires_at;  /* us */
	const char *user_id; /* "" = nobody yet; arena */
	uint8_t data[TICKET_DATA_SIZE];
	char hash[SHA256_HEX_SIZE]; /* of the text */
};

/* Loads secrets/auth-factors.key (made when missing). Returns 0, or -EINVAL with err. */
int ticket_key_load(struct auth *auth, struct error *err);
/* In the arena. */
const char *ticket_new(const struct auth *auth, struct arena *a, enum ticket_kind kind, const char *user_id,
		       const uint8_t data[static TICKET_DATA_SIZE]);
/* Whether the text is one of ours, of this kind, and not too old. */
bool ticket_open(const struct auth *auth, struct arena *a, enum ticket_kind kind, struct str text, struct ticket *ret);
/* From a member of the body. Returns false after answering 401 `ticket_invalid`: not ours, of another kind, or
 * older than TICKET_US. */
bool ticket_read(struct exchange *x, const char *member, enum ticket_kind kind, struct ticket *ret);
/* Inside a write job that does what the ticket is for. 1: it is used now; 0: it was before; -errno. */
int ticket_use(struct db_conn *c, const struct ticket *t);
/* 401 `ticket_invalid`. */
void ticket_refuse(struct exchange *x);
