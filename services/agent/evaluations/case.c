#include "agent/evaluations/case.h"

#include <errno.h>

#include "base/csv.h"
#include "base/id.h"

static const struct json_field fields[] = {
	{"id", JSON_STRING, false, 1, 36},
	{"input", JSON_STRING, false, 1, CASE_INPUT_MAX},
	{"variables", JSON_OBJECT},
	{"tags", JSON_ARRAY, false, 0, CASE_TAGS_MAX},
};

static int check_variables(yyjson_val *variables, struct error *err)
{
	yyjson_val *key, *val;
	size_t i, max;

	yyjson_obj_foreach(variables, i, max, key, val)
	{
		if (!yyjson_is_str(val))
			return error_set(err, "invalid_field", "\"variables\": \"%.60s\" is no text.",
					 yyjson_get_str(key));
	}
	return 0;
}

static bool is_tag(struct str tag)
{
	for (size_t i = 0; i < tag.n; i++)
		if ((unsigned char)tag.p[i] < 0x20 || tag.p[i] == ',' || tag.p[i] == ';')
			return false;
	return tag.n > 0 && tag.n <= CASE_TAG_MAX && str_trim(tag).n == tag.n;
}

static int check_tags(yyjson_val *tags, struct error *err)
{
	yyjson_val *tag;
	size_t i, max;

	yyjson_arr_foreach(tags, i, max, tag)
	{
		if (!yyjson_is_str(tag) || !is_tag((struct str){yyjson_get_str(tag), yyjson_get_len(tag)}))
			return error_set(err, "invalid_field",
					 "\"tags\": each is a text of 1 to %d bytes without comma and semicolon.",
					 CASE_TAG_MAX);
	}
	return 0;
}

static int take_text(struct arena *a, yyjson_val *value, size_t most, const char *name, const char **ret,
		     struct error *err)
{
	struct str text = json_val_text(a, value);

	if (text.n > most)
		return error_set(err, "invalid_field", "\"%s\" has more than %zu KiB.", name, most >> 10);
	*ret = text.p;
	return 0;
}

/* json_check knows no member of any kind: `expected` is left out for it. */
static int check_members(struct arena *a, yyjson_val *obj, struct error *err)
{
	yyjson_mut_doc *doc = json_new(a);
	yyjson_mut_val *rest;
	struct str text;

	if (!yyjson_is_obj(obj))
		return error_set(err, "invalid_field", "A case is an object.");
	rest = yyjson_val_mut_copy(doc, obj);
	yyjson_mut_obj_remove_key(rest, "expected");
	yyjson_mut_doc_set_root(doc, rest);
	text = json_text(a, doc);
	return json_check(yyjson_doc_get_root(json_parse(a, text.p, text.n, NULL)), fields, ARRAY_SIZE(fields), err);
}

int case_read(struct arena *a, yyjson_val *obj, struct evaluation_case *ret, struct error *err)
{
	yyjson_val *expected = yyjson_obj_get(obj, "expected"), *variables, *tags;
	int r = check_members(a, obj, err);

	if (r < 0)
		return r;
	variables = json_get_obj(obj, "variables");
	tags = json_get_arr(obj, "tags");
	ret->id = json_get_str(obj, "id", ret->id);
	ret->input = json_get_str(obj, "input", ret->input);
	if (!ret->input || str_trim(str_of(ret->input)).n == 0)
		return error_set(err, "invalid_field", "\"input\" is missing: what the agent is asked.");
	r = variables ? check_variables(variables, err) : 0;
	if (r == 0 && tags)
		r = check_tags(tags, err);
	if (yyjson_is_null(expected))
		ret->expected = NULL;
	else if (r == 0 && expected)
		r = take_text(a, expected, CASE_EXPECTED_MAX, "expected", &ret->expected, err);
	if (r == 0 && variables)
		r = take_text(a, variables, CASE_VARIABLES_MAX, "variables", &ret->variables, err);
	if (yyjson_obj_get(obj, "variables") && yyjson_obj_size(variables) == 0)
		ret->variables = NULL;
	if (tags)
		ret->tags = json_val_text(a, tags).p;
	ret->tags = ret->tags ? ret->tags : "[]";
	return r;
}

/* ---- Of cells ---- */

#define VARIABLE "variables."

