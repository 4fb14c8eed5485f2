/* The process that holds a shared sandbox, and what is said to it (SOCK_SEQPACKET, same machine, same binary or an
 * older one: only ever add to the end). */
#pragma once

#include <sys/un.h>

#include "attend.h"

enum keeper_request_type {
	KEEPER_JOIN = 1, /* a seat: the answer brings its control connection; the command runs until this one closes */
	KEEPER_STATUS,
	KEEPER_END,
	KEEPER_DRAIN, /* brings a pipe that what is left of a command may write into; it is read and thrown away */
};

struct keeper_request {
	uint32_t type;
};

/* Also unasked, with `why`: the sandbox ends, and who is in it with it. */
struct keeper_answer {
	int32_t err; /* -errno */
	int32_t pid; /* the seat's */
	char group[64];
	int64_t started_us;
	uint32_t running, processes;
	uint64_t idle_ms;
	char why[120];
};

struct error;
/* Forks a keeper of the sandbox that the attendant's spec describes, in the session's folder below `sessions`, with the
 * limits of the spec. Returns when it listens: 0, or -errno with err. */
int keeper_start(struct attendant *a, int dir_fd, int sessions, const char *exec_dir, struct error *err);
/* A socket, and the address in a session's folder. */
int keeper_address(int dir_fd, int *ret_socket, struct sockaddr_un *ret);
