#include "mfa/ticket.h"

#include <errno.h>
#include <sodium.h>

#include "base/clock.h"
#include "service/secret_file.h"

static const char *const contexts[] = {
	[TICKET_LOGIN] = "ticket login",     [TICKET_TOTP] = "ticket totp",
	[TICKET_PASSKEY] = "ticket passkey", [TICKET_PASSKEY_LOGIN] = "ticket passkey login",
	[TICKET_CONFIRM] = "ticket confirm", [TICKET_CONFIRMED] = "ticket confirmed",
	[TICKET_REAUTH] = "ticket reauth",
};

int ticket_key_load(struct auth *auth, struct error *err)
{
	return secret_file_key(auth->secrets_dir, "auth-factors.key", auth->factors_key.bytes,
			       sizeof(auth->factors_key.bytes), err);
}

const char *ticket_new(const struct auth *auth, struct arena *a, enum ticket_kind kind, const char *user_id,
		       const uint8_t data[static TICKET_DATA_SIZE])
{
	_cleanup_(buf_wipe) struct buf plain = BUF_INIT, text = BUF_INIT;

	buf_printf(&plain, "%lld %s ", (long long)(clock_now_us() + TICKET_US), user_id);
	base64url_encode(&plain, data, TICKET_DATA_SIZE);
	seal(&auth->factors_key, str_of(contexts[kind]), buf_str(&plain), &text);
	return arena_strndup(a, text.p, text.n);
}

static bool parse(struct str plain, struct arena *a, struct ticket *ret)
{
	struct str until = str_cut(&plain, ' '), user = str_cut(&plain, ' ');
	uint64_t expires_at;

	if (!plain.p || str_to_u64(until, INT64_MAX, &expires_at) < 0 ||
	    base64url_decode(plain, ret->data, sizeof(ret->data)) != sizeof(ret->data))
		return false;
	ret->expires_at = (int64_t)expires_at;
	ret->user_id = arena_strndup(a, user.p, user.n);
	return ret->expires_at > clock_now_us();
}

void ticket_refuse(struct exchange *x)
{
	reply_header(x, "Cache-Control", "no-store");
	reply_problem(x, 401, "ticket_invalid", "This took too long, or was done before; begin again.");
}

bool ticket_open(const struct auth *auth, struct arena *a, enum ticket_kind kind, struct str text, struct ticket *ret)
{
	_cleanup_(buf_wipe) struct buf plain = BUF_INIT;

	*ret = (struct ticket){.kind = kind};
	sha256_hex(text.p, text.n, ret->hash);
	return unseal(&auth->factors_key, str_of(contexts[kind]), text, &plain) == 0 && parse(buf_str(&plain), a, ret);
}

bool ticket_read(struct exchange *x, const char *member, enum ticket_kind kind, struct ticket *ret)
{
	if (ticket_open(x->self, x->arena, kind, str_of(json_get_str(x->body, member, "")), ret))
		return true;
	ticket_refuse(x);
	return false;
}

int ticket_use(struct db_conn *c, const struct ticket *t)
{
	int64_t r = db_exec(c, "delete from used_tickets where expires_at < ?", DB_INT(clock_now_us()));

	if (r < 0)
		return (int)r;
	if (!strcmp(db_dialect(c), "mysql"))
		r = db_exec(c, "insert ignore into used_tickets (ticket_hash, expires_at) values (?, ?)",
			    DB_TEXT(t->hash), DB_INT(t->expires_at));
	else
		r = db_exec(c,
			    "insert into used_tickets (ticket_hash, expires_at) values (?, ?) on conflict do nothing",
			    DB_TEXT(t->hash), DB_INT(t->expires_at));
	return r < 0 ? (int)r : r == 1;
}
