#include <stdio.h>
#include <string.h>

#include "args.h"

static int print_overview(void)
{
	puts("Ogent: an AI-agent platform that you run yourself.\n\nUsage: ogent COMMAND\n");
	for (const struct command *c = commands; c->name; c++)
		printf("  %-12s%s\n", c->name, c->summary);
	puts("\nStart with `ogent up` and open the address that it prints.");
	return EXIT_OK;
}

static int print_config(const struct command *self)
{
	struct args args;
	int result;

	if (!args_read(self, 1, (char *[]){(char *)(uintptr_t) "help", NULL}, NULL, 0, &args, &result))
		return result;
	command_print_help(command_find("config"));
	puts("\nOptions, with their values here and now. Sources in rising order: the default; <data>/ogent.conf, "
	     "else\n" ARGS_MACHINE_CONF
	     " (lines of name = value; another file by --config or OGENT_CONFIG); the environment; "
	     "the\n"
	     "command line (--name VALUE).\n");
	options_print(args.options, stdout);
	args_deinit(&args);
	return EXIT_OK;
}

static const struct {
	const char *name, *text;
} topics[] = {
	{"environment", "OGENT_<OPTION>   every option of `ogent help config`, such as OGENT_DATA or OGENT_LISTEN\n"
			"OGENT_CONFIG     the configuration file\n"
			"OGENT_URL        the platform that chat, run, agents and history talk to\n"
			"OGENT_TOKEN      a token for it; stronger than a stored login\n"
			"OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_MODEL, OLLAMA_HOST, DATABASE_URL,\n"
			"OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS\n"
			"                 work as elsewhere; the OGENT_ name of the same option is stronger\n"
			"NO_COLOR         no colours; CLICOLOR_FORCE: colours also when stderr is no terminal\n"
			"XDG_DATA_HOME, XDG_CONFIG_HOME\n"
			"                 where the data folder and the stored login are by default\n"},
	{"formatting", "Data goes to stdout, all else (progress, questions, errors) to stderr. --json prints one JSON "
		       "document, for run\n"
		       "one line of JSON an event. There are no colours and no control characters unless the stream is "
		       "a terminal.\n"},
	{"exit-codes", "0  done\n"
		       "1  failed; the run ended in an error\n"
		       "2  cancelled (Ctrl-C), or the command line or configuration is wrong\n"
		       "3  no platform answers\n"
		       "4  not signed in, or not allowed\n"
		       "A reader that closes the pipe early is no failure.\n"},
};

int cmd_help(const struct command *self, int argc, char **argv)
{
	if (argc < 2 || argv[1][0] == '-')
		return print_overview();
	if (strcmp(argv[1], "config") == 0)
		return print_config(self);
	const struct command *c = command_find(argv[1]);
	if (c) {
		command_print_help(c);
		return EXIT_OK;
	}
	for (size_t i = 0; i < ARRAY_SIZE(topics); i++) {
		if (strcmp(topics[i].name, argv[1]) == 0) {
			fputs(topics[i].text, stdout);
			return EXIT_OK;
		}
	}
	return usage_error(self, "there is no command and no topic \"%s\"", argv[1]);
}
