/* A sandbox that commands share: those of one user in one workspace, where a policy allows it. They see each other's
 * processes, keep /tmp, and what one starts in the background goes on; limits, the end and its reason are still each
 * command's own, since each has a seat in it (sandbox/sandbox.h).
 *
 * It belongs to a process, its keeper, which the first command's supervisor forks and which outlives exec. The keeper
 * has sessions/W@USER/lock for itself and listens on sessions/W@USER/ctl. A supervisor stays connected as long as its
 * command runs. The keeper ends when nobody has been for a while, when somebody asks for it, or when its sandbox dies;
 * then everything inside dies. */
#pragma once

#include "attend.h"

#define SHARED_FOLDER "sessions"
#define SHARED_NAME_SIZE 160

/* W@USER. */
const char *shared_name(struct arena *a, const char *workspace, const char *user_id);
/* Those that live, of one workspace (NULL: of all), except `but` (may be NULL). exec_fd: the exec folder. */
unsigned shared_count(int exec_fd, const char *workspace, const char *but);

/* ---- In exec, on a worker thread ---- */

struct shared_status {
	bool is_live;
	int64_t started_us;
	uint32_t running;   /* commands */
	uint32_t processes; /* inside, without those that are there for the sandbox's sake */
	uint64_t idle_ms;   /* since the last command's end; 0 while one runs */
};
/* 0 or -errno. */
int shared_ask(int exec_fd, const char *name, struct shared_status *ret);
/* Ends the one that is there now, and waits until it is gone; one that begins meanwhile stays. 0 or -errno;
 * -ETIMEDOUT. */
int shared_end(int exec_fd, const char *name);
/* Tells those of the user that began before then to end, and does not wait. */
void shared_end_of(int exec_fd, const char *user_id, int64_t before_us);

/* ---- In a supervisor ---- */

/* The attendant gets a seat in the shared sandbox that its spec names (session, sessions_max, session_idle_ms), which
 * is made if there is none. *ret_fd: the connection; when it is readable, shared_told. 0 or -errno with err. */
int shared_join(struct attendant *a, int exec_fd, const char *exec_dir, int *ret_fd, struct error *err);
/* The keeper says that the sandbox ends: false when it said nothing new. */
bool shared_told(int fd, char *ret_why, size_t size);
/* When the command has ended: what it left behind writes into the pipes on (fds, closed here), and nobody reads it; or
 * everything inside must end, since something of the command's may be out of reach. */
void shared_leave(int fd, int out[2], bool has_strays);
