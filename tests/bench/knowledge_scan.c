/* The exact scan over vectors: GB/s of rows read, by the loop of this machine and by the plain one. Prints two numbers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "agent/knowledge/vector.h"

#define ROWS 100000
#define DIMENSION 512
#define TIMES 20

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double measure(const int8_t *question, const int8_t *rows, int32_t *products, int times,
		      void (*fn)(const int8_t *, const int8_t *, size_t, size_t, int32_t *))
{
	double from = cpu_seconds();

	for (int i = 0; i < times; i++)
		fn(question, rows, ROWS, DIMENSION, products);
	return (double)ROWS * DIMENSION * times / (cpu_seconds() - from) / 1e9;
}

int main(void)
{
	int8_t *rows = malloc((size_t)ROWS * DIMENSION), question[DIMENSION];
	int32_t *products = calloc(ROWS, sizeof(*products));

	if (!rows || !products)
		return 1;
	for (size_t i = 0; i < (size_t)ROWS * DIMENSION; i++)
		rows[i] = (int8_t)((i * 2654435761u >> 7) % 255 - 127);
	for (size_t i = 0; i < DIMENSION; i++)
		question[i] = (int8_t)(i % 255 - 127);
	measure(question, rows, products, 1, vector_products);
	printf("%f %f\n", measure(question, rows, products, TIMES, vector_products),
	       measure(question, rows, products, TIMES / 4, vector_products_plain));
	free(rows);
	free(products);
	return 0;
}
