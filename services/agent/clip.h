/* The head and the tail of a text of any length. */
#pragma once

#include "base/buf.h"

struct clip {
	size_t head_max, tail_max;
	struct buf head, tail;
	uint64_t total; /* bytes that were added */
};

void clip_init(struct clip *c, size_t head_max, size_t tail_max);
void clip_deinit(struct clip *c);
/* Text in UTF-8; characters are never split. */
void clip_add(struct clip *c, struct str text);
/* Text that was never seen: it counts as left out. */
void clip_skip(struct clip *c, uint64_t bytes);
/* Bytes that are neither in the head nor in the tail. */
uint64_t clip_omitted(struct clip *c);
/* Appends head and tail, with a line between them that says how much was left out, if anything. */
void clip_write(struct clip *c, struct buf *out);
/* The kept tail, when something was left out; otherwise empty. */
struct str clip_tail(struct clip *c);
