/* The way out of a sandbox: an HTTP proxy on a socket that listens inside and is served outside, by a process of its
 * own for each command that has a network. A connection is for one host: its name must be allowed, it is resolved here
 * and once, and only an address that was looked at is connected to, so that a name cannot turn into another address
 * (rebinding) nor lead to what is not public. Every connection is logged, with the reason of a refusal. */
#pragma once

#include "base/networks.h"
#include "egress/rules.h"
#include "io/wheel.h"

struct egress;

struct egress_config {
	struct egress_rules allowed;
	struct networks inner;   /* addresses that are not public and may be reached all the same */
	uid_t uid;               /* that egress_main becomes; 0 = it stays who it is */
	const char *dns_servers; /* NULL: the system's */
	int listen_fd;           /* TCP, listening, non-blocking */
	int log_fd;              /* a line of JSON for each connection is appended; -1 = none */
};

#define EGRESS_LOG_MAX (1 << 20) /* bytes of a command's log; what comes later is not logged */
#define EGRESS_MAX_CLIENTS 64    /* at once; more wait in the socket's queue */

/* Both descriptors stay the caller's. Returns 0, or -errno with err set. */
int egress_new(uv_loop_t *loop, struct wheel *wheel, const struct egress_config *config, struct egress **ret,
	       struct error *err);
/* Cuts all connections. */
void egress_free(struct egress *e);
/* The same as a process: serves until SIGTERM, when it logs what is still open, and ends with its parent. */
NORETURN void egress_main(const struct egress_config *config);
