#include "secret_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

char *secret_line_read(struct arena *a, const char *variable, const char *prompt)
{
	const char *set = getenv(variable);
	struct termios old, quiet;
	char line[4200];
	bool is_terminal = tcgetattr(STDIN_FILENO, &old) == 0;

	if (set)
		return *set ? arena_strdup(a, set) : NULL;
	if (is_terminal) {
		fprintf(stderr, "%s (empty for none): ", prompt);
		quiet = old;
		quiet.c_lflag &= (tcflag_t)~ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	char *got = fgets(line, sizeof(line), stdin);
	if (is_terminal) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
		fprintf(stderr, "\n");
	}
	if (!got)
		return NULL;
	line[strcspn(line, "\r\n")] = '\0';
	return *line ? arena_strdup(a, line) : NULL;
}
