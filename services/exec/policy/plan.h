/* A provable script as the list of what to do, and the one that does it: there is no shell between.
 *
 * A plan travels as an argv whose first item is empty, which no program's is, so that everything that carries a command
 * line carries it too:
 *
 *	"" HOME STEP…
 *	STEP = "C" OP REDIRECT… WORD…       a program; OP: . end, ; next, & if it did well, | if not, p pipe into the
 *next | "D" OP PATH                   change of folder REDIRECT = "R" FD KIND PATH          KIND: < > a(ppend), or { }
 *A: the same, beneath HOME by all links; & another FD WORD = "W" TEXT
 */
#pragma once

#include "base/util.h"
#include "policy/script.h"

/* The plan of a provable script, NULL at the end; HOME is left empty, to be filled in where it is run. confined:
 * redirections that write must end in the workspace. In the arena. */
char **plan_make(struct arena *a, const struct script *s, bool confined);
static inline bool plan_is(char *const *argv)
{
	return argv && argv[0] && !argv[0][0];
}

/* In the sandbox, instead of an exec: runs the plan and ends the process as a shell would. Only system calls; changes
 * the strings of argv. */
void plan_run(char **argv, char *const *envp) NORETURN;
