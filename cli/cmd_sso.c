/* Providers by which people sign in. */
#include <stdlib.h>
#include <string.h>

#include "admin.h"

static const char *label, *method, *scopes, *role, *domains, *on;
static bool sign_up;

static void print_provider(struct admin *m, yyjson_val *p)
{
	out_printf("%-16s %-4s %s%s%s\n", json_get_str(p, "name", ""),
		   json_get_bool(p, "enabled", false) ? "on" : "off",
		   one_line(m->a, json_get_str(p, "issuer", ""), 100),
		   json_get_bool(p, "sign_up", false) ? "  new accounts: " : "",
		   json_get_bool(p, "sign_up", false) ? json_get_str(p, "default_role", "") : "");
}

static int list(struct admin *m)
{
	return admin_list(m, "/api/auth/providers", "There are no providers.", print_provider);
}

static const char *path_of(struct admin *m, const char *more)
{
	return arena_printf(m->a, "/api/auth/providers/%s%s", admin_escape(m, m->args[0]), more);
}

/* What the line says of the settings. */
static void add_settings(struct admin *m, yyjson_mut_doc *doc, yyjson_mut_val *obj)
{
	const char *secret = getenv("OGENT_SSO_SECRET");
	const struct {
		const char *key, *value;
	} texts[] = {{"label", label},
		     {"auth_method", method},
		     {"scopes", scopes},
		     {"default_role", role},
		     {"client_secret", secret}};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (texts[i].value)
			json_add_str(doc, obj, texts[i].key, texts[i].value);
	if (domains)
		admin_add_words(m, doc, obj, "domains", domains);
	if (sign_up)
		yyjson_mut_obj_add_bool(doc, obj, "sign_up", true);
	if (on)
		yyjson_mut_obj_add_bool(doc, obj, "enabled", !strcmp(on, "yes"));
}

static int call(struct admin *m, const char *verb, const char *path, struct str json)
{
	yyjson_val *p;
	int r = admin_call(m, verb, path, json, &p);

	if (r == EXIT_OK && m->is_json)
		out_json(p);
	else if (r == EXIT_OK)
		out_printf("%s: answers go to %s\n", json_get_str(p, "name", ""), json_get_str(p, "redirect_uri", ""));
	return r;
}

static int add(struct admin *m)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc);

	json_add_str(doc, obj, "name", m->args[0]);
	json_add_str(doc, obj, "issuer", m->args[1]);
	json_add_str(doc, obj, "client_id", m->args[2]);
	add_settings(m, doc, obj);
	return call(m, "POST", "/api/auth/providers", json_text(m->a, doc));
}

static int set(struct admin *m)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc);

	if (on && strcmp(on, "yes") != 0 && strcmp(on, "no") != 0)
		return usage_error(m->self, "--on must be yes or no");
	add_settings(m, doc, obj);
	return call(m, "PATCH", path_of(m, ""), json_text(m->a, doc));
}

static int remove_provider(struct admin *m)
{
	return admin_call(m, "DELETE", path_of(m, ""), (struct str){0}, NULL);
}

/* Exits with 0 when it works, 1 when not. */
static int test(struct admin *m)
{
	yyjson_val *answer;
	int r = admin_call(m, "POST", path_of(m, "/test"), (struct str){0}, &answer);
	bool is_ok = r == EXIT_OK && json_get_bool(answer, "ok", false);

	if (r != EXIT_OK)
		return r;
	if (m->is_json)
		out_json(answer);
	else if (is_ok)
		out_printf("%s answers, with %lld keys\n", m->args[0], (long long)json_get_int(answer, "keys", 0));
	else
		out_printf("%s does not work: %s\n", m->args[0], json_get_str(answer, "error", ""));
	return is_ok ? EXIT_OK : EXIT_FAILED;
}

int cmd_sso(const struct command *self, int argc, char **argv)
{
	const struct flag flags[] = {{"label", &label}, {"method", &method},   {"scopes", &scopes},
				     {"role", &role},   {"domains", &domains}, {"sign-up", NULL, &sign_up},
				     {"on", &on}};
	static const struct admin_verb verbs[] = {
		{"list", 0, 0, list}, {"add", 3, 3, add}, {"set", 1, 1, set}, {"remove", 1, 1, remove_provider},
		{"test", 1, 1, test},
	};

	return admin_run(self, argc, argv, flags, ARRAY_SIZE(flags), verbs, ARRAY_SIZE(verbs));
}
