#include "agent/knowledge/cite.h"

#include "base/json.h"

#define CITATIONS_MAX 100
#define ID_LEN 10 /* "k-" and eight characters */
#define QUOTE_MAX 1500

void cite_sources_add(struct cite_sources *s, struct arena *a, const char *json)
{
	if (s->n == CITE_SOURCES_MAX) {
		memmove(s->items, s->items + 1, (s->n - 1) * sizeof(*s->items));
		s->n--;
	}
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 8;
		const char **more = arena_alloc(a, cap * sizeof(*more));
		if (s->n)
			memcpy(more, s->items, s->n * sizeof(*more));
		s->items = more;
		s->cap = cap;
	}
	s->items[s->n++] = json;
}

static bool is_id(const char *p, size_t n)
{
	if (n < ID_LEN || p[0] != 'k' || p[1] != '-')
		return false;
	for (size_t i = 2; i < ID_LEN; i++)
		if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'z')))
			return false;
	return true;
}

static bool is_known(const struct str *ids, size_t n, struct str id)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(ids[i], id))
			return true;
	return false;
}

/* The ids in one pair of brackets, if nothing else is in there. Returns where it ends. */
static size_t read_brackets(struct str text, size_t at, struct str *ids, size_t *n)
{
	size_t i = at + 1, had = *n;

	while (i < text.n) {
		if (is_id(text.p + i, text.n - i)) {
			struct str id = {text.p + i, ID_LEN};
			if (*n < CITATIONS_MAX && !is_known(ids, *n, id))
				ids[(*n)++] = id;
			i += ID_LEN;
		} else if (text.p[i] == ',' || text.p[i] == ';' || text.p[i] == ' ') {
			i++;
		} else if (text.p[i] == ']') {
			return i + 1;
		} else {
			break;
		}
	}
	*n = had;
	return at + 1;
}

static yyjson_val *find(yyjson_val *const *lists, size_t n, const char *id)
{
	yyjson_val *item;
	size_t i, max;

	for (size_t k = n; k-- > 0;)
		yyjson_arr_foreach(lists[k], i, max, item)
		{
			if (strcmp(json_get_str(item, "id", ""), id) == 0)
				return item;
		}
	return NULL;
}

/* Long passages are told by their beginning. */
static void add_passage(yyjson_mut_doc *doc, yyjson_mut_val *obj, yyjson_val *passage)
{
	yyjson_val *key, *val;
	size_t i, max;

	yyjson_obj_foreach(passage, i, max, key, val)
	{
		const char *name = yyjson_get_str(key);
		size_t n = yyjson_is_str(val) ? MIN(yyjson_get_len(val), (size_t)QUOTE_MAX) : 0;
		if (strcmp(name, "id") == 0)
			continue;
		while (n > 0 && n < yyjson_get_len(val) && ((unsigned char)yyjson_get_str(val)[n] & 0xc0) == 0x80)
			n--;
		yyjson_mut_obj_add(obj, yyjson_val_mut_copy(doc, key),
				   yyjson_is_str(val) ? yyjson_mut_strncpy(doc, yyjson_get_str(val), n)
						      : yyjson_val_mut_copy(doc, val));
	}
}

static const char *write_list(struct arena *a, const struct str *ids, size_t n, const struct cite_sources *s)
{
	yyjson_mut_doc *doc = json_new(a);
	yyjson_mut_val *list = yyjson_mut_arr(doc), *obj;
	yyjson_val **lists = arena_alloc(a, (s->n + 1) * sizeof(*lists));
	int64_t number = 0;

	for (size_t i = 0; i < s->n; i++)
		lists[i] = yyjson_doc_get_root(json_parse(a, s->items[i], strlen(s->items[i]), NULL));
	yyjson_mut_doc_set_root(doc, list);
	for (size_t i = 0; i < n; i++) {
		const char *id = arena_strndup(a, ids[i].p, ids[i].n);
		yyjson_val *passage = find(lists, s->n, id);
		obj = yyjson_mut_arr_add_obj(doc, list);
		json_add_str(doc, obj, "id", id);
		if (passage)
			yyjson_mut_obj_add_int(doc, obj, "number", ++number);
		else
			yyjson_mut_obj_add_null(doc, obj, "number");
		yyjson_mut_obj_add_bool(doc, obj, "found", passage != NULL);
		add_passage(doc, obj, passage);
	}
	return json_text(a, doc).p;
}

const char *citations_make(struct arena *a, struct str answer, const struct cite_sources *s)
{
	struct str ids[CITATIONS_MAX];
	size_t n = 0;

	for (size_t at = 0; at + ID_LEN < answer.n;)
		at = answer.p[at] == '[' ? read_brackets(answer, at, ids, &n) : at + 1;
	return n ? write_list(a, ids, n, s) : NULL;
}
