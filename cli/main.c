/* `ogent COMMAND`: finds the command in the table and runs it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

static int fail_unknown(const char *name)
{
	fprintf(stderr, "ogent: there is no command \"%s\". `ogent help` lists them.\n", name);
	return EXIT_USAGE;
}

/* A descriptor of stdin, stdout or stderr that is closed would be given to the next file that is opened. */
static void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	fill_standard_descriptors();
	const char *name = argc > 1 ? argv[1] : "help";

	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
		name = "version";
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	const struct command *c = command_find(name);
	if (!c)
		return fail_unknown(name);
	/* A reader that has seen enough (`| head`) is no failure: writing then fails with EPIPE. */
	signal(SIGPIPE, SIG_IGN);
	return c->run(c, argc > 1 ? argc - 1 : 1, argc > 1 ? argv + 1 : argv);
}
