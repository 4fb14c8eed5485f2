#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "io/http_client.h"

struct http_fetch {
	struct http_call call;
	struct arena *arena; /* the request */
	struct http_headers headers;
	struct buf answer;
	size_t max;
	bool is_too_big;
	http_fetch_done *cb;
	void *arg;
};

static void on_body(struct http_call *c, const char *data, size_t n)
{
	struct http_fetch *f = container_of(c, struct http_fetch, call);

	if (n > f->max - f->answer.n) {
		f->is_too_big = true;
		http_call_cancel(c);
		return;
	}
	buf_add(&f->answer, data, n);
}

static void on_done(struct http_call *c, int err)
{
	struct http_fetch *f = container_of(c, struct http_fetch, call);
	struct str body = f->answer.n ? buf_str(&f->answer) : STR("");

	f->cb(f->arg, f->is_too_big ? -EMSGSIZE : err, c->status, err ? STR("") : body);
	buf_deinit(&f->answer);
	arena_free(f->arena);
	free(f);
}

static void copy_headers(struct http_fetch *f, const struct http_headers *from, const char *type)
{
	f->headers.arena = f->arena;
	for (size_t i = 0; from && i < from->n; i++)
		http_header_add(&f->headers, arena_str(f->arena, from->items[i].name).p, from->items[i].value);
	if (type)
		http_header_set(&f->headers, "Content-Type", type);
}

struct http_fetch *http_fetch(struct http_pool *p, const char *method, const char *target,
			      const struct http_headers *headers, const char *type, struct str body, size_t max,
			      uint64_t head_ms, http_fetch_done *cb, void *arg)
{
	struct http_fetch *f = xcalloc(1, sizeof(*f));

	f->arena = arena_new();
	f->max = max;
	f->cb = cb;
	f->arg = arg;
	copy_headers(f, headers, type);
	f->call = (struct http_call){.method = arena_strdup(f->arena, method),
				     .target = str_of(arena_strdup(f->arena, target)),
				     .headers = &f->headers,
				     .body = body.p ? arena_str(f->arena, body) : body,
				     .head_ms = head_ms,
				     .on_body = on_body,
				     .on_done = on_done};
	http_call_start(p, &f->call);
	return f;
}

void http_fetch_cancel(struct http_fetch *f)
{
	http_call_cancel(&f->call);
}
