/* The parts of an SSH target. A target (ssh.c) keeps one connection open and makes more while its commands do not fit
 * on it; a link (ssh_link.c) is one connection; a run (ssh_run.c) is one channel of a link, with one command or with
 * the question what the target's sandbox is made of. All of it is on exec's loop: libssh without blocking. */
#pragma once

#include "command.h"
#include "io/address.h"
#include "spool.h"
#include "ssh_api.h"
#include "target/wire.h"

struct ssh_target {
	struct target target;
	const struct ssh_api *api; /* NULL: libssh is not installed */
	char *user;
	struct address address;
	char *identity, *known_hosts; /* files */
	bool network;
	unsigned sessions_max; /* runs on one link */

	struct list links;     /* struct ssh_link, link */
	struct list waiting;   /* struct ssh_run, link: for a link with room */
	struct list errands;   /* struct remote_errand, link: all of them */
	struct deadline again; /* the next attempt to connect */
	uint64_t failed_us;    /* monotonic, of the last failed attempt; 0 = none since a success */
	unsigned failures;     /* attempts in a row */
	bool is_refused;       /* the reason is no passing one */
	char reason[400];      /* "" = no failure since the last success */
	struct target_report report;
	struct metric *is_up;
	bool is_stopping;
	unsigned refs; /* one until exec ends, one for each link */
};

/* ---- Links ---- */

/* What it waits for. */
enum ssh_link_state {
	LINK_RESOLVING,  /* the host's addresses */
	LINK_CONNECTING, /* TCP */
	LINK_GREETING,   /* the exchange of keys */
	LINK_PROVING,    /* our own key to be accepted */
	LINK_PROBING,    /* the report of the target's sandbox */
	LINK_READY,      /* runs */
	LINK_CLOSING,    /* libuv's handles */
};

struct ssh_link {
	struct ssh_target *target;
	struct list link;
	enum ssh_link_state state;
	struct list runs; /* struct ssh_run, link */
	unsigned n_runs;
	uint64_t full_us; /* monotonic: until then it takes no more runs */
	uint64_t idle_us; /* monotonic: since then without runs */

	uv_getaddrinfo_t resolve;
	struct addrinfo *addresses, *next;
	int tcp_err; /* of the last address */
	int fd;
	uv_poll_t poll;
	int polled;                           /* the events asked for, of enum uv_poll_event */
	bool has_poll, is_resolving, is_busy; /* busy: within libssh, nothing may be freed */
	struct deadline deadline;
	struct later wake;
	ssh_session session;
	ssh_event event;
	ssh_key key;
	struct ssh_counter_struct traffic;
	uint64_t heard; /* bytes in at the last tick */
	unsigned silent_ticks;
	bool is_refused;
	char reason[400];
};

/* Starts to connect; ends in ssh_target_ready or ssh_target_lost. */
void ssh_link_new(struct ssh_target *t);
/* After something was said on one of its channels: it goes out at the turn's end. */
void ssh_link_wake(struct ssh_link *l);
/* A question that a host which lives answers at once. */
void ssh_link_ask(struct ssh_link *l);
/* Without a word to the target. The commands must have left. */
void ssh_link_close(struct ssh_link *l);
/* For its runs: it cannot be used any more. */
void ssh_link_fail(struct ssh_link *l, bool is_refused, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* ---- The target, for its links ---- */

void ssh_target_ready(struct ssh_target *t);
void ssh_target_unref(struct ssh_target *t);
/* The link is gone; its reason says why. */
void ssh_target_lost(struct ssh_target *t, struct ssh_link *l);
/* Gives waiting runs to links with room, makes a link if need be. */
void ssh_target_dispatch(struct ssh_target *t);

/* ---- Runs ---- */

struct ssh_run;

/* c is held until its end. Joins the waiting. */
void ssh_run_command(struct ssh_target *t, struct command *c);
/* Asks a new link what its sandbox is made of: the answer comes to ssh_run_report, or the link fails. */
void ssh_run_probe(struct ssh_link *l);
void ssh_link_report(struct ssh_link *l, const struct target_report *report);
/* On a link with room. */
void ssh_run_assign(struct ssh_run *run, struct ssh_link *l);
struct ssh_run *ssh_run_waiting(struct ssh_target *t);
/* A turn of its link is over. */
void ssh_run_step(struct ssh_run *run);
void ssh_run_step_all(struct ssh_link *l);
/* FRAME_ALIVE, to all that run. */
void ssh_run_tick_all(struct ssh_link *l);
/* The link of all these is gone: what has not been sent waits for another, what has is lost. */
void ssh_run_lose_all(struct ssh_link *l, const char *reason);
/* The link closes while it still asks what its sandbox is made of. */
void ssh_run_drop_probe(struct ssh_link *l);
/* No link can be had: those that wait end. */
void ssh_run_refuse_all(struct ssh_target *t, const char *reason);
void ssh_run_cancel(struct ssh_run *run);
/* As in struct target_kind; -EAGAIN: it is not there yet. */
ssize_t ssh_run_input(struct ssh_run *run, const void *data, size_t n);
int ssh_run_input_end(struct ssh_run *run);
int ssh_run_signal(struct ssh_run *run, int sig, bool leader_alone);
int ssh_run_resize(struct ssh_run *run, const struct tty_size *size);
/* exec ends. */
void ssh_run_leave(struct ssh_run *run);

/* ---- Errands (ssh_errand.c): as in struct target_kind ---- */

struct remote_errand *ssh_errand_open(struct target *t, const struct errand_request *req);
void ssh_errand_step(struct remote_errand *e, const struct errand_step *step, struct arena *a,
		     struct errand_result *ret, void (*done)(void *arg), void *arg);
void ssh_errand_close(struct remote_errand *e);
void ssh_errands_end(struct target *t);
