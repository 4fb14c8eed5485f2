/* Numbers and texts in frames, written and read: see wire.h. */
#pragma once

#include <errno.h>

#include "base/arena.h"
#include "base/buf.h"
#include "target/frame.h"

/* ---- Writing: a frame's length is known when it is whole ---- */

static inline void add_u32(struct buf *b, uint32_t n)
{
	const unsigned char p[4] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8),
				    (unsigned char)n};

	buf_add(b, p, sizeof(p));
}

static inline void add_u64(struct buf *b, uint64_t n)
{
	add_u32(b, (uint32_t)(n >> 32));
	add_u32(b, (uint32_t)n);
}

static inline void add_text(struct buf *b, struct str s)
{
	add_u32(b, (uint32_t)s.n);
	buf_add(b, s.p, s.n);
}

static inline void finish(struct buf *out, enum frame_type type, struct buf *b)
{
	frame_add(out, type, buf_str(b));
	buf_deinit(b);
}

/* ---- Reading: the first fault makes everything after it empty ---- */

struct reader {
	const unsigned char *p;
	size_t n;
	bool failed;
};

static inline uint32_t get_u32(struct reader *r)
{
	uint32_t n;

	if (r->failed || r->n < 4) {
		r->failed = true;
		return 0;
	}
	n = (uint32_t)r->p[0] << 24 | (uint32_t)r->p[1] << 16 | (uint32_t)r->p[2] << 8 | r->p[3];
	r->p += 4;
	r->n -= 4;
	return n;
}

static inline uint64_t get_u64(struct reader *r)
{
	uint64_t high = get_u32(r);

	return high << 32 | get_u32(r);
}

static inline bool get_bool(struct reader *r)
{
	uint32_t n = get_u32(r);

	r->failed |= n > 1;
	return n == 1;
}

static inline struct str get_bytes(struct reader *r)
{
	uint32_t n = get_u32(r);
	struct str s;

	if (r->failed || n > r->n) {
		r->failed = true;
		return STR("");
	}
	s = (struct str){(const char *)r->p, n};
	r->p += n;
	r->n -= n;
	return s;
}

static inline char *get_text(struct reader *r, struct arena *a)
{
	struct str s = get_bytes(r);

	if (s.n && memchr(s.p, 0, s.n))
		r->failed = true;
	return arena_strndup(a, s.p, s.n);
}

/* Into a field of the size: longer is cut. */
static inline void get_field(struct reader *r, char *ret, size_t size)
{
	struct str s = get_bytes(r);
	size_t n = MIN(s.n, size - 1);

	if (n)
		memcpy(ret, s.p, n);
	ret[n] = 0;
}

static inline struct reader reader_of(struct str data)
{
	return (struct reader){(const unsigned char *)data.p, data.n, false};
}

static inline int ended(const struct reader *r)
{
	return r->failed || r->n > 0 ? -EBADMSG : 0;
}
