#include "script.h"

#include <string.h>

const struct demo_script demo_script_default = {.pace_ms = 10,
						.chunk = 1,
						.fail_times = -1,
						.break_after_chunks = -1,
						.error_after_chunks = -1,
						.hang_after_chunks = -1};

struct member {
	const char *name;
	size_t offset;
	int64_t min, max; /* max 0 = a boolean */
};

#define FLAG(name)                                              \
	{                                                       \
#name, offsetof(struct demo_script, name), 0, 0 \
	}
#define NUMBER(name, min, max)                                      \
	{                                                           \
#name, offsetof(struct demo_script, name), min, max \
	}

static const struct member members[] = {
	NUMBER(pace_ms, 0, 60000),
	NUMBER(chunk, 1, 1000),
	NUMBER(first_ms, 0, 600000),
	NUMBER(break_after_chunks, -1, 1000000),
	NUMBER(error_after_chunks, -1, 1000000),
	NUMBER(hang_after_chunks, -1, 1000000),
	NUMBER(context, 0, 100000000),
	FLAG(instant),
	FLAG(loop),
	FLAG(loop_same),
	FLAG(hang),
	FLAG(malformed_arguments),
	FLAG(null_arguments),
	FLAG(object_arguments),
	FLAG(empty_arguments),
	FLAG(unknown_tool),
	FLAG(no_index),
	FLAG(no_id),
	FLAG(html_error),
	FLAG(empty_choices),
	FLAG(no_choices),
	FLAG(no_done),
	FLAG(no_usage),
	FLAG(zero_usage),
	FLAG(crlf),
	FLAG(comments),
	FLAG(double_finish),
	FLAG(error_in_stream),
	FLAG(error_in_body),
	FLAG(thoughts),
	FLAG(name_late),
	FLAG(refusal),
	FLAG(filtered),
};

/* Those of "fail". */
static const struct member fail_members[] = {
	{"status", offsetof(struct demo_script, fail_status), 400, 599},
	{"retry_after", offsetof(struct demo_script, fail_retry_after), 0, 3600},
	{"times", offsetof(struct demo_script, fail_times), 1, 1000000},
};

static const struct member *find(const struct member *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].name, name) == 0)
			return &list[i];
	return NULL;
}

static int64_t *value_of(const struct demo_script *s, const struct member *m)
{
	return (int64_t *)((char *)s + m->offset);
}

static int set(struct demo_script *s, const struct member *m, yyjson_val *val, struct error *err)
{
	if (m->max == 0) {
		if (!yyjson_is_bool(val))
			return error_set(err, "invalid_script", "%s must be true or false.", m->name);
		*value_of(s, m) = yyjson_get_bool(val);
		return 0;
	}
	if (!yyjson_is_int(val) || yyjson_get_sint(val) < m->min || yyjson_get_sint(val) > m->max)
		return error_set(err, "invalid_script", "%s must be a whole number from %lld to %lld.", m->name,
				 (long long)m->min, (long long)m->max);
	*value_of(s, m) = yyjson_get_sint(val);
	return 0;
}

static int apply(struct demo_script *s, yyjson_val *obj, const struct member *list, size_t n, struct error *err)
{
	size_t i, max;
	yyjson_val *key, *val;

	if (!yyjson_is_obj(obj))
		return error_set(err, "invalid_script",
				 "A script is a JSON object; docs/demo-model.md tells its members.");
	yyjson_obj_foreach(obj, i, max, key, val)
	{
		const char *name = yyjson_get_str(key);
		const struct member *m = find(list, n, name);
		int r;

		if (m)
			r = set(s, m, val, err);
		else if (list == members && strcmp(name, "fail") == 0)
			r = apply(s, val, fail_members, ARRAY_SIZE(fail_members), err);
		else
			r = error_set(err, "invalid_script", "A script has no member %s.", name);
		if (r < 0)
			return r;
	}
	return 0;
}

int demo_script_apply(struct demo_script *s, yyjson_val *obj, struct error *err)
{
	struct demo_script copy = *s;
	int r = apply(&copy, obj, members, ARRAY_SIZE(members), err);

	if (r == 0)
		*s = copy;
	return r;
}

int demo_script_parse(struct demo_script *s, struct arena *a, struct str json, struct error *err)
{
	yyjson_doc *doc = json_parse(a, json.p, json.n, err);

	return doc ? demo_script_apply(s, yyjson_doc_get_root(doc), err) : -1;
}

void demo_script_write(const struct demo_script *s, yyjson_mut_doc *doc, yyjson_mut_val *obj)
{
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		const struct member *m = &members[i];

		if (m->max == 0)
			yyjson_mut_obj_add_bool(doc, obj, m->name, *value_of(s, m));
		else
			yyjson_mut_obj_add_int(doc, obj, m->name, *value_of(s, m));
	}
	if (s->fail_status) {
		yyjson_mut_val *fail = yyjson_mut_obj_add_obj(doc, obj, "fail");

		for (size_t i = 0; i < ARRAY_SIZE(fail_members); i++)
			yyjson_mut_obj_add_int(doc, fail, fail_members[i].name, *value_of(s, &fail_members[i]));
	}
}
