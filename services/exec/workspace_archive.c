/* A workspace, or a folder in it, as one archive: made into a file without a name and sent; received into one, looked
 * through and unpacked. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "sending.h"

#define BLOCK (256 << 10)

static int nameless_file(const struct exec *e)
{
	int fd = openat(e->journal.snapshots_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

/* ---- GET ---- */

struct making {
	struct sending s;
	const char *path;
	bool gzip;
};

static int make_run(struct workspace_job *w)
{
	struct making *m = container_of(w, struct making, s.w);
	struct tree_size max = workspace_limits(w->exec);
	int fd = nameless_file(w->exec), r = fd < 0 ? fd : tarball_make(w->root, m->path, m->gzip, fd, &max);

	if (r == 0 && fstat(fd, &m->s.st) < 0)
		r = -errno;
	if (r < 0 && fd >= 0)
		close(fd);
	m->s.fd = r < 0 ? -1 : fd;
	return r;
}

static void make_done(struct workspace_job *w)
{
	sending_start(container_of(w, struct sending, w));
}

void workspace_archive_get(struct exchange *x)
{
	const char *path = http_query_get(x->arena, x->req->query, "path");
	const char *format = http_query_get(x->arena, x->req->query, "format");
	struct making *m = arena_new_of(x->arena, struct making);

	m->path = workspace_path(x, path ? path : "");
	if (!m->path)
		return;
	m->gzip = format && strcmp(format, "tar.gz") == 0;
	if (format && !m->gzip && strcmp(format, "tar") != 0) {
		reply_problem(x, 400, "bad_request", "format is tar or tar.gz.");
		return;
	}
	m->s.fd = -1;
	m->s.name = arena_printf(x->arena, "%s.%s", x->params[0].p, m->gzip ? "tar.gz" : "tar");
	m->s.type = m->gzip ? "application/gzip" : "application/x-tar";
	m->s.w.run = make_run;
	m->s.w.done = make_done;
	m->s.w.clean = sending_clean;
	m->s.w.keeps_root = true;
	workspace_start(x, &m->s.w, WORKSPACE_READ);
}

/* ---- POST ---- */

struct taking {
	struct workspace_job w;
	const char *path;
	int fd;
	struct buf chunk;
	uint64_t size, max;
	bool is_whole;
	bool is_running; /* commands, or others are at work: protected files stay */
	struct tree_size taken;
};

static void take_next(struct taking *t);

static void take_clean(struct workspace_job *w)
{
	struct taking *t = container_of(w, struct taking, w);

	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
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

static int take_start(struct workspace_job *w)
{
	struct taking *t = container_of(w, struct taking, w);
	int dir = tree_dir(w->root, t->path);

	if (dir < 0)
		return dir;
	close(dir);
	t->fd = nameless_file(w->exec);
	return MIN(t->fd, 0);
}

static int take_write(struct workspace_job *w)
{
	struct taking *t = container_of(w, struct taking, w);

	for (size_t at = 0; at < t->chunk.n;) {
		ssize_t n = write(t->fd, t->chunk.p + at, t->chunk.n - at);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += (size_t)MAX(n, 0);
	}
	return 0;
}

static void take_written(struct workspace_job *w)
{
	struct taking *t = container_of(w, struct taking, w);

	buf_clear(&t->chunk);
	take_next(t);
}

static int take_unpack(struct workspace_job *w)
{
	struct taking *t = container_of(w, struct taking, w);
	struct tree_size max = workspace_limits(w->exec);

	return tarball_unpack(w->root, t->path, t->fd, t->is_running, &max, &t->taken, &w->err);
}

static void take_unpacked(struct workspace_job *w)
{
	struct taking *t = container_of(w, struct taking, w);
	struct exchange *x = w->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	yyjson_mut_obj_add_uint(doc, obj, "files", t->taken.files);
	yyjson_mut_obj_add_uint(doc, obj, "bytes", t->taken.bytes);
	take_clean(w);
	reply_json(x, 200, doc);
	workspace_over(w);
}

static void unpack(struct taking *t)
{
	struct exec *e = t->w.exec;

	/* None begins while it unpacks. */
	t->is_running = e->protects && !workspace_upgrade(e, t->w.name);
	workspace_again(&t->w, take_unpack, take_unpacked);
}

static void take_next(struct taking *t)
{
	if (t->w.is_busy)
		return;
	if (t->chunk.n >= BLOCK || (t->is_whole && t->chunk.n > 0))
		workspace_again(&t->w, take_write, take_written);
	else if (t->is_whole)
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
	t->fd = -1;
	t->max = e->workspace_max;
	t->w.run = take_start;
	t->w.done = take_started;
	t->w.clean = take_clean;
	t->w.keeps_root = true;
	http_set_max_body(x->req, t->max + 1);
	http_body_pause(x->req);
	x->data = t;
	workspace_start(x, &t->w, WORKSPACE_WRITE);
}
