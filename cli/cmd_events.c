/* Where security events go. */
#include <string.h>

#include "admin.h"

static const char *events, *description, *on;

static void print_webhook(struct admin *m, yyjson_val *w)
{
	const char *wanted = admin_join(m, json_get_arr(w, "events"), " ");

	out_printf("%s  %-3s  %s  %s\n", json_get_str(w, "id", ""), json_get_bool(w, "enabled", false) ? "on" : "off",
		   one_line(m->a, json_get_str(w, "url", ""), 100),
		   *wanted ? one_line(m->a, wanted, 60) : "all events");
}

static int list(struct admin *m)
{
	return admin_list(m, "/api/auth/webhooks", "There are no webhooks for security events.", print_webhook);
}

static const char *path_of(struct admin *m, const char *more)
{
	return arena_printf(m->a, "/api/auth/webhooks/%s%s", admin_escape(m, m->args[0]), more);
}

static int call(struct admin *m, const char *verb, const char *path, const char *url)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc);
	yyjson_val *w;
	int r;

	if (url)
		json_add_str(doc, obj, "url", url);
	if (description)
		json_add_str(doc, obj, "description", description);
	if (events)
		admin_add_words(m, doc, obj, "events", events);
	if (on)
		yyjson_mut_obj_add_bool(doc, obj, "enabled", !strcmp(on, "yes"));
	r = admin_call(m, verb, path, json_text(m->a, doc), &w);
	if (r == EXIT_OK && m->is_json)
		out_json(w);
	else if (r == EXIT_OK && url)
		out_printf("%s  secret, shown once: %s\n", json_get_str(w, "id", ""), json_get_str(w, "secret", ""));
	return r;
}

static int add(struct admin *m)
{
	return call(m, "POST", "/api/auth/webhooks", m->args[0]);
}

static int set(struct admin *m)
{
	if (on && strcmp(on, "yes") != 0 && strcmp(on, "no") != 0)
		return usage_error(m->self, "--on must be yes or no");
	return call(m, "PATCH", path_of(m, ""), NULL);
}

static int remove_webhook(struct admin *m)
{
	return admin_call(m, "DELETE", path_of(m, ""), (struct str){0}, NULL);
}

static int test(struct admin *m)
{
	return admin_call(m, "POST", path_of(m, "/test"), (struct str){0}, NULL);
}

static void print_delivery(struct admin *m, yyjson_val *d)
{
	out_printf("%s  %-9s %2lld tries  %3lld  %-28s %s\n", json_get_str(d, "created_at", ""),
		   json_get_str(d, "state", ""), (long long)json_get_int(d, "tries", 0),
		   (long long)json_get_int(d, "status", 0), json_get_str(d, "event", ""),
		   one_line(m->a, json_get_str(d, "error", ""), 100));
}

static int show_log(struct admin *m)
{
	return admin_list(m, path_of(m, "/deliveries"), "Nothing was sent yet.", print_delivery);
}

int cmd_events(const struct command *self, int argc, char **argv)
{
	const struct flag flags[] = {{"events", &events}, {"description", &description}, {"on", &on}};
	static const struct admin_verb verbs[] = {
		{"list", 0, 0, list}, {"add", 1, 1, add},      {"set", 1, 1, set}, {"remove", 1, 1, remove_webhook},
		{"test", 1, 1, test}, {"log", 1, 1, show_log},
	};

	return admin_run(self, argc, argv, flags, ARRAY_SIZE(flags), verbs, ARRAY_SIZE(verbs));
}
