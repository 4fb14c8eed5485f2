/* The files of a workspace: GET, PUT and DELETE of a path, folders listed in pages, made and moved. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "sandbox/protect.h"
#include "sending.h"

#define UPLOAD_BLOCK (256 << 10)

/* ---- GET ---- */

struct reading {
	struct sending s;
	const char *path;
	struct page page;
};

static const char *type_name(mode_t mode)
{
	return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "folder" : S_ISLNK(mode) ? "link" : "other";
}

static void add_stat(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *name, const struct stat *st,
		     const char *link)
{
	char text[TIME_TEXT_SIZE];

	yyjson_mut_obj_add_strcpy(doc, obj, "name", name);
	yyjson_mut_obj_add_str(doc, obj, "type", type_name(st->st_mode));
	yyjson_mut_obj_add_uint(doc, obj, "size", S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0);
	yyjson_mut_obj_add_strcpy(doc, obj, "mode",
				  (char[]){(char)('0' + (st->st_mode >> 6 & 7)), (char)('0' + (st->st_mode >> 3 & 7)),
					   (char)('0' + (st->st_mode & 7)), 0});
	time_format(st->st_mtim.tv_sec * 1000000 + st->st_mtim.tv_nsec / 1000, text);
	yyjson_mut_obj_add_strcpy(doc, obj, "modified_at", text);
	json_add_str(doc, obj, "link", link);
}

