#include "sending.h"

#include <string.h>

static void next_block(struct sending *s);

void sending_clean(struct workspace_job *w)
{
	w->x->on_gone = NULL;
	if (w->x->req)
		w->x->req->on_drain = NULL;
}

static void finish(struct sending *s)
{
	sending_clean(&s->w);
	workspace_over(&s->w);
}

/* The client left. A step that is under way ends the work when it comes back. */
static void on_gone(struct exchange *x)
{
	struct sending *s = x->data;

	if (!s->w.is_busy)
		finish(s);
}

static void on_drain(struct http_request *r)
{
	struct exchange *x = r->owner;
	struct sending *s = x->data;

	if (!s->w.is_busy)
		next_block(s);
}

/* One that became shorter meanwhile cannot be answered whole: the connection breaks. */
static void read_done(struct workspace_job *w)
{
	struct sending *s = container_of(w, struct sending, w);
	struct http_request *r = w->x->req;
	struct str data = w->r.data;
	bool has_room = data.n > 0 && http_reply_write(r, data.p, data.n);

	s->offset += data.n;
	if (data.n == 0) {
		finish(s);
		http_reply_abort(r);
	} else if (s->offset == s->end) {
		finish(s);
		http_reply_end(r);
	} else if (has_room) {
		next_block(s);
	}
}

static void next_block(struct sending *s)
{
	s->w.step = (struct errand_step){.op = ERRAND_READ, .offset = s->offset};
	s->w.step.n = MIN((uint64_t)ERRAND_BLOCK, s->end - s->offset);
	workspace_again(&s->w, read_done);
}

/* What of the file is asked for. Returns false when there is nothing in the range. */
static bool read_range(struct exchange *x, uint64_t size, uint64_t *from, uint64_t *to, bool *is_part)
{
	struct str value = http_header_get(&x->req->headers, "Range");
	enum http_range found = value.n ? http_range_parse(value, size, from, to) : HTTP_RANGE_NONE;

	*is_part = found == HTTP_RANGE_OK;
	if (*is_part) {
		*to += *from;
	} else {
		*from = 0;
		*to = size;
	}
	return found != HTTP_RANGE_UNSATISFIABLE;
}

static const char *etag(struct arena *a, const struct stat *st)
{
	return arena_printf(a, "\"%llx-%llx-%llx\"", (unsigned long long)st->st_ino, (unsigned long long)st->st_size,
			    (unsigned long long)st->st_mtim.tv_sec * 1000000000ull +
				    (unsigned long long)st->st_mtim.tv_nsec);
}

/* RFC 8187, so that every name arrives and none breaks the header. */
static const char *disposition(struct arena *a, const char *name)
{
	struct buf b = BUF_INIT;
	const char *text;

	buf_add_str(&b, "attachment; filename*=UTF-8''");
	for (; *name; name++)
		if ((*name >= '0' && *name <= '9') || ((*name | 32) >= 'a' && (*name | 32) <= 'z') ||
		    strchr("-._~", *name))
			buf_add_char(&b, *name);
		else
			buf_printf(&b, "%%%02X", (unsigned char)*name);
	text = arena_strndup(a, b.p, b.n);
	buf_deinit(&b);
	return text;
}

static void reply_head(struct sending *s, bool is_part)
{
	struct exchange *x = s->w.x;
	struct http_headers h = {.arena = x->arena};

	http_header_set(&h, "Content-Type", s->type);
	http_header_set(&h, "Content-Disposition", disposition(x->arena, s->name));
	http_header_set(&h, "X-Content-Type-Options", "nosniff");
	http_header_set(&h, "Cache-Control", "no-store");
	http_header_set(&h, "Accept-Ranges", "bytes");
	http_header_set(&h, "ETag", etag(x->arena, &s->st));
	http_header_set(&h, "X-Request-Id", x->request_id);
	if (is_part)
		http_header_set(&h, "Content-Range",
				arena_printf(x->arena, "bytes %llu-%llu/%llu", (unsigned long long)s->offset,
					     (unsigned long long)s->end - 1, (unsigned long long)s->st.st_size));
	http_reply_head(x->req, is_part ? 206 : 200, &h, (int64_t)(s->end - s->offset));
}

void sending_start(struct sending *s)
{
	struct exchange *x = s->w.x;
	uint64_t size;
	bool is_part = false;

	s->st = s->w.r.st;
	size = (uint64_t)s->st.st_size;
	if (!read_range(x, size, &s->offset, &s->end, &is_part)) {
		reply_header(x, "Content-Range", arena_printf(x->arena, "bytes */%llu", (unsigned long long)size));
		reply_problem(x, 416, "bad_range", "The file has %llu bytes.", (unsigned long long)size);
		finish(s);
		return;
	}
	reply_head(s, is_part);
	if (s->offset == s->end || x->req->method == HTTP_HEAD_) {
		struct http_request *r = x->req;

		finish(s);
		http_reply_end(r);
		return;
	}
	x->data = s;
	x->on_gone = on_gone;
	x->req->on_drain = on_drain;
	next_block(s);
}
