/* What exec keeps on disk, below DATA/exec:
 *
 *	commands/ID/    spec.json, started, output, result.json, and ctl while a supervisor lives; locked by it (flock).
 *			spec.json has room for the result behind the spec (files.h): what was accepted can tell its end
 *			however full the disk is, unless the file system copies what is written over
 *	running/ID      a mark for each command without a result, so that a start need not look at all of them
 *	keys/HASH       the id of the command that this user's Idempotency-Key stands for
 *	users/USER/ID   a mark for each command of a user, for lists
 *	workspaces/W/   the commands' folders; as root each is owned by a user id of its own
 *	owners/W        the user whose workspace that is; W@T: on the target T
 *	removals/W@T    that workspace of a target is nobody's any more, and goes when the target can be reached
 *	snapshots/W/ID/ see snapshot.h
 *
 * spec.json and the key are durable before a command counts as accepted. Blocking calls; thread-safe, for worker
 * threads. Everything returns 0 or -errno unless said otherwise. */
#pragma once

#include "spec.h"

struct journal {
	int dir_fd, commands_fd, running_fd, keys_fd, users_fd, workspaces_fd, owners_fd, removals_fd, snapshots_fd;
	bool is_root;
};

/* `shared`: workspaces must be reachable by other users (sandbox_report.is_shared). */
int journal_open(const char *dir, bool shared, struct journal *ret);
void journal_close(struct journal *j);

enum journal_saved { JOURNAL_SAVED, JOURNAL_EXISTS };
/* Makes the workspace (spec->uid: the user id if it is new; changed to its owner if not) and accepts the command.
 * JOURNAL_EXISTS: the key stands for another command already; its id is in ret_existing and nothing was kept. <0:
 * -errno; -EPERM: the workspace's name is taken by something else; -EACCES: it is another user's, and
 * spec->may_use_any is not set; -EBUSY: it is being removed; -ESTALE: spec->is_replay, and the key stands for none. */
int journal_save(const struct journal *j, struct spec *spec, char ret_existing[static ID_SIZE]);

struct journal_entry {
	struct spec spec;
	struct result result;
	bool has_result, has_started;
	int64_t started_us; /* 0 = not known */
	uint64_t total;     /* output so far */
};
/* -ENOENT: no such command. */
int journal_load(const struct journal *j, const char *id, struct arena *a, struct journal_entry *ret);
/* Its result alone. -ENOENT: it has none, or there is no such command. */
int journal_result(const struct journal *j, const char *id, struct result *ret);
/* The command's folder. fd or -errno. */
int journal_folder(const struct journal *j, const char *id);
/* The folder locked as a supervisor would: nobody has it. fd or -errno; -EWOULDBLOCK: a supervisor lives. */
int journal_lock(const struct journal *j, const char *id);
/* Writes the result of a command whose supervisor could not. */
int journal_end(const struct journal *j, const char *id, const struct result *result);
void journal_unmark(const struct journal *j, const char *id);
/* Whether its client may know of it: it has no key, or the key stands for it. */
bool journal_is_accepted(const struct journal *j, const struct spec *spec);
void journal_remove(const struct journal *j, const struct spec *spec);

struct id_list {
	char (*ids)[ID_SIZE];
	size_t n;
};
/* Newest first; user_id NULL = of all. In the arena. */
int journal_list(const struct journal *j, const char *user_id, struct arena *a, struct id_list *ret);
int journal_list_running(const struct journal *j, struct arena *a, struct id_list *ret);
/* The greatest user id that owns a workspace, 0 = none. */
uid_t journal_greatest_uid(const struct journal *j);
/* Removes commands that ended and are older. Returns how many. */
unsigned journal_prune(const struct journal *j, int64_t before_us);
/* Removes commands of a workspace that ended and began before then, with their output; user_id NULL = of all users.
 * Returns how many of them have not ended, or -errno. */
int journal_clear(const struct journal *j, const char *workspace, const char *user_id, int64_t before_us);

/* The folder of marks of a user who has no command any more. */
void journal_forget_user(const struct journal *j, const char *user_id);

struct workspace_entry {
	char name[65];
	const char *user_id; /* "" = of a service, or from before there were owners */
	int64_t created_us;
};
struct workspace_list {
	struct workspace_entry *items;
	size_t n;
};
/* On all of these: target "" = this machine. */
/* -ENOENT: it is not this user's (NULL: whoever's it is). */
int journal_check_owner(const struct journal *j, const char *name, const char *target, const char *user_id);
/* The name is this user's from here on. 1: it was nobody's before, 0: it was his already; -EACCES: it is another's;
 * -EBUSY: it is being removed. */
int journal_claim(const struct journal *j, const char *name, const char *target, const char *user_id);
/* It is nobody's. */
int journal_disclaim(const struct journal *j, const char *name, const char *target);
/* The folder of one of this machine's: fd, or -ENOENT: it is not there, or not this user's (NULL: whoever's it is). */
int journal_workspace(const struct journal *j, const char *name, const char *user_id);
int journal_workspace_entry(const struct journal *j, const char *name, const char *target, struct arena *a,
			    struct workspace_entry *ret);
/* By name, behind `after` (may be NULL), at most n; user_id NULL = of all. */
int journal_list_workspaces(const struct journal *j, const char *target, const char *user_id, const char *after,
			    size_t n, struct arena *a, struct workspace_list *ret);
/* A new one of this machine. -EEXIST */
int journal_make_workspace(const struct journal *j, const char *name, const char *user_id, uid_t uid);

/* Workspaces of targets that are to go are nobody's from here on: those of this name (NULL: of any) and this user
 * (NULL: of any). Durable. Returns how many, or -errno. */
int journal_give_up(const struct journal *j, const char *name, const char *user_id);
struct given_up {
	char name[65], target[41];
};
/* At most n of them, in the arena. */
int journal_list_given_up(const struct journal *j, size_t n, struct arena *a, struct given_up **ret, size_t *ret_n);
/* That one is gone: its name is free. */
int journal_removed(const struct journal *j, const struct given_up *w);

/* Whether the key (spec->key) stands for a command. */
bool journal_has_key(const struct journal *j, const char *key);
/* The name of the key's file. */
void journal_key(const char *user_id, const char *key, char ret[static 65]);
