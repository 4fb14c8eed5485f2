/* The targets by name, and GET /api/targets. */
#include <ctype.h>
#include <string.h>

#include "base/alloc.h"
#include "target.h"

static void add(struct exec *e, struct target *t, const struct target_kind *kind, const char *name)
{
	t->kind = kind;
	t->exec = e;
	snprintf(t->name, sizeof(t->name), "%s", name);
	list_append(&e->targets, &t->link);
}

static bool is_name(const char *name)
{
	size_t n = strlen(name);

	for (; *name; name++)
		if (!isascii(*name) ||
		    !(islower((unsigned char)*name) || isdigit((unsigned char)*name) || *name == '-'))
			return false;
	return n >= 1 && n <= 32;
}

/* One item of the option: a URL, or NAME=URL. */
static void open_item(struct exec *e, char *item)
{
	char *equals = strchr(item, '='), *url = equals ? equals + 1 : item;
	const char *name = equals ? item : "ssh";

	if (equals)
		*equals = 0;
	if (!is_name(name))
		fatal("option exec_ssh_target: \"%s\" is not a name for a target: 1 to 32 of a-z, 0-9 and '-'", name);
	if (target_find(e, name))
		fatal("option exec_ssh_target: the name \"%s\" is taken: give each target its own", name);
	add(e, ssh_target_new(e, name, url), &target_ssh, name);
}

void targets_open(struct exec *e)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct str rest = str_of(option_str(service_options(e->service), "exec_ssh_target"));

	list_init(&e->targets);
	add(e, xcalloc(1, sizeof(struct target)), &target_local, TARGET_LOCAL);
	while (rest.p) {
		struct str item = str_trim(str_cut(&rest, ','));

		if (item.n)
			open_item(e, arena_strndup(a, item.p, item.n));
	}
}

void targets_end_errands(struct exec *e)
{
	struct target *t;

	list_foreach (t, &e->targets, struct target, link)
		if (t->kind->errands_end)
			t->kind->errands_end(t);
}

void targets_close(struct exec *e)
{
	struct target *t;

	while ((t = list_first(&e->targets, struct target, link))) {
		list_remove(&t->link);
		t->kind->stop(t);
	}
}

struct target *target_find(struct exec *e, const char *name)
{
	struct target *t;

	list_foreach (t, &e->targets, struct target, link)
		if (strcmp(t->name, name[0] ? name : TARGET_LOCAL) == 0)
			return t;
	return NULL;
}

void targets_list(struct exchange *x)
{
	struct exec *e = x->self;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	struct target *t;

	list_foreach (t, &e->targets, struct target, link) {
		yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, items);

		yyjson_mut_obj_add_strcpy(doc, item, "name", t->name);
		yyjson_mut_obj_add_str(doc, item, "kind", t->kind->name);
		yyjson_mut_obj_add_bool(doc, item, "default", t->kind == &target_local);
		t->kind->describe(t, doc, item);
	}
	yyjson_mut_obj_add_null(doc, obj, "next");
	reply_json(x, 200, doc);
}
