#include "target/wire_errand.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define ID "01900000-0000-7000-8000-000000000000"

static struct arena *arena;

static int open_arena(void **state)
{
	arena = arena_new();
	return 0;
}

static int close_arena(void **state)
{
	arena_free(arena);
	return 0;
}

/* What is in the one frame, in the arena. */
static struct str content_of(struct buf *frame)
{
	struct str s = arena_str(arena, (struct str){frame->p + FRAME_HEAD, frame->n - FRAME_HEAD});

	buf_deinit(frame);
	return s;
}

static struct str step_frame(const struct errand_step *step)
{
	struct buf b = BUF_INIT;

	wire_add_step(&b, step);
	return content_of(&b);
}

static struct str done_frame(enum errand_op op, const struct errand_result *result)
{
	struct buf b = BUF_INIT;

	wire_add_done(&b, op, result);
	return content_of(&b);
}

static int read_step(const struct errand_step *step)
{
	struct errand_step got;

	return wire_read_step(arena, step_frame(step), &got);
}

static int read_done(enum errand_op op, const struct errand_result *result)
{
	struct errand_result got;

	return wire_read_done(arena, done_frame(op, result), op, &got);
}

static void a_step_arrives_as_it_was_and_no_part_of_it_is_one(void **state)
{
	const struct errand_step step = {.op = ERRAND_WRITE,
					 .flags = ERRAND_PARENTS | ERRAND_ALONE,
					 .path = "a/b",
					 .other = "c",
					 .mode = 0644,
					 .offset = 1ull << 40,
					 .n = 7,
					 .data = STR("by\0tes")};
	struct str frame = step_frame(&step);
	struct errand_step got;

	assert_int_equal(wire_read_step(arena, frame, &got), 0);
	assert_int_equal(got.op, step.op);
	assert_int_equal(got.flags, step.flags);
	assert_string_equal(got.path, "a/b");
	assert_string_equal(got.other, "c");
	assert_int_equal(got.mode, 0644);
	assert_true(got.offset == step.offset && got.n == 7 && str_eq(got.data, step.data));
	for (size_t n = 0; n < frame.n; n++)
		assert_int_equal(wire_read_step(arena, (struct str){frame.p, n}, &got), -EBADMSG);
}

static void a_step_that_names_what_is_not_its_own_is_none(void **state)
{
	const struct errand_step wrong[] = {
		{.op = ERRAND_OPEN, .path = "../x"},
		{.op = ERRAND_OPEN, .path = "/etc/passwd"},
		{.op = ERRAND_PUT, .path = "a//b"},
		{.op = ERRAND_MOVE, .path = "a", .other = ".."},
		{.op = ERRAND_RESTORE, .other = ""},
		{.op = ERRAND_RESTORE, .other = "../../workspaces/x"},
		{.op = ERRAND_DROP, .other = "..", .path = ""},
		{.op = ERRAND_COPY, .path = "../w"},
		{.op = ERRAND_COPY, .path = ".trash.x"},
		{.op = ERRAND_COPY, .path = ""},
		{.op = ERRAND_COPY, .path = "w", .other = "x"},
		{.op = ERRAND_PLACE, .path = "f", .mode = 04755},
		{.op = ERRAND_READ, .offset = UINT64_MAX},
		{.op = ERRAND_OPS},
		{.op = ERRAND_LIST, .flags = 1u << 20},
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(read_step(&wrong[i]), -EBADMSG);
	assert_int_equal(read_step(&(struct errand_step){.op = ERRAND_COPY, .path = "w", .other = ID}), 0);
}

static void a_result_arrives_as_it_was(void **state)
{
	struct tree_item items[] = {
		{.name = "f", .st = {.st_mode = S_IFREG | 0644, .st_size = 5, .st_mtim = {-3, 9}}},
		{.name = "l", .st = {.st_mode = S_IFLNK | 0777}, .link = "../x"},
	};
	struct snapshot kept = {.id = ID, .name = "named", .size = {3, 4}, .is_step = true};
	const struct errand_result result = {.st = {.st_mode = S_IFDIR | 0755, .st_ino = 77},
					     .was_there = true,
					     .items = items,
					     .n = 2,
					     .is_more = true,
					     .size = {8, 9},
					     .snapshot = kept,
					     .list = {&kept, 1},
					     .data = STR("x\0y")};
	struct errand_result got;

	assert_int_equal(wire_read_done(arena, done_frame(ERRAND_KEEP, &result), ERRAND_KEEP, &got), 0);
	assert_true(got.was_there && got.is_more && got.n == 2 && got.st.st_ino == 77 && S_ISDIR(got.st.st_mode));
	assert_true(got.items[0].st.st_size == 5 && got.items[0].st.st_mtim.tv_sec == -3 && !got.items[0].link);
	assert_string_equal(got.items[1].link, "../x");
	assert_string_equal(got.snapshot.name, "named");
	assert_true(got.list.n == 1 && got.list.items[0].is_step && got.list.items[0].size.files == 4);
	assert_true(got.size.bytes == 8 && str_eq(got.data, result.data));
}

static void a_failure_arrives_with_its_words(void **state)
{
	struct errand_result result = {.result = -EBADMSG}, got;

	error_set(&result.err, "bad_archive", "The archive is refused.");
	assert_int_equal(wire_read_done(arena, done_frame(ERRAND_UNPACK, &result), ERRAND_UNPACK, &got), 0);
	assert_int_equal(got.result, -EBADMSG);
	assert_string_equal(got.err.code, "bad_archive");
	assert_string_equal(got.err.message, "The archive is refused.");
}

static void a_result_that_cannot_be_shown_is_none(void **state)
{
	struct tree_item up = {.name = "../x"}, empty = {.name = ""}, bytes = {.name = "\xff"},
			 long_ago = {.name = "f"}, negative = {.name = "f"};
	struct snapshot wrong = {.id = "..", .name = ""}, name = {.id = ID, .name = "\xc3"};
	const struct tree_item *items[] = {&up, &empty, &bytes, &long_ago, &negative};

	long_ago.st.st_mtim.tv_sec = INT64_MIN;
	negative.st.st_size = -1;
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		assert_int_equal(
			read_done(ERRAND_OPEN,
				  &(struct errand_result){.items = (struct tree_item *)(uintptr_t)items[i], .n = 1}),
			-EBADMSG);
	assert_int_equal(read_done(ERRAND_KEEP, &(struct errand_result){.snapshot = wrong}), -EBADMSG);
	assert_int_equal(read_done(ERRAND_LIST, &(struct errand_result){.list = {&name, 1}}), -EBADMSG);
	assert_int_equal(read_done(ERRAND_OPEN, &(struct errand_result){.is_more = true}), -EBADMSG);
	assert_int_equal(read_done(ERRAND_OPEN, &(struct errand_result){0}), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_step_arrives_as_it_was_and_no_part_of_it_is_one),
		cmocka_unit_test(a_step_that_names_what_is_not_its_own_is_none),
		cmocka_unit_test(a_result_arrives_as_it_was),
		cmocka_unit_test(a_failure_arrives_with_its_words),
		cmocka_unit_test(a_result_that_cannot_be_shown_is_none),
	};

	return cmocka_run_group_tests(tests, open_arena, close_arena);
}