static void get_done(struct workspace_job *w)
{
	struct reading *g = container_of(w, struct reading, s.w);
	const struct errand_result *r = &w->r;
	struct exchange *x = w->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj, *items;

	if (S_ISREG(r->st.st_mode)) {
		sending_start(&g->s);
		return;
	}
	obj = json_new_obj(x->arena, &doc);
	items = yyjson_mut_obj_add_arr(doc, obj, "items");
	for (size_t i = 0; i < r->n; i++)
		add_stat(doc, yyjson_mut_arr_add_obj(doc, items), r->items[i].name, &r->items[i].st, r->items[i].link);
	json_add_str(doc, obj, "next", r->is_more ? page_cursor(x->arena, r->items[r->n - 1].name) : NULL);
	sending_clean(w);
	reply_json(x, 200, doc);
	workspace_over(w);
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void get(struct exchange *x, const char *path)
{
	struct reading *g = arena_new_of(x->arena, struct reading);

	g->path = workspace_path(x, path);
	if (!g->path || !page_read(x, &g->page))
		return;
	g->s.name = last_part(g->path);
	g->s.type = "application/octet-stream";
	g->s.w.step = (struct errand_step){.op = ERRAND_OPEN, .path = g->path, .n = (uint64_t)g->page.limit};
	g->s.w.step.other = g->page.after ? g->page.after : "";
	g->s.w.done = get_done;
	g->s.w.clean = sending_clean;
	g->s.w.goes_on = true;
	workspace_start(x, &g->s.w, WORKSPACE_READ);
}

void workspace_files_root(struct exchange *x)
{
	get(x, "");
}

void workspace_files_get(struct exchange *x)
{
	get(x, x->params[1].p);
}

static bool is_protected(const struct exec *e, const char *path)
{
	return e->protects && protect_covers(path);
}

static void reply_protected(struct exchange *x)
{
	reply_header(x, "Retry-After", "2");
	reply_problem(
		x, 409, "workspace_busy",
		"This is a protected file: it can be changed when no command runs in the workspace, and no shared "
		"sandbox lives.");
}

/* Replacing a protected file would take it from under the commands that run. Returns false after answering. */
static bool may_change(struct exchange *x, const char *path)
{
	struct exec *e = x->self;
	const char *target = http_query_get(x->arena, x->req->query, "target");

	if (path && target && strcmp(target, TARGET_LOCAL) == 0)
		target = "";
	if (!path || !is_protected(e, path) ||
	    workspace_running(e, workspace_key(x->arena, x->params[0].p, target ? target : "")) == 0)
		return path != NULL;
	reply_protected(x);
	return false;
}

/* None begins meanwhile. */
static enum workspace_use use_for(const struct exchange *x, const char *path, const char *other)
{
	const struct exec *e = x->self;

	return is_protected(e, path) || (other && is_protected(e, other)) ? WORKSPACE_ALONE : WORKSPACE_WRITE;
}

/* ---- PUT ---- */

struct putting {
	struct workspace_job w;
	const char *path;
	bool is_new_only;
	mode_t mode;
	struct buf chunk; /* of the body, on its way to the file */
	uint64_t size, max;
	bool is_whole, was_there;
};

static void put_next(struct putting *p);

static void put_clean(struct workspace_job *w)
{
	struct putting *p = container_of(w, struct putting, w);

	buf_deinit(&p->chunk);
	w->x->on_gone = NULL;
	if (w->x->req) {
		w->x->req->on_body = NULL;
		w->x->req->on_body_end = NULL;
		http_body_resume(w->x->req);
	}
}

static void put_on_gone(struct exchange *x)
{
	struct putting *p = x->data;

	if (p->w.is_busy)
		return;
	put_clean(&p->w);
	workspace_over(&p->w);
}

static void put_finished(struct workspace_job *w)
{
	struct putting *p = container_of(w, struct putting, w);
	struct exchange *x = w->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	add_stat(doc, obj, last_part(p->path), &w->r.st, NULL);
	put_clean(w);
	reply_json(x, p->was_there ? 200 : 201, doc);
	workspace_over(w);
}

static void put_written(struct workspace_job *w)
{
	struct putting *p = container_of(w, struct putting, w);

	buf_clear(&p->chunk);
	put_next(p);
}

/* An upload takes its time, and commands may have begun since; none begins during this last step. */
static void put_last(struct putting *p)
{
	struct exchange *x = p->w.x;
	bool is_guarded = is_protected(p->w.exec, p->path);

	if (!is_guarded || workspace_upgrade(p->w.exec, p->w.key)) {
		p->w.step = (struct errand_step){.op = ERRAND_PLACE, .path = p->path, .mode = p->mode};
		p->w.step.flags = (p->is_new_only ? ERRAND_NEW_ONLY : 0) | (is_guarded ? ERRAND_ALONE : 0);
		workspace_again(&p->w, put_finished);
		return;
	}
	put_clean(&p->w);
	reply_protected(x);
	workspace_over(&p->w);
}

static void put_next(struct putting *p)
{
	if (p->w.is_busy)
		return;
	if (p->chunk.n >= UPLOAD_BLOCK || (p->is_whole && p->chunk.n > 0)) {
		p->w.step = (struct errand_step){.op = ERRAND_WRITE, .data = buf_str(&p->chunk)};
		workspace_again(&p->w, put_written);
	} else if (p->is_whole)
		put_last(p);
	else
		http_body_resume(p->w.x->req);
}

static void put_on_body(struct http_request *r, const char *data, size_t n)
{
	struct exchange *x = r->owner;
	struct putting *p = x->data;

	p->size += n;
	if (p->size > p->max) {
		put_clean(&p->w);
		workspace_reply_failure(x, -EFBIG, NULL);
		workspace_over(&p->w);
		return;
	}
	buf_add(&p->chunk, data, n);
	if (p->chunk.n < UPLOAD_BLOCK)
		return;
	http_body_pause(r);
	put_next(p);
}

static void put_on_body_end(struct http_request *r)
{
	struct exchange *x = r->owner;
	struct putting *p = x->data;

	p->is_whole = true;
	put_next(p);
}

static void put_started(struct workspace_job *w)
{
	struct putting *p = container_of(w, struct putting, w);
	struct http_request *r = w->x->req;

	p->was_there = w->r.was_there;
	w->x->on_gone = put_on_gone;
	r->on_body = put_on_body;
	r->on_body_end = put_on_body_end;
	http_body_resume(r);
}

/* Returns false after answering. */
static bool read_mode(struct exchange *x, mode_t *ret)
{
	const char *text = http_query_get(x->arena, x->req->query, "mode");

	*ret = 0644;
	if (!text)
		return true;
	if (strlen(text) == 3 && strspn(text, "01234567") == 3) {
		*ret = (mode_t)strtoul(text, NULL, 8) | 0600;
		return true;
	}
	reply_problem(x, 400, "bad_request", "mode is three octal digits, such as 755.");
	return false;
}

void workspace_files_put(struct exchange *x)
{
	struct exec *e = x->self;
	struct putting *p = arena_new_of(x->arena, struct putting);
	struct str condition = http_header_get(&x->req->headers, "If-None-Match");

	p->path = workspace_path(x, x->params[1].p);
	if (!may_change(x, p->path) || !read_mode(x, &p->mode))
		return;
	p->is_new_only = str_eq(condition, STR("*"));
	p->max = e->file_size_max ? MIN(e->file_size_max, e->workspace_max) : e->workspace_max;
	p->w.step = (struct errand_step){.op = ERRAND_PUT, .path = p->path};
	p->w.step.flags = (workspace_flag(x, "parents") ? ERRAND_PARENTS : 0) | (p->is_new_only ? ERRAND_NEW_ONLY : 0);
	p->w.done = put_started;
	p->w.clean = put_clean;
	p->w.goes_on = true;
	if (x->req->content_length > 0 && (uint64_t)x->req->content_length > p->max) {
		workspace_reply_failure(x, -EFBIG, NULL);
		return;
	}
	http_set_max_body(x->req, p->max + 1);
	http_body_pause(x->req);
	x->data = p;
	workspace_start(x, &p->w, WORKSPACE_WRITE);
}

/* ---- DELETE, folders, moving ---- */

struct changing {
	struct workspace_job w;
	const char *path; /* of what is there afterwards */
	int status;
};

static void reply_gone(struct workspace_job *w)
{
	reply_empty(w->x, 204);
}

void workspace_files_delete(struct exchange *x)
{
	struct changing *c = arena_new_of(x->arena, struct changing);
	const char *path = workspace_path(x, x->params[1].p);

	if (!may_change(x, path))
		return;
	c->w.step = (struct errand_step){.op = ERRAND_REMOVE, .path = path};
	c->w.step.flags = workspace_flag(x, "recursive") ? ERRAND_RECURSIVE : 0;
	c->w.done = reply_gone;
	workspace_start(x, &c->w, use_for(x, path, NULL));
}

static void reply_stat(struct workspace_job *w)
{
	struct changing *c = container_of(w, struct changing, w);
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(w->x->arena, &doc);

	add_stat(doc, obj, last_part(c->path), &w->r.st, NULL);
	reply_json(w->x, c->status, doc);
}

void workspace_mkdir(struct exchange *x)
{
	static const struct json_field fields[] = {{"path", JSON_STRING, true, 1, TREE_PATH_MAX},
						   {"parents", JSON_BOOL, false, 0, 0}};
	struct changing *c = arena_new_of(x->arena, struct changing);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	c->path = workspace_path(x, json_get_str(x->body, "path", NULL));
	c->status = 201;
	c->w.step = (struct errand_step){.op = ERRAND_MKDIR, .path = c->path};
	c->w.step.flags = json_get_bool(x->body, "parents", false) ? ERRAND_PARENTS : 0;
	c->w.done = reply_stat;
	if (may_change(x, c->path))
		workspace_start(x, &c->w, use_for(x, c->path, NULL));
}

void workspace_move(struct exchange *x)
{
	static const struct json_field fields[] = {{"from", JSON_STRING, true, 1, TREE_PATH_MAX},
						   {"to", JSON_STRING, true, 1, TREE_PATH_MAX},
						   {"replace", JSON_BOOL, false, 0, 0}};
	struct changing *c = arena_new_of(x->arena, struct changing);
	struct error err = {0};
	const char *from;

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	from = workspace_path(x, json_get_str(x->body, "from", NULL));
	c->path = from ? workspace_path(x, json_get_str(x->body, "to", NULL)) : NULL;
	c->status = 200;
	c->w.step = (struct errand_step){.op = ERRAND_MOVE, .path = from, .other = c->path};
	c->w.step.flags = json_get_bool(x->body, "replace", false) ? ERRAND_REPLACE : 0;
	c->w.done = reply_stat;
	if (c->path && may_change(x, from) && may_change(x, c->path))
		workspace_start(x, &c->w, use_for(x, from, c->path));
}
