#include "agent/agent_templates.h"

#include <string.h>

#include "agent/handlers.h"
#include "templates_json.h"

static yyjson_val *all(struct arena *a)
{
	return json_get_arr(yyjson_doc_get_root(json_parse(a, templates_json, strlen(templates_json), NULL)),
			    "templates");
}

static yyjson_val *find(struct arena *a, const char *id)
{
	yyjson_val *item;
	size_t i, n;

	yyjson_arr_foreach(all(a), i, n, item)
	{
		if (yyjson_equals_str(yyjson_obj_get(item, "id"), id))
			return item;
	}
	return NULL;
}

static void add_members(yyjson_mut_doc *doc, yyjson_mut_val *obj, yyjson_val *from, const char *but)
{
	yyjson_val *key, *val;
	size_t i, n;

	yyjson_obj_foreach(from, i, n, key, val)
	{
		if (!yyjson_equals_str(key, but))
			yyjson_mut_obj_put(obj, yyjson_val_mut_copy(doc, key), yyjson_val_mut_copy(doc, val));
	}
}

yyjson_val *agent_template_apply(struct arena *a, yyjson_val *body, struct error *err)
{
	yyjson_val *name = yyjson_obj_get(body, "template"), *template;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);

	if (!name)
		return body;
	template = yyjson_is_str(name) ? find(a, yyjson_get_str(name)) : NULL;
	if (!template) {
		error_set(err, "template_not_found",
			  "There is no such template: GET /api/agents/templates lists them.");
		return NULL;
	}
	add_members(doc, obj, template, "id");
	add_members(doc, obj, body, "template");
	struct str text = json_text(a, doc);
	return yyjson_doc_get_root(json_parse(a, text.p, text.n, err));
}

void agents_list_templates(struct exchange *x)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	yyjson_mut_obj_add_val(doc, obj, "items", yyjson_val_mut_copy(doc, all(x->arena)));
	reply_json(x, 200, doc);
}
