/* A second loop on a thread of its own, for what shares nothing with the first but what is said to be shared: beside
 * the lanes of jobs the only place where threads are made. Loops talk by mail. */
#pragma once

#include <uv.h>

#include "io/wheel.h"

/* Something to be done on another loop's thread. Embedded by its sender; it must stay until it has run. */
struct mail {
	struct list link; /* in the mailbox while it waits; all zero before the first post is fine */
	void (*run)(struct mail *m);
};

struct mailbox;
/* On the thread of `loop`, or before that runs. It keeps the loop running. */
struct mailbox *mailbox_new(uv_loop_t *loop);
/* From any thread: m->run comes once on the loop's thread. Posting what still waits does nothing. */
void mailbox_post(struct mailbox *b, struct mail *m);
/* On the loop's thread. What still waits is dropped. */
void mailbox_free(struct mailbox *b);

/* The loop, its wheel and its mailbox are there at once; until loop_thread_start they are the caller's to fill. */
struct loop_thread;
struct loop_thread *loop_thread_new(void);
/* `name`: up to 15 characters, shown by ps and top. */
void loop_thread_start(struct loop_thread *t, const char *name);
uv_loop_t *loop_thread_loop(struct loop_thread *t);
struct wheel *loop_thread_wheel(struct loop_thread *t);
struct mailbox *loop_thread_mailbox(struct loop_thread *t);
/* From the thread that made it: runs `end` (may be NULL) on the other, where it closes what is open there, lets the
 * closing finish for a second at most, and joins. */
void loop_thread_free(struct loop_thread *t, void (*end)(void *arg), void *arg);
