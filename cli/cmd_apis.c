/* `ogent apis`: HTTP APIs described by OpenAPI documents. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "local_file.h"
#include "secret_line.h"

#define DOCUMENT_MAX (6 * 1024 * 1024)

static const char *name_of_new, *slug_of_new, *address, *user, *file;

static void print_api(struct admin *m, yyjson_val *api)
{
	out_printf("%-20s  %-40s  %-8s  %s\n", json_get_str(api, "slug", ""), json_get_str(api, "base_url", ""),
		   json_get_str(api, "shared", ""), one_line(m->a, json_get_str(api, "name", ""), 60));
}

static int list(struct admin *m)
{
	return admin_list(m, "/api/apis?limit=200", "There is no API yet.", print_api);
}

struct finding {
	const char *who;
	yyjson_val *found;
};

static struct finding finding;

static void look_at(struct admin *m, yyjson_val *api)
{
	const char *id = json_get_str(api, "id", ""), *slug = json_get_str(api, "slug", "");

	if (!strcmp(id, finding.who) || (!finding.found && !strcmp(slug, finding.who)))
		finding.found = api;
}

/* By id or slug. Returns EXIT_OK, or another code after saying why. */
static int find(struct admin *m, yyjson_val **ret)
{
	bool is_json = m->is_json;
	int r;

	finding = (struct finding){m->args[0], NULL};
	m->is_json = false;
	r = admin_list(m, "/api/apis?limit=200", "There is no API yet.", look_at);
	m->is_json = is_json;
	if (r == EXIT_OK && !finding.found)
		r = session_fail(404, &(struct error){"not_found", "There is no such API: `ogent apis` lists them."});
	*ret = finding.found;
	return r;
}

static const char *path_of(struct admin *m, yyjson_val *api, const char *rest)
{
	return arena_printf(m->a, "/api/apis/%s%s", json_get_str(api, "id", ""), rest);
}

static void print_scheme(yyjson_val *scheme)
{
	const char *parameter = json_get_str(scheme, "parameter", NULL), *end = json_get_str(scheme, "end", "");

	out_printf("credentials %-20s  %s%s%s  %s%s\n", json_get_str(scheme, "name", ""),
		   json_get_str(scheme, "type", ""), parameter ? " in " : "", parameter ?: "",
		   json_get_bool(scheme, "set", false) ? "set …" : "not set", end);
}

static int print_whole(struct admin *m, int r, yyjson_val *api)
{
	yyjson_val *item;
	size_t i, n;

	if (r != EXIT_OK)
		return r;
	if (m->is_json) {
		out_json(api);
		return r;
	}
	out_printf("%s  %s\n%s\n", json_get_str(api, "slug", ""), one_line(m->a, json_get_str(api, "name", ""), 100),
		   json_get_str(api, "base_url", ""));
	yyjson_arr_foreach(json_get_arr(api, "schemes"), i, n, item) print_scheme(item);
	yyjson_arr_foreach(json_get_arr(api, "operations"), i, n, item)
	{
		const char *problem = json_get_str(item, "problem", NULL);
		out_printf("%c %-43s  %-7s %-40s  %s\n", problem ? '!' : ' ', json_get_str(item, "name", ""),
			   json_get_str(item, "method", ""), json_get_str(item, "path", ""),
			   one_line(m->a, problem ?: json_get_str(item, "summary", ""), 100));
	}
	return r;
}

static int show(struct admin *m)
{
	yyjson_val *api = NULL;
	int r = find(m, &api);

	if (r == EXIT_OK)
		r = admin_call(m, "GET", path_of(m, api, ""), (struct str){0}, &api);
	return print_whole(m, r, api);
}

static int read_stdin(struct buf *ret)
{
	char part[65536];
	size_t n;

	while ((n = fread(part, 1, sizeof(part), stdin)) > 0 && ret->n < DOCUMENT_MAX)
		buf_add(ret, part, n);
	return EXIT_OK;
}

