#include "args.h"
#include "roles.h"

static const struct {
	const char *name;
	int (*main)(const struct options *options);
} roles[] = {
	{"gateway", gateway_main}, {"auth", auth_main},     {"agent", agent_main},
	{"exec", exec_main},       {"socket", socket_main}, {"demo-model", demo_main},
};

int cmd_role(const struct command *self, int argc, char **argv)
{
	struct args args;
	int result = EXIT_FAILED;

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
