#include "io/ws_deflate.h"

#include <stdio.h>
#include <zlib.h>

#include "base/log.h"

#define LEVEL 6
#define STEP 16384 /* bytes of room for the next piece of inflated data */

enum { BAD_DATA = 1007, TOO_BIG = 1009 };

/* ---- The handshake ---- */

/* One offer's parameters. */
struct offer {
	bool server_no_context, client_no_context, client_window; /* was named */
	uint8_t server_window;                                    /* 0: not named */
};

static bool take_flag(bool *flag, struct str value)
{
	if (*flag || value.p)
		return false;
	*flag = true;
	return true;
}

/* 8 to 15, without leading zeros; may stand in quotes. */
static bool read_window(struct str value, uint8_t *ret)
{
	uint64_t n;

	if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
		value = (struct str){value.p + 1, value.n - 2};
	if (value.n == 0 || value.p[0] == '0' || str_to_u64(value, 15, &n) != 0 || n < 8)
		return false;
	*ret = (uint8_t)n;
	return true;
}

static bool take_parameter(struct offer *o, struct str name, struct str value)
{
	uint8_t ignored;

	if (str_is(name, "server_no_context_takeover"))
		return take_flag(&o->server_no_context, value);
	if (str_is(name, "client_no_context_takeover"))
		return take_flag(&o->client_no_context, value);
	if (str_is(name, "server_max_window_bits"))
		return o->server_window == 0 && read_window(value, &o->server_window);
	if (str_is(name, "client_max_window_bits") && !o->client_window) {
		o->client_window = true;
		return !value.p || read_window(value, &ignored);
	}
	return false;
}

static bool read_offer(struct str text, struct offer *ret)
{
	*ret = (struct offer){0};
	if (!str_is(str_trim(str_cut(&text, ';')), "permessage-deflate"))
		return false;
	while (text.p) {
		struct str value = str_cut(&text, ';'), name = str_cut(&value, '=');

		if (value.p)
			value = str_trim(value);
		if (!take_parameter(ret, str_trim(name), value))
			return false;
	}
	return true;
}

bool ws_deflate_negotiate(struct str offers, uint8_t *ret_window, char answer[static WS_DEFLATE_ANSWER])
{
	struct offer o;

	while (offers.p) {
		if (!read_offer(str_cut(&offers, ','), &o))
			continue;
		*ret_window = o.server_window ? o.server_window : 15;
		int n = snprintf(answer, WS_DEFLATE_ANSWER,
				 "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
		if (o.server_window)
			snprintf(answer + n, WS_DEFLATE_ANSWER - (size_t)n, "; server_max_window_bits=%u",
				 o.server_window);
		return true;
	}
	return false;
}

/* ---- Messages ---- */

static z_stream *deflater(void)
{
	static __thread z_stream z;
	static __thread bool is_there;

	if (is_there)
		deflateReset(&z);
	else if (deflateInit2(&z, LEVEL, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		fatal("zlib: out of memory");
	is_there = true;
	return &z;
}

static z_stream *inflater(void)
{
	static __thread z_stream z;
	static __thread bool is_there;

	if (is_there)
		inflateReset(&z);
	else if (inflateInit2(&z, -15) != Z_OK)
		fatal("zlib: out of memory");
	is_there = true;
	return &z;
}

bool ws_deflate(struct str message, unsigned window, struct buf *out)
{
	z_stream *z;
	size_t room = message.n; /* with the four bytes that are cut off it may be longer than what it is worth */

	if (message.n < WS_DEFLATE_FLOOR || message.n > (size_t)1 << window)
		return false;
	z = deflater();
	buf_reserve(out, room + 1);
	z->next_in = (Bytef *)message.p;
	z->avail_in = (uInt)message.n;
	z->next_out = (Bytef *)out->p + out->n;
	z->avail_out = (uInt)room;
	/* Room that is left over says that the flush is complete. */
	if (deflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_in > 0 || z->avail_out == 0)
		return false;
	out->n += room - z->avail_out - 4; /* 00 00 ff ff: RFC 7692 section 7.2.1 */
	out->p[out->n] = 0;
	return true;
}

/* Takes all of `in`. */
static int inflate_part(z_stream *z, struct str in, size_t max, size_t start, struct buf *out)
{
	z->next_in = (Bytef *)in.p;
	z->avail_in = (uInt)in.n;
	for (;;) {
		/* One byte more than may come, so that what is too long shows. */
		size_t room = MIN((size_t)STEP, max - (out->n - start) + 1);

		buf_reserve(out, room + 1);
		z->next_out = (Bytef *)out->p + out->n;
		z->avail_out = (uInt)room;

		int r = inflate(z, Z_SYNC_FLUSH);

		out->n += room - z->avail_out;
		if (out->n - start > max)
			return TOO_BIG;
		/* A block that calls itself the last one may be followed by others: section 7.2.3.4. */
		if (r == Z_STREAM_END && z->avail_in > 0)
			inflateReset(z);
		else if (r != Z_OK && r != Z_BUF_ERROR && r != Z_STREAM_END)
			return BAD_DATA;
		else if (z->avail_in == 0 && z->avail_out > 0)
			return 0;
	}
}

int ws_inflate(struct str data, size_t max, struct buf *out)
{
	static const struct str tail = {"\0\0\xff\xff", 4};
	z_stream *z = inflater();
	size_t start = out->n;
	int code = inflate_part(z, data, max, start, out);

	if (code == 0)
		code = inflate_part(z, tail, max, start, out);
	/* Bit 7: it stands between blocks. Otherwise the end is missing. */
	if (code == 0 && !(z->data_type & 128))
		code = BAD_DATA;
	out->p[out->n] = 0;
	return code;
}
