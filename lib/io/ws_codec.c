#include <errno.h>
#include <sha1.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/encode.h"
#include "io/ws.h"
#include "io/ws_deflate.h"

#define MAX_CONTROL 125
#define RSV1 0x40

enum { PROTOCOL_ERROR = 1002, BAD_DATA = 1007, TOO_BIG = 1009 };

void ws_parser_init(struct ws_parser *p, bool is_server, size_t max_message,
		    bool (*on_frame)(void *, enum ws_opcode, const char *, size_t), void *owner)
{
	*p = (struct ws_parser){.is_server = is_server,
				.max_message = max_message ? max_message : 1024 * 1024,
				.on_frame = on_frame,
				.owner = owner};
}

void ws_parser_deinit(struct ws_parser *p)
{
	buf_deinit(&p->message);
	buf_deinit(&p->control);
}

static enum ws_opcode frame_op(const struct ws_parser *p)
{
	return p->head[0] & 0x0f;
}

static bool frame_fin(const struct ws_parser *p)
{
	return p->head[0] & 0x80;
}

static bool frame_is_control(const struct ws_parser *p)
{
	return p->head[0] & 0x08;
}

/* On the first frame of a message: it is compressed (RFC 7692 section 6). */
static bool may_have_rsv1(const struct ws_parser *p, enum ws_opcode op)
{
	return p->may_deflate && (op == WS_TEXT || op == WS_BINARY);
}

/* What the first two bytes tell: sets the size of the whole head. */
static int check_first_two(struct ws_parser *p)
{
	enum ws_opcode op = frame_op(p);
	bool masked = p->head[1] & 0x80;
	unsigned len = p->head[1] & 0x7f;

	if (p->head[0] & 0x30 || masked != p->is_server || (p->head[0] & RSV1 && !may_have_rsv1(p, op)))
		return PROTOCOL_ERROR;
	if (frame_is_control(p)) {
		if (op > WS_PONG || !frame_fin(p) || len > MAX_CONTROL)
			return PROTOCOL_ERROR;
	} else if (op > WS_BINARY || (op == WS_CONT) != (p->message_op != WS_CONT)) {
		return PROTOCOL_ERROR;
	}
	p->head_size = (uint8_t)(2 + (len == 126 ? 2 : len == 127 ? 8 : 0) + (masked ? 4 : 0));
	return 0;
}

static uint64_t payload_length(const struct ws_parser *p)
{
	unsigned len = p->head[1] & 0x7f, n = len == 126 ? 2 : len == 127 ? 8 : 0;
	uint64_t v = 0;

	if (n == 0)
		return len;
	for (unsigned i = 0; i < n; i++)
		v = v << 8 | p->head[2 + i];
	return v;
}

static int check_length(struct ws_parser *p)
{
	unsigned len = p->head[1] & 0x7f;
	uint64_t n = payload_length(p);

	if ((len == 126 && n < 126) || (len == 127 && (n <= 0xffff || n >> 63)))
		return PROTOCOL_ERROR; /* the shortest form is a must: RFC 6455 section 5.2 */
	if (!frame_is_control(p) && n > p->max_message - p->message.n)
		return TOO_BIG;
	p->left = n;
	p->offset = 0;
	p->in_payload = true;
	if (!frame_is_control(p) && p->message_op == WS_CONT) {
		p->message_op = frame_op(p);
		p->is_deflated = p->head[0] & RSV1;
		p->utf8 = (struct utf8_state){0};
	}
	return 0;
}

/* Takes bytes of the head; returns how many, or a close code in *ret_code. */
static size_t feed_head(struct ws_parser *p, const uint8_t *data, size_t n, int *ret_code)
{
	size_t used = 0;

	while (used < n && !p->in_payload) {
		p->head[p->head_n++] = data[used++];
		if (p->head_n == 2 && (*ret_code = check_first_two(p)))
			return used;
		if (p->head_n >= 2 && p->head_n == p->head_size && (*ret_code = check_length(p)))
			return used;
	}
	return used;
}

/* Copies with the mask taken off (or put on), eight bytes at a time. `offset` is the place in the payload. */
static void copy_masked(uint8_t *to, const uint8_t *from, size_t n, const uint8_t mask[static 4], size_t offset)
{
	uint8_t turned[8];
	uint64_t m, word;
	size_t i = 0;

	for (unsigned k = 0; k < 8; k++)
		turned[k] = mask[(offset + k) & 3];
	memcpy(&m, turned, 8);
	for (; i + 8 <= n; i += 8) {
		memcpy(&word, from + i, 8);
		word ^= m;
		memcpy(to + i, &word, 8);
	}
	for (; i < n; i++)
		to[i] = from[i] ^ turned[i & 7];
}

