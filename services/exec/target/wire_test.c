#include "target/wire.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(literal) ((char *)(uintptr_t)(literal))
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

static struct target_request request_of(char **argv, char **env)
{
	return (struct target_request){
		.spec = {.id = ID,
			 .argv = argv,
			 .env = env,
			 .cwd = "sub",
			 .workspace = "w-1",
			 .input = STR("in\0put"),
			 .timeout_ms = 1000,
			 .memory_max = 1ull << 33,
			 .tmp_max = 1 << 20,
			 .file_size_max = 7,
			 .pids_max = 9,
			 .has_input = true,
			 .tty = {24, 80}},
		.level = SANDBOX_STANDARD,
		.shape = 0x7f,
		.network = true,
	};
}

/* The only frame in the buffer. */
static struct frame only_frame(struct frame_reader *r, bool is_target, const struct buf *bytes)
{
	struct frame f, none;

	frame_reader_init(r, is_target);
	frame_reader_feed(r, bytes->p, bytes->n);
	assert_int_equal(frame_reader_next(r, &f), 1);
	assert_int_equal(frame_reader_next(r, &none), 0);
	return f;
}

static void a_request_arrives_as_it_was_with_every_byte_but_nul(void **state)
{
	char all[256], *argv[] = {TEXT("printf"), all, TEXT(""), NULL}, *env[] = {TEXT("A=b c"), NULL};
	struct buf bytes = BUF_INIT;
	struct target_request req = request_of(argv, env), got;
	struct frame_reader r;
	struct frame f;

	for (int i = 0; i < 255; i++)
		all[i] = (char)(i + 1);
	all[255] = 0;
	wire_add_run(&bytes, &req);
	f = only_frame(&r, true, &bytes);
	assert_int_equal(f.type, FRAME_RUN);
	assert_int_equal(wire_read_run(arena, f.data, &got), 0);
	assert_string_equal(got.spec.id, ID);
	assert_string_equal(got.spec.argv[1], all);
	assert_string_equal(got.spec.argv[2], "");
	assert_null(got.spec.argv[3]);
	assert_null(got.spec.script);
	assert_string_equal(got.spec.env[0], "A=b c");
	assert_string_equal(got.spec.workspace, "w-1");
	assert_string_equal(got.spec.cwd, "sub");
	assert_int_equal(got.spec.input.n, 6);
	assert_memory_equal(got.spec.input.p, "in\0put", 6);
	assert_true(got.spec.memory_max == 1ull << 33 && got.spec.file_size_max == 7 && got.spec.pids_max == 9);
	assert_true(got.spec.has_input && got.spec.tty.rows == 24 && got.spec.tty.cols == 80);
	assert_true(got.network && got.level == SANDBOX_STANDARD && got.shape == 0x7f);
	frame_reader_deinit(&r);
	buf_deinit(&bytes);
}

static struct str one(struct buf *bytes, bool is_target, enum frame_type type)
{
	static struct frame_reader r;
	struct frame f;

	frame_reader_deinit(&r);
	f = only_frame(&r, is_target, bytes);
	assert_int_equal(f.type, type);
	buf_clear(bytes);
	return f.data;
}

static void signals_sizes_and_what_was_taken_arrive(void **state)
{
	struct buf bytes = BUF_INIT;
	uint64_t received, taken;
	uint32_t a, b;
	bool is;

	wire_add_pair(&bytes, FRAME_SIGNAL, 15, 1);
	assert_int_equal(wire_read_pair(one(&bytes, true, FRAME_SIGNAL), &a, &b), 0);
	assert_true(a == 15 && b == 1);
	wire_add_taken(&bytes, 1ull << 40, 7, true);
	assert_int_equal(wire_read_taken(one(&bytes, false, FRAME_TAKEN), &received, &taken, &is), 0);
	assert_true(received == 1ull << 40 && taken == 7 && is);
	wire_add_taken(&bytes, 7, 8, false);
	assert_int_equal(wire_read_taken(one(&bytes, false, FRAME_TAKEN), &received, &taken, &is), -EBADMSG);
	wire_add_waiting(&bytes, true);
	assert_int_equal(wire_read_waiting(one(&bytes, false, FRAME_WAITING), &is), 0);
	assert_true(is);
	wire_add_waiting(&bytes, false);
	one(&bytes, false, FRAME_WAITING);
	assert_int_equal(wire_read_pair(STR("abc"), &a, &b), -EBADMSG);
	buf_deinit(&bytes);
}

