/* A file's bytes as an answer, read on worker threads as fast as the client takes them; with a range if one is asked
 * for. */
#pragma once

#include "workspace.h"

struct sending {
	struct workspace_job w; /* keeps_root from the step that opened fd */
	int fd;
	struct stat st;
	const char *name, *type; /* of the download */
	uint64_t offset, end;
	char *block;
	size_t n; /* bytes in it */
};

/* In `done`: answers with the file and ends the work. */
void sending_start(struct sending *s);
/* As workspace_job.clean. */
void sending_clean(struct workspace_job *w);
