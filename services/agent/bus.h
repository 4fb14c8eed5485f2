/* Between the agent processes that share a database: hints to look, see db_listen. With SQLite there is one process and
 * nothing is sent. */
#pragma once

#include "data/db.h"

struct agent;
struct bus;

/* What a hint says; each but the first is about an execution. */
enum bus_hint {
	BUS_QUEUE,  /* there are executions that nobody works on */
	BUS_CANCEL, /* it is to be stopped */
	BUS_FOLLOW, /* somebody elsewhere follows its events */
	BUS_MODELS, /* a connected provider of models has changed */
	BUS_EVENTS, /* it has new events in the database */
};

struct bus *bus_new(struct agent *agent);
/* Before the database is closed: no more hints come or go. */
void bus_stop(struct bus *b);
/* After it. */
void bus_free(struct bus *b);
/* Whether several processes can share this database. */
bool bus_is_shared(const struct bus *b);
/* Whether hints reach this process; otherwise only looking helps. */
bool bus_is_up(const struct bus *b);
/* Inside a write job: goes out with its commit. Returns 0 or -errno. */
int bus_tell(struct db_conn *c, enum bus_hint hint, const char *execution_id);
/* On the loop: goes out soon, by itself. */
void bus_send(struct bus *b, enum bus_hint hint, const char *execution_id);
