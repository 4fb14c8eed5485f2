#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/knowledge/vector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/knowledge/hashed.h"
#include "base/alloc.h"
#include "base/str.h"

static void the_loop_of_this_machine_gives_what_the_plain_one_gives(void **state)
{
	static const size_t strides[] = {32, 64, 96, 512, 1536, 4096};

	srand(7);
	for (size_t k = 0; k < ARRAY_SIZE(strides); k++) {
		size_t stride = strides[k], n = 33;
		int8_t *question = xmalloc(stride), *rows = xmalloc(stride * n);
		int32_t fast[33], plain[33];
		for (size_t i = 0; i < stride; i++)
			question[i] = (int8_t)(i % 5 == 0 ? 127 : i % 7 == 0 ? -127 : rand() % 255 - 127);
		for (size_t i = 0; i < stride * n; i++)
			rows[i] = (int8_t)(i % 3 == 0 ? -127 : i % 4 == 0 ? 127 : rand() % 255 - 127);
		memset(question, 127, stride / 2);
		memset(rows, -127, stride);
		vector_products(question, rows, n, stride, fast);
		vector_products_plain(question, rows, n, stride, plain);
		assert_memory_equal(fast, plain, sizeof(fast));
		free(question);
		free(rows);
	}
	assert_true(strlen(vector_loop_name()) > 3);
}

static void a_row_keeps_the_direction_and_its_scale_the_length(void **state)
{
	enum { N = 300 };
	float a[N], b[N];
	int8_t x[320], y[320];
	double ab = 0, aa = 0, bb = 0;

	srand(3);
	for (int i = 0; i < N; i++) {
		a[i] = (float)rand() / (float)RAND_MAX - 0.4f;
		b[i] = a[i] * 0.5f + (float)rand() / (float)RAND_MAX * 0.5f;
		ab += a[i] * b[i];
		aa += a[i] * a[i];
		bb += b[i] * b[i];
	}
	float sx = vector_pack(a, N, x), sy = vector_pack(b, N, y);
	int32_t product;
	vector_products(x, y, 1, vector_stride(N), &product);
	assert_true(fabs((double)product * sx * sy - ab / sqrt(aa * bb)) < 0.01);
	memset(a, 0, sizeof(a));
	assert_true(vector_pack(a, N, x) <= 0);
	a[0] = NAN;
	assert_true(vector_pack(a, N, x) <= 0);
}

static void the_best_are_found_in_order(void **state)
{
	enum { N = 1000, DIM = 64 };
	int8_t *rows = xcalloc(N, DIM), question[DIM] = {127};
	float scales[N];
	struct vector_hit hits[10];
	struct vector_best best = {hits, 0, 10};

	for (int i = 0; i < N; i++) {
		rows[i * DIM] = (int8_t)(i % 100);
		scales[i] = 1.0f / 127;
	}
	rows[777 * DIM] = 127;
	vector_scan(question, 1.0f / 127, rows, scales, N, DIM, rows, &best);
	vector_best_sort(&best);
	assert_int_equal(best.n, 10);
	assert_int_equal(best.hits[0].row, 777);
	for (int i = 1; i < 10; i++)
		assert_int_equal(best.hits[i].row % 100, 99);
	best.n = 0;
	vector_scan(question, 1.0f / 127, rows, scales, 1, DIM, rows, &best);
	assert_int_equal(best.n, 0); /* what has nothing in common is no hit */
	free(rows);
}

static float likeness(const char *a, const char *b)
{
	float x[HASHED_DIMENSION], y[HASHED_DIMENSION];
	int8_t p[HASHED_DIMENSION], q[HASHED_DIMENSION];
	int32_t product;

	hashed_vector(str_of(a), x);
	hashed_vector(str_of(b), y);
	float sa = vector_pack(x, HASHED_DIMENSION, p), sb = vector_pack(y, HASHED_DIMENSION, q);
	vector_products(p, q, 1, HASHED_DIMENSION, &product);
	return (float)product * sa * sb;
}

static void what_is_written_alike_is_near(void **state)
{
	assert_true(likeness("authentication", "authenticated") > 0.4f);
	assert_true(likeness("authentication", "banana") < 0.2f);
	assert_true(likeness("databse conection", "database connection") > 0.4f);
	assert_true(likeness("the cat sat", "the cat sat") > 0.99f);
	assert_true(likeness("Verschl\u00fcsselung der Datenbank", "Datenbankverschl\u00fcsselung") > 0.3f);
	assert_true(likeness("\u043a\u043e\u0448\u043a\u0438", "\u043a\u043e\u0448\u043a\u0430\u043c") > 0.2f);
	assert_true(likeness("", "x") == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_loop_of_this_machine_gives_what_the_plain_one_gives),
		cmocka_unit_test(a_row_keeps_the_direction_and_its_scale_the_length),
		cmocka_unit_test(the_best_are_found_in_order),
		cmocka_unit_test(what_is_written_alike_is_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