static void a_terminal_without_input_or_without_columns_is_none(void **state)
{
	static const struct tty_size sizes[] = {{24, 0}, {0, 80}, {1001, 80}, {24, 70000}};
	char *argv[] = {TEXT("x"), NULL}, *env[] = {NULL};
	struct buf bytes = BUF_INIT;
	struct target_request req = request_of(argv, env), got;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		req.spec.tty = sizes[i];
		wire_add_run(&bytes, &req);
		assert_int_equal(wire_read_run(arena, one(&bytes, true, FRAME_RUN), &got), -EBADMSG);
	}
	req.spec.tty = (struct tty_size){24, 80};
	req.spec.has_input = false;
	wire_add_run(&bytes, &req);
	assert_int_equal(wire_read_run(arena, one(&bytes, true, FRAME_RUN), &got), -EBADMSG);
	buf_deinit(&bytes);
}

static void a_script_is_one_text(void **state)
{
	char *env[] = {NULL};
	struct buf bytes = BUF_INIT;
	struct target_request req = request_of(NULL, env), got;
	struct frame_reader r;

	req.spec.script = "echo \"$x\"";
	wire_add_run(&bytes, &req);
	assert_int_equal(wire_read_run(arena, only_frame(&r, true, &bytes).data, &got), 0);
	assert_string_equal(got.spec.script, "echo \"$x\"");
	assert_null(got.spec.argv);
	frame_reader_deinit(&r);
	buf_deinit(&bytes);
}

/* Whatever is cut off, and whatever byte is changed, the reader neither reads on nor crashes; cut is never whole. */
static void a_plan_goes_in_the_place_of_its_script(void **state)
{
	char *env[] = {NULL}, *plan[] = {TEXT(""), TEXT(""), TEXT("C."), TEXT("Wls"), NULL};
	struct buf bytes = BUF_INIT;
	struct target_request req = request_of(NULL, env), got;
	struct frame_reader r;

	req.spec.script = "ls";
	req.spec.plan = plan;
	wire_add_run(&bytes, &req);
	assert_int_equal(wire_read_run(arena, only_frame(&r, true, &bytes).data, &got), 0);
	assert_null(got.spec.argv);
	assert_string_equal(got.spec.plan[0], "");
	assert_string_equal(got.spec.plan[3], "Wls");
	assert_null(got.spec.plan[4]);
	frame_reader_deinit(&r);
	buf_deinit(&bytes);
}

static void a_cut_or_changed_request_is_refused_or_another_one(void **state)
{
	char *argv[] = {TEXT("true"), NULL}, *env[] = {TEXT("A=b"), NULL};
	struct buf bytes = BUF_INIT;
	struct target_request req = request_of(argv, env), got;
	struct frame_reader r;
	struct frame f;

	wire_add_run(&bytes, &req);
	f = only_frame(&r, true, &bytes);
	for (size_t n = 0; n < f.data.n; n++)
		assert_true(wire_read_run(arena, (struct str){f.data.p, n}, &got) < 0);
	for (size_t i = 0; i < f.data.n; i++) {
		char *copy = malloc(f.data.n);

		memcpy(copy, f.data.p, f.data.n);
		copy[i] = (char)(copy[i] ^ 0x81);
		wire_read_run(arena, (struct str){copy, f.data.n}, &got);
		free(copy);
	}
	frame_reader_deinit(&r);
	buf_deinit(&bytes);
}

