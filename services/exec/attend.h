/* Attends one command in its sandbox from start to end: pipes, clock, kill, and the verdict. Who owns it gives the
 * output a place and tells the world: the supervisor of a local command (spool, control socket), or the program on an
 * SSH target (frames). Nothing here allocates after the start.
 *
 *	attendant_start; attendant_go; until state is ATTEND_ENDED: attendant_poll into one's own poll set,
 *attendant_handle, attendant_step; attendant_finish; a->result is the end; attendant_deinit. result.started_us says
 *that the leader runs. */
#pragma once

#include <poll.h>

#include "sandbox/sandbox.h"
#include "spec.h"
#include "watch.h"

/* What it waits for. */
enum attend_state {
	ATTEND_SETUP,    /* the sandbox's layers */
	ATTEND_RUNNING,  /* the leader's end, the time-out, a cancel */
	ATTEND_DRAINING, /* the ends of the pipes, for a moment at most */
	ATTEND_KILLING,  /* the death of everything inside */
	ATTEND_ENDED,
};

enum { ATTEND_PIDFD, ATTEND_INIT, ATTEND_OUT, ATTEND_ERR, ATTEND_IN, ATTEND_FDS };

struct attendant {
	const struct sandbox_host *host;
	struct arena *arena;
	struct spec *spec;
	struct result result; /* output_bytes and truncated_bytes are the owner's */
	enum attend_state state;
	uint64_t deadline_us; /* monotonic, of the state */
	uint64_t start_us;    /* monotonic, of the leader */
	struct sandbox sandbox;
	struct sandbox_spec command; /* for sandbox_go; its strings are in the arena */
	bool is_ready;               /* the sandbox */
	bool is_recorded;            /* the owner has said attendant_go */
	bool is_alone;               /* the leader ended, and left nobody behind */
	bool is_left;                /* it has left something in a shared sandbox, which goes on */
	int out[2];                  /* our ends of stdout and stderr, or of the terminal and -1; -1 = ended */
	bool is_wide[2];             /* it has so much output that its pipe was made larger */
	int in;                      /* our end of stdin, -1 = none or closed */
	size_t in_at;                /* bytes of the spec's input written */
	/* With spec->has_input: what came for stdin and waits to be taken. */
	char *pending;
	size_t pending_n;
	bool is_input_ended;      /* nothing comes any more */
	uint64_t received, taken; /* bytes that came, and went into stdin */
	bool is_waiting;          /* the command waits for input */
	uint64_t look_us;         /* monotonic: when to look whether it does */
	unsigned look_ms;         /* the pause before, growing while nothing happens */
	struct watch watch;       /* limits that the kernel does not keep */
	bool network;             /* the owner's: with the host's network */
	bool is_held;             /* the owner's: output waits in the pipes */
	bool is_tty_left;         /* nobody has the terminal open now */
	uint64_t tty_again_us;    /* monotonic: when to look again */

	/* i: 0 = stdout, 1 = stderr. */
	void (*on_output)(struct attendant *a, int i, const void *data, size_t n);
};

/* host, spec and on_output are set by the owner afterwards. */
void attendant_init(struct attendant *a, struct arena *arena);
/* Begins to make the sandbox ahead, before there is a spec. 0 or -errno with the reason in err. */
int attendant_open(struct attendant *a, const struct sandbox_frame *frame, struct error *err);
/* What the sandbox being made says, until a->is_ready. 0 or -errno. */
int attendant_await(struct attendant *a);
/* Makes everything ready, also the sandbox if there is none yet; `dir` (absolute) has the folder workspaces/. On
 * failure it has ended with a reason. */
int attendant_start(struct attendant *a, const char *dir);
/* That it starts is on record: the command may run, as soon as the sandbox is there. */
void attendant_go(struct attendant *a);
/* The start could not be put on record or the like: it ends as COMMAND_ERROR. */
void attendant_fail(struct attendant *a, const char *reason);
void attendant_cancel(struct attendant *a);
/* The same for another reason. */
void attendant_cancel_for(struct attendant *a, const char *reason);
/* Only with spec->has_input. Takes what there is room for: returns how many bytes, -EPIPE: its stdin is closed. */
ssize_t attendant_input(struct attendant *a, const void *data, size_t n);
void attendant_input_end(struct attendant *a);
/* To the terminal's foreground group, otherwise to the leader's group; or to the leader alone. 0 or -errno; -ESRCH: it
 * does not run. */
int attendant_signal(struct attendant *a, int sig, bool leader_alone);
/* 0 or -errno; -ENOTTY: it has no terminal. */
int attendant_resize(struct attendant *a, const struct tty_size *size);
void attendant_poll(const struct attendant *a, struct pollfd p[static ATTEND_FDS]);
void attendant_handle(struct attendant *a, const struct pollfd p[static ATTEND_FDS]);
/* After each turn: what is due by time, or by the pipes' ends. */
void attendant_step(struct attendant *a);
/* Until attendant_step is due again. */
int attendant_milliseconds(const struct attendant *a);
/* Reaps, takes the rest of the output, judges. */
void attendant_finish(struct attendant *a);
/* Closes all; the groups and the folder of the command go. */
void attendant_deinit(struct attendant *a, const char *dir);
