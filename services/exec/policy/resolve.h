/* Which file a program's name stands for, and whether only the system can change it. */
#pragma once

#include "base/arena.h"

struct resolved {
	const char *path;  /* absolute; NULL: not found */
	const char *final; /* behind the links; NULL likewise */
	bool is_trusted;   /* in a folder of the system; neither it nor the folder can be written by others */
};
/* name: as in argv[0]; is_remote: the folders are another host's, so the path is taken as it reads. In the arena. */
void program_resolve(struct arena *a, struct str name, bool is_remote, struct resolved *ret);
