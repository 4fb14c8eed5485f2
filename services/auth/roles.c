#include "role_list.h"

#include "auth.h"
#include "handlers.h"

/* ---- GET /api/roles and /api/permissions ---- */

struct role_get {
	struct exchange_job job;
	int actor;
	bool is_permissions;
	yyjson_mut_doc *doc;
	yyjson_mut_val *root;
};

static int add_permission_names(struct db_conn *c, struct role_get *g, yyjson_mut_val *role, const char *id)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c, "select permission from role_permissions where role_id = ? order by permission", DB_TEXT(id));
	yyjson_mut_val *arr = yyjson_mut_obj_add_arr(g->doc, role, "permissions");
	int r;

	while ((r = db_step(c, st)) == 1)
		yyjson_mut_arr_add_strncpy(g->doc, arr, db_col_str(st, 0).p, db_col_str(st, 0).n);
	return r;
}

static int add_roles(struct db_conn *c, struct role_get *g, yyjson_mut_val *items)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select name, description, id, built_in, (select count(*) from user_roles u "
			    "where u.role_id = roles.id) from roles order by created_at, name");
	struct arena *a = g->job.x->arena;
	yyjson_mut_val *role;
	int r;

	while ((r = db_step(c, st)) == 1) {
		role = yyjson_mut_arr_add_obj(g->doc, items);
		json_add_str(g->doc, role, "name", db_col_dup(st, 0, a));
		json_add_str(g->doc, role, "description", db_col_dup(st, 1, a));
		yyjson_mut_obj_add_bool(g->doc, role, "built_in", db_col_int(st, 3) != 0);
		yyjson_mut_obj_add_int(g->doc, role, "users", db_col_int(st, 4));
		r = add_permission_names(c, g, role, db_col_dup(st, 2, a));
		if (r < 0)
			break;
	}
	return r;
}

static int add_permissions(struct db_conn *c, struct role_get *g, yyjson_mut_val *items)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select name, description from permissions order by name");
	struct arena *a = g->job.x->arena;
	yyjson_mut_val *permission;
	int r;

	while ((r = db_step(c, st)) == 1) {
		permission = yyjson_mut_arr_add_obj(g->doc, items);
		json_add_str(g->doc, permission, "name", db_col_dup(st, 0, a));
		json_add_str(g->doc, permission, "description", db_col_dup(st, 1, a));
	}
	return r;
}

static int get_run(struct db_conn *c, struct exchange_job *job)
{
	struct role_get *g = (struct role_get *)job;
	yyjson_mut_val *items;

	g->actor = actor_check(c, job->x, NULL);
	if (g->actor != ACTOR_OK)
		return MIN(g->actor, 0);
	g->root = json_new_obj(job->x->arena, &g->doc);
	items = yyjson_mut_obj_add_arr(g->doc, g->root, "items");
	yyjson_mut_obj_add_null(g->doc, g->root, "next");
	return g->is_permissions ? add_permissions(c, g, items) : add_roles(c, g, items);
}

static void get_done(struct exchange_job *job)
{
	struct role_get *g = (struct role_get *)job;

	if (g->actor != ACTOR_OK)
		actor_refuse(job->x, g->actor);
	else
		reply_json(job->x, 200, g->doc);
}

static void get(struct exchange *x, bool is_permissions)
{
	const struct auth *auth = x->self;
	struct role_get *g = arena_new_of(x->arena, struct role_get);

	g->is_permissions = is_permissions;
	g->job = (struct exchange_job){.x = x, .run = get_run, .done_ok = get_done};
	exchange_read(auth->db, &g->job);
}

void roles_list(struct exchange *x)
{
	get(x, false);
}

void permissions_list(struct exchange *x)
{
	get(x, true);
}

/* ---- Lists of roles in requests ---- */

static bool list_has(const struct role_list *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list->names[i], name))
			return true;
	return false;
}

bool role_list_read(struct exchange *x, yyjson_val *arr, struct role_list *ret)
{
	size_t i, max, n = 0;
	yyjson_val *item;

	yyjson_arr_foreach(arr, i, max, item)
	{
		if (!yyjson_is_str(item) || n == ROLE_LIST_MAX || list_has(ret, n, yyjson_get_str(item))) {
			reply_problem(x, 422, "invalid_field", "`roles` must be a list of names of roles, none twice.");
			return false;
		}
		ret->names[n++] = yyjson_get_str(item);
	}
	ret->names[n] = NULL;
	return true;
}

void role_list_one(struct role_list *ret, const char *name)
{
	ret->names[0] = name;
	ret->names[1] = NULL;
}

const char *role_list_join(struct arena *a, const struct role_list *list)
{
	const char *text = "";

	for (size_t i = 0; list->names[i]; i++)
		text = arena_printf(a, "%s%s%s", text, i ? " " : "", list->names[i]);
	return text;
}

static int may_give_role(struct db_conn *c, const struct account *giver, const char *name)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c,
							   "select p.permission from roles r join role_permissions p "
							   "on p.role_id = r.id where r.name = ?",
							   DB_TEXT(name));
	int r;

	while ((r = db_step(c, st)) == 1) {
		struct str permission = db_col_str(st, 0);
		char text[128];

		snprintf(text, sizeof(text), "%.*s", STR_ARG(permission));
		if (!account_may(giver, text))
			return ACTOR_FORBIDDEN_ROLE;
	}
	return r;
}

int roles_may_be_given(struct db_conn *c, const struct account *giver, const struct role_list *roles)
{
	int64_t one;
	int r = ACTOR_OK;

	for (const char *const *name = roles->names; *name && r == ACTOR_OK; name++) {
		r = db_get_int(c, &one, "select 1 from roles where name = ?", DB_TEXT(*name));
		if (r <= 0)
			return r < 0 ? r : ACTOR_UNKNOWN_ROLE;
		r = may_give_role(c, giver, *name);
	}
	return r;
}

void roles_refuse(struct exchange *x, int state)
{
	if (state == ACTOR_UNKNOWN_ROLE)
		reply_problem(x, 422, "unknown_role",
			      "`roles` names a role that does not exist; GET /api/roles lists them.");
	else if (state == ACTOR_FORBIDDEN_ROLE)
		reply_problem(x, 403, "forbidden", "You cannot give a role that holds more rights than you have.");
	else
		actor_refuse(x, state);
}
