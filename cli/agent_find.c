#include "agent_find.h"

#include <stdio.h>
#include <string.h>

#include "command.h"

static bool is_wanted(yyjson_val *agent, const char *wanted)
{
	return !wanted || !strcmp(wanted, json_get_str(agent, "id", "")) ||
	       !strcmp(wanted, json_get_str(agent, "slug", "")) || !strcmp(wanted, json_get_str(agent, "name", ""));
}

int find_agent_named(struct session *s, struct arena *a, const char *wanted, const char **ret)
{
	yyjson_val *answer, *item;
	size_t i, n;
	int r = session_call(s, a, "GET", "/api/agents?limit=200", (struct str){0}, &answer);

	*ret = NULL;
	if (r != EXIT_OK)
		return r;
	/* They come newest first. */
	yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, item)
	{
		if (is_wanted(item, wanted) && !(*ret && wanted))
			*ret = json_get_str(item, "id", "");
	}
	if (*ret)
		return EXIT_OK;
	fprintf(stderr, "ogent: there is no agent \"%s\": ogent agents lists them\n", wanted ? wanted : "");
	return EXIT_USAGE;
}
