/* Snapshots of a workspace over HTTP. */
#include <errno.h>

#include "base/clock.h"
#include "workspace.h"

struct request {
	struct workspace_job w;
	const char *copy; /* the workspace that is made */
	bool is_new;      /* nobody had its name before */
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

static void list_done(struct workspace_job *w)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(w->x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");

	for (size_t i = 0; i < w->r.list.n; i++)
		add_json(doc, yyjson_mut_arr_add_obj(doc, items), &w->r.list.items[i]);
	yyjson_mut_obj_add_null(doc, obj, "next");
	reply_json(w->x, 200, doc);
}

void snapshots_list(struct exchange *x)
{
	struct request *q = arena_new_of(x->arena, struct request);

	q->w.step.op = ERRAND_LIST;
	q->w.done = list_done;
	workspace_start(x, &q->w, WORKSPACE_READ);
}

static void make_done(struct workspace_job *w)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(w->x->arena, &doc);

	add_json(doc, obj, &w->r.snapshot);
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
	q->w.step = (struct errand_step){.op = ERRAND_KEEP, .path = ""};
	q->w.step.other = x->body ? json_get_str(x->body, "name", "") : "";
	q->w.step.flags = x->body && json_get_bool(x->body, "step", false) ? ERRAND_STEP : 0;
	q->w.done = make_done;
	workspace_start(x, &q->w, WORKSPACE_ALONE);
}

static void reply_done(struct workspace_job *w)
{
	reply_empty(w->x, 204);
}

static void with_id(struct exchange *x, enum errand_op op)
{
	struct request *q = arena_new_of(x->arena, struct request);

	if (!id_is_valid(x->params[1])) {
		reply_problem(x, 404, "not_found", "There is no such snapshot.");
		return;
	}
	q->w.step = (struct errand_step){.op = op, .other = x->params[1].p};
	q->w.done = reply_done;
	workspace_start(x, &q->w, WORKSPACE_ALONE);
}

void snapshots_restore(struct exchange *x)
{
	with_id(x, ERRAND_RESTORE);
}

void snapshots_delete(struct exchange *x)
{
	with_id(x, ERRAND_DROP);
}

/* ---- Another workspace from one ---- */

static int copy_claim(struct workspace_job *w)
{
	struct request *q = container_of(w, struct request, w);
	int r = journal_claim(&w->exec->journal, q->copy, workspace_target_name(w->target), w->x->who.user_id);

	q->is_new = r == 1;
	return r == -EACCES ? -EEXIST : MIN(r, 0);
}

static void copy_unclaim(struct workspace_job *w)
{
	struct request *q = container_of(w, struct request, w);

	if (w->result < 0 && q->is_new)
		journal_disclaim(&w->exec->journal, q->copy, workspace_target_name(w->target));
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
	const char *id;

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	q->copy = json_get_str(x->body, "id", "");
	id = json_get_str(x->body, "snapshot", NULL);
	if (!workspace_is_valid(str_of(q->copy)) || (id && !id_is_valid(str_of(id)))) {
		reply_problem(x, 422, "invalid_field",
			      "id has letters, digits, '-' and '_' only, at most 64; snapshot is the id of one.");
		return;
	}
	q->w.step = (struct errand_step){.op = ERRAND_COPY, .path = q->copy, .other = id ? id : ""};
	q->w.before = copy_claim;
	q->w.after = copy_unclaim;
	q->w.done = copy_done;
	/* As it is now: while nothing changes it. */
	workspace_start(x, &q->w, id ? WORKSPACE_READ : WORKSPACE_ALONE);
}