static int read_changed(const char *what)
{
	char *argv[] = {TEXT("true"), NULL}, *env[] = {NULL}, *bad_env[] = {TEXT("=x"), NULL};
	char *empty[] = {TEXT(""), NULL}, *none[] = {NULL};
	struct buf bytes = BUF_INIT;
	struct target_request req = request_of(argv, env), got;
	struct frame_reader r;
	int result;

	if (strcmp(what, "workspace") == 0)
		req.spec.workspace = "../x";
	else if (strcmp(what, "id") == 0)
		strcpy(req.spec.id, "../../x");
	else if (strcmp(what, "level") == 0)
		req.level = SANDBOX_NONE;
	else if (strcmp(what, "time") == 0)
		req.spec.timeout_ms = 0;
	else if (strcmp(what, "memory") == 0)
		req.spec.memory_max = 0;
	else if (strcmp(what, "env") == 0)
		req.spec.env = bad_env;
	else if (strcmp(what, "empty") == 0)
		req.spec.argv = empty;
	else if (strcmp(what, "none") == 0)
		req.spec.argv = none;
	wire_add_run(&bytes, &req);
	result = wire_read_run(arena, only_frame(&r, true, &bytes).data, &got);
	frame_reader_deinit(&r);
	buf_deinit(&bytes);
	return result;
}

static void a_request_that_makes_no_sense_is_refused(void **state)
{
	static const char *const cases[] = {"workspace", "id", "level", "time", "memory", "env", "empty", "none"};

	assert_int_equal(read_changed(""), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(read_changed(cases[i]), -EBADMSG);
}

static void another_version_is_told_apart(void **state)
{
	assert_int_equal(wire_read_probe(STR("\0\0\0\6")), 0);
	assert_int_equal(wire_read_probe(STR("\0\0\0\7")), -EPROTO);
	assert_int_equal(wire_read_probe(STR("\0\0\0\6x")), -EBADMSG);
	assert_int_equal(wire_read_hello(STR("\0\0\0\14ogent-target\0\0\0\7")), -EPROTO);
	assert_int_equal(wire_read_hello(STR("\0\0\0\14ogent-target\0\0\0\6")), 0);
	assert_int_equal(wire_read_hello(STR("\0\0\0\14ogent_target\0\0\0\6")), -EBADMSG);
}

static void a_report_and_an_end_arrive_as_they_were(void **state)
{
	struct target_report report = {.sandbox = {.level = SANDBOX_STRICT, .landlock_abi = 7, .cgroup_version = 1},
				       .shape = 127,
				       .is_root = true},
			     got;
	struct result end = {.status = COMMAND_SIGNALLED, .exit_code = -1, .signal = 9, .cpu_ms = 5, .reason = "why"},
		      e;
	struct buf bytes = BUF_INIT, more = BUF_INIT;
	struct frame_reader r;

	report.sandbox.layers[LAYER_SECCOMP] = (struct sandbox_layer_state){true, "451 instructions"};
	wire_add_report(&bytes, &report);
	assert_int_equal(wire_read_report(only_frame(&r, false, &bytes).data, &got), 0);
	assert_memory_equal(&got.sandbox.layers, &report.sandbox.layers, sizeof(got.sandbox.layers));
	assert_true(got.shape == 127 && got.is_root && got.sandbox.level == SANDBOX_STRICT);
	frame_reader_deinit(&r);
	wire_add_end(&more, &end);
	assert_int_equal(wire_read_end(only_frame(&r, false, &more).data, &e), 0);
	assert_true(e.status == COMMAND_SIGNALLED && e.signal == 9 && e.exit_code == -1 && e.cpu_ms == 5);
	assert_string_equal(e.reason, "why");
	frame_reader_deinit(&r);
	buf_deinit(&bytes);
	buf_deinit(&more);
}

static void an_end_that_is_none_is_refused(void **state)
{
	static const struct result ends[] = {{.status = COMMAND_RUNNING},
					     {.status = COMMAND_EXITED, .exit_code = 256},
					     {.status = COMMAND_EXITED, .exit_code = -2},
					     {.status = COMMAND_SIGNALLED, .signal = 65}};

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		struct buf bytes = BUF_INIT;
		struct frame_reader r;
		struct result e;

		wire_add_end(&bytes, &ends[i]);
		assert_int_equal(wire_read_end(only_frame(&r, false, &bytes).data, &e), -EBADMSG);
		frame_reader_deinit(&r);
		buf_deinit(&bytes);
	}
}

