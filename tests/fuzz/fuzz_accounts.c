/* What people and programs give to be known by: e-mail addresses, passwords, personal access tokens, links of mails.
 * What is taken is in its one form: taken again, it is the same. */
#include <stdlib.h>

#include "auth/email.h"
#include "auth/mail/link.h"
#include "auth/password.h"
#include "service/personal_token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void try_email(struct str text)
{
	char key[EMAIL_SIZE], again[EMAIL_SIZE];

	if (email_canonical(text, key) < 0)
		return;
	check(strlen(key) <= EMAIL_MAX && strchr(key, '@') && !strpbrk(key, " \t\r\n"));
	check(email_canonical(str_of(key), again) == 0 && !strcmp(key, again));
	check(email_local_part(key).n > 0);
}

static void try_password(struct str text)
{
	struct password_rules rules = {15, "ada@example.org", "Ogent"};
	struct buf once = BUF_INIT, twice = BUF_INIT;

	if (password_normalise(text, &once, NULL) == 0) {
		check(once.n <= PASSWORD_MAX_BYTES && (!once.n || !memchr(once.p, '\0', once.n)));
		check(password_normalise(buf_str(&once), &twice, NULL) == 0 && once.n == twice.n);
		check(!once.n || !memcmp(once.p, twice.p, once.n));
		password_check(buf_str(&once), &rules, NULL);
	}
	buf_wipe(&once);
	buf_wipe(&twice);
}

static void try_tokens(struct str text)
{
	static const struct link_key key = {{7}};
	char id[ID_SIZE], again[LINK_TOKEN_SIZE];

	if (personal_token_read(text, id))
		check(personal_token_is(text) && id_is_valid(str_of(id)));
	if (link_token_parse(&key, text, id) < 0)
		return;
	link_token_format(&key, id, again);
	check(str_is(text, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str text = {(const char *)data, n};

	try_email(text);
	try_password(text);
	try_tokens(text);
	return 0;
}
