/* Users: who there is, what they may do, who may come in. */
#include <string.h>

#include "admin.h"

static const char *heir; /* --transfer-to */

static void print_user(struct admin *m, yyjson_val *user)
{
	const char *email = json_get_str(user, "email", NULL);

	out_printf("%s  %-28s  %-9s%-9s %s\n", json_get_str(user, "id", ""), one_line(m->a, email ? email : "-", 60),
		   json_get_str(user, "kind", ""), json_get_bool(user, "disabled", false) ? "disabled" : "",
		   admin_join(m, json_get_arr(user, "roles"), " "));
}

static int list(struct admin *m)
{
	return admin_list(m, "/api/users?limit=200", "There are no users.", print_user);
}

static void print_direct(struct admin *m, const char *what, yyjson_val *list)
{
	if (yyjson_arr_size(list))
		out_printf("%s  %s\n", what, admin_join(m, list, " "));
}

static int show_id(struct admin *m, const char *id)
{
	yyjson_val *user, *direct;
	int r = admin_call(m, "GET", arena_printf(m->a, "/api/users/%s", id), (struct str){0}, &user);

	if (r != EXIT_OK)
		return r;
	if (m->is_json) {
		out_json(user);
		return EXIT_OK;
	}
	print_user(m, user);
	r = admin_call(m, "GET", arena_printf(m->a, "/api/users/%s/permissions", id), (struct str){0}, &direct);
	if (r == EXIT_OK) {
		print_direct(m, "granted", json_get_arr(direct, "grants"));
		print_direct(m, "denied ", json_get_arr(direct, "denials"));
	}
	return r;
}

static int show(struct admin *m)
{
	const char *id;
	int r = admin_find_user(m, m->args[0], &id);

	return r == EXIT_OK ? show_id(m, id) : r;
}

/* PATCH, then the user as he is now. */
static int patch(struct admin *m, yyjson_mut_doc *doc)
{
	const char *id;
	int r = admin_find_user(m, m->args[0], &id);

	if (r == EXIT_OK)
		r = admin_call(m, "PATCH", arena_printf(m->a, "/api/users/%s", id), json_text(m->a, doc), NULL);
	return r == EXIT_OK ? show_id(m, id) : r;
}

static int roles(struct admin *m)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc);

	admin_add_args(m, doc, obj, "roles", 1);
	return patch(m, doc);
}

static int set_disabled(struct admin *m, bool on)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc);

	yyjson_mut_obj_add_bool(doc, obj, "disabled", on);
	return patch(m, doc);
}

static int disable(struct admin *m)
{
	return set_disabled(m, true);
}

static int enable(struct admin *m)
{
	return set_disabled(m, false);
}

static int remove_user(struct admin *m)
{
	const char *id, *to = NULL;
	int r = admin_find_user(m, m->args[0], &id);

	if (r == EXIT_OK)
		r = heir ? admin_find_user(m, heir, &to) : EXIT_OK;
	if (r == EXIT_OK)
		r = admin_call(m, "DELETE",
			       arena_printf(m->a, "/api/users/%s%s%s", id, to ? "?transfer_to=" : "", to ?: ""),
			       (struct str){0}, NULL);
	return r;
}

/* "conversations 12, agents 1" */
static const char *counts_text(struct admin *m, yyjson_val *counts)
{
	const char *text = "";
	size_t i, n;
	yyjson_val *key, *value;

	yyjson_obj_foreach(counts, i, n, key, value)
	{
		text = arena_printf(m->a, "%s%s%s %lld", text, *text ? ", " : "", yyjson_get_str(key),
				    (long long)yyjson_get_int(value));
	}
	return text;
}

static void print_erasure(struct admin *m, yyjson_val *item)
{
	out_printf("%s  %-36s  %-9s  %-14s  %s\n", json_get_str(item, "created_at", ""),
		   json_get_str(item, "user_id", ""), json_get_str(item, "status", ""), json_get_str(item, "stage", ""),
		   counts_text(m, yyjson_obj_get(item, "counts")));
}

static int removals(struct admin *m)
{
	return admin_list(m, "/api/account/erasures", "Nobody was removed.", print_erasure);
}

static int add_service(struct admin *m)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc);
	yyjson_val *user;
	int r;

	json_add_str(doc, obj, "name", m->args[0]);
	admin_add_args(m, doc, obj, "roles", 1);
	r = admin_call(m, "POST", "/api/users/service-accounts", json_text(m->a, doc), &user);
	return r == EXIT_OK ? show_id(m, json_get_str(user, "id", "")) : r;
}

static bool names(struct admin *m, const char *permission)
{
	for (int i = 1; i < m->n_args; i++)
		if (!strcmp(m->args[i], permission))
			return true;
	return false;
}

/* The list of now without those named, and with them when it is the one. */
static void add_list(struct admin *m, yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, yyjson_val *now,
		     bool is_the_one)
{
	yyjson_mut_val *arr = yyjson_mut_obj_add_arr(doc, obj, key);
	yyjson_val *item;
	size_t i, n;

	yyjson_arr_foreach(now, i, n, item)
	{
		if (!names(m, yyjson_get_str(item)))
			yyjson_mut_arr_add_strcpy(doc, arr, yyjson_get_str(item));
	}
	for (int j = 1; is_the_one && j < m->n_args; j++)
		yyjson_mut_arr_add_strcpy(doc, arr, m->args[j]);
}

static int set_direct(struct admin *m, const char *key)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc);
	const char *id, *path;
	yyjson_val *now;
	int r = admin_find_user(m, m->args[0], &id);

	if (r != EXIT_OK)
		return r;
	path = arena_printf(m->a, "/api/users/%s/permissions", id);
	r = admin_call(m, "GET", path, (struct str){0}, &now);
	if (r != EXIT_OK)
		return r;
	add_list(m, doc, obj, "grants", json_get_arr(now, "grants"), !strcmp(key, "grants"));
	add_list(m, doc, obj, "denials", json_get_arr(now, "denials"), !strcmp(key, "denials"));
	r = admin_call(m, "PUT", path, json_text(m->a, doc), NULL);
	return r == EXIT_OK ? show_id(m, id) : r;
}

static int grant(struct admin *m)
{
	return set_direct(m, "grants");
}

static int deny(struct admin *m)
{
	return set_direct(m, "denials");
}

static int clear(struct admin *m)
{
	return set_direct(m, "");
}

int cmd_users(const struct command *self, int argc, char **argv)
{
	static const struct admin_verb verbs[] = {
		{"list", 0, 0, list},         {"show", 1, 1, show},
		{"roles", 1, 33, roles},      {"disable", 1, 1, disable},
		{"enable", 1, 1, enable},     {"remove", 1, 1, remove_user},
		{"grant", 2, 65, grant},      {"deny", 2, 65, deny},
		{"clear", 2, 65, clear},      {"add-service", 1, 33, add_service},
		{"removals", 0, 0, removals},
	};
	const struct flag flags[] = {{"transfer-to", &heir}};

	return admin_run(self, argc, argv, flags, ARRAY_SIZE(flags), verbs, ARRAY_SIZE(verbs));
}
