#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those first */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/memory.h"

/* KiB of this process in memory, by a line of /proc/self/status. */
static long kib(const char *line)
{
	FILE *f = fopen("/proc/self/status", "re");
	char text[256];
	long n = -1;

	while (fgets(text, sizeof(text), f))
		if (strncmp(text, line, strlen(line)) == 0)
			n = strtol(text + strlen(line) + 1, NULL, 10);
	fclose(f);
	return n;
}

static const char *const words[] = {"relocated", "at", "the", "start"};
static int changed = 1;

static void pages_of_files_are_given_back_and_come_again(void **state)
{
	long before = kib("RssFile");

	changed = 2;
	memory_give_back();
	long after = kib("RssFile");
	assert_in_range(after, 0, before - before / 4);
	/* What was written is kept, what was only read is read again. */
	assert_int_equal(changed, 2);
	assert_string_equal(words[3], "start");
	assert_int_equal(strtol("17", NULL, 10), 17);
}

/* The sanitizers' heap is another. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define HAS_GLIBC_HEAP
#endif

#ifdef HAS_GLIBC_HEAP
static void free_pages_of_the_heap_are_given_back(void **state)
{
	enum { N = 4096, SIZE = 1024 };
	char *blocks[N];

	for (int i = 0; i < N; i++)
		blocks[i] = memset(malloc(SIZE), 1, SIZE);
	long full = kib("RssAnon");
	for (int i = 0; i < N - 1; i++) /* the last keeps the heap from shrinking by itself */
		free(blocks[i]);
	memory_give_back();
	assert_in_range(kib("RssAnon"), 0, full - N * SIZE / 1024 / 2);
	free(blocks[N - 1]);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_of_files_are_given_back_and_come_again),
#ifdef HAS_GLIBC_HEAP
		cmocka_unit_test(free_pages_of_the_heap_are_given_back),
#endif
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
