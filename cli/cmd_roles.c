/* Roles, the permissions there are, and why somebody may do something. */
#include <string.h>

#include "admin.h"

static const char *description, *user;

static void print_role(struct admin *m, yyjson_val *role)
{
	out_printf("%-16s %4lld %s  %s\n", json_get_str(role, "name", ""), (long long)json_get_int(role, "users", 0),
		   json_get_int(role, "users", 0) == 1 ? "user " : "users",
		   one_line(m->a, admin_join(m, json_get_arr(role, "permissions"), " "), 120));
}

static void print_whole(struct admin *m, yyjson_val *role)
{
	out_printf("%s%s: %s\n%lld users\n  %s\n", json_get_str(role, "name", ""),
		   json_get_bool(role, "built_in", false) ? " (built in)" : "", json_get_str(role, "description", ""),
		   (long long)json_get_int(role, "users", 0), admin_join(m, json_get_arr(role, "permissions"), "\n  "));
}

static int list(struct admin *m)
{
	return admin_list(m, "/api/roles", "There are no roles.", print_role);
}

static const char *path_of(struct admin *m)
{
	return arena_printf(m->a, "/api/roles/%s", admin_escape(m, m->args[0]));
}

/* Calls and shows the role that is answered. */
static int call(struct admin *m, const char *method, const char *path, struct str json)
{
	yyjson_val *role;
	int r = admin_call(m, method, path, json, &role);

	if (r == EXIT_OK && m->is_json)
		out_json(role);
	else if (r == EXIT_OK)
		print_whole(m, role);
	return r;
}

static int show(struct admin *m)
{
	return call(m, "GET", path_of(m), (struct str){0});
}

static int create(struct admin *m)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc);

	json_add_str(doc, obj, "name", m->args[0]);
	if (description)
		json_add_str(doc, obj, "description", description);
	admin_add_args(m, doc, obj, "permissions", 1);
	return call(m, "POST", "/api/roles", json_text(m->a, doc));
}

static int set(struct admin *m)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc);

	if (description)
		json_add_str(doc, obj, "description", description);
	if (m->n_args > 1)
		admin_add_args(m, doc, obj, "permissions", 1);
	if (!description && m->n_args == 1)
		return usage_error(m->self, "set needs permissions or --description");
	return call(m, "PATCH", path_of(m), json_text(m->a, doc));
}

static int remove_role(struct admin *m)
{
	return admin_call(m, "DELETE", path_of(m), (struct str){0}, NULL);
}

static void print_permission(struct admin *m, yyjson_val *permission)
{
	out_printf("%-22s  %s\n", json_get_str(permission, "name", ""), json_get_str(permission, "description", ""));
}

static int permissions(struct admin *m)
{
	return admin_list(m, "/api/permissions", "There are no permissions.", print_permission);
}

/* Exits with 0 when all are allowed, 1 when one is not. */
static int check(struct admin *m)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc);
	const char *id = NULL;
	yyjson_val *answer, *item;
	bool allowed = true;
	size_t i, n;
	int r = user ? admin_find_user(m, user, &id) : EXIT_OK;

	admin_add_args(m, doc, obj, "permissions", 0);
	if (id)
		json_add_str(doc, obj, "user_id", id);
	if (r == EXIT_OK)
		r = admin_call(m, "POST", "/api/permissions/check", json_text(m->a, doc), &answer);
	if (r != EXIT_OK)
		return r;
	yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, item)
	{
		allowed &= json_get_bool(item, "allowed", false);
		if (!m->is_json)
			out_printf("%-22s  %s\n", json_get_str(item, "permission", ""),
				   json_get_str(item, "explanation", ""));
	}
	if (m->is_json)
		out_json(json_get_arr(answer, "items"));
	return allowed ? EXIT_OK : EXIT_FAILED;
}

int cmd_roles(const struct command *self, int argc, char **argv)
{
	const struct flag flags[] = {{"description", &description}, {"user", &user}};
	static const struct admin_verb verbs[] = {
		{"list", 0, 0, list},    {"show", 1, 1, show},          {"create", 1, 65, create},
		{"set", 1, 65, set},     {"remove", 1, 1, remove_role}, {"permissions", 0, 0, permissions},
		{"check", 1, 64, check},
	};

	return admin_run(self, argc, argv, flags, ARRAY_SIZE(flags), verbs, ARRAY_SIZE(verbs));
}