static void frames_may_come_in_any_pieces(void **state)
{
	struct buf bytes = BUF_INIT;
	struct frame_reader r;
	struct frame f;
	unsigned n = 0;

	frame_add(&bytes, FRAME_STDOUT, STR("hello"));
	frame_add(&bytes, FRAME_STARTED, (struct str){0});
	frame_add(&bytes, FRAME_STDERR, STR("x"));
	for (size_t step = 1; step <= bytes.n; step++) {
		frame_reader_init(&r, false);
		n = 0;
		for (size_t at = 0; at < bytes.n; at += step) {
			frame_reader_feed(&r, bytes.p + at, MIN(step, bytes.n - at));
			while (frame_reader_next(&r, &f) == 1)
				if (n++ == 0)
					assert_true(f.type == FRAME_STDOUT && str_is(f.data, "hello"));
		}
		assert_int_equal(n, 3);
		frame_reader_deinit(&r);
	}
	buf_deinit(&bytes);
}

static int first_of(bool is_target, struct str bytes)
{
	struct frame_reader r;
	struct frame f;
	int result;

	frame_reader_init(&r, is_target);
	frame_reader_feed(&r, bytes.p, bytes.n);
	result = frame_reader_next(&r, &f);
	if (result < 0) {
		frame_reader_feed(&r, "\0\0\0\0A", 5);
		assert_int_equal(frame_reader_next(&r, &f), -EBADMSG);
	}
	frame_reader_deinit(&r);
	return result;
}

static void what_is_no_frame_of_the_other_side_breaks_the_reader_for_good(void **state)
{
	assert_int_equal(first_of(true, STR("\0\0\0\0K")), 1);
	assert_int_equal(first_of(false, STR("\0\0\0\0K")), -EBADMSG);
	assert_int_equal(first_of(false, STR("\0\0\0\0S")), 1);
	assert_int_equal(first_of(true, STR("\0\0\0\0S")), -EBADMSG);
	assert_int_equal(first_of(true, STR("\0\0\0\1K")), -EBADMSG);
	assert_int_equal(first_of(false, STR("\0\0\200\1O")), -EBADMSG);
	assert_int_equal(first_of(false, STR("\0\0\200\0O")), 0);
	assert_int_equal(first_of(true, STR("\377\377\377\377R")), -EBADMSG);
	assert_int_equal(first_of(true, STR("GET / HTTP/1.1")), -EBADMSG);
	assert_int_equal(first_of(true, STR("\0\0\0\0")), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_arrives_as_it_was_with_every_byte_but_nul),
		cmocka_unit_test(a_script_is_one_text),
		cmocka_unit_test(signals_sizes_and_what_was_taken_arrive),
		cmocka_unit_test(a_terminal_without_input_or_without_columns_is_none),
		cmocka_unit_test(a_plan_goes_in_the_place_of_its_script),
		cmocka_unit_test(a_cut_or_changed_request_is_refused_or_another_one),
		cmocka_unit_test(a_request_that_makes_no_sense_is_refused),
		cmocka_unit_test(another_version_is_told_apart),
		cmocka_unit_test(a_report_and_an_end_arrive_as_they_were),
		cmocka_unit_test(an_end_that_is_none_is_refused),
		cmocka_unit_test(frames_may_come_in_any_pieces),
		cmocka_unit_test(what_is_no_frame_of_the_other_side_breaks_the_reader_for_good),
	};

	return cmocka_run_group_tests(tests, open_arena, close_arena);
}
