/* `ogent setup-link`: a new link for the first administrator, where the auth role has its data folder. */
#include <stdlib.h>

#include "args.h"
#include "output.h"
#include "public_address.h"
#include "role_address.h"
#include "session.h"

static void print_link(const struct options *o, const char *path)
{
	const char *set = option_str(o, "public_url");
	char *listen = public_address_reachable(option_str(o, "listen"));
	struct str url = str_of(set);

	if (str_has_suffix(url, STR("/")))
		url.n--;
	out_printf("%s%.*s%s\n", *set ? "" : "http://", STR_ARG(*set ? url : str_of(listen)), path);
	note_text(STYLE_PLAIN, STR("Open it once, within 30 minutes.\n"));
	free(listen);
}

int cmd_setup_link(const struct command *self, int argc, char **argv)
{
	struct args args;
	struct session session;
	yyjson_val *answer = NULL;
	int r;

	if (!args_read(self, argc, argv, NULL, 0, &args, &r))
		return r;
	if (args.n_rest) {
		r = usage_error(self, "\"%s\" is too much", args.rest[0]);
		args_deinit(&args);
		return r;
	}
	char *address = role_address(args.options, "auth");
	struct arena *a = arena_new();
	if ((r = session_open_local(&session, args.options, address)) == EXIT_OK) {
		r = session_call(&session, a, "POST", "/api/auth/setup-link", (struct str){0}, &answer);
		if (r == EXIT_OK)
			print_link(args.options, json_get_str(answer, "path", ""));
		session_close(&session);
	}
	arena_free(a);
	free(address);
	args_deinit(&args);
	return r;
}
