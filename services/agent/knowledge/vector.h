/* Vectors of unit length in a byte for each number, and the exact search for those nearest to a question: every one is
 * compared. The loop is written for AVX2, SSE4.1 and NEON, chosen when the program runs, beside a plain one that says
 * what they must give.
 *
 * A row is a vector scaled so that its greatest number is 127; `scale` turns the product of two rows back into the
 * cosine. Rows stand one behind the other, each padded with zeros to VECTOR_PAD. */
#pragma once

#include "base/util.h"

#define VECTOR_PAD 32
#define VECTOR_MAX 4096 /* numbers */

static inline size_t vector_stride(size_t dimension)
{
	return (dimension + VECTOR_PAD - 1) / VECTOR_PAD * VECTOR_PAD;
}

/* Makes a row (of vector_stride bytes) of `n` numbers. Returns its scale; 0 for a vector of zeros. */
float vector_pack(const float *from, size_t n, int8_t *to);

/* The product of a question with each of n rows, as whole numbers. stride: a multiple of VECTOR_PAD. */
void vector_products(const int8_t *question, const int8_t *rows, size_t n, size_t stride, int32_t *ret);
/* The same by the plain loop. */
void vector_products_plain(const int8_t *question, const int8_t *rows, size_t n, size_t stride, int32_t *ret);
/* Which loop is used here: "avx2", "sse4.1", "neon" or "plain". */
const char *vector_loop_name(void);

/* The best so far. */
struct vector_hit {
	float score;
	uint32_t row;
	const void *block; /* the caller's: where the row is */
};

/* A heap of the `max` best; the least of them stands first. */
struct vector_best {
	struct vector_hit *hits;
	size_t n, max;
};

/* Compares the question with n rows of a block and keeps the best. scales: one of each row. */
void vector_scan(const int8_t *question, float question_scale, const int8_t *rows, const float *scales, size_t n,
		 size_t stride, const void *block, struct vector_best *best);
/* Best first. */
void vector_best_sort(struct vector_best *best);
