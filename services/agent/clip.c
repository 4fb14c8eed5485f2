#include "agent/clip.h"

void clip_init(struct clip *c, size_t head_max, size_t tail_max)
{
	*c = (struct clip){.head_max = head_max, .tail_max = tail_max};
}

void clip_deinit(struct clip *c)
{
	buf_deinit(&c->head);
	buf_deinit(&c->tail);
}

static bool is_inside_char(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* The tail is cut when it has grown to twice its size, so that adding stays cheap. */
static void cut_tail(struct clip *c)
{
	size_t drop = c->tail.n > c->tail_max ? c->tail.n - c->tail_max : 0;

	while (drop > 0 && drop < c->tail.n && is_inside_char(c->tail.p[drop]))
		drop++;
	buf_consume(&c->tail, drop);
}

void clip_add(struct clip *c, struct str text)
{
	size_t room = c->head.n < c->head_max && c->total == c->head.n ? c->head_max - c->head.n : 0;
	size_t n = MIN(room, text.n);

	c->total += text.n;
	while (n > 0 && n < text.n && is_inside_char(text.p[n]))
		n--;
	buf_add(&c->head, text.p, n);
	text.p += n;
	text.n -= n;
	if (text.n > c->tail_max * 2) { /* only its end can stay */
		buf_clear(&c->tail);
		text.p += text.n - c->tail_max * 2;
		text.n = c->tail_max * 2;
	}
	buf_add(&c->tail, text.p, text.n);
	if (c->tail.n > c->tail_max * 2)
		cut_tail(c);
}

void clip_skip(struct clip *c, uint64_t bytes)
{
	c->total += bytes;
	if (bytes > 0)
		buf_clear(&c->tail); /* what stood before the hole is not the end */
}

uint64_t clip_omitted(struct clip *c)
{
	cut_tail(c);
	return c->total - c->head.n - c->tail.n;
}

void clip_write(struct clip *c, struct buf *out)
{
	uint64_t omitted = clip_omitted(c);

	buf_add(out, c->head.p, c->head.n);
	if (omitted > 0)
		buf_printf(out, "\n[... %llu bytes left out ...]\n", (unsigned long long)omitted);
	buf_add(out, c->tail.p, c->tail.n);
}

struct str clip_tail(struct clip *c)
{
	return clip_omitted(c) > 0 ? buf_str(&c->tail) : (struct str){"", 0};
}
