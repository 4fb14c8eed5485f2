/* The policies for commands: what they say of a command line, and which there are. */
#include <string.h>

#include "args.h"
#include "output.h"
#include "session.h"

static void print_part(struct arena *a, yyjson_val *part)
{
	const char *program = json_get_str(part, "program", NULL);

	out_printf("  %-5s  %-11s  %s%s%s\n         %s (%s, rule %s)\n", json_get_str(part, "verdict", ""),
		   json_get_str(part, "kind", ""), one_line(a, json_get_str(part, "text", ""), 100),
		   program ? "  " : "", program ? program : "", json_get_str(part, "reason", ""),
		   json_get_str(part, "policy", ""), json_get_str(part, "rule", ""));
}

static void print_verdict(struct arena *a, yyjson_val *v)
{
	const char *opaque = json_get_str(v, "opaque", NULL);
	yyjson_val *part;
	size_t i, n;

	out_printf("%s: %s (policy %s, rule %s)\n", json_get_str(v, "verdict", ""), json_get_str(v, "reason", ""),
		   json_get_str(v, "policy", ""), json_get_str(v, "rule", ""));
	if (opaque)
		out_printf("not provable: %s\n", opaque);
	yyjson_arr_foreach(json_get_arr(v, "parts"), i, n, part)
	{
		print_part(a, part);
	}
}

/* Its exit code says the verdict: 0 allowed, 1 not. */
static int check(struct session *s, struct arena *a, const char *script, const char *policy, bool is_json)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	yyjson_val *answer;
	int r;

	json_add_str(doc, obj, "script", script);
	if (policy)
		json_add_str(doc, obj, "policy", policy);
	r = session_call(s, a, "POST", "/api/policies/check", json_text(a, doc), &answer);
	if (r != EXIT_OK)
		return r;
	if (is_json)
		out_json(answer);
	else
		print_verdict(a, answer);
	return strcmp(json_get_str(answer, "verdict", ""), "allow") == 0 ? EXIT_OK : EXIT_FAILED;
}

static int list(struct session *s, struct arena *a, bool is_json)
{
	yyjson_val *answer, *item;
	size_t i, n;
	int r = session_call(s, a, "GET", "/api/policies", (struct str){0}, &answer);

	if (r == EXIT_OK && is_json)
		out_json(json_get_arr(answer, "items"));
	else if (r == EXIT_OK)
		yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, item)
		{
			out_printf("%-20s %c %4lld  %s\n", json_get_str(item, "name", ""),
				   json_get_bool(item, "always", false) ? '*' : ' ',
				   (long long)json_get_int(item, "version", 0),
				   one_line(a, json_get_str(item, "description", ""), 100));
		}
	return r;
}

int cmd_policy(const struct command *self, int argc, char **argv)
{
	const char *url = NULL, *policy = NULL;
	bool is_json = false;
	const struct flag flags[] = {{"url", &url}, {"policy", &policy}, {"json", NULL, &is_json}};
	struct args args;
	struct session session;
	int r;

	if (!args_read(self, argc, argv, flags, ARRAY_SIZE(flags), &args, &r))
		return r;
	bool is_list = args.n_rest == 1 && strcmp(args.rest[0], "list") == 0;
	bool is_check = args.n_rest == 2 && strcmp(args.rest[0], "check") == 0;
	struct arena *a = arena_new();

	if (!is_list && !is_check)
		r = usage_error(self, "say list, or check and one command line in quotes");
	else if ((r = session_open(&session, args.options, url)) == EXIT_OK) {
		r = is_list ? list(&session, a, is_json) : check(&session, a, args.rest[1], policy, is_json);
		session_close(&session);
	}
	arena_free(a);
	args_deinit(&args);
	return r;
}
