#include <stdlib.h>

#include "args.h"
#include "backup.h"
#include "output.h"

static void on_note(const char *text)
{
	note_printf(STYLE_PLAIN, "ogent: %s\n", text);
}

int cmd_backup(const struct command *self, int argc, char **argv)
{
	struct args args;
	struct error err = {0};
	int r;

	if (!args_read(self, argc, argv, NULL, 0, &args, &r))
		return r;
	if (args.n_rest != 1) {
		r = usage_error(self, "name the folder to make");
	} else if (backup_make(args.options, args.rest[0], on_note, &err) < 0) {
		fprintf(stderr, "ogent backup: %s\n", err.message);
		r = EXIT_FAILED;
	} else {
		out_printf("%s holds everything, with the secrets: keep it where nobody else reads it.\n",
			   args.rest[0]);
		r = EXIT_OK;
	}
	args_deinit(&args);
	return r;
}

int cmd_restore(const struct command *self, int argc, char **argv)
{
	struct args args;
	struct error err = {0};
	int r;

	if (!args_read(self, argc, argv, NULL, 0, &args, &r))
		return r;
	if (args.n_rest != 1) {
		r = usage_error(self, "name the backup's folder");
	} else if (backup_restore(args.options, args.rest[0], &err) < 0) {
		fprintf(stderr, "ogent restore: %s\n", err.message);
		r = EXIT_FAILED;
	} else {
		out_printf("%s is restored. Start it with `ogent up`.\n", option_str(args.options, "data"));
		r = EXIT_OK;
	}
	args_deinit(&args);
	return r;
}
