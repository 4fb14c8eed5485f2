/* What begins runs by itself, and what tells others of runs. Every part looks into the database once a second and when
 * it is woken, so that nothing depends on a process's memory; several processes may look at the same time. */
#pragma once

struct agent;
struct automation;
struct error;

struct seal_key;

/* Reads the key that seals secrets. NULL with err. */
struct automation *automation_new(struct agent *agent, struct error *err);
/* Once runs can begin. */
void automation_start(struct automation *a);
/* No more work is taken up. */
void automation_stop(struct automation *a);
/* After the database is closed. */
void automation_free(struct automation *a);
const struct seal_key *automation_key(const struct automation *a);
/* There may be something to do now. */
void automation_wake(struct automation *a);
