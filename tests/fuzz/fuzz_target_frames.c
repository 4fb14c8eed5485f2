/* The frames between exec and an SSH target, both ways: the first byte says which side reads and in what pieces the
 * rest comes; each frame's contents go to the readers of wire.h. */
#include "target/wire_errand.h"

static void read_errand(struct arena *a, struct str data)
{
	struct errand_request req;
	struct errand_step step, same;
	struct errand_result result;

	wire_read_errand(a, data, &req);
	for (int op = 0; op < ERRAND_OPS; op++)
		wire_read_done(a, data, (enum errand_op)op, &result);
	if (wire_read_step(a, data, &step) == 0) {
		struct buf again = BUF_INIT;

		wire_add_step(&again, &step);
		if (wire_read_step(a, (struct str){again.p + FRAME_HEAD, again.n - FRAME_HEAD}, &same) < 0)
			__builtin_trap();
		buf_deinit(&again);
	}
}

static void read_contents(struct arena *a, bool is_target, const struct frame *f)
{
	struct target_request req;
	struct target_report report;
	struct result end;

	if (is_target && wire_read_run(a, f->data, &req) == 0) {
		struct buf again = BUF_INIT;
		struct target_request same;
		struct str data;

		/* What was read can be written and read again. */
		wire_add_run(&again, &req);
		data = (struct str){again.p + FRAME_HEAD, again.n - FRAME_HEAD};
		if (wire_read_run(a, data, &same) < 0)
			__builtin_trap();
		buf_deinit(&again);
	}
	read_errand(a, f->data);
	wire_read_probe(f->data);
	wire_read_hello(f->data);
	wire_read_report(f->data, &report);
	wire_read_end(f->data, &end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_reader r;
	struct arena *a = arena_new();
	struct frame f;
	size_t step;

	if (size == 0) {
		arena_free(a);
		return 0;
	}
	step = 1 + (data[0] >> 1) * 8u;
	frame_reader_init(&r, data[0] & 1);
	for (size_t at = 1; at < size; at += step) {
		frame_reader_feed(&r, data + at, MIN(step, size - at));
		while (frame_reader_next(&r, &f) > 0)
			read_contents(a, r.is_target, &f);
	}
	frame_reader_deinit(&r);
	arena_free(a);
	return 0;
}
