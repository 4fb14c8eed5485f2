#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tarball.h"

static char base[64];
static int root;

static int open_place(void **state)
{
	snprintf(base, sizeof(base), "/tmp/ogent-tree.XXXXXX");
	assert_non_null(mkdtemp(base));
	root = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(root, "ws", 0755), 0);
	assert_int_equal(mkdirat(root, "out", 0755), 0);
	return 0;
}

static int close_place(void **state)
{
	assert_int_equal(tree_erase(root, "ws"), 0);
	assert_int_equal(tree_erase(root, "out"), 0);
	close(root);
	return rmdir(base);
}

static int workspace(void)
{
	int fd = openat(root, "ws", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void write_file(int ws, const char *path, const char *text)
{
	struct tree_upload up;

	assert_int_equal(tree_upload_start(ws, path, true, &up), 0);
	assert_int_equal(write(up.fd, text, strlen(text)), strlen(text));
	assert_int_equal(tree_upload_finish(&up, ws, path, 0644, true), 0);
	tree_upload_deinit(&up);
}

static void paths_have_plain_parts_only(void **state)
{
	static const char *const good[] = {"", "a", "a/b", ".a", "a..", "...", "\xff"};
	static const char *const bad[] = {"/", "/a", "a/", "a//b", ".", "..", "a/./b", "a/../b", "../a", "a/.."};
	char long_part[300];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(tree_path_is_valid(str_of(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(tree_path_is_valid(str_of(bad[i])));
	assert_false(tree_path_is_valid(STR("a\0b")));
	memset(long_part, 'a', sizeof(long_part));
	assert_true(tree_path_is_valid((struct str){long_part, 255}));
	assert_false(tree_path_is_valid((struct str){long_part, 256}));
}

static void nothing_leads_out(void **state)
{
	int ws = workspace();
	struct tree_upload up;
	struct stat st;

	assert_int_equal(symlinkat("../out", ws, "link"), 0);
	assert_int_equal(tree_open(ws, "link", &st), -ELOOP);
	assert_int_equal(tree_dir(ws, "link"), -ELOOP);
	assert_int_equal(tree_mkdir(ws, "link/d", true), -ELOOP);
	assert_int_equal(tree_upload_start(ws, "link/f", true, &up), -ELOOP);
	assert_int_equal(tree_move(ws, "link", "link/x", true), -ELOOP);
	assert_int_equal(tree_dir(ws, ".."), -EXDEV);
	assert_int_equal(mkfifoat(ws, "fifo", 0600), 0);
	assert_int_equal(tree_open(ws, "fifo", &st), -EMEDIUMTYPE);
	assert_int_equal(tree_remove(ws, "link", true), 0);
	assert_int_equal(tree_remove(ws, "fifo", false), 0);
	close(ws);
}

static void a_file_appears_whole_at_its_end(void **state)
{
	int ws = workspace(), fd;
	struct tree_upload up;
	struct stat st;
	char text[8] = {0};

	assert_int_equal(tree_upload_start(ws, "d/f", true, &up), 0);
	assert_int_equal(write(up.fd, "new", 3), 3);
	assert_int_equal(tree_stat(ws, "d/f", &st), -ENOENT);
	tree_upload_deinit(&up);
	assert_int_equal(tree_stat(ws, "d/f", &st), -ENOENT);
	write_file(ws, "d/f", "one");
	assert_int_equal(tree_upload_start(ws, "d/f", false, &up), 0);
	assert_int_equal(tree_upload_finish(&up, ws, "d/f", 0644, false), -EEXIST);
	tree_upload_deinit(&up);
	fd = tree_open(ws, "d/f", &st);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof(text)), 3);
	assert_string_equal(text, "one");
	close(fd);
	assert_int_equal(tree_remove(ws, "d", false), -ENOTEMPTY);
	assert_int_equal(tree_remove(ws, "d", true), 0);
	close(ws);
}

static void folders_are_listed_by_name_behind_a_cursor(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct tree_item *items;
	int ws = workspace();
	size_t n;

	write_file(ws, "l/c", "");
	write_file(ws, "l/a", "");
	write_file(ws, "l/b", "");
	assert_int_equal(tree_list(ws, "l", NULL, 2, a, &items, &n), 0);
	assert_int_equal(n, 3);
	assert_string_equal(items[0].name, "a");
	assert_string_equal(items[1].name, "b");
	assert_int_equal(tree_list(ws, "l", "b", 2, a, &items, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(items[0].name, "c");
	assert_int_equal(tree_remove(ws, "l", true), 0);
	close(ws);
}

/* Page after page, each name once: what is shown of them orders them. */
static void names_that_are_no_text_have_their_place_in_the_pages(void **state)
{
	static const char *const names[] = {"l/a",
					    "l/\xff"
					    "1",
					    "l/\xff"
					    "2",
					    "l/\xfe"
					    "3",
					    "l/z\n\x1b[2J",
					    "l/\xc3\xa9"};
	static const char *const wanted[] = {"a",
					     "z\n\x1b[2J",
					     "\xc3\xa9",
					     "\xef\xbf\xbd"
					     "1",
					     "\xef\xbf\xbd"
					     "2",
					     "\xef\xbf\xbd"
					     "3"};
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	const char *after = NULL;
	struct tree_item *items;
	int ws = workspace();
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		write_file(ws, names[i], "");
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		assert_int_equal(tree_list(ws, "l", after, 1, a, &items, &n), 0);
		assert_int_equal(n, i + 1 < ARRAY_SIZE(wanted) ? 2 : 1);
		assert_string_equal(items[0].name, wanted[i]);
		after = items[0].name;
	}
	assert_int_equal(tree_remove(ws, "l", true), 0);
	close(ws);
}

static void a_second_name_is_found_wherever_it_is(void **state)
{
	int ws = workspace();

	write_file(ws, "s/d/f", "");
	write_file(ws, "s/g", "");
	assert_int_equal(tree_has_one_name_each(ws, "s"), 0);
	assert_int_equal(linkat(ws, "s/d/f", ws, "other", 0), 0);
	assert_int_equal(tree_has_one_name_each(ws, "s"), -EMLINK);
	assert_int_equal(tree_has_one_name_each(ws, "s/d/f"), -EMLINK);
	assert_int_equal(tree_has_one_name_each(ws, "s/g"), 0);
	assert_int_equal(tree_has_one_name_each(ws, "none"), -ENOENT);
	assert_int_equal(tree_remove(ws, "s", true), 0);
	assert_int_equal(tree_remove(ws, "other", false), 0);
	close(ws);
}

static void a_copy_is_bounded_and_true(void **state)
{
	const struct tree_size small = {1000, 3}, enough = {1000, 100};
	int ws = workspace(), to = openat(root, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct tree_size size;
	struct stat st;

	write_file(ws, "x/f", "four");
	write_file(ws, "x/y/g", "five!");
	assert_int_equal(symlinkat("f", ws, "x/l"), 0);
	assert_int_equal(tree_copy(ws, to, &small, &size), -EFBIG);
	assert_int_equal(tree_erase(root, "out"), 0);
	close(to);
	assert_int_equal(mkdirat(root, "out", 0755), 0);
	to = openat(root, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(tree_copy(ws, to, &enough, &size), 0);
	assert_int_equal(size.bytes, 9);
	assert_int_equal(size.files, 5);
	assert_int_equal(tree_stat(to, "x/y/g", &st), 0);
	assert_int_equal(st.st_size, 5);
	assert_int_equal(tree_stat(to, "x/l", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(tree_remove(ws, "x", true), 0);
	close(ws);
	close(to);
}

static void holes_are_copied_as_holes(void **state)
{
	const struct tree_size enough = {1ull << 40, 100};
	int ws = workspace(), to = openat(root, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
	struct tree_size size;
	struct stat st;
	char text[8] = {0};

	write_file(ws, "s", "one");
	fd = openat(ws, "s", O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "two", 3, 100 << 20), 3);
	assert_int_equal(ftruncate(fd, 200 << 20), 0);
	close(fd);
	assert_int_equal(tree_copy(ws, to, &enough, &size), 0);
	fd = openat(to, "s", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 200 << 20);
	assert_true(st.st_blocks * 512 < 1 << 20);
	assert_int_equal(pread(fd, text, 3, 0), 3);
	assert_string_equal(text, "one");
	assert_int_equal(pread(fd, text, 3, 100 << 20), 3);
	assert_string_equal(text, "two");
	close(fd);
	assert_int_equal(tree_remove(ws, "s", false), 0);
	assert_int_equal(tree_erase(root, "out"), 0);
	assert_int_equal(mkdirat(root, "out", 0755), 0);
	close(ws);
	close(to);
}

static void a_folder_of_any_depth_goes(void **state)
{
	int ws = workspace(), at = dup(ws);

	for (int i = 0; i < 3 * TREE_DEPTH_MAX; i++) {
		int next;

		assert_int_equal(mkdirat(at, "deep", 0700), 0);
		next = openat(at, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(at);
		at = next;
	}
	close(at);
	assert_int_equal(tree_remove(ws, "deep", true), 0);
	assert_int_equal(tree_dir(ws, "deep"), -ENOENT);
	close(ws);
}

static void an_archive_comes_back_as_it_was(void **state)
{
	const struct tree_size enough = {1 << 20, 100}, small = {3, 100};
	int ws = workspace(), file = openat(root, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct error err = {0};
	struct tree_size size;
	struct stat st;

	write_file(ws, "t/f", "four");
	assert_int_equal(symlinkat("f", ws, "t/l"), 0);
	assert_int_equal(tarball_make(ws, "t", true, file, &enough), 0);
	assert_int_equal(tarball_unpack(ws, "u", file, false, &small, &size, &err), -EFBIG);
	assert_int_equal(tree_mkdir(ws, "u", false), 0);
	assert_int_equal(tarball_unpack(ws, "u", file, false, &enough, &size, &err), 0);
	assert_int_equal(size.bytes, 4);
	assert_int_equal(tree_stat(ws, "u/f", &st), 0);
	assert_int_equal(st.st_size, 4);
	assert_int_equal(tree_stat(ws, "u/l", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(tree_remove(ws, "t", true), 0);
	assert_int_equal(tree_remove(ws, "u", true), 0);
	close(file);
	close(ws);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_have_plain_parts_only),
		cmocka_unit_test(nothing_leads_out),
		cmocka_unit_test(a_file_appears_whole_at_its_end),
		cmocka_unit_test(folders_are_listed_by_name_behind_a_cursor),
		cmocka_unit_test(names_that_are_no_text_have_their_place_in_the_pages),
		cmocka_unit_test(a_second_name_is_found_wherever_it_is),
		cmocka_unit_test(a_copy_is_bounded_and_true),
		cmocka_unit_test(holes_are_copied_as_holes),
		cmocka_unit_test(a_folder_of_any_depth_goes),
		cmocka_unit_test(an_archive_comes_back_as_it_was),
	};

	return cmocka_run_group_tests(tests, open_place, close_place);
}
