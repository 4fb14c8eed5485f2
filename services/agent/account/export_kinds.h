/* What of a person's is in the file, and how it is found: one JSONL for each kind. Worker thread, in a read. */
#pragma once

#include "agent/account/export_file.h"
#include "agent/agent.h"
#include "base/id.h"

/* Where it is. */
struct export_place {
	size_t kind;
	char after[ID_SIZE]; /* "" = from the first on */
	bool has_ended;
};

/* Some rows of a kind, and the files of theirs. Returns 0 or -errno. */
int export_rows(struct db_conn *c, struct export_file *f, const char *user_id, struct export_place *place);
/* The name of what is worked on. */
const char *export_kind_name(const struct export_place *place);
