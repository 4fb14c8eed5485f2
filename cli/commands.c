#include "command.h"

#include <stdio.h>
#include <string.h>

#define ROLE(name, summary)                                          \
	{                                                            \
		name, "[--OPTION VALUE]...", summary, NULL, cmd_role \
	}

const struct command commands[] = {
	{"up", "[--data DIR] [--listen ADDR:PORT] [--OPTION VALUE]...", "run the whole platform from one data folder",
	 "Starts every role as its own process, restarts what dies, and prints the address to open once all is ready.\n"
	 "Ctrl-C or SIGTERM stops it in order; a second Ctrl-C at once. Every option of `ogent help config` can be "
	 "given.\n",
	 cmd_up},
	{"version", "", "print the version", NULL, cmd_version},
	{"help", "[COMMAND or TOPIC]", "help on a command, or on: config environment formatting exit-codes", NULL,
	 cmd_help},
	ROLE("gateway", "run one role: the public entry and the web app"),
	ROLE("auth", "run one role: users, roles, tokens"),
	ROLE("agent", "run one role: agents, conversations, runs"),
	ROLE("exec", "run one role: commands in the sandbox"),
	ROLE("socket", "run one role: live events over WebSocket"),
	ROLE("demo-model", "run one role: a model that needs no key"),
	{0},
};

const struct command *command_find(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

void command_print_help(const struct command *c)
{
	printf("Usage: ogent %s%s%s\n\n%c%s.\n", c->name, *c->arguments ? " " : "", c->arguments, c->summary[0] - 0x20,
	       c->summary + 1);
	if (c->help)
		printf("%s%s", c->help[0] == '\n' ? "" : "\n", c->help);
}
