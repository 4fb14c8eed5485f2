#include "socketio_codec.h"

#include <inttypes.h>

#define MAX_ID_DIGITS 15 /* what a double holds exactly */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_binary(enum socketio_type type)
{
	return type == SOCKETIO_BINARY_EVENT || type == SOCKETIO_BINARY_ACK;
}

/* Takes digits off the front; at most `max` of them. */
static bool take_number(struct str *text, unsigned max, int64_t *ret)
{
	unsigned n = 0;

	*ret = 0;
	while (text->n > 0 && is_digit(text->p[0])) {
		if (++n > max)
			return false;
		*ret = *ret * 10 + (text->p[0] - '0');
		text->p++;
		text->n--;
	}
	return n > 0;
}

static bool take_attachments(struct str *text, unsigned *ret)
{
	int64_t n;

	if (!take_number(text, 2, &n) || n < 1 || n > SOCKETIO_MAX_ATTACHMENTS || text->n == 0 || text->p[0] != '-')
		return false;
	text->p++;
	text->n--;
	*ret = (unsigned)n;
	return true;
}

bool socketio_packet_read(struct str text, struct socketio_packet *ret)
{
	struct socketio_packet p = {.nsp = STR("/"), .id = -1};

	if (text.n == 0 || text.p[0] < '0' || text.p[0] > '0' + SOCKETIO_BINARY_ACK)
		return false;
	p.type = (enum socketio_type)(text.p[0] - '0');
	text.p++;
	text.n--;
	if (is_binary(p.type) && !take_attachments(&text, &p.attachments))
		return false;
	if (text.n > 0 && text.p[0] == '/') {
		p.nsp = str_cut(&text, ',');
		if (p.nsp.n > SOCKETIO_MAX_NAMESPACE)
			return false;
	}
	if (text.n > 0 && is_digit(text.p[0]) && !take_number(&text, MAX_ID_DIGITS, &p.id))
		return false;
	p.json = text;
	*ret = p;
	return true;
}

/* Names that mean something to the libraries on either side. */
static bool is_reserved(const char *name)
{
	static const char *const names[] = {"connect",       "connect_error", "disconnect",
					    "disconnecting", "newListener",   "removeListener"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static bool is_event(yyjson_val *payload)
{
	yyjson_val *name = yyjson_arr_get_first(payload);

	return yyjson_is_num(name) || (yyjson_is_str(name) && !is_reserved(yyjson_get_str(name)));
}

/* Every {"_placeholder":true,"num":N} below `val` names an attachment. */
static bool placeholders_are_right(yyjson_val *val, unsigned attachments)
{
	yyjson_val *key, *item;
	size_t i, n;

	if (yyjson_is_arr(val)) {
		yyjson_arr_foreach(val, i, n, item)
		{
			if (!placeholders_are_right(item, attachments))
				return false;
		}
	} else if (yyjson_is_true(yyjson_obj_get(val, "_placeholder"))) {
		yyjson_val *num = yyjson_obj_get(val, "num");

		return yyjson_is_uint(num) && yyjson_get_uint(num) < attachments;
	} else if (yyjson_is_obj(val)) {
		yyjson_obj_foreach(val, i, n, key, item)
		{
			if (!placeholders_are_right(item, attachments))
				return false;
		}
	}
	return true;
}

static bool fits(const struct socketio_packet *p, yyjson_val *payload)
{
	switch (p->type) {
	case SOCKETIO_CONNECT: return !payload || yyjson_is_obj(payload);
	case SOCKETIO_DISCONNECT: return !payload;
	case SOCKETIO_EVENT: return is_event(payload);
	case SOCKETIO_ACK: return yyjson_is_arr(payload) && p->id >= 0;
	case SOCKETIO_CONNECT_ERROR: return yyjson_is_obj(payload) || yyjson_is_str(payload);
	case SOCKETIO_BINARY_EVENT: return is_event(payload) && placeholders_are_right(payload, p->attachments);
	case SOCKETIO_BINARY_ACK:
		return yyjson_is_arr(payload) && p->id >= 0 && placeholders_are_right(payload, p->attachments);
	}
	return false;
}

bool socketio_payload_read(struct arena *a, const struct socketio_packet *p, yyjson_val **ret)
{
	struct error err;
	yyjson_doc *doc = p->json.n > 0 ? json_parse(a, p->json.p, p->json.n, &err) : NULL;

	*ret = doc ? yyjson_doc_get_root(doc) : NULL;
	return (doc || p->json.n == 0) && fits(p, *ret);
}

void socketio_packet_write(struct buf *out, const struct socketio_packet *p)
{
	buf_add_char(out, (char)('0' + p->type));
	if (is_binary(p->type))
		buf_printf(out, "%u-", p->attachments);
	if (!str_is(p->nsp, "/")) {
		buf_add(out, p->nsp.p, p->nsp.n);
		buf_add_char(out, ',');
	}
	if (p->id >= 0)
		buf_printf(out, "%" PRId64, p->id);
	if (p->json.n > 0)
		buf_add(out, p->json.p, p->json.n);
}
