/* The mails: what each says, and the form in which it goes out (RFC 5322, text in UTF-8, quoted-printable). */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

/* With a link. */
#define MAIL_SIGNUP "signup"
#define MAIL_INVITE "invite"
#define MAIL_RESET "reset"
#define MAIL_EMAIL "email"
/* Without: somebody used an address that has an account. */
#define MAIL_SIGNUP_TAKEN "signup_taken"
#define MAIL_EMAIL_TAKEN "email_taken"
/* Notices. */
#define MAIL_PASSWORD_CHANGED "password_changed"
#define MAIL_EMAIL_CHANGING "email_changing"
#define MAIL_EMAIL_CHANGED "email_changed"
#define MAIL_NEW_DEVICE "new_device"
#define MAIL_FAILURES "failures"
#define MAIL_FACTORS "factors"

/* What a mail names; NULL where there is nothing. Untrusted text: it stands in plain text only. */
struct mail_facts {
	const char *name;            /* of the person */
	const char *by;              /* who invites */
	const char *address, *agent; /* where the act came from */
	const char *other;           /* the new e-mail address; a number of failures; what changed */
	int64_t at;                  /* us */
};

struct mail_head {
	const char *id;        /* for Message-ID: the same when it is sent again */
	const char *from, *to; /* from may have a display name */
	const char *org;       /* "" = none */
	const char *site;      /* the URL that people use */
	const char *link;      /* NULL: none */
	const char *link_ends; /* when, as text */
	int64_t now;           /* us */
};

/* Whether there is such a kind. */
bool mail_kind_is_known(const char *kind);
/* The whole mail, with CRLF. */
void mail_write(const char *kind, const struct mail_head *head, const struct mail_facts *facts, struct buf *out);
/* For both: */
void mail_quoted_printable(struct str text, struct buf *out);
/* "Ogent <a@b>" or "a@b": the bare address, in the arena; NULL when there is none. */
const char *mail_bare_address(struct arena *a, const char *from);
