#include "agent/knowledge/vector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define SCAN_ROWS 256 /* at once */

float vector_pack(const float *from, size_t n, int8_t *to)
{
	double length = 0;
	float most = 0;

	memset(to, 0, vector_stride(n));
	for (size_t i = 0; i < n; i++) {
		if (!isfinite(from[i]))
			return 0;
		length += (double)from[i] * from[i];
		most = fmaxf(most, fabsf(from[i]));
	}
	if (most <= 0 || length <= 0 || !isfinite(length))
		return 0;
	for (size_t i = 0; i < n; i++)
		to[i] = (int8_t)lrintf(from[i] / most * 127);
	return (float)(most / 127 / sqrt(length));
}

void vector_products_plain(const int8_t *question, const int8_t *rows, size_t n, size_t stride, int32_t *ret)
{
	for (size_t r = 0; r < n; r++, rows += stride) {
		int32_t sum = 0;
		for (size_t i = 0; i < stride; i++)
			sum += question[i] * rows[i];
		ret[r] = sum;
	}
}

#if defined(__x86_64__)

/* Of signed bytes: |a| times b with a's sign. No pair of products leaves 16 bits, since none of them is -128. */
__attribute__((target("avx2"))) static void products_avx2(const int8_t *question, const int8_t *rows, size_t n,
							  size_t stride, int32_t *ret)
{
	const __m256i ones = _mm256_set1_epi16(1);

	for (size_t r = 0; r < n; r++, rows += stride) {
		__m256i sum = _mm256_setzero_si256();
		for (size_t i = 0; i < stride; i += 32) {
			__m256i a = _mm256_loadu_si256((const __m256i *)(question + i));
			__m256i b = _mm256_loadu_si256((const __m256i *)(rows + i));
			__m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));
			sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
		}
		__m128i four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
		four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
		four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
		ret[r] = _mm_cvtsi128_si32(four);
	}
}

__attribute__((target("sse4.1"))) static void products_sse(const int8_t *question, const int8_t *rows, size_t n,
							   size_t stride, int32_t *ret)
{
	const __m128i ones = _mm_set1_epi16(1);

	for (size_t r = 0; r < n; r++, rows += stride) {
		__m128i sum = _mm_setzero_si128();
		for (size_t i = 0; i < stride; i += 16) {
			__m128i a = _mm_loadu_si128((const __m128i *)(question + i));
			__m128i b = _mm_loadu_si128((const __m128i *)(rows + i));
			__m128i pairs = _mm_maddubs_epi16(_mm_abs_epi8(a), _mm_sign_epi8(b, a));
			sum = _mm_add_epi32(sum, _mm_madd_epi16(pairs, ones));
		}
		sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
		sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
		ret[r] = _mm_cvtsi128_si32(sum);
	}
}

#elif defined(__aarch64__)

static void products_neon(const int8_t *question, const int8_t *rows, size_t n, size_t stride, int32_t *ret)
{
	for (size_t r = 0; r < n; r++, rows += stride) {
		int32x4_t sum = vdupq_n_s32(0);
		for (size_t i = 0; i < stride; i += 16) {
			int8x16_t a = vld1q_s8(question + i), b = vld1q_s8(rows + i);
			int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
			int16x8_t high = vmull_high_s8(a, b);
			sum = vpadalq_s16(vpadalq_s16(sum, low), high);
		}
		ret[r] = vaddvq_s32(sum);
	}
}

#endif

typedef void products_fn(const int8_t *question, const int8_t *rows, size_t n, size_t stride, int32_t *ret);

static products_fn *choose(const char **name)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2")) {
		*name = "avx2";
		return products_avx2;
	}
	if (__builtin_cpu_supports("sse4.1")) {
		*name = "sse4.1";
		return products_sse;
	}
#elif defined(__aarch64__)
	*name = "neon";
	return products_neon;
#endif
	*name = "plain";
	return vector_products_plain;
}

const char *vector_loop_name(void)
{
	const char *name;

	choose(&name);
	return name;
}

void vector_products(const int8_t *question, const int8_t *rows, size_t n, size_t stride, int32_t *ret)
{
	const char *name;

	choose (&name)(question, rows, n, stride, ret);
}

/* ---- The best ---- */

static void sift_down(struct vector_best *b)
{
	size_t i = 0, child;

	while ((child = 2 * i + 1) < b->n) {
		if (child + 1 < b->n && b->hits[child + 1].score < b->hits[child].score)
			child++;
		if (b->hits[i].score <= b->hits[child].score)
			return;
		struct vector_hit other = b->hits[i];
		b->hits[i] = b->hits[child];
		b->hits[child] = other;
		i = child;
	}
}

static void keep(struct vector_best *b, struct vector_hit hit)
{
	if (b->n == b->max) {
		b->hits[0] = hit;
		sift_down(b);
		return;
	}
	size_t i = b->n++;
	for (; i > 0 && b->hits[(i - 1) / 2].score > hit.score; i = (i - 1) / 2)
		b->hits[i] = b->hits[(i - 1) / 2];
	b->hits[i] = hit;
}

void vector_scan(const int8_t *question, float question_scale, const int8_t *rows, const float *scales, size_t n,
		 size_t stride, const void *block, struct vector_best *best)
{
	int32_t products[SCAN_ROWS];

	for (size_t at = 0; at < n && best->max > 0; at += SCAN_ROWS) {
		size_t some = MIN(n - at, (size_t)SCAN_ROWS);
		vector_products(question, rows + at * stride, some, stride, products);
		for (size_t i = 0; i < some; i++) {
			float score = (float)products[i] * scales[at + i] * question_scale;
			if (score > 0 && (best->n < best->max || score > best->hits[0].score))
				keep(best, (struct vector_hit){score, (uint32_t)(at + i), block});
		}
	}
}

static int compare(const void *a, const void *b)
{
	const struct vector_hit *x = a, *y = b;

	return x->score < y->score ? 1 : x->score > y->score ? -1 : (x->row > y->row) - (x->row < y->row);
}

void vector_best_sort(struct vector_best *best)
{
	qsort(best->hits, best->n, sizeof(*best->hits), compare);
}
