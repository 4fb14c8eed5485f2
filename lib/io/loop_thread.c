#include "io/loop_thread.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "io/stream_internal.h"

#define RUN_OUT_MS 1000

struct mailbox {
	uv_async_t wake;
	uv_mutex_t mutex;
	struct list waiting; /* struct mail, the oldest first; under the mutex */
};

struct loop_thread {
	uv_loop_t loop;
	struct wheel *wheel;
	struct mailbox *mailbox;
	uv_thread_t thread;
	bool is_started;
	char name[16];
	struct mail last;
	void (*end)(void *arg);
	void *arg;
};

static struct mail *take(struct mailbox *b)
{
	uv_mutex_lock(&b->mutex);
	struct mail *m = list_first(&b->waiting, struct mail, link);
	if (m)
		list_remove(&m->link);
	uv_mutex_unlock(&b->mutex);
	return m;
}

static void on_wake(uv_async_t *wake)
{
	struct mailbox *b = container_of(wake, struct mailbox, wake);
	struct mail *m;

	while (!uv_is_closing((uv_handle_t *)wake) && (m = take(b)))
		m->run(m);
}

struct mailbox *mailbox_new(uv_loop_t *loop)
{
	struct mailbox *b = xcalloc(1, sizeof(*b));

	list_init(&b->waiting);
	if (uv_mutex_init(&b->mutex) || uv_async_init(loop, &b->wake, on_wake))
		fatal("cannot make a mailbox between threads");
	return b;
}

void mailbox_post(struct mailbox *b, struct mail *m)
{
	uv_mutex_lock(&b->mutex);
	if (!m->link.next)
		list_init(&m->link);
	if (list_is_empty(&m->link))
		list_append(&b->waiting, &m->link);
	uv_mutex_unlock(&b->mutex);
	uv_async_send(&b->wake);
}

static void on_closed(uv_handle_t *handle)
{
	struct mailbox *b = container_of((uv_async_t *)handle, struct mailbox, wake);

	uv_mutex_destroy(&b->mutex);
	free(b);
}

void mailbox_free(struct mailbox *b)
{
	if (b)
		uv_close((uv_handle_t *)&b->wake, on_closed);
}

struct loop_thread *loop_thread_new(void)
{
	struct loop_thread *t = xcalloc(1, sizeof(*t));

	if (uv_loop_init(&t->loop))
		fatal("cannot make an event loop");
	t->wheel = wheel_new(&t->loop);
	t->mailbox = mailbox_new(&t->loop);
	return t;
}

uv_loop_t *loop_thread_loop(struct loop_thread *t)
{
	return &t->loop;
}

struct wheel *loop_thread_wheel(struct loop_thread *t)
{
	return t->wheel;
}

struct mailbox *loop_thread_mailbox(struct loop_thread *t)
{
	return t->mailbox;
}

static void count_busy(uv_handle_t *h, void *arg)
{
	unsigned *n = arg;

	*n += h->type != UV_TIMER && (uv_is_active(h) || uv_is_closing(h));
}

static bool is_busy(uv_loop_t *loop)
{
	unsigned n = 0;

	uv_walk(loop, count_busy, &n);
	return n;
}

static void on_give_up(uv_timer_t *t)
{
	*(bool *)t->data = true;
}

/* What was closed finishes; the wheel carries the last callbacks and goes last. */
static void run_out(struct loop_thread *t)
{
	uv_timer_t limit;
	bool has_given_up = false;

	uv_timer_init(&t->loop, &limit);
	limit.data = &has_given_up;
	uv_timer_start(&limit, on_give_up, RUN_OUT_MS, 0);
	while (is_busy(&t->loop) && !has_given_up)
		uv_run(&t->loop, UV_RUN_ONCE);
	wheel_free(t->wheel);
	uv_close((uv_handle_t *)&limit, NULL);
	for (unsigned i = 0; i < 8 && uv_loop_alive(&t->loop); i++)
		uv_run(&t->loop, UV_RUN_NOWAIT);
	if (uv_loop_close(&t->loop))
		log_debug("a thread's loop still has handles at the end");
}

static void on_last(struct mail *m)
{
	struct loop_thread *t = container_of(m, struct loop_thread, last);

	if (t->end)
		t->end(t->arg);
	mailbox_free(t->mailbox);
	uv_stop(&t->loop);
}

static void run(void *arg)
{
	struct loop_thread *t = arg;
	sigset_t all;

	/* Signals are the first thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	pthread_setname_np(pthread_self(), t->name);
	uv_run(&t->loop, UV_RUN_DEFAULT);
	run_out(t);
	stream_thread_end();
}

void loop_thread_start(struct loop_thread *t, const char *name)
{
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->is_started = true;
	if (uv_thread_create(&t->thread, run, t))
		fatal("cannot start a thread");
}

void loop_thread_free(struct loop_thread *t, void (*end)(void *arg), void *arg)
{
	if (!t)
		return;
	t->end = end;
	t->arg = arg;
	t->last.run = on_last;
	if (t->is_started) {
		mailbox_post(t->mailbox, &t->last);
		uv_thread_join(&t->thread);
	} else {
		on_last(&t->last);
		run_out(t);
	}
	free(t);
}
