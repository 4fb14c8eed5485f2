/* The exec role: runs commands in sandboxes. Reading order: routes.c, create.c, command.c, follower.c for the wire and
 * the loop; target.h with local.c and ssh.c for where commands run; journal.c, spool.c for the disk; spawner.c,
 * supervisor.c, sandbox/ for what runs. */
#pragma once

#include "io/jobs.h"
#include "journal.h"
#include "service/service.h"
#include "snapshot.h"
#include "spawner.h"

struct command;
struct policies;
struct removals;

struct exec {
	struct service *service;
	char *dir; /* DATA/exec, absolute */
	struct journal journal;
	struct snapshots snapshots;   /* and workspaces, of this machine */
	struct job_lane *lane;        /* for what blocks: saving, loading, listing, pruning */
	struct job_lane *files_lane;  /* for single files and folders of workspaces */
	struct job_lane *trees_lane;  /* for whole trees: archives, snapshots, removals, which may take long */
	struct workspace_hold *holds; /* hash table: workspaces that are worked in (workspace.c) */
	struct spawner spawner;
	uv_poll_t spawner_poll, offers_poll;
	enum sandbox_level wanted;
	uid_t next_uid;
	struct deadline prune;
	struct deadline pool_idle;

	int64_t revoked_number; /* of the last user who was disabled or removed (revoked.c) */
	struct list terminals;  /* struct terminal (terminal.c), link */
	struct list targets;    /* struct target, link; the local one first */
	struct policies *policies;
	struct removals *removals;

	/* Commands that have not ended. */
	struct command *by_id, *by_key; /* hash tables */

	/* Options. */
	uint64_t timeout_ms, timeout_max_ms, output_max, memory_max, tmp_max, file_size_max, retention_ms;
	uint64_t workspace_max;
	bool protects;                                 /* files of workspaces: sandbox/protect.h */
	uint64_t cpu_max_ms, quota_bytes, quota_files; /* 0 = none */
	unsigned cpu_percent;
	unsigned pids_max, running_max, snapshots_max, sessions_max;
	uint64_t session_idle_ms;
	unsigned steps_max; /* snapshots of steps of runs, of each workspace */
	const char *network_inner, *network_dns;

	struct {
		struct metric *ended[COMMAND_STATUSES], *seconds, *output_bytes;
	} metrics;
};

extern const struct route exec_routes[];
extern const size_t exec_routes_n;

/* exec.c. As spawner_ask; the pool is kept for a minute from here on. */
int exec_ask_spawner(struct exec *e, const char *id, int *ret_control);
/* create.c */
void commands_create(struct exchange *x);
/* commands.c */
void commands_list(struct exchange *x);
void commands_get(struct exchange *x);
/* user_gone.c */
void exec_user_gone(struct exchange *x);
/* commands_clear.c */
void commands_clear(struct exchange *x);
void commands_cancel(struct exchange *x);
/* commands.c */
void commands_stream(struct exchange *x);
void commands_output(struct exchange *x);
/* input.c */
void commands_stdin(struct exchange *x);
void commands_signal(struct exchange *x);
void commands_resize(struct exchange *x);
/* -EINVAL: none that can be sent. */
int command_signal_number(const char *name);
int tty_size_read(yyjson_val *obj, struct tty_size *ret, struct error *err);
/* network.c */
void commands_network(struct exchange *x);
/* terminal.c */
void commands_terminal(struct exchange *x);
void terminals_end(struct exec *e);
struct revocation;
/* For revocation_on_change; arg: struct exec. */
void terminals_revoke(void *arg, const struct revocation *what);
/* revoked.c: likewise. */
void commands_revoke(void *arg, const struct revocation *what);
/* Without waiting for their closing. */
void terminals_cut(struct exec *e);
/* recording.c */
void commands_recording(struct exchange *x);
/* workspaces.c */
void workspaces_list(struct exchange *x);
void workspaces_create(struct exchange *x);
void workspaces_get(struct exchange *x);
void workspaces_delete(struct exchange *x);
/* removals.c: on all targets, when they can be reached */
void workspaces_give_up(struct exchange *x);
/* workspace_session.c */
void workspace_session_get(struct exchange *x);
void workspace_session_delete(struct exchange *x);
/* workspace_files.c */
void workspace_files_root(struct exchange *x);
void workspace_files_get(struct exchange *x);
void workspace_files_put(struct exchange *x);
void workspace_files_delete(struct exchange *x);
void workspace_mkdir(struct exchange *x);
void workspace_move(struct exchange *x);
/* workspace_archive.c */
void workspace_archive_get(struct exchange *x);
void workspace_archive_post(struct exchange *x);
/* workspace_snapshots.c */
void snapshots_list(struct exchange *x);
void snapshots_make(struct exchange *x);
void workspaces_copy(struct exchange *x);
void snapshots_restore(struct exchange *x);
void snapshots_delete(struct exchange *x);
/* health.c */
void exec_make_metrics(struct exec *e);
void exec_health(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *obj);
/* NULL, or why no command may run and what to do, in the arena. */
const char *exec_unavailable(const struct exec *e, struct arena *a);
