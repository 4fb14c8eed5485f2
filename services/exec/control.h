/* What exec, the spawner and the supervisors say to each other, one message a datagram (SOCK_SEQPACKET, same machine,
 * same binary or an older one: only ever add to the end). */
#pragma once

#include "base/id.h"

/* exec to the spawner, with one descriptor (SCM_RIGHTS): the supervisor's end of a control connection. */
struct spawn_request {
	char id[ID_SIZE];
};

/* Supervisor to exec. After the end, the connection is closed. A connection that closes without an end: look for the
 * result, else the command is lost. */
enum control_event_type {
	CONTROL_STARTED = 1, /* the leader runs; at_us */
	CONTROL_OUTPUT,      /* total bytes so far; the next one comes after CONTROL_SEEN */
	CONTROL_ENDED,       /* the result is on disk */
	CONTROL_TAKEN,       /* another supervisor has this command: connect to its socket */
	CONTROL_FAILED,      /* the spawner could not start a supervisor: err */
};

struct control_event {
	uint32_t type;
	int32_t err;
	uint64_t total;
	int64_t at_us;
};

/* exec to a supervisor. */
enum control_request_type { CONTROL_CANCEL = 1, CONTROL_SEEN };

struct control_request {
	uint32_t type;
};

/* Both for exec's side. 1 = an event, 0 = the connection ended, -EAGAIN = nothing now. */
int control_receive(int fd, struct control_event *ret);
int control_send(int fd, enum control_request_type type);

/* The socket in the command's folder on which a supervisor takes connections. */
#define CONTROL_SOCKET "ctl"
