/* A file's bytes as an answer, read where the workspace is as fast as the client takes them; with a range if one is
 * asked for. */
#pragma once

#include "workspace.h"

struct sending {
	struct workspace_job w; /* goes_on from the step that opened the file */
	struct stat st;
	const char *name, *type; /* of the download */
	uint64_t offset, end;
};

/* In `done` of the step whose result has the file's st: answers with it and ends the work. */
void sending_start(struct sending *s);
/* As workspace_job.clean. */
void sending_clean(struct workspace_job *w);
