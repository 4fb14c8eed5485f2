/* What a message asks the demo model for. The rules are told in docs/demo-model.md; change both together. */
#pragma once

#include "base/arena.h"

#define DEMO_MAX_STEPS 16
#define DEMO_MAX_CALLS 8

enum demo_topic {
	DEMO_OTHER,   /* nothing it knows */
	DEMO_RUN,     /* "run: CMD" lines */
	DEMO_WORDS,   /* count the words of a text */
	DEMO_NO_TEXT, /* count words, but of what? */
	DEMO_DISK,
	DEMO_MEMORY,
	DEMO_KERNEL,
	DEMO_WHO,
	DEMO_FILES,
};

/* Commands that are called at once, in one message. */
struct demo_step {
	const char *commands[DEMO_MAX_CALLS];
	unsigned n;
};

struct demo_wish {
	enum demo_topic topic;
	struct demo_step steps[DEMO_MAX_STEPS]; /* one after the other */
	unsigned n_steps;                       /* 0 = nothing to run */
};

/* Strings live in the arena. */
void demo_wish_read(struct arena *a, struct str text, struct demo_wish *ret);
/* The text in single quotes for sh. */
const char *demo_shell_quote(struct arena *a, struct str text);
