/* Sends one mail by SMTP (RFC 5321) with libcurl. Blocking: for a job's thread. */
#pragma once

#include <stdatomic.h>

#include "base/error.h"
#include "base/str.h"

enum smtp_tls { SMTP_TLS_TRY, SMTP_TLS_REQUIRED, SMTP_TLS_OFF };

struct smtp_server {
	const char *url;             /* smtp://HOST:PORT, with STARTTLS as `tls` says, or smtps://HOST:PORT */
	const char *user, *password; /* "": no sign-in */
	enum smtp_tls tls;
	int64_t total_ms;             /* for all of it */
	const atomic_bool *is_ending; /* set: give up within about a second; may be NULL */
};

struct smtp_mail {
	const char *from, *to; /* bare addresses */
	struct str text;       /* head and body with CRLF */
};

/* SMTP_LATER: try again; SMTP_REFUSED: this mail will never be taken (a 5xx for it, or an address that cannot be
 * written into a command). err has a sentence for both. */
enum smtp_result { SMTP_SENT, SMTP_LATER, SMTP_REFUSED };

/* Loads libcurl, on the loop's thread. Returns false when it is not installed. */
bool smtp_load(void);
enum smtp_result smtp_send(const struct smtp_server *server, const struct smtp_mail *mail, struct error *err);
/* Whether an address can stand in MAIL and RCPT: one @ with something on both sides, no blanks, brackets or quotes. */
bool smtp_address_is_plain(const char *address);
