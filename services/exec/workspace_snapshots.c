/* Snapshots of a workspace over HTTP. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "snapshot.h"
#include "workspace.h"

struct request {
	struct workspace_job w;
	const char *name, *id, *copy; /* copy: the workspace that is made */
	bool is_step;
	struct snapshot made;
	struct snapshot_list list;
};

static void add_json(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct snapshot *s)
{
	char text[TIME_TEXT_SIZE];

	time_format(id_time_us(str_of(s->id)), text);
	yyjson_mut_obj_add_strcpy(doc, obj, "id", s->id);
	json_add_str(doc, obj, "name", s->name[0] ? s->name : NULL);
	yyjson_mut_obj_add_strcpy(doc, obj, "created_at", text);
	yyjson_mut_obj_add_uint(doc, obj, "bytes", s->size.bytes);
	yyjson_mut_obj_add_uint(doc, obj, "files", s->size.files);
	yyjson_mut_obj_add_bool(doc, obj, "step", s->is_step);
}

static int list_run(struct workspace_job *w)
{
	struct request *q = container_of(w, struct request, w);

	return snapshot_list(w->exec, w->name, w->x->arena, &q->list);
}

static void list_done(struct workspace_job *w)
{
	struct request *q = container_of(w, struct request, w);
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(w->x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");

	for (size_t i = 0; i < q->list.n; i++)
		add_json(doc, yyjson_mut_arr_add_obj(doc, items), &q->list.items[i]);
	yyjson_mut_obj_add_null(doc, obj, "next");
	reply_json(w->x, 200, doc);
}

void snapshots_list(struct exchange *x)
{
	struct request *q = arena_new_of(x->arena, struct request);

	q->w.run = list_run;
	q->w.done = list_done;
	workspace_start(x, &q->w, WORKSPACE_READ);
}

static int make_run(struct workspace_job *w)
{
	struct request *q = container_of(w, struct request, w);

	return q->is_step ? snapshot_step(w->exec, w->name, w->root, q->name, &q->made)
			  : snapshot_make(w->exec, w->name, w->root, q->name, &q->made);
}

static void make_done(struct workspace_job *w)
{
	struct request *q = container_of(w, struct request, w);
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(w->x->arena, &doc);

	add_json(doc, obj, &q->made);
	reply_json(w->x, 201, doc);
}

void snapshots_make(struct exchange *x)
{
	static const struct json_field fields[] = {{"name", JSON_STRING, false, 1, 200}, {"step", JSON_BOOL}};
	struct request *q = arena_new_of(x->arena, struct request);
	struct error err = {0};

	if (x->body && json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	q->name = x->body ? json_get_str(x->body, "name", "") : "";
	q->is_step = x->body && json_get_bool(x->body, "step", false);
	q->w.run = make_run;
	q->w.done = make_done;
	workspace_start(x, &q->w, WORKSPACE_ALONE);
}

static int restore_run(struct workspace_job *w)
{
	return snapshot_restore(w->exec, w->name, w->x->params[1].p);
}

static int drop_run(struct workspace_job *w)
{
	return snapshot_drop(w->exec, w->name, w->x->params[1].p);
}

static void reply_done(struct workspace_job *w)
{
	reply_empty(w->x, 204);
}

static void with_id(struct exchange *x, int (*run)(struct workspace_job *w))
{
	struct request *q = arena_new_of(x->arena, struct request);

	if (!id_is_valid(x->params[1])) {
		reply_problem(x, 404, "not_found", "There is no such snapshot.");
		return;
	}
	q->w.run = run;
	q->w.done = reply_done;
	workspace_start(x, &q->w, WORKSPACE_ALONE);
}

void snapshots_restore(struct exchange *x)
{
	with_id(x, restore_run);
}

void snapshots_delete(struct exchange *x)
{
	with_id(x, drop_run);
}

/* ---- Another workspace from one ---- */

/* The new one belongs to the same user of this machine, so that the files need not change hands. */
static int copy_run(struct workspace_job *w)
{
	struct request *q = container_of(w, struct request, w);
	struct journal *j = &w->exec->journal;
	struct stat st;
	int to, r = fstat(w->root, &st) < 0 ? -errno : 0;

	if (r == 0)
		r = journal_make_workspace(j, q->copy, w->x->who.user_id, st.st_uid);
	if (r < 0)
		return r;
	to = journal_workspace(j, q->copy, NULL);
	r = to < 0 ? to : snapshot_copy_out(w->exec, w->name, w->root, q->id, to);
	if (to >= 0)
		close(to);
	if (r < 0)
		journal_drop_workspace(j, q->copy);
	return r;
}

static void copy_done(struct workspace_job *w)
{
	struct request *q = container_of(w, struct request, w);
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(w->x->arena, &doc);

	json_add_str(doc, obj, "id", q->copy);
	reply_header(w->x, "Location", arena_printf(w->x->arena, "/api/workspaces/%s", q->copy));
	reply_json(w->x, 201, doc);
}

void workspaces_copy(struct exchange *x)
{
	static const struct json_field fields[] = {{"id", JSON_STRING, true, 1, 64}, {"snapshot", JSON_STRING}};
	struct request *q = arena_new_of(x->arena, struct request);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	q->copy = json_get_str(x->body, "id", "");
	q->id = json_get_str(x->body, "snapshot", NULL);
	if (!workspace_is_valid(str_of(q->copy)) || (q->id && !id_is_valid(str_of(q->id)))) {
		reply_problem(x, 422, "invalid_field",
			      "id has letters, digits, '-' and '_' only, at most 64; snapshot is the id of one.");
		return;
	}
	q->w.run = copy_run;
	q->w.done = copy_done;
	/* As it is now: while nothing changes it. */
	workspace_start(x, &q->w, q->id ? WORKSPACE_READ : WORKSPACE_ALONE);
}
