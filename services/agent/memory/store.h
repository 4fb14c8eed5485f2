/* What agents remember over conversations: short texts with names, in namespaces.
 *
 * - user: what all agents of a person know. - agent: what one agent knows of one person. - shared: what everybody's
 *   agents know.
 *
 * All functions run on worker threads, in a job. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/id.h"
#include "data/db.h"

#define MEMORY_NAME_MAX 200
#define MEMORY_VALUE_MAX 8000
/* In one namespace. */
#define MEMORY_MAX 1000

enum memory_scope { MEMORY_USER, MEMORY_AGENT, MEMORY_SHARED, MEMORY_SCOPES };
extern const char *const memory_scope_names[MEMORY_SCOPES];
/* MEMORY_SCOPES for an unknown one. */
enum memory_scope memory_scope_of(const char *name);

/* Whose memory is meant. */
struct memory_who {
	const char *user_id;
	const char *agent_id; /* NULL: no agent's */
};

struct memory {
	const char *id, *scope, *user_id, *agent_id, *name, *value, *execution_id;
	int64_t created_at, updated_at;
};

/* Stores or replaces. Returns 1 when it is new, 0 when it was replaced, -EMFILE when the namespace is full, -errno. */
int memory_put(struct db_conn *c, const struct memory_who *who, enum memory_scope scope, const char *name,
	       const char *value, const char *execution_id, struct arena *a, struct memory *ret);
/* 1 found, 0 none, or -errno. */
int memory_get(struct db_conn *c, const struct memory_who *who, enum memory_scope scope, const char *name,
	       struct arena *a, struct memory *ret);
/* 1 deleted, 0 there is none, or -errno. */
int memory_delete(struct db_conn *c, const struct memory_who *who, enum memory_scope scope, const char *name);
int memory_delete_id(struct db_conn *c, const char *id);
int memory_get_id(struct db_conn *c, const char *id, struct arena *a, struct memory *ret);
/* All of a person's, but what is shared. Returns how many, or -errno. */
int64_t memory_delete_user(struct db_conn *c, const char *user_id);
/* What this agent alone knows, of anybody. Returns how many, or -errno. */
int64_t memory_delete_agent(struct db_conn *c, const char *agent_id);

/* What to look for. */
struct memory_query {
	struct memory_who who;
	bool scopes[MEMORY_SCOPES];
	bool all_agents;   /* of MEMORY_AGENT: those of all agents, not only of who.agent_id */
	const char *words; /* any of them; NULL or "" = all, those changed last first */
	const char *after; /* id: only those before it; for lists without words, which are by id then */
	int64_t limit;
};
/* Calls fn for each. Returns 0 or -errno. */
int memory_find(struct db_conn *c, const struct memory_query *q, struct arena *a,
		void (*fn)(void *arg, const struct memory *m), void *arg);

/* What a model is told of it at the start, appended to `out`: the newest, some KiB at most. Returns 0 or -errno. */
int memory_summary(struct db_conn *c, const struct memory_who *who, struct arena *a, struct buf *out);
