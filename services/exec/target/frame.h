/* The frames between exec and the program on an SSH target: four bytes of length (of what follows the type, big
 * endian), one byte of type, the bytes. wire.h says what is in them. One channel carries one command:
 *
 * - exec to target: FRAME_RUN or FRAME_PROBE, then FRAME_ALIVE every few seconds and FRAME_KILL once; FRAME_SIGNAL;
 * with open stdin FRAME_INPUT, FRAME_INPUT_END and FRAME_RESIZE
 * - target to exec: FRAME_HELLO, then FRAME_REPORT; or FRAME_STARTED, FRAME_STDOUT and FRAME_STDERR, FRAME_END; with
 * open stdin FRAME_TAKEN and FRAME_WAITING
 *
 * or one errand in a workspace's files (errand.h): FRAME_ERRAND, then any number of FRAME_STEP, each answered by
 * FRAME_DONE before the next; FRAME_ALIVE meanwhile.
 *
 * A side that ends its bytes in the middle of a frame, or sends what is none, is gone. */
#pragma once

#include "base/buf.h"

enum frame_type {
	FRAME_RUN = 'R',
	FRAME_PROBE = 'P',
	FRAME_ERRAND = 'F',
	FRAME_STEP = 'D',
	FRAME_ALIVE = 'A',     /* empty; without one for FRAME_SILENCE_MS the command is killed */
	FRAME_KILL = 'K',      /* empty */
	FRAME_INPUT = 'I',     /* for stdin; at most FRAME_WINDOW more than it took */
	FRAME_INPUT_END = 'E', /* empty */
	FRAME_SIGNAL = 'G',    /* number; 0: the foreground group, 1: the leader alone */
	FRAME_RESIZE = 'W',    /* rows, columns */

	FRAME_HELLO = 'H',
	FRAME_REPORT = 'L',
	FRAME_STARTED = 'S', /* empty */
	FRAME_STDOUT = 'O',
	FRAME_STDERR = 'X',
	FRAME_TAKEN = 'T',   /* of the input: bytes that came, that stdin took; 1: it takes no more */
	FRAME_WAITING = 'Q', /* 1: the command waits for input, 0: not any more */
	FRAME_END = 'Z',
	FRAME_DONE = 'N',
};

#define FRAME_HEAD 5
#define FRAME_OUTPUT_MAX (32 << 10)
#define FRAME_RUN_MAX (2 << 20)
#define FRAME_SMALL_MAX (64 << 10)
#define FRAME_STEP_MAX (1 << 20)
#define FRAME_DONE_MAX (8 << 20)

#define FRAME_WINDOW (60 << 10) /* the target has room for a little more, such as the end of a terminal's input */

#define FRAME_ALIVE_MS 15000
#define FRAME_SILENCE_MS 60000

struct frame {
	enum frame_type type;
	struct str data;
};

void frame_add(struct buf *out, enum frame_type type, struct str data);

struct frame_reader {
	bool is_target; /* reads what exec says, otherwise what the target says */
	bool is_broken;
	struct buf buf;
	size_t at; /* of the next frame */
};

void frame_reader_init(struct frame_reader *r, bool is_target);
void frame_reader_deinit(struct frame_reader *r);
void frame_reader_feed(struct frame_reader *r, const void *data, size_t n);
/* 1: a frame, valid until the next feed; 0: not whole yet; -EBADMSG: no frame of the other side, or too large; for
 * good. */
int frame_reader_next(struct frame_reader *r, struct frame *ret);
