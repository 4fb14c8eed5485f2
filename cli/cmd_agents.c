#include "args.h"
#include "output.h"
#include "session.h"

static void print_agent(struct arena *a, yyjson_val *agent)
{
	yyjson_val *tools = json_get_arr(agent, "tools"), *tool;
	const char *list = "";
	size_t i, n;

	yyjson_arr_foreach(tools, i, n, tool)
	{
		list = arena_printf(a, "%s%s%s", list, i ? "," : "", yyjson_get_str(tool) ?: "");
	}
	out_printf("%-20s  %-16s  %-12s  %s\n", json_get_str(agent, "slug", ""), json_get_str(agent, "model", ""), list,
		   one_line(a, json_get_str(agent, "name", ""), 60));
}

int cmd_agents(const struct command *self, int argc, char **argv)
{
	const char *url = NULL;
	bool is_json = false;
	const struct flag flags[] = {{"url", &url}, {"json", NULL, &is_json}};
	struct args args;
	struct session session;
	yyjson_val *answer, *agent;
	size_t i, n;
	int r;

	if (!args_read(self, argc, argv, flags, ARRAY_SIZE(flags), &args, &r))
		return r;
	struct arena *a = arena_new();
	if (args.n_rest)
		r = usage_error(self, "\"%s\" is too much", args.rest[0]);
	else if ((r = session_open(&session, args.options, url)) == EXIT_OK) {
		r = session_call(&session, a, "GET", "/api/agents?limit=200", (struct str){0}, &answer);
		if (r == EXIT_OK && is_json)
			out_json(json_get_arr(answer, "items"));
		else if (r == EXIT_OK)
			yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, agent)
			{
				print_agent(a, agent);
			}
		session_close(&session);
	}
	arena_free(a);
	args_deinit(&args);
	return r;
}
