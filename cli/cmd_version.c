#include <stdio.h>

#include "command.h"

int cmd_version(const struct command *self, int argc, char **argv)
{
	puts("ogent " OGENT_VERSION);
	return EXIT_OK;
}
