/* `ogent healthcheck ROLE`: whether the role that runs here with this configuration is ready, for container engines and
 * load balancers. */
#include <stdlib.h>

#include "args.h"
#include "output.h"
#include "role_address.h"
#include "session.h"

static void print_reasons(yyjson_val *answer)
{
	yyjson_val *reason;
	size_t i, n;

	yyjson_arr_foreach(json_get_arr(answer, "reasons"), i, n, reason)
	{
		note_printf(STYLE_PLAIN, "%s: %s\n", json_get_str(reason, "name", "?"),
			    json_get_str(reason, "reason", "not ready"));
	}
}

static int ask(const char *address)
{
	struct error err = {0};
	yyjson_val *answer = NULL;
	_cleanup_(client_free_p) struct client *c = client_new(address, &err);

	if (!c) {
		fprintf(stderr, "ogent: %s\n", err.message);
		return EXIT_USAGE;
	}
	struct arena *a = arena_new();
	int status = client_call(c, a, "GET", "/readyz", (struct str){0}, &answer, &err);
	if (status < 0)
		fprintf(stderr, "ogent: %s\n", err.message);
	else if (status != 200)
		print_reasons(answer);
	arena_free(a);
	return status == 200 ? EXIT_OK : status < 0 ? EXIT_NOT_RUNNING : EXIT_FAILED;
}

int cmd_healthcheck(const struct command *self, int argc, char **argv)
{
	struct args args;
	int r;

	if (!args_read(self, argc, argv, NULL, 0, &args, &r))
		return r;
	char *address = args.n_rest == 1 ? role_address(args.options, args.rest[0]) : NULL;
	if (address)
		r = ask(address);
	else
		r = usage_error(self, "one role is needed: gateway, auth, agent, exec, socket or demo-model");
	free(address);
	args_deinit(&args);
	return r;
}
