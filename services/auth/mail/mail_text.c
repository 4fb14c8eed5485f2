#include "mail_text.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/encode.h"
#include "io/smtp.h"

#define COLUMNS_MAX 76

/* In the texts: %L the link and how long it is good, %N the name, %B who invites, %O the other address or number, %W
 * when and from where, %S the site. */
static const struct mail_kind {
	const char *kind, *subject, *text;
} kinds[] = {
	{MAIL_SIGNUP, "Confirm your e-mail address",
	 "Hello %N,\n\nsomebody, hopefully you, signed up at %S with this address. To confirm it, open\n\n%L\n\nand "
	 "enter the password you chose. If it was not you, do nothing: there is no account until then.\n"},
	{MAIL_SIGNUP_TAKEN, "You have an account already",
	 "Hello,\n\nsomebody, perhaps you, tried to sign up at %S with this address, which has an account. Sign in "
	 "with "
	 "it, or choose \"Forgot your password?\" there.\nIf it was not you, you need not do anything.\n"},
	{MAIL_INVITE, "You are invited",
	 "Hello%N,\n\n%B invites you to %S. To choose a password and begin, open\n\n%L\n"},
	{MAIL_RESET, "Choose a new password",
	 "Hello %N,\n\nsomebody, hopefully you, asked for a new password at %S. To choose one, open\n\n%L\n\nIf it was "
	 "not you, do nothing: your password stays as it is.\n"},
	{MAIL_EMAIL, "Confirm your e-mail address",
	 "Hello %N,\n\nthis address is to belong to your account at %S. To confirm it, open\n\n%L\n\nIf you know "
	 "nothing "
	 "of this, do nothing.\n"},
	{MAIL_EMAIL_TAKEN, "This address has an account",
	 "Hello,\n\nsomebody, perhaps you, wanted to use this address for another account at %S. It has an account of "
	 "its own already, so nothing was changed.\n"},
	{MAIL_PASSWORD_CHANGED, "Your password was changed",
	 "Hello %N,\n\nthe password of your account at %S was changed.\n\n%W\n\nIf it was not you, choose \"Forgot "
	 "your "
	 "password?\" at once and tell your administrator.\n"},
	{MAIL_EMAIL_CHANGING, "Your e-mail address is about to change",
	 "Hello %N,\n\nyour account at %S is to have the address %O. It changes when the link sent there is "
	 "opened.\n\n%W"
	 "\n\nIf it was not you, change your password at once and tell your administrator.\n"},
	{MAIL_EMAIL_CHANGED, "Your e-mail address was changed",
	 "Hello %N,\n\nyour account at %S now has the address %O.\n\n%W\n\nIf it was not you, tell your administrator "
	 "at "
	 "once.\n"},
	{MAIL_NEW_DEVICE, "New sign-in to your account",
	 "Hello %N,\n\nsomebody signed in to your account at %S from a device that was not seen before.\n\n%W\n\nIf it "
	 "was not you, change your password and end that session at once.\n"},
	{MAIL_FAILURES, "Sign-in after failed attempts",
	 "Hello %N,\n\nsomebody signed in to your account at %S after %O failed attempts.\n\n%W\n\nIf these attempts "
	 "were not yours, somebody is guessing your password: make sure that it is used nowhere else.\n"},
	{MAIL_FACTORS, "Your ways of signing in changed",
	 "Hello %N,\n\nat your account at %S, %O.\n\n%W\n\nIf it was not you, change your password and end all "
	 "sessions "
	 "at once, and tell your administrator.\n"},
};

static const struct mail_kind *find(const char *kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].kind, kind))
			return &kinds[i];
	return NULL;
}

bool mail_kind_is_known(const char *kind)
{
	return find(kind) != NULL;
}

static void add_or(struct buf *out, const char *text, const char *otherwise)
{
	buf_add_str(out, text && *text ? text : otherwise);
}

static void add_where(struct buf *out, const struct mail_facts *f)
{
	char at[TIME_TEXT_SIZE];

	time_format(f->at, at);
	buf_printf(out, "When: %.16s UTC\nFrom: ", at);
	add_or(out, f->address, "unknown");
	if (f->agent && *f->agent)
		buf_printf(out, " (%s)", f->agent);
}

static void add_link(struct buf *out, const struct mail_head *h)
{
	buf_printf(out, "%s\n\nThe link works once, until %s", h->link ? h->link : "",
		   h->link_ends ? h->link_ends : "");
	buf_add_str(out, " UTC.");
}

/* "Hello%N": with a comma and no name it stays "Hello,". */
static void add_name(struct buf *out, const char *name)
{
	bool has_blank = out->n && out->p[out->n - 1] == ' ';

	if (name && *name)
		buf_printf(out, "%s%s", has_blank ? "" : " ", name);
	else if (has_blank)
		buf_add_str(out, "there");
}

