#include "mfa/notice.h"

#include "mail/outbox.h"

static const struct {
	const char *event, *what;
} words[] = {
	{"factor.totp_added", "codes of an authenticator app were switched on"},
	{"factor.totp_removed", "codes of an authenticator app were switched off"},
	{"factor.recovery_codes_made", "new recovery codes were made"},
	{"factor.recovery_code_used", "a recovery code was used"},
	{"factor.passkey_added", "a passkey was added"},
	{"factor.passkey_removed", "a passkey was removed"},
	{"factor.confirm_switched_on", "approvals of risky calls need a second factor from now on"},
	{"factor.confirm_switched_off", "approvals of risky calls need no second factor any more"},
	{"identity.linked", "an account at another provider was linked, and signs you in from now on"},
	{"identity.unlinked", "an account at another provider was unlinked"},
};

int factor_notice(struct db_conn *c, struct arena *a, const struct account *account, const struct client *client,
		  const char *event)
{
	struct outbox_mail mail = {
		.kind = MAIL_FACTORS,
		.to = account->email,
		.user_id = account->id,
		.facts = {.name = account->name, .address = client->address, .agent = client->user_agent},
	};

	if (!account->email)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(words[i].event, event))
			mail.facts.other = words[i].what;
	return outbox_add(c, a, &mail);
}
