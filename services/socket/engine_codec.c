#include "engine_codec.h"

#include <sodium.h>

#include "base/encode.h"
#include "io/http.h"

const char *const engine_error_texts[] = {
	"Transport unknown", "Session ID unknown", "Bad handshake method",
	"Bad request",       "Forbidden",          "Unsupported protocol version",
};

bool engine_packet_read(struct str text, struct engine_packet *ret)
{
	if (text.n == 0 || text.p[0] < '0' || text.p[0] > '0' + ENGINE_NOOP)
		return false;
	*ret = (struct engine_packet){(enum engine_type)(text.p[0] - '0'), false, {text.p + 1, text.n - 1}};
	return true;
}

/* libsodium takes some bytes above ASCII for digits. */
static bool is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] > 0x7f)
			return false;
	return true;
}

static bool read_binary(struct str digits, struct buf *bytes, struct engine_packet *ret)
{
	size_t n = 0;

	if (!is_ascii(digits))
		return false;
	buf_clear(bytes);
	buf_reserve(bytes, digits.n / 4 * 3 + 1);
	if (digits.n > 0 && sodium_base642bin((unsigned char *)bytes->p, bytes->cap, digits.p, digits.n, NULL, &n, NULL,
					      sodium_base64_VARIANT_ORIGINAL) != 0)
		return false;
	bytes->n = n;
	*ret = (struct engine_packet){ENGINE_MESSAGE, true, {bytes->p, n}};
	return true;
}

bool engine_payload_next(struct str *payload, struct buf *bytes, struct engine_packet *ret)
{
	struct str text = str_cut(payload, ENGINE_SEPARATOR);

	if (text.n > 0 && text.p[0] == 'b')
		return read_binary((struct str){text.p + 1, text.n - 1}, bytes, ret);
	return engine_packet_read(text, ret);
}

void engine_payload_add(struct buf *payload, const struct engine_packet *p)
{
	if (payload->n > 0)
		buf_add_char(payload, ENGINE_SEPARATOR);
	buf_add_char(payload, p->is_binary ? 'b' : (char)('0' + p->type));
	if (p->is_binary)
		base64_encode(payload, p->data.p, p->data.n);
	else if (p->data.n > 0)
		buf_add(payload, p->data.p, p->data.n);
}

void engine_query_read(struct arena *a, struct str query, struct engine_query *ret)
{
	const char *version = http_query_get(a, query, "EIO");
	const char *transport = http_query_get(a, query, "transport");

	*ret = (struct engine_query){.sid = http_query_get(a, query, "sid")};
	ret->is_version_4 = version && strcmp(version, "4") == 0;
	if (transport && strcmp(transport, "polling") == 0)
		ret->transport = ENGINE_POLLING;
	else if (transport && strcmp(transport, "websocket") == 0)
		ret->transport = ENGINE_WEBSOCKET;
	if (ret->sid && !*ret->sid)
		ret->sid = NULL;
}
