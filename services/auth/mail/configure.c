#include <errno.h>
#include <stdio.h>

#include "base/utf8.h"
#include "io/smtp.h"
#include "outbox.h"

static bool has_control(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return true;
	return false;
}

static enum smtp_tls tls_of(const struct options *o)
{
	const char *tls = option_str(o, "mail_tls");

	if (!strcmp(tls, "off"))
		return SMTP_TLS_OFF;
	return !strcmp(tls, "required") || *option_str(o, "mail_password") ? SMTP_TLS_REQUIRED : SMTP_TLS_TRY;
}

/* Without a slash at its end. */
static void read_public_url(struct auth *auth, const struct options *o)
{
	const char *url = option_str(o, "public_url");
	size_t n;

	snprintf(auth->mail.public_url, sizeof(auth->mail.public_url), "%s%s", *url ? "" : "http://",
		 *url ? url : option_str(o, "listen"));
	n = strlen(auth->mail.public_url);
	if (n && auth->mail.public_url[n - 1] == '/')
		auth->mail.public_url[n - 1] = '\0';
}

int mail_configure(struct auth *auth, struct error *err)
{
	const struct options *o = service_options(auth->service);
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	const char *bare;

	auth->mail.is_on = *option_str(o, "mail_url") != '\0';
	auth->mail.from = option_str(o, "mail_from");
	auth->mail.org = option_str(o, "org_name");
	auth->mail.tls = tls_of(o);
	auth->mail.timeout_ms = option_int(o, "mail_timeout");
	auth->mail.retry_ms = option_int(o, "mail_retry");
	auth->mail.invite_us = option_int(o, "invite_ttl") * 1000;
	auth->mail.verify_us = option_int(o, "verify_ttl") * 1000;
	auth->mail.reset_us = option_int(o, "reset_ttl") * 1000;
	read_public_url(auth, o);
	if (has_control(auth->mail.org) || !utf8_is_valid(str_of(auth->mail.org)))
		return error_set(err, "option_invalid", "org_name must be text without control characters");
	if (!auth->mail.is_on)
		return 0;
	bare = mail_bare_address(a, auth->mail.from);
	if (!bare || !utf8_is_valid(str_of(auth->mail.from)) || strlen(bare) >= sizeof(auth->mail.bare_from))
		return error_set(err, "option_invalid",
				 "mail_url is set, so mail_from must say whose mail it is: ogent@example.org or "
				 "Ogent <ogent@example.org>");
	snprintf(auth->mail.bare_from, sizeof(auth->mail.bare_from), "%s", bare);
	return 0;
}
