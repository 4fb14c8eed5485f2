/* What is to be sent: rows of the table `outbox`, written in the transaction of the act that causes them, sent one
 * after the other afterwards. Nothing is lost by a crash: a row is `sent` only after the server has taken the mail, so
 * a mail may come twice (with the same Message-ID), never not at all. A failure is tried again, at first after the
 * option mail_retry, then at doubling distances up to an hour, for two days; what the server refuses for good is
 * `failed` at once and holds nobody else up.
 *
 * Who asks for a new password or signs up must not learn from the time whether an address is known. So these requests
 * write the same rows for every address, and what becomes of them is decided here, when they are sent. */
#pragma once

#include "link.h"
#include "mail_text.h"

/* No mail: the agent service is told that a user is gone (user_id), and who gets what he shared. */
#define OUTBOX_USER_DELETED "user_deleted"

struct outbox_mail {
	const char *kind;                   /* MAIL_… */
	const char *to, *user_id, *link_id; /* user_id and link_id may be NULL */
	struct mail_facts facts;
};

/* Inside a write job. 0 or -errno. After the commit, outbox_wake. */
int outbox_add(struct db_conn *c, struct arena *a, const struct outbox_mail *mail);
/* json: what is told, an object. */
int outbox_add_call(struct db_conn *c, const char *kind, const char *user_id, const char *json);
/* On the loop, when a job that added something is committed. */
void outbox_wake(struct auth *auth);

/* At start: reads the options. Returns 0, or -EINVAL with err. */
int mail_configure(struct auth *auth, struct error *err);
/* Begins to send; the database is open. */
void outbox_open(struct auth *auth);
/* Before db_close, which waits for its last job; then outbox_free. */
void outbox_close(struct auth *auth);
void outbox_free(struct outbox *o);

/* For resolve.c: one row under way. Strings live in its arena. */
struct outbox_item {
	const char *id, *kind, *to, *user_id, *link_id, *facts;
	int64_t attempts, created_at;
};
/* Inside the job that takes a row: decides what is sent to whom. Returns 1, 0 (nothing: the row goes) or -errno. */
int outbox_resolve(struct db_conn *c, struct auth *auth, struct arena *a, struct outbox_item *item);
