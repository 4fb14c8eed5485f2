#include "spool.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
	char path[64];
	int fd;
	struct spool_writer w;
	struct spool_reader r;
};

static int open_place(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	strcpy(p->path, "/tmp/ogent-spool.XXXXXX");
	assert_non_null(mkdtemp(p->path));
	p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p->r.fd = -1;
	*state = p;
	return 0;
}

static int close_place(void **state)
{
	struct place *p = *state;

	spool_writer_deinit(&p->w);
	spool_reader_deinit(&p->r);
	unlinkat(p->fd, "output", 0);
	close(p->fd);
	rmdir(p->path);
	free(p);
	return 0;
}

static void write_text(struct place *p, enum spool_stream stream, uint32_t at, const char *text)
{
	spool_write(&p->w, stream, at, text, strlen(text));
}

static void expect(struct place *p, uint64_t from, uint64_t offset, const char *text, enum spool_stream stream)
{
	struct spool_piece piece;
	char data[256];

	assert_int_equal(spool_read(&p->r, from, data, sizeof(data), &piece), 0);
	assert_int_equal(piece.offset, offset);
	assert_int_equal(piece.n, strlen(text));
	assert_memory_equal(data, text, piece.n);
	assert_int_equal(piece.stream, stream);
}

static void a_file_without_a_byte_is_no_output_yet(void **state)
{
	struct place *p = *state;
	struct spool_piece piece;
	char data[16];

	close(openat(p->fd, "output", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(spool_reader_open(&p->r, p->fd), 0);
	assert_int_equal(p->r.fd, -1);
	assert_int_equal(spool_read(&p->r, 0, data, sizeof(data), &piece), 0);
	assert_int_equal(piece.n, 0);
	spool_writer_init(&p->w, p->fd, 8192);
	write_text(p, SPOOL_STDOUT, 0, "one");
	assert_int_equal(spool_reader_open(&p->r, p->fd), 0);
	expect(p, 0, 0, "one", SPOOL_STDOUT);
}

static void streams_keep_their_order_and_offsets(void **state)
{
	struct place *p = *state;
	struct spool_piece piece;
	char data[16];

	spool_writer_init(&p->w, p->fd, 8192);
	write_text(p, SPOOL_STDOUT, 0, "one");
	write_text(p, SPOOL_STDERR, 1, "two");
	write_text(p, SPOOL_STDOUT, 30, "three");
	assert_int_equal(spool_reader_open(&p->r, p->fd), 0);
	expect(p, 0, 0, "one", SPOOL_STDOUT);
	expect(p, 2, 2, "e", SPOOL_STDOUT);
	expect(p, 3, 3, "two", SPOOL_STDERR);
	expect(p, 6, 6, "three", SPOOL_STDOUT);
	assert_int_equal(spool_read(&p->r, 11, data, sizeof(data), &piece), 0);
	assert_int_equal(piece.n, 0);
	write_text(p, SPOOL_STDOUT, 31, "more");
	expect(p, 11, 11, "more", SPOOL_STDOUT);
	assert_int_equal(spool_truncated(&p->w), 0);
}

static void no_output_makes_no_file(void **state)
{
	struct place *p = *state;
	struct spool_piece piece;
	char data[16];

	spool_writer_init(&p->w, p->fd, 8192);
	assert_int_equal(spool_writer_sync(&p->w), 0);
	assert_int_equal(faccessat(p->fd, "output", F_OK, 0), -1);
	assert_int_equal(spool_reader_open(&p->r, p->fd), 0);
	assert_int_equal(spool_read(&p->r, 0, data, sizeof(data), &piece), 0);
	assert_int_equal(piece.n, 0);
}

/* Byte i of the stream is a function of i, so that any piece can be checked. */
static void fill(char *data, uint64_t offset, size_t n)
{
	for (size_t i = 0; i < n; i++)
		data[i] = (char)((offset + i) * 31 >> 3);
}

static uint64_t read_all(struct place *p, uint64_t *ret_skipped)
{
	uint64_t at = 0, n = 0;
	char data[4096], want[4096];
	struct spool_piece piece;

	*ret_skipped = 0;
	for (;;) {
		assert_int_equal(spool_read(&p->r, at, data, sizeof(data), &piece), 0);
		if (piece.n == 0)
			return n;
		fill(want, piece.offset, piece.n);
		assert_memory_equal(data, want, piece.n);
		*ret_skipped += piece.skipped;
		n += piece.n;
		at = piece.offset + piece.n;
	}
}

static void head_and_tail_are_kept_and_the_rest_counted(void **state)
{
	struct place *p = *state;
	uint64_t total = 0, skipped, kept;
	char data[3001];
	struct stat st;

	spool_writer_init(&p->w, p->fd, 64 * 1024);
	for (int i = 0; i < 1000; i++) {
		fill(data, total, sizeof(data));
		spool_write(&p->w, i % 3 ? SPOOL_STDOUT : SPOOL_STDERR, (uint32_t)i, data, sizeof(data));
		total += sizeof(data);
	}
	assert_int_equal(spool_reader_open(&p->r, p->fd), 0);
	kept = read_all(p, &skipped);
	assert_int_equal(spool_total(&p->w), total);
	assert_int_equal(kept + skipped, total);
	assert_int_equal(spool_truncated(&p->w), skipped);
	assert_true(kept <= 64 * 1024);
	assert_true(kept >= 48 * 1024);
	assert_int_equal(fstat(p->r.fd, &st), 0);
	assert_true(st.st_size < 128 * 1024);
}

static void a_storm_of_tiny_pieces_is_bounded_too(void **state)
{
	struct place *p = *state;
	uint64_t skipped, kept;
	char c;

	spool_writer_init(&p->w, p->fd, 64 * 1024);
	for (uint64_t i = 0; i < 5000; i++) {
		fill(&c, i, 1);
		spool_write(&p->w, i % 2 ? SPOOL_STDOUT : SPOOL_STDERR, 0, &c, 1);
	}
	assert_int_equal(spool_reader_open(&p->r, p->fd), 0);
	kept = read_all(p, &skipped);
	assert_int_equal(kept + skipped, 5000);
	assert_int_equal(spool_truncated(&p->w), skipped);
	assert_true(kept >= 64 + 60);
}

static void one_write_larger_than_the_spool_is_taken(void **state)
{
	struct place *p = *state;
	size_t n = 100000;
	uint64_t skipped, kept;
	char *data = malloc(n);

	spool_writer_init(&p->w, p->fd, 1024);
	fill(data, 0, n);
	spool_write(&p->w, SPOOL_STDOUT, 0, data, n);
	free(data);
	assert_int_equal(spool_reader_open(&p->r, p->fd), 0);
	kept = read_all(p, &skipped);
	assert_int_equal(kept + skipped, n);
	assert_true(kept >= 512 + 256 && kept <= 1024);
}

static void a_full_disk_is_counted_not_fatal(void **state)
{
	struct place *p = *state;
	char data[512] = "x";

	spool_writer_init(&p->w, p->fd, 4096);
	spool_write(&p->w, SPOOL_STDOUT, 0, data, sizeof(data));
	close(p->w.fd);
	p->w.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	spool_write(&p->w, SPOOL_STDOUT, 0, data, sizeof(data));
	spool_write(&p->w, SPOOL_STDOUT, 0, data, sizeof(data));
	assert_int_equal(spool_total(&p->w), 3 * sizeof(data));
	assert_int_equal(spool_truncated(&p->w), 2 * sizeof(data));
	assert_true(spool_writer_sync(&p->w) < 0);
}

static void garbage_is_not_read(void **state)
{
	struct place *p = *state;
	int fd = openat(p->fd, "output", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, "garbage", 7), 7);
	close(fd);
	assert_true(spool_reader_open(&p->r, p->fd) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_file_without_a_byte_is_no_output_yet, open_place, close_place),
		cmocka_unit_test_setup_teardown(streams_keep_their_order_and_offsets, open_place, close_place),
		cmocka_unit_test_setup_teardown(no_output_makes_no_file, open_place, close_place),
		cmocka_unit_test_setup_teardown(head_and_tail_are_kept_and_the_rest_counted, open_place, close_place),
		cmocka_unit_test_setup_teardown(a_storm_of_tiny_pieces_is_bounded_too, open_place, close_place),
		cmocka_unit_test_setup_teardown(one_write_larger_than_the_spool_is_taken, open_place, close_place),
		cmocka_unit_test_setup_teardown(a_full_disk_is_counted_not_fatal, open_place, close_place),
		cmocka_unit_test_setup_teardown(garbage_is_not_read, open_place, close_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
