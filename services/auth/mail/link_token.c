#include <errno.h>
#include <stdio.h>

#include "auth/guard.h"
#include "base/clock.h"
#include "base/encode.h"
#include "link.h"

#define PREFIX "ogk_"
#define UUID_BYTES 16
#define MAC_BYTES 16

void link_key_derive(const struct refresh_key *from, struct link_key *ret)
{
	static const char context[] = "ogent mail link";

	crypto_auth_hmacsha256(ret->bytes, (const uint8_t *)context, sizeof(context), from->bytes);
}

static void mac(const struct link_key *key, const uint8_t *id, uint8_t ret[static MAC_BYTES])
{
	uint8_t full[crypto_auth_hmacsha256_BYTES];

	crypto_auth_hmacsha256(full, id, UUID_BYTES, key->bytes);
	memcpy(ret, full, MAC_BYTES);
}

void link_token_format(const struct link_key *key, const char *id, char ret[static LINK_TOKEN_SIZE])
{
	uint8_t raw[UUID_BYTES + MAC_BYTES] = {0};
	struct buf text = BUF_INIT;

	sodium_hex2bin(raw, UUID_BYTES, id, strlen(id), "-", NULL, NULL);
	mac(key, raw, raw + UUID_BYTES);
	base64url_encode(&text, raw, sizeof(raw));
	snprintf(ret, LINK_TOKEN_SIZE, PREFIX "%.*s", STR_ARG(buf_str(&text)));
	buf_deinit(&text);
}

int link_token_parse(const struct link_key *key, struct str text, char ret_id[static ID_SIZE])
{
	uint8_t raw[UUID_BYTES + MAC_BYTES], expected[MAC_BYTES];
	struct str prefix = STR(PREFIX);
	char hex[2 * UUID_BYTES + 1];

	if (text.n != LINK_TOKEN_SIZE - 1 || !str_has_prefix(text, prefix))
		return -EINVAL;
	text = (struct str){text.p + prefix.n, text.n - prefix.n};
	if (base64url_decode(text, raw, sizeof(raw)) != sizeof(raw))
		return -EINVAL;
	mac(key, raw, expected);
	if (sodium_memcmp(expected, raw + UUID_BYTES, MAC_BYTES) != 0)
		return -EINVAL;
	hex_encode(raw, UUID_BYTES, hex);
	snprintf(ret_id, ID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
	return 0;
}

const char *link_url(const struct auth *auth, struct arena *a, const char *kind, const char *id)
{
	static const struct {
		const char *kind, *page;
	} pages[] = {
		{LINK_SIGNUP, "verify"}, {LINK_INVITE, "invite"}, {LINK_RESET, "reset"}, {LINK_EMAIL, "confirm-email"}};
	char token[LINK_TOKEN_SIZE];
	const char *page = "";

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		if (!strcmp(pages[i].kind, kind))
			page = pages[i].page;
	link_token_format(&auth->link_key, id, token);
	return arena_printf(a, "%s/%s#token=%s", auth->mail.public_url, page, token);
}

/* A try with a link that is none. */
static void count_failure(struct exchange *x, const struct client *client)
{
	const struct auth *auth = x->self;

	throttle_end(auth->by_link, str_of(client->address), THROTTLE_FAILED, clock_mono_ms());
}

bool link_token_read(struct exchange *x, char ret_id[static ID_SIZE])
{
	const struct auth *auth = x->self;
	struct client client;
	uint64_t wait;

	client_read(x, &client);
	wait = throttle_begin(auth->by_link, str_of(client.address), clock_mono_ms());
	if (wait > 0) {
		reply_throttled(x, wait, "Too many links that are good no more; wait and try again.");
		return false;
	}
	throttle_end(auth->by_link, str_of(client.address), THROTTLE_UNKNOWN, clock_mono_ms());
	if (link_token_parse(&auth->link_key, str_of(json_get_str(x->body, "token", "")), ret_id) == 0)
		return true;
	count_failure(x, &client);
	reply_problem(x, 403, "link_invalid", "This is not the whole link; copy it from the mail once more.");
	return false;
}

void reply_link_gone(struct exchange *x)
{
	struct client client;

	client_read(x, &client);
	count_failure(x, &client);
	reply_problem(x, 410, "link_gone", "This link was used already or is too old; ask for a new one.");
}
