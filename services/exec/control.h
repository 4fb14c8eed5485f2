/* What exec, the spawner and the supervisors say to each other, one message a datagram (SOCK_SEQPACKET, same machine,
 * same binary or an older one: only ever add to the end). */
#pragma once

#include "base/id.h"

/* exec to the spawner, with one descriptor (SCM_RIGHTS): the supervisor's end of a control connection; the same from
 * the spawner to its spare supervisor. To the spawner without a descriptor: one more supervisor that waits. One byte
 * instead: the spare one can go. exec to a supervisor that waits, on the connection that it offered, which becomes its
 * control connection. */
struct spawn_request {
	char id[ID_SIZE];
};

/* A supervisor that waits to exec, with its control connection, on which it takes its request. Without one: it does not
 * come (again), err says why; -EBUSY: its command lasts. */
struct spawn_offer {
	int32_t err;
};

/* One message with a descriptor (-1 = none). 0 or -errno; the number of bytes, or -1 with errno. */
int spawn_send(int fd, const void *data, size_t n, int passed);
ssize_t spawn_receive(int fd, void *data, size_t n, int flags, int *ret_passed);

/* Supervisor to exec. After the end, the connection is closed. A connection that closes without an end: look for the
 * result, else the command is lost. */
enum control_event_type {
	CONTROL_STARTED = 1, /* the leader runs; at_us */
	CONTROL_OUTPUT,      /* total bytes so far; the next one comes after CONTROL_SEEN */
	CONTROL_ENDED,       /* the result is on disk */
	CONTROL_TAKEN,       /* another supervisor has this command: connect to its socket */
	CONTROL_FAILED,      /* the spawner could not start a supervisor: err */
	CONTROL_INPUT,       /* total: bytes of input that the supervisor has; at_us: of these, how many the command's
			      * stdin took; err < 0: it takes no more */
	CONTROL_WAITING,     /* total 1: the command waits for input; 0: not any more */
};

struct control_event {
	uint32_t type;
	int32_t err;
	uint64_t total;
	int64_t at_us;
};

/* exec to a supervisor. */
enum control_request_type {
	CONTROL_CANCEL = 1,
	CONTROL_SEEN,
	CONTROL_DATA,     /* bytes for the command's stdin follow; at most CONTROL_WINDOW more than it took */
	CONTROL_DATA_END, /* its stdin ends; on a terminal: the character for it */
	CONTROL_SIGNAL,   /* a: the signal; b: 0 = the foreground group, 1 = the leader alone */
	CONTROL_RESIZE,   /* a: rows, b: columns */
};

/* A peer of before reads the type alone. */
struct control_request {
	uint32_t type;
	uint32_t a, b;
};

#define CONTROL_DATA_MAX (16 << 10) /* bytes in one request */
#define CONTROL_WINDOW (64 << 10)

/* All for exec's side. 1 = an event, 0 = the connection ended, -EAGAIN = nothing now. */
int control_receive(int fd, struct control_event *ret);
/* 0 or -errno; -EAGAIN: the supervisor has not read what came before. */
int control_send(int fd, enum control_request_type type);
int control_send_with(int fd, enum control_request_type type, uint32_t a, uint32_t b);
int control_send_data(int fd, const void *data, size_t n);

/* The socket in the command's folder on which a supervisor takes connections. */
#define CONTROL_SOCKET "ctl"
