/* A workspace, or a folder in it, as one archive: made into a file without a name and sent; received into one, looked
 * through and unpacked. */
#include <errno.h>
#include <string.h>

#include "sending.h"

#define BLOCK (256 << 10)

/* ---- GET ---- */

static void make_done(struct workspace_job *w)
{
	sending_start(container_of(w, struct sending, w));
}

void workspace_archive_get(struct exchange *x)
{
	const char *path = http_query_get(x->arena, x->req->query, "path");
	const char *format = http_query_get(x->arena, x->req->query, "format");
	struct sending *s = arena_new_of(x->arena, struct sending);
	bool gzip = format && strcmp(format, "tar.gz") == 0;

	path = workspace_path(x, path ? path : "");
	if (!path)
		return;
	if (format && !gzip && strcmp(format, "tar") != 0) {
		reply_problem(x, 400, "bad_request", "format is tar or tar.gz.");
		return;
	}
	s->name = arena_printf(x->arena, "%s.%s", x->params[0].p, gzip ? "tar.gz" : "tar");
	s->type = gzip ? "application/gzip" : "application/x-tar";
	s->w.step = (struct errand_step){.op = ERRAND_PACK, .path = path, .flags = gzip ? ERRAND_GZIP : 0};
	s->w.done = make_done;
	s->w.clean = sending_clean;
	s->w.goes_on = true;
	workspace_start(x, &s->w, WORKSPACE_READ);
}

/* ---- POST ---- */

struct taking {
	struct workspace_job w;
	const char *path;
	struct buf chunk;
	uint64_t size, max;
	bool is_whole;
};

static void take_next(struct taking *t);

static void take_clean(struct workspace_job *w)
{
	struct taking *t = container_of(w, struct taking, w);

	buf_deinit(&t->chunk);
	w->x->on_gone = NULL;
	if (w->x->req) {
		w->x->req->on_body = NULL;
		w->x->req->on_body_end = NULL;
		http_body_resume(w->x->req);
	}
}

static void take_on_gone(struct exchange *x)
{
	struct taking *t = x->data;

	if (t->w.is_busy)
		return;
	take_clean(&t->w);
	workspace_over(&t->w);
}

static void take_written(struct workspace_job *w)
{
	struct taking *t = container_of(w, struct taking, w);

	buf_clear(&t->chunk);
	take_next(t);
}

static void take_unpacked(struct workspace_job *w)
{
	struct exchange *x = w->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	yyjson_mut_obj_add_uint(doc, obj, "files", w->r.size.files);
	yyjson_mut_obj_add_uint(doc, obj, "bytes", w->r.size.bytes);
	take_clean(w);
	reply_json(x, 200, doc);
	workspace_over(w);
}

static void unpack(struct taking *t)
{
	struct exec *e = t->w.exec;

	t->w.step = (struct errand_step){.op = ERRAND_UNPACK, .path = t->path};
	/* None begins while it unpacks; with commands, or others at work, protected files stay. */
	if (e->protects)
		t->w.step.flags = workspace_upgrade(e, t->w.key) ? ERRAND_ALONE : ERRAND_RUNNING;
	workspace_again(&t->w, take_unpacked);
}

static void take_next(struct taking *t)
{
	if (t->w.is_busy)
		return;
	if (t->chunk.n >= BLOCK || (t->is_whole && t->chunk.n > 0)) {
		t->w.step = (struct errand_step){.op = ERRAND_WRITE, .data = buf_str(&t->chunk)};
		workspace_again(&t->w, take_written);
	} else if (t->is_whole)
		unpack(t);
	else
		http_body_resume(t->w.x->req);
}

static void take_on_body(struct http_request *r, const char *data, size_t n)
{
	struct exchange *x = r->owner;
	struct taking *t = x->data;

	t->size += n;
	if (t->size > t->max) {
		take_clean(&t->w);
		workspace_reply_failure(x, -EFBIG, NULL);
		workspace_over(&t->w);
		return;
	}
	buf_add(&t->chunk, data, n);
	if (t->chunk.n < BLOCK)
		return;
	http_body_pause(r);
	take_next(t);
}

static void take_on_body_end(struct http_request *r)
{
	struct exchange *x = r->owner;
	struct taking *t = x->data;

	t->is_whole = true;
	take_next(t);
}

static void take_started(struct workspace_job *w)
{
	struct http_request *r = w->x->req;

	w->x->on_gone = take_on_gone;
	r->on_body = take_on_body;
	r->on_body_end = take_on_body_end;
	http_body_resume(r);
}

void workspace_archive_post(struct exchange *x)
{
	const char *path = http_query_get(x->arena, x->req->query, "path");
	struct exec *e = x->self;
	struct taking *t = arena_new_of(x->arena, struct taking);

	t->path = workspace_path(x, path ? path : "");
	if (!t->path)
		return;
	t->max = e->workspace_max;
	t->w.step = (struct errand_step){.op = ERRAND_TAKE, .path = t->path};
	t->w.done = take_started;
	t->w.clean = take_clean;
	t->w.goes_on = true;
	http_set_max_body(x->req, t->max + 1);
	http_body_pause(x->req);
	x->data = t;
	workspace_start(x, &t->w, WORKSPACE_WRITE);
}