static void add_text(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *name, struct str text)
{
	yyjson_mut_obj_add_val(doc, obj, name, yyjson_mut_strncpy(doc, text.p ? text.p : "", text.n));
}

static int add_json(struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *name, struct str text,
		    const char *column, struct error *err)
{
	yyjson_val *value = yyjson_doc_get_root(json_parse(a, text.p, text.n, err));

	if (!value) {
		error_prefix(err, "Column %s", column);
		return -EINVAL;
	}
	yyjson_mut_obj_remove_key(obj, name);
	yyjson_mut_obj_add_val(doc, obj, name, yyjson_val_mut_copy(doc, value));
	return 0;
}

static void add_tags(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct str text)
{
	yyjson_mut_val *tags = yyjson_mut_obj_add_arr(doc, obj, "tags");

	while (text.n > 0) {
		size_t n = 0;
		struct str tag;

		while (n < text.n && text.p[n] != ',' && text.p[n] != ';')
			n++;
		tag = str_trim((struct str){text.p, n});
		if (tag.n > 0)
			yyjson_mut_arr_add_strncpy(doc, tags, tag.p, tag.n);
		n += n < text.n;
		text = (struct str){text.p + n, text.n - n};
	}
}

static int add_cell(struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *column, struct str cell,
		    struct error *err)
{
	yyjson_mut_val *variables = yyjson_mut_obj_get(obj, "variables");

	if (strcmp(column, "id") == 0 || strcmp(column, "input") == 0 || strcmp(column, "expected") == 0)
		add_text(doc, obj, column, cell);
	else if (strcmp(column, "expected_json") == 0)
		return add_json(a, doc, obj, "expected", cell, column, err);
	else if (strcmp(column, "variables") == 0)
		return add_json(a, doc, obj, "variables", cell, column, err);
	else if (strcmp(column, "tags") == 0)
		add_tags(doc, obj, cell);
	else if (strncmp(column, VARIABLE, strlen(VARIABLE)) == 0 && (!variables || yyjson_mut_is_obj(variables)))
		add_text(doc, variables ? variables : yyjson_mut_obj_add_obj(doc, obj, "variables"),
			 arena_strdup(a, column + strlen(VARIABLE)), cell);
	else
		return error_set(
			err, "invalid_field",
			"There is no column \"%.60s\" of cases: id, input, expected, expected_json, variables, "
			"variables.NAME, tags.",
			column);
	return 0;
}

int case_read_cells(struct arena *a, yyjson_val *row, struct evaluation_case *ret, struct error *err)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	yyjson_val *key, *val;
	struct str text;
	size_t i, max;

	yyjson_obj_foreach(row, i, max, key, val)
	{
		struct str cell = case_read_cell(a, (struct str){yyjson_get_str(val), yyjson_get_len(val)});

		if (cell.n > 0 && add_cell(a, doc, obj, yyjson_get_str(key), cell, err) < 0)
			return -EINVAL;
	}
	text = json_text(a, doc);
	return case_read(a, yyjson_doc_get_root(json_parse(a, text.p, text.n, NULL)), ret, err);
}

/* ---- Cells that spreadsheets leave alone ---- */

/* An apostrophe, or several, before what would be a formula. */
static bool looks_guarded(struct str text)
{
	size_t n = 0;

	while (n < text.n && text.p[n] == '\'')
		n++;
	return n > 0 && csv_is_formula((struct str){text.p + n, text.n - n});
}

struct str case_read_cell(struct arena *a, struct str cell)
{
	return looks_guarded(cell) ? (struct str){cell.p + 1, cell.n - 1} : cell;
}

void case_write_cell(struct buf *out, struct str text)
{
	_cleanup_(buf_deinit) struct buf guarded = BUF_INIT;

	if (looks_guarded(text)) {
		buf_add_char(&guarded, '\'');
		buf_add(&guarded, text.p, text.n);
		text = buf_str(&guarded);
	}
	csv_add_cell(out, text, true);
	buf_add_char(out, ',');
}

void case_join_tags(yyjson_val *tags, struct buf *out)
{
	yyjson_val *tag;
	size_t i, max;

	yyjson_arr_foreach(tags, i, max, tag)
	{
		buf_add_str(out, i ? "; " : "");
		buf_add_str(out, yyjson_get_str(tag));
	}
}
