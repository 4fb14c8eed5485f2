/* Where commands run. A kind of target is one file and one struct of functions: local.c (a sandbox on this machine, by
 * the spawner) and ssh.c (a sandbox that ogent-target makes on another host). A command names its target; "local" is
 * the default and always there, the others come from the option exec_ssh_target. */
#pragma once

#include "errand.h"
#include "exec.h"

struct command;
struct target;
struct remote_errand;

struct target_kind {
	const char *name;
	/* The command is in the journal: it runs, and ends by command_end, now or later. */
	void (*start)(struct command *c);
	/* One that the journal has without a result, at exec's start: found again, started, or ended. */
	void (*adopt)(struct command *c);
	/* Wanted once, while it runs. */
	void (*cancel)(struct command *c);
	/* A stream has shown all output there is. */
	void (*seen)(struct command *c);
	/* These may be NULL: not on this kind of target. As command_input and its neighbours, while it runs; for what
	 * input does not take now, command_input_told tells of room. */
	ssize_t (*input)(struct command *c, const void *data, size_t n);
	int (*input_end)(struct command *c);
	int (*signal)(struct command *c, int sig, bool leader_alone);
	int (*resize)(struct command *c, const struct tty_size *size);
	/* It leaves the tables: it has ended, or exec ends. May come without a start. */
	void (*leave)(struct command *c);
	/* NULL, or why no command may run and what to do, in the arena. */
	const char *(*unavailable)(const struct target *t, struct arena *a);
	/* Members of GET /api/targets: state, reason and what the sandbox is made of; no secrets. */
	void (*describe)(const struct target *t, yyjson_mut_doc *doc, yyjson_mut_val *obj);
	/* Work on the files of its workspaces (errand.h). These are NULL on this machine, where worker threads do it.
	 * What the request points to lives as long as the errand. */
	struct remote_errand *(*errand_open)(struct target *t, const struct errand_request *req);
	/* One at a time. done comes later, exactly once, on the loop; a and the step live until then. The result's data
	 * is valid until the next step. -EHOSTUNREACH: it was not begun; -ECONNRESET: it may have been; with err. */
	void (*errand_step)(struct remote_errand *e, const struct errand_step *step, struct arena *a,
			    struct errand_result *ret, void (*done)(void *arg), void *arg);
	/* Between steps. What was begun and not finished leaves nothing. */
	void (*errand_close)(struct remote_errand *e);
	/* exec ends: all steps are done now. */
	void (*errands_end)(struct target *t);
	/* exec ends; the commands have left. */
	void (*stop)(struct target *t);
};

extern const struct target_kind target_local, target_ssh;

struct target {
	const struct target_kind *kind;
	struct exec *exec;
	char name[33];
	struct list link; /* in exec's targets */
};

#define TARGET_LOCAL "local"

/* All targets that the options name. Ends the process on a wrong option, with what to do. */
void targets_open(struct exec *e);
/* exec ends: nobody waits for another machine any more. */
void targets_end_errands(struct exec *e);
void targets_close(struct exec *e);
/* NULL: there is none of that name. "" is the local one. */
struct target *target_find(struct exec *e, const char *name);
/* GET /api/targets */
void targets_list(struct exchange *x);
/* The parts of the sandbox that a report shows: level, required, ok, layers. */
void report_add_json(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct sandbox_report *r,
		     enum sandbox_level wanted);
/* Why a machine with that report may not run commands, `where` in front; NULL: it may. */
const char *report_refusal(const struct sandbox_report *r, enum sandbox_level wanted, const char *where,
			   struct arena *a);

/* ssh.c: a target at ssh://USER@HOST[:PORT]. Ends the process on a wrong option. */
struct target *ssh_target_new(struct exec *e, const char *name, const char *url);
