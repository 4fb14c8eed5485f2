#include "snapshot_meta.h"

#include "base/json.h"
#include "files.h"

#define META_MAX 8192

int snapshot_meta_read(int dir_fd, struct arena *a, struct snapshot *ret)
{
	struct str text;
	int r = file_read(dir_fd, SNAPSHOT_META, META_MAX, a, &text);
	yyjson_val *obj;

	if (r < 0)
		return r;
	obj = yyjson_doc_get_root(json_parse(a, text.p, text.n, NULL));
	ret->name = json_get_str(obj, "name", "");
	ret->is_step = json_get_bool(obj, "step", false);
	ret->size =
		(struct tree_size){(uint64_t)json_get_int(obj, "bytes", 0), (uint64_t)json_get_int(obj, "files", 0)};
	ret->own_bytes = (uint64_t)json_get_int(obj, "own_bytes", (int64_t)ret->size.bytes);
	return 0;
}

int snapshot_meta_write(int dir_fd, struct arena *a, const struct snapshot *s)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);

	yyjson_mut_obj_add_str(doc, obj, "name", s->name);
	yyjson_mut_obj_add_uint(doc, obj, "bytes", s->size.bytes);
	yyjson_mut_obj_add_uint(doc, obj, "files", s->size.files);
	yyjson_mut_obj_add_uint(doc, obj, "own_bytes", s->own_bytes);
	yyjson_mut_obj_add_bool(doc, obj, "step", s->is_step);
	return file_create(dir_fd, SNAPSHOT_META, json_text(a, doc));
}
