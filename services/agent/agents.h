/* An agent as the files of the resource share it. Worker thread, unless said. */
#pragma once

#include "agent/handlers.h"

struct agent_row {
	const char *id, *slug, *name, *description, *config, *owner_id;
	const char *shares; /* agent_shares.h */
	int64_t version, created_at, updated_at;
};

#define AGENT_COLUMNS "id, slug, name, description, config, version, owner_id, created_at, updated_at, shares"

/* The columns AGENT_COLUMNS from the first on; the strings are in the arena. */
void agent_row_read(struct db_stmt *st, struct arena *a, struct agent_row *ret);
/* With what `who` may do with it. */
void agent_row_add(struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct agent_row *row,
		   const struct identity *who);
/* Answers with it and its ETag. */
int agent_row_answer(struct answer *a, int status, const struct agent_row *row);
/* The agent of the request's path, if its user may use it. 0, or what run is to return. */
int agent_find(struct db_conn *c, struct answer *a, struct agent_row *ret);
/* In a write job: the same, if he has this right on it (enum agent_right). */
int agent_find_to_change(struct db_conn *c, struct answer *a, unsigned right, struct agent_row *ret);
/* A slug that nobody has, made of the wish. Returns 0 or -errno. */
int agent_free_slug(struct db_conn *c, struct arena *a, const char *wish, const char **ret);
/* "Data Analyst (EU)" becomes "data-analyst-eu". In the arena. */
const char *agent_make_slug(struct arena *a, const char *name);
/* Answers a request that makes an agent of this body. On the loop. */
void agents_create_from(struct exchange *x, yyjson_val *body);
/* Stores a new one with its first version. Returns 0 or -errno. */
int agent_row_insert(struct db_conn *c, const struct agent_row *row);
/* The changed agent becomes its next version, and the answer. Returns 0 or -errno. */
int agent_row_store(struct db_conn *c, struct answer *a, struct agent_row *row);
