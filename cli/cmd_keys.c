/* The keys that sign tokens. */
#include "admin.h"

static bool is_compromised;

static void print_key(struct admin *m, yyjson_val *key)
{
	const char *gone = json_get_str(key, "gone_at", NULL), *state = json_get_str(key, "state", "");
	bool is_next = *state == 'n';

	out_printf("%-18s  %-7s  %-6s  made %s%s%s\n", json_get_str(key, "kid", ""), json_get_str(key, "algorithm", ""),
		   state, local_time(m->a, json_get_str(key, "created_at", "")),
		   is_next ? ", signs from "
		   : gone  ? ", gone at "
			   : "",
		   is_next ? local_time(m->a, json_get_str(key, "active_from", ""))
		   : gone  ? local_time(m->a, gone)
			   : "");
}

static int list(struct admin *m)
{
	return admin_list(m, "/api/auth/keys", "There are no keys.", print_key);
}

static int rotate(struct admin *m)
{
	yyjson_val *answer, *key;
	size_t i, n;
	int r = admin_call(m, "POST", "/api/auth/keys/rotate",
			   is_compromised ? STR("{\"compromised\":true}") : STR("{}"), &answer);

	if (r != EXIT_OK)
		return r;
	if (m->is_json) {
		out_json(json_get_arr(answer, "items"));
		return EXIT_OK;
	}
	yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, key)
	{
		print_key(m, key);
	}
	return EXIT_OK;
}

int cmd_keys(const struct command *self, int argc, char **argv)
{
	const struct flag flags[] = {{"compromised", NULL, &is_compromised}};
	static const struct admin_verb verbs[] = {{"list", 0, 0, list}, {"rotate", 0, 0, rotate}};

	return admin_run(self, argc, argv, flags, ARRAY_SIZE(flags), verbs, ARRAY_SIZE(verbs));
}
