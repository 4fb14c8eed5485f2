/* How the rows of the audit log hang together. */
#pragma once

#include <sodium.h>

#include "audit/audit.h"

struct audit_key {
	uint8_t bytes[crypto_auth_hmacsha256_KEYBYTES];
};

/* A row as it is stored, without its hash. */
struct audit_row {
	int64_t seq, at;
	/* event, outcome, actor_kind, actor_id, actor_name, target, address, session_id, request_id, detail */
	struct str text[10];
};
enum {
	AUDIT_EVENT,
	AUDIT_OUTCOME,
	AUDIT_ACTOR_KIND,
	AUDIT_ACTOR_ID,
	AUDIT_ACTOR_NAME,
	AUDIT_TARGET,
	AUDIT_ADDRESS,
	AUDIT_SESSION,
	AUDIT_REQUEST,
	AUDIT_DETAIL,
	AUDIT_TEXTS
};

#define AUDIT_COLUMNS                                                                                                  \
	"seq, at, event, outcome, actor_kind, actor_id, actor_name, target, address, session_id, request_id, detail, " \
	"hash"

/* The hash of a row that stands behind the row with the hash `previous` ("" for the first). */
void audit_row_hash(const struct audit_key *key, struct str previous, const struct audit_row *row,
		    char ret[static SHA256_HEX_SIZE]);
/* What only who has the key can say about the end of the log. */
void audit_head_mac(const struct audit_key *key, int64_t newest, struct str hash, char ret[static SHA256_HEX_SIZE]);
/* The row of a query of AUDIT_COLUMNS; its strings are good until the next step. */
void audit_row_of(struct db_stmt *st, struct audit_row *ret, struct str *ret_hash);

/* Inside a write job: the row behind the last one. 0 or -errno. */
int audit_append(struct db_conn *c, const struct audit_key *key, const struct audit_event *e, int64_t at);

extern const char *const audit_outcomes[3];

/* audit.c */
const struct audit_key *audit_key_of(const struct auth *auth);