/* An address, a file or "-". */
static int add_document(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *where)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	int r;

	if (strncmp(where, "http://", 7) == 0 || strncmp(where, "https://", 8) == 0) {
		json_add_str(doc, obj, "url", where);
		return EXIT_OK;
	}
	r = strcmp(where, "-") == 0 ? read_stdin(&text) : local_file_read(where, &text);
	if (r == EXIT_OK)
		yyjson_mut_obj_add_strncpy(doc, obj, "document", text.p ? text.p : "", text.n);
	return r;
}

static int add(struct admin *m)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc);
	yyjson_val *api = NULL;
	int r = add_document(doc, obj, m->args[0]);

	if (name_of_new)
		json_add_str(doc, obj, "name", name_of_new);
	if (slug_of_new)
		json_add_str(doc, obj, "slug", slug_of_new);
	if (address)
		json_add_str(doc, obj, "base_url", address);
	if (r == EXIT_OK)
		r = admin_call(m, "POST", "/api/apis", json_text(m->a, doc), &api);
	return print_whole(m, r, api);
}

static int read_again(struct admin *m)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc);
	yyjson_val *api = NULL;
	int r = find(m, &api);

	if (r == EXIT_OK && file)
		r = add_document(doc, obj, file);
	if (r == EXIT_OK)
		r = admin_call(m, "PUT", path_of(m, api, "/document"), json_text(m->a, doc), &api);
	return print_whole(m, r, api);
}

static int credentials(struct admin *m)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc), *all = yyjson_mut_obj_add_obj(doc, obj, "credentials"), *one;
	yyjson_val *api = NULL;
	const char *secret;
	int r = find(m, &api);

	if (r != EXIT_OK)
		return r;
	secret = secret_line_read(m->a, "OGENT_API_SECRET", user ? "Password" : "Secret");
	one = secret ? yyjson_mut_obj(doc) : yyjson_mut_null(doc);
	yyjson_mut_obj_add(all, yyjson_mut_str(doc, m->args[1]), one);
	if (secret && user)
		json_add_str(doc, one, "username", user);
	if (secret)
		json_add_str(doc, one, user ? "password" : "value", secret);
	r = admin_call(m, "PATCH", path_of(m, api, ""), json_text(m->a, doc), &api);
	if (r == EXIT_OK && m->is_json)
		out_json(api);
	return r;
}

/* With the role's rights as they are to be; none takes its share away. */
static int share(struct admin *m)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc), *shares = yyjson_mut_obj_add_arr(doc, obj, "shares"), *one;
	yyjson_val *api = NULL, *old;
	size_t i, n;
	int r = find(m, &api);

	yyjson_arr_foreach(r == EXIT_OK ? json_get_arr(api, "shares") : NULL, i, n, old)
	{
		if (strcmp(json_get_str(old, "role", ""), m->args[1]) != 0)
			yyjson_mut_arr_append(shares, yyjson_val_mut_copy(doc, old));
	}
	if (m->n_args > 2) {
		one = yyjson_mut_arr_add_obj(doc, shares);
		json_add_str(doc, one, "role", m->args[1]);
		admin_add_args(m, doc, one, "rights", 2);
	}
	if (r == EXIT_OK)
		r = admin_call(m, "PUT", path_of(m, api, "/shares"), json_text(m->a, doc), &api);
	if (r == EXIT_OK && m->is_json)
		out_json(api);
	return r;
}

static int delete (struct admin *m)
{
	yyjson_val *api = NULL;
	int r = find(m, &api);

	return r == EXIT_OK ? admin_call(m, "DELETE", path_of(m, api, ""), (struct str){0}, NULL) : r;
}

int cmd_apis(const struct command *self, int argc, char **argv)
{
	const struct flag flags[] = {
		{"name", &name_of_new}, {"slug", &slug_of_new}, {"address", &address}, {"user", &user}, {"file", &file},
	};
	static const struct admin_verb verbs[] = {
		{"list", 0, 0, list},
		{"show", 1, 1, show},
		{"add", 1, 1, add},
		{"read", 1, 1, read_again},
		{"credentials", 2, 2, credentials},
		{"share", 2, 5, share},
		{"remove", 1, 1, delete},
	};

	return admin_run(self, argc, argv, flags, ARRAY_SIZE(flags), verbs, ARRAY_SIZE(verbs));
}
