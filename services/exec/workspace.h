/* Workspaces as resources, of this machine and of targets: whose they are, who works in them now, and the frame in
 * which requests touch their files. Changes of files share a workspace; a snapshot, a restore and a removal have it
 * alone, without running commands. */
#pragma once

#include "tarball.h"
#include "target.h"

/* ---- Who works in it, on the loop ---- */

/* key: its name; of another machine's with "@" and the target's name behind it. */
const char *workspace_key(struct arena *a, const char *name, const char *target);
/* False: somebody has it alone. */
bool workspace_share(struct exec *e, const char *key);
/* False: somebody shares it, has it alone, or a command runs in it. */
bool workspace_take(struct exec *e, const char *key);
/* Who shares it has it alone from here on, until workspace_release. False: somebody else works in it, or a command runs
 * in it. */
bool workspace_upgrade(struct exec *e, const char *key);
void workspace_release(struct exec *e, const char *key);
bool workspace_is_taken(const struct exec *e, const char *key);
unsigned workspace_running(const struct exec *e, const char *key);

/* ---- A request's work: steps of an errand, where the workspace is ---- */

enum workspace_use {
	WORKSPACE_READ,
	WORKSPACE_WRITE,
	WORKSPACE_ALONE,
};

/* Embedded first in a struct of the exchange's arena. */
struct workspace_job {
	struct job job;
	struct exchange *x;
	struct exec *exec;
	enum workspace_use use;
	const char *name; /* the request's first parameter */
	const struct target *target;
	const char *key;
	bool any;     /* he may use everybody's */
	bool is_held; /* is shared or taken */
	bool is_busy; /* on its way to a thread or the target, there, or back */
	bool goes_on; /* after a success the work is not over: workspace_again or workspace_over follows */
	bool is_open; /* the errand is, here or there */
	struct errand errand;
	struct remote_errand *remote;
	struct errand_request req;
	struct errand_step step;
	struct errand_result r; /* of the last step */
	int result;             /* the same, or of what follows here */
	/* On a worker thread, around the first step; may be NULL. before: 0 or -errno. after: whatever the result is.
	 */
	int (*before)(struct workspace_job *w);
	void (*after)(struct workspace_job *w);
	/* In place of a step, on a worker thread: for work on this machine alone. */
	int (*run)(struct workspace_job *w);
	/* On the loop, with the client still there and result >= 0: answers. */
	void (*done)(struct workspace_job *w);
	/* On the loop, when the work is over by itself; may be NULL. */
	void (*clean)(struct workspace_job *w);
};

/* Which target the query names. NULL after answering. */
struct target *workspace_target(struct exchange *x);
/* The target's name as it is kept: "" = this machine. */
const char *workspace_target_name(const struct target *t);
/* Answers 404, 409 or 503 at once, or does the work: the step, or run. */
void workspace_start(struct exchange *x, struct workspace_job *w, enum workspace_use use);
/* Another step of the same work, w->step; the workspace stays shared. */
void workspace_again(struct workspace_job *w, void (*done)(struct workspace_job *w));
/* The end of work that goes_on, on the loop: after the answer, or when the client has left. */
void workspace_over(struct workspace_job *w);
/* What a failure of the work means to the client. */
void workspace_reply_failure(struct exchange *x, int result, const struct error *err);

/* The path of a request, from its second parameter or a query's value: decoded, checked. NULL after answering. */
const char *workspace_path(struct exchange *x, const char *path);
bool workspace_flag(struct exchange *x, const char *name);

void workspace_add_json(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct exec *e, const struct target *t,
			const struct workspace_entry *w);
