/* One channel of a connection, from inside: for ssh_run.c and ssh_errand.c. */
#pragma once

#include "session.h"
#include "ssh.h"

#define SAID_MAX 120

/* What it waits for. */
enum run_state {
	RUN_WAITING,   /* a link with room */
	RUN_OPENING,   /* the channel */
	RUN_ASKING,    /* the program to be started */
	RUN_RECORDING, /* "started" on the disk */
	RUN_LISTENING, /* the program's frames */
	RUN_SAVING,    /* the result on the disk; of an errand: to be freed */
};

struct ssh_run {
	struct list link; /* in the target's waiting, or the link's runs */
	struct ssh_target *target;
	struct ssh_link *on;          /* NULL while it waits or saves */
	struct command *command;      /* held */
	struct remote_errand *errand; /* neither: a probe */
	enum run_state state;

	ssh_channel channel;
	struct ssh_channel_callbacks_struct callbacks;
	struct frame_reader in;
	struct buf out;
	/* What came, noted by libssh's calls back. */
	bool has_hello, has_end, is_other_version, is_closed, is_broken;
	bool has_output;             /* for the streams */
	bool has_taken, has_waiting; /* of its input, to be told */
	uint64_t received, taken;
	bool is_input_closed, is_waiting;
	char said[SAID_MAX];         /* on the program's stderr */
	struct result result;        /* with has_end */
	struct target_report report; /* with has_report */
	bool has_report;

	uint64_t start_us; /* monotonic, of the leader */
	struct spool_writer spool;
	struct session session;
	int dir_fd; /* the command's folder */
	bool is_recorded, is_recording;
	unsigned refusals;
	struct deadline deadline;
	uint64_t due_us; /* monotonic: what it waits for must be there; the deadline may come before, to look */
	uint64_t heard;  /* bytes that its link had received at the last look */
	bool is_asked;   /* since that look the host owes an answer */
	struct job job;
	int job_result;
};

/* c, errand: one of them, or neither. */
struct ssh_run *ssh_run_new(struct ssh_target *t, struct command *c, struct remote_errand *errand);
/* Its channel closes; it is on no link any more. */
void ssh_run_detach(struct ssh_run *run);
void ssh_run_free(struct ssh_run *run);

/* What it waits for from here on must come within that time, and meanwhile its host must not be silent. */
void ssh_run_await(struct ssh_run *run, uint64_t ms);

/* ---- Errands, for runs (ssh_errand.c) ---- */

/* The channel has the program: what is to be said first. */
void ssh_errand_send(struct remote_errand *e);
/* Within libssh: an answer, or what is none. */
void ssh_errand_take(struct remote_errand *e, const struct frame *f);
/* A turn of the link is over. */
void ssh_errand_next(struct remote_errand *e);
/* The step under way has not been answered in time. */
void ssh_errand_overdue(struct remote_errand *e);
/* Its run is over. */
void ssh_errand_fail(struct remote_errand *e, int result, const char *text);
/* The target may have something of it: it cannot begin again on another connection. */
bool ssh_errand_has_begun(const struct remote_errand *e);
