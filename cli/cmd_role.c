#include "args.h"
#include "roles.h"

static const struct {
	const char *name;
	int (*main)(const struct options *options);
} roles[] = {
	{"gateway", gateway_main}, {"auth", auth_main},     {"agent", agent_main},
	{"exec", exec_main},       {"socket", socket_main}, {"demo-model", demo_main},
};

/* `ogent socket --profile NAME` is short for --socket-profile NAME. */
static void write_out_profile(int argc, char **argv)
{
	static char long_form[80];

	for (int i = 1; i < argc; i++) {
		size_t n = strlen("--profile");

		if (strncmp(argv[i], "--profile", n) != 0 || (argv[i][n] && argv[i][n] != '='))
			continue;
		snprintf(long_form, sizeof(long_form), "--socket-profile%s", argv[i] + n);
		argv[i] = long_form;
		return;
	}
}

int cmd_role(const struct command *self, int argc, char **argv)
{
	struct args args;
	int result = EXIT_FAILED;

	if (strcmp(self->name, "socket") == 0)
		write_out_profile(argc, argv);
	if (!args_read(self, argc, argv, NULL, 0, &args, &result))
		return result;
	if (args.n_rest)
		result = usage_error(self, "\"%s\" is no option", args.rest[0]);
	else
		for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
			if (strcmp(roles[i].name, self->name) == 0)
				result = roles[i].main(args.options);
	args_deinit(&args);
	return result;
}
