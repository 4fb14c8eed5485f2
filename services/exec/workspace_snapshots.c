/* Snapshots of a workspace over HTTP. */
#include "base/clock.h"
#include "snapshot.h"
#include "workspace.h"

struct request {
	struct workspace_job w;
	const char *name, *id;
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

	return snapshot_make(w->exec, w->name, w->root, q->name, &q->made);
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
	static const struct json_field fields[] = {{"name", JSON_STRING, false, 1, 200}};
	struct request *q = arena_new_of(x->arena, struct request);
	struct error err = {0};

	if (x->body && json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	q->name = x->body ? json_get_str(x->body, "name", "") : "";
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
