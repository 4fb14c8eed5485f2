#include "args.h"
#include "roles.h"

int cmd_doctor(const struct command *self, int argc, char **argv)
{
	const char *level = NULL;
	bool is_json = false;
	const struct flag flags[] = {{"level", &level, NULL}, {"json", NULL, &is_json}};
	struct args args;
	int r;

	if (!args_read(self, argc, argv, flags, ARRAY_SIZE(flags), &args, &r))
		return r;
	if (args.n_rest)
		r = usage_error(self, "\"%s\" is too much", args.rest[0]);
	else
		r = exec_doctor(args.options, level, is_json) ? EXIT_OK : EXIT_FAILED;
	args_deinit(&args);
	return r;
}