static int feed_payload(struct ws_parser *p, const uint8_t *data, size_t n)
{
	struct buf *b = frame_is_control(p) ? &p->control : &p->message;

	buf_reserve(b, n + 1);

	uint8_t *to = (uint8_t *)b->p + b->n;

	if (p->is_server)
		copy_masked(to, data, n, p->head + p->head_size - 4, p->offset);
	else
		memcpy(to, data, n);
	to[n] = 0;
	b->n += n;
	p->left -= n;
	p->offset += n;
	if (!frame_is_control(p) && p->message_op == WS_TEXT && !p->is_deflated && !utf8_feed(&p->utf8, to, n))
		return BAD_DATA;
	return 0;
}

static int check_close(const struct buf *b)
{
	if (b->n == 0)
		return 0;
	if (b->n == 1 || !ws_close_code_is_valid((uint8_t)b->p[0] << 8 | (uint8_t)b->p[1]))
		return PROTOCOL_ERROR;
	return utf8_is_valid((struct str){b->p + 2, b->n - 2}) ? 0 : BAD_DATA;
}

/* Puts the message in the place of its compressed form. */
static int inflate_message(const struct ws_parser *p, enum ws_opcode op, struct buf *whole)
{
	_cleanup_(buf_deinit) struct buf data = *whole;
	int code;

	*whole = BUF_INIT;
	code = ws_inflate(buf_str(&data), p->max_message, whole);
	if (code == 0 && op == WS_TEXT && !utf8_is_valid(buf_str(whole)))
		code = BAD_DATA;
	return code;
}

/* A frame is whole. Its memory is taken out of the parser first: the owner may end the parser in on_frame. Returns 0,
 * a close code, or -1 when the owner wants no more. */
static int finish_frame(struct ws_parser *p)
{
	enum ws_opcode op = frame_op(p);
	_cleanup_(buf_deinit) struct buf whole = BUF_INIT;
	int code = 0;

	p->in_payload = false;
	p->head_n = p->head_size = 0;
	if (op >= WS_CLOSE) {
		whole = p->control;
		p->control = BUF_INIT;
		if (op == WS_CLOSE && (code = check_close(&whole)))
			return code;
	} else {
		if (!frame_fin(p))
			return 0;
		op = p->message_op;
		if (op == WS_TEXT && p->utf8.state != 0)
			return BAD_DATA;
		whole = p->message;
		p->message = BUF_INIT;
		p->message_op = WS_CONT;
		if (p->is_deflated && (code = inflate_message(p, op, &whole)))
			return code;
	}
	return p->on_frame(p->owner, op, whole.n ? whole.p : "", whole.n) ? 0 : -1;
}

int ws_parser_feed(struct ws_parser *p, const char *data, size_t n)
{
	const uint8_t *at = (const uint8_t *)data, *end = at + n;
	int code = 0;

	while (at < end) {
		if (!p->in_payload) {
			at += feed_head(p, at, (size_t)(end - at), &code);
			if (code)
				return code;
			if (!p->in_payload)
				return 0;
		}

		size_t part = MIN((size_t)(end - at), p->left);

		if (part > 0) {
			code = feed_payload(p, at, part);
			if (code)
				return code;
			at += part;
		}
		if (p->left > 0)
			continue;
		code = finish_frame(p);
		if (code)
			return code < 0 ? 0 : code;
	}
	return 0;
}

size_t ws_frame_head(uint8_t ret[static 10], enum ws_opcode op, size_t n)
{
	ret[0] = (uint8_t)(0x80 | op);
	if (n <= MAX_CONTROL) {
		ret[1] = (uint8_t)n;
		return 2;
	}
	if (n <= 0xffff) {
		ret[1] = 126;
		ret[2] = (uint8_t)(n >> 8);
		ret[3] = (uint8_t)n;
		return 4;
	}
	ret[1] = 127;
	for (unsigned i = 0; i < 8; i++)
		ret[2 + i] = (uint8_t)((uint64_t)n >> (56 - 8 * i));
	return 10;
}

void ws_frame(struct buf *out, enum ws_opcode op, const void *data, size_t n, const uint8_t *mask)
{
	uint8_t head[14];
	size_t size = ws_frame_head(head, op, n);

	if (mask) {
		head[1] |= 0x80;
		memcpy(head + size, mask, 4);
		size += 4;
	}
	buf_reserve(out, size + n + 1);
	buf_add(out, head, size);
	if (!mask) {
		buf_add(out, data, n);
		return;
	}
	copy_masked((uint8_t *)out->p + out->n, data, n, mask, 0);
	out->n += n;
	out->p[out->n] = 0;
}

void ws_accept_key(struct str key, char ret[static 29])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 section 1.3 */
	uint8_t digest[SHA1_DIGEST_LENGTH];
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	SHA1_CTX ctx;

	SHA1Init(&ctx);
	SHA1Update(&ctx, (const uint8_t *)key.p, key.n);
	SHA1Update(&ctx, (const uint8_t *)guid, sizeof(guid) - 1);
	SHA1Final(digest, &ctx);
	base64_encode(&text, digest, sizeof(digest));
	memcpy(ret, text.p, 28);
	ret[28] = 0;
}

bool ws_close_code_is_valid(int code)
{
	if (code >= 3000)
		return code <= 4999;
	return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006);
}
