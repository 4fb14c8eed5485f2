#include "agent/tools/task.h"

#include <stdlib.h>

#include "agent/clip.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/utf8.h"

#define SHOWN_HEAD 12288
#define SHOWN_TAIL 4096

static void leave(struct background *b)
{
	struct tool_task *t = container_of(b, struct tool_task, background);

	t->call = NULL;
	t->is_cancelled = true;
	t->stop(t);
}

struct tool_task *tool_task_new(struct tool_call *c, size_t size, void (*stop)(struct tool_task *t))
{
	struct tool_task *t = xcalloc(1, size);

	t->background.leave = leave;
	list_append(&c->agent->background, &t->background.link);
	t->call = c;
	t->agent = c->agent;
	t->arena = arena_new();
	t->started_at = clock_now_us();
	t->stop = stop;
	c->self = t;
	return t;
}

static void report(struct tool_task *t, const char *status, struct str text)
{
	_cleanup_(buf_deinit) struct buf shown = BUF_INIT;
	struct clip clip;
	struct tool_result r = {
		.status = status,
		.exit_code = -1,
		.message = strcmp(status, "error") == 0 ? arena_strndup(t->arena, text.p, MIN(text.n, 1000)) : NULL,
		.output_bytes = text.n,
		.started_at = t->started_at,
		.ended_at = clock_now_us(),
		.content = text,
		.children_tokens = t->children_tokens,
		.children_nano = t->children_nano,
	};

	clip_init(&clip, SHOWN_HEAD, SHOWN_TAIL);
	clip_add(&clip, text);
	clip_write(&clip, &shown);
	r.output = buf_str(&shown);
	t->call->on_done(t->call, &r);
	clip_deinit(&clip);
}

void tool_task_end(struct tool_task *t, const char *status, struct str text)
{
	if (t->call && t->is_cancelled)
		report(t, "cancelled", STR("The call was cancelled."));
	else if (t->call)
		report(t, status, text.p ? text : STR(""));
	list_remove(&t->background.link);
	arena_free(t->arena);
	free(t);
}

void tool_task_fail(struct tool_task *t, const char *fmt, ...)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	tool_task_end(t, "error", buf_str(&text));
}

void tool_task_cancel(struct tool_call *c)
{
	struct tool_task *t = c->self;

	if (t->is_cancelled)
		return;
	t->is_cancelled = true;
	t->stop(t);
}

void tool_task_leave(struct tool_call *c)
{
	struct tool_task *t = c->self;

	leave(&t->background);
}

bool tool_is_text(struct str bytes)
{
	return !memchr(bytes.n ? bytes.p : "", '\0', bytes.n) && utf8_is_valid(bytes);
}

size_t tool_text_add(struct buf *out, struct str bytes, size_t max)
{
	size_t from = out->n, n = MIN(bytes.n, max);
	struct utf8_carry carry = {0};

	while (n < bytes.n && n > 0 && ((unsigned char)bytes.p[n] & 0xc0) == 0x80)
		n--;
	utf8_clean(&carry, bytes.p, n, true, out);
	for (size_t i = from; i < out->n; i++)
		if (out->p[i] == '\0')
			out->p[i] = ' ';
	return n;
}
