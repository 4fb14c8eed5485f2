#include "agent/models/catalogue.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/list.h"
#include "catalogue_json.h"

#define MAX_FILE (1024 * 1024)
#define MAX_ENTRIES 2000

struct row {
	struct list link;  /* in catalogue.rows, in the order in which they are tried */
	const char *match; /* glob over the model's name */
	struct catalogue_entry entry;
};

struct catalogue {
	struct arena *arena;
	struct list rows; /* struct row */
	size_t n;
};

/* Dollars per million tokens. */
static int64_t nano(yyjson_val *obj, const char *key, int64_t def)
{
	double v = json_get_num(obj, key, -1);

	return v < 0 || v > 1e6 ? def : (int64_t)(v * 1000 + 0.5);
}

static void add(struct catalogue *c, yyjson_val *obj)
{
	struct row *row = arena_new_of(c->arena, struct row);
	struct catalogue_entry *e = &row->entry;

	c->n++;
	list_append(&c->rows, &row->link);
	row->match = json_get_str(obj, "match", "");
	e->context = json_get_int(obj, "context", 0);
	e->max_output = json_get_int(obj, "max_output", 0);
	e->images = json_get_bool(obj, "images", false);
	e->prices.input = nano(obj, "input", 0);
	e->prices.output = nano(obj, "output", 0);
	e->prices.cached = nano(obj, "cached", e->prices.input);
	e->prices.cache_write = nano(obj, "cache_write", e->prices.input);
}

static const struct json_field fields[] = {
	{"match", JSON_STRING, true, 1, 200},
	{"context", JSON_INT, false, 1, 100000000},
	{"max_output", JSON_INT, false, 1, 100000000},
	{"images", JSON_BOOL},
	{"input", JSON_NUMBER},
	{"output", JSON_NUMBER},
	{"cached", JSON_NUMBER},
	{"cache_write", JSON_NUMBER},
};

static int take(struct catalogue *c, struct str text, struct error *err)
{
	yyjson_doc *doc = json_parse(c->arena, text.p, text.n, err);
	yyjson_val *list = json_get_arr(yyjson_doc_get_root(doc), "models"), *item;
	size_t i, max;

	if (!doc)
		return -EINVAL;
	if (!list || c->n + yyjson_arr_size(list) > MAX_ENTRIES)
		return error_set(err, "models_file", "it must be an object with a list \"models\" of at most %d",
				 MAX_ENTRIES);
	yyjson_arr_foreach(list, i, max, item)
	{
		if (json_check(item, fields, ARRAY_SIZE(fields), err) < 0)
			return error_prefix(err, "in entry %zu", i + 1), -EINVAL;
		add(c, item);
	}
	return 0;
}

static int read_file(const char *path, struct buf *ret)
{
	FILE *f = fopen(path, "re");
	char room[8192];
	size_t n;
	int r = 0;

	if (!f)
		return -errno;
	while (r == 0 && (n = fread(room, 1, sizeof(room), f)) > 0) {
		if (ret->n + n > MAX_FILE)
			r = -EFBIG;
		else
			buf_add(ret, room, n);
	}
	if (ferror(f))
		r = -EIO;
	fclose(f);
	return r;
}

static int take_file(struct catalogue *c, const char *path, struct error *err)
{
	struct buf text = BUF_INIT;
	int r = read_file(path, &text);

	if (r < 0)
		r = error_set(err, "models_file", "it cannot be read: %s", strerror(-r));
	else
		r = take(c, arena_str(c->arena, buf_str(&text)), err);
	buf_deinit(&text);
	if (r < 0)
		error_prefix(err, "models_file %s", path);
	return r;
}

struct catalogue *catalogue_new(const char *path, struct error *err)
{
	struct catalogue *c = xcalloc(1, sizeof(*c));

	c->arena = arena_new();
	list_init(&c->rows);
	if ((*path && take_file(c, path, err) < 0) || take(c, STR(catalogue_json), err) < 0) {
		catalogue_free(c);
		return NULL;
	}
	return c;
}

void catalogue_free(struct catalogue *c)
{
	if (!c)
		return;
	arena_free(c->arena);
	free(c);
}

const struct catalogue_entry *catalogue_find(const struct catalogue *c, const char *model)
{
	static const struct catalogue_entry unknown;

	struct row *row;

	list_foreach (row, &c->rows, struct row, link)
		if (fnmatch(row->match, model, 0) == 0)
			return &row->entry;
	return &unknown;
}

void catalogue_apply(const struct catalogue *c, struct model_target *t)
{
	const struct catalogue_entry *e = catalogue_find(c, t->model);

	if (t->context == 0)
		t->context = e->context;
	t->max_output = e->max_output;
	t->images = e->images;
	t->prices = e->prices;
}