static void add_text(struct buf *out, const char *text, const struct mail_head *h, const struct mail_facts *f)
{
	for (; *text; text++) {
		if (*text != '%') {
			buf_add_char(out, *text);
			continue;
		}
		switch (*++text) {
		case 'L': add_link(out, h); break;
		case 'N': add_name(out, f->name); break;
		case 'B': add_or(out, f->by, "An administrator"); break;
		case 'O': add_or(out, f->other, ""); break;
		case 'W': add_where(out, f); break;
		case 'S': add_or(out, h->site, ""); break;
		default: break;
		}
	}
	buf_printf(out, "\n-- \n%s%sOgent\n%s\n", h->org, *h->org ? " · " : "", h->site);
}

void mail_quoted_printable(struct str text, struct buf *out)
{
	size_t column = 0;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char ch = (unsigned char)text.p[i];
		bool ends_line = i + 1 == text.n || text.p[i + 1] == '\n';
		bool is_plain = ch > ' ' && ch < 0x7f && ch != '=';

		if (ch == '\n') {
			buf_add_str(out, "\r\n");
			column = 0;
			continue;
		}
		is_plain = is_plain || ((ch == ' ' || ch == '\t') && !ends_line);
		if (column + (is_plain ? 1 : 3) > COLUMNS_MAX - 1) {
			buf_add_str(out, "=\r\n");
			column = 0;
		}
		if (is_plain)
			buf_add_char(out, (char)ch);
		else
			buf_printf(out, "=%02X", ch);
		column += is_plain ? 1 : 3;
	}
}

static bool is_ascii(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s >= 0x7f || (unsigned char)*s < ' ')
			return false;
	return true;
}

/* RFC 2047; a word holds at most 75 characters, so long texts become several, cut between characters. */
static void add_encoded(struct buf *out, const char *text)
{
	const char *end = text + strlen(text);

	if (is_ascii(text)) {
		buf_add_str(out, text);
		return;
	}
	while (text < end) {
		size_t n = MIN((size_t)(end - text), 42u);

		while (text + n < end && n > 1 && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
		buf_add_str(out, "=?utf-8?B?");
		base64_encode(out, text, n);
		buf_add_str(out, "?=");
		text += n;
		if (text < end)
			buf_add_str(out, "\r\n ");
	}
}

/* A display name goes in its own encoded word or in quotes. */
static void add_from(struct buf *out, const char *from)
{
	const char *open = strrchr(from, '<');
	struct str name = open ? str_trim((struct str){from, (size_t)(open - from)}) : (struct str){0};
	struct buf text = BUF_INIT;

	if (!name.n) {
		buf_add_str(out, from);
		return;
	}
	buf_add(&text, name.p, name.n);
	if (!is_ascii(text.p))
		add_encoded(out, text.p);
	else if (*text.p == '"')
		buf_add_str(out, text.p);
	else
		buf_printf(out, "\"%s\"", text.p);
	buf_printf(out, " %s", open);
	buf_deinit(&text);
}

const char *mail_bare_address(struct arena *a, const char *from)
{
	const char *open = strrchr(from, '<'), *close = open ? strchr(open, '>') : NULL;
	const char *bare = close ? arena_strndup(a, open + 1, (size_t)(close - open - 1)) : from;

	for (const char *p = from; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return NULL;
	return smtp_address_is_plain(bare) && (!close || !close[1]) ? bare : NULL;
}

static void add_date(struct buf *out, int64_t us)
{
	static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t s = us / 1000000;
	struct tm tm;

	gmtime_r(&s, &tm);
	buf_printf(out, "Date: %s, %02d %s %d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday], tm.tm_mday,
		   months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void mail_write(const char *kind, const struct mail_head *head, const struct mail_facts *facts, struct buf *out)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	const struct mail_kind *k = find(kind);
	const char *at = strrchr(head->from, '@');

	buf_add_str(out, "From: ");
	add_from(out, head->from);
	buf_printf(out, "\r\nTo: %s\r\nSubject: ", head->to);
	if (*head->org) {
		add_encoded(out, head->org);
		buf_add_str(out, ": ");
	}
	buf_printf(out, "%s\r\n", k->subject);
	add_date(out, head->now);
	buf_printf(out, "Message-ID: <%s%.*s>\r\n", head->id, at ? (int)strcspn(at, ">") : 0, at ? at : "");
	buf_add_str(out, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
			 "Content-Transfer-Encoding: quoted-printable\r\nAuto-Submitted: auto-generated\r\n\r\n");
	add_text(&text, k->text, head, facts);
	mail_quoted_printable(buf_str(&text), out);
}
