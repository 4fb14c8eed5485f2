/* Tells the service manager how a process does, by the protocol of sd_notify(3): datagrams of lines NAME=VALUE to the
 * socket that $NOTIFY_SOCKET names. Without the variable there is nobody to tell, and nothing happens. */
#pragma once

#include <uv.h>

struct notify;

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, so that no child speaks in our name.
 * Returns NULL when there is nobody to tell; everything below takes NULL. */
struct notify *notify_new(uv_loop_t *loop);
/* READY=1, and from then on WATCHDOG=1 from the loop twice in the time that the manager waits for it. */
void notify_ready(struct notify *n);
/* STOPPING=1. The watchdog is still fed, since stopping in order takes its time. */
void notify_stopping(struct notify *n);
/* Closes the timer: the loop has to run once more. */
void notify_free(struct notify *n);
