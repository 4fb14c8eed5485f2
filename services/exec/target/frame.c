#include "target/frame.h"

#include <errno.h>

void frame_add(struct buf *out, enum frame_type type, struct str data)
{
	const unsigned char head[FRAME_HEAD] = {(unsigned char)(data.n >> 24), (unsigned char)(data.n >> 16),
						(unsigned char)(data.n >> 8), (unsigned char)data.n,
						(unsigned char)type};

	buf_add(out, head, sizeof(head));
	buf_add(out, data.p, data.n);
}

void frame_reader_init(struct frame_reader *r, bool is_target)
{
	*r = (struct frame_reader){.is_target = is_target};
}

void frame_reader_deinit(struct frame_reader *r)
{
	buf_deinit(&r->buf);
	r->at = 0;
}

void frame_reader_feed(struct frame_reader *r, const void *data, size_t n)
{
	if (r->is_broken)
		return;
	if (r->at == r->buf.n)
		buf_clear(&r->buf);
	else
		buf_consume(&r->buf, r->at);
	r->at = 0;
	buf_add(&r->buf, data, n);
}

/* -1: not a frame of that side. */
static int64_t limit_of(bool is_target, unsigned char type)
{
	switch (type) {
	case FRAME_RUN: return is_target ? FRAME_RUN_MAX : -1;
	case FRAME_STEP: return is_target ? FRAME_STEP_MAX : -1;
	case FRAME_ERRAND:
	case FRAME_PROBE: return is_target ? FRAME_SMALL_MAX : -1;
	case FRAME_INPUT: return is_target ? FRAME_OUTPUT_MAX : -1;
	case FRAME_SIGNAL:
	case FRAME_RESIZE: return is_target ? 8 : -1;
	case FRAME_TAKEN: return is_target ? -1 : 20;
	case FRAME_WAITING: return is_target ? -1 : 4;
	case FRAME_INPUT_END:
	case FRAME_ALIVE:
	case FRAME_KILL: return is_target ? 0 : -1;
	case FRAME_STARTED: return is_target ? -1 : 0;
	case FRAME_STDOUT:
	case FRAME_STDERR: return is_target ? -1 : FRAME_OUTPUT_MAX;
	case FRAME_DONE: return is_target ? -1 : FRAME_DONE_MAX;
	case FRAME_HELLO:
	case FRAME_REPORT:
	case FRAME_END: return is_target ? -1 : FRAME_SMALL_MAX;
	default: return -1;
	}
}

int frame_reader_next(struct frame_reader *r, struct frame *ret)
{
	const unsigned char *p = (const unsigned char *)r->buf.p + r->at;
	size_t left = r->buf.n - r->at;
	uint32_t n;

	if (r->is_broken)
		return -EBADMSG;
	if (left < FRAME_HEAD)
		return 0;
	n = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	if (n > limit_of(r->is_target, p[4])) {
		r->is_broken = true;
		return -EBADMSG;
	}
	if (left < FRAME_HEAD + (size_t)n)
		return 0;
	*ret = (struct frame){(enum frame_type)p[4], {(const char *)p + FRAME_HEAD, n}};
	r->at += FRAME_HEAD + (size_t)n;
	return 1;
}
