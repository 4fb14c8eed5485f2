/* Runs the roles of an embedded platform, each as its own process (this program again: `ogent ROLE`), until told to
 * stop. A role that dies is started again, after a pause that doubles from 100 ms to 10 s while it keeps dying.
 * Stopping goes role by role, the gateway first, so that nothing new comes in while the others save. The roles die with
 * the supervisor. <data>/run/up.json tells what runs; <data>/run/address where. */
#pragma once

#include "args.h"

struct supervisor_events {
	/* Every role answers; once. */
	void (*on_ready)(void *arg);
	void *arg;
};

/* listen: the public address with its real port. Returns the exit code. */
int supervisor_run(const struct args *args, const char *listen, const struct supervisor_events *events);

/* The roles in the order in which they are stopped; NULL at the end. */
extern const char *const supervisor_roles[];
