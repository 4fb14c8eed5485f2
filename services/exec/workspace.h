/* Workspaces as resources: whose they are, who works in them now, and the frame in which requests touch their files.
 * Changes of files share a workspace; a snapshot, a restore and a removal have it alone, without running commands. */
#pragma once

#include "exec.h"
#include "tarball.h"

/* ---- Who works in it, on the loop ---- */

/* False: somebody has it alone. */
bool workspace_share(struct exec *e, const char *name);
/* False: somebody shares it, has it alone, or a command runs in it. */
bool workspace_take(struct exec *e, const char *name);
/* Who shares it has it alone from here on, until workspace_release. False: somebody else works in it, or a command runs
 * in it. */
bool workspace_upgrade(struct exec *e, const char *name);
void workspace_release(struct exec *e, const char *name);
bool workspace_is_taken(const struct exec *e, const char *name);
unsigned workspace_running(const struct exec *e, const char *name);

/* ---- A request's work on a worker thread ---- */

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
	bool any;         /* he may use everybody's */
	bool is_held;     /* is shared or taken */
	bool is_busy;     /* on its way to a thread, there, or back */
	int root;         /* its folder, during run */
	bool keeps_root;  /* after a success the work is not over: workspace_again or workspace_over follows */
	int result;
	struct error err; /* with -EBADMSG */
	/* On a worker thread. */
	int (*run)(struct workspace_job *w);
	/* On the loop, with the client still there and result >= 0: answers. */
	void (*done)(struct workspace_job *w);
	/* On the loop, when the work is over by itself; may be NULL. */
	void (*clean)(struct workspace_job *w);
};

/* Answers 404, 409 or 503 at once, or does the work. */
void workspace_start(struct exchange *x, struct workspace_job *w, enum workspace_use use);
/* Another step of the same work; the workspace stays shared. False: it was answered, and is over. */
bool workspace_again(struct workspace_job *w, int (*run)(struct workspace_job *w),
		     void (*done)(struct workspace_job *w));
/* The end of work that keeps_root, on the loop: after the answer, or when the client has left. */
void workspace_over(struct workspace_job *w);
/* What a failure of the work means to the client. */
void workspace_reply_failure(struct exchange *x, int result, const struct error *err);

/* The path of a request, from its second parameter or a query's value: decoded, checked. NULL after answering. */
const char *workspace_path(struct exchange *x, const char *path);
bool workspace_flag(struct exchange *x, const char *name);

/* Limits of one upload, archive and snapshot. */
struct tree_size workspace_limits(const struct exec *e);

void workspace_add_json(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct exec *e, const struct workspace_entry *w);
