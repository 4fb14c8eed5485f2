/* The policies of this exec, in memory and on disk, and the approvals that people gave.
 *
 *	policies/NAME.VERSION.json   every version of every stored policy
 *	approvals/HASH40.json        what was asked, or approved and not used up
 *
 * both below DATA/exec. On the loop's thread; writes are small and rare, and durable before they count. */
#pragma once

#include "exec.h"
#include "policy/judge.h"

struct policies {
	int policies_fd, approvals_fd;
	struct policy **items; /* the newest version of each */
	int64_t *changed_us;   /* of each; 0: built in */
	char (*changed_by)[64];
	size_t n;
	const struct policy *always; /* option command_policy: applies to every command */
	struct approval *approvals;  /* not ordered */
	size_t n_approvals;
};

/* Ends the process on a wrong option or a stored policy that cannot be read. */
void policies_open(struct exec *e);
void policies_close(struct exec *e);
/* NULL: there is none. A policy lives until it is replaced by another version; then policy_unref. */
struct policy *policies_find(struct exec *e, const char *name);
/* Makes `p` (named, not yet of a version) the newest version; takes it over. -errno. */
int policies_put(struct exec *e, struct policy *p, const char *user_id);
struct policy *policy_ref(struct policy *p);
void policy_unref(struct policy *p);

/* ---- Approvals ---- */

#define APPROVALS_MAX 1000
#define APPROVAL_WAITS_US (24 * 3600 * 1000000ll)
#define APPROVAL_LASTS_MAX_S (24 * 3600)

struct approval {
	char hash[65];
	char user_id[64];     /* whose command it is */
	char approved_by[64]; /* "" = it waits */
	char policy[POLICY_NAME_MAX + 1];
	char profile[16];
	char *text, *reason; /* shown text */
	int64_t created_us, expires_us;
	unsigned uses; /* left */
};

struct approval *approval_find(struct exec *e, const char *hash);
/* Somebody asked: keeps it for a person to see. Nothing happens when it is there already. */
void approval_ask(struct exec *e, const struct approval *a);
/* Takes one use away, durably. 0, -ENOENT: not approved, over, or used up; or -errno. */
int approval_use(struct exec *e, const char *hash);
/* 0 or -errno. */
int approval_give(struct exec *e, struct approval *a, const char *approved_by, unsigned uses, int64_t seconds);
/* Lets go of those whose time is over. */
void approvals_prune(struct exec *e);
/* Of policies_open and policies_close. */
void approvals_open(struct exec *e);
void approvals_close(struct exec *e);

/* ---- Judging a request ---- */

#define POLICIES_PER_COMMAND 3

/* The policies that apply to one command: the one that always does, the one that was asked for, the workspace's. */
struct applied {
	struct policy *policies[POLICIES_PER_COMMAND];
	size_t n;
	char names[3 * (POLICY_NAME_MAX + 70)]; /* with version and hash, for approvals */
};
/* name "" = no other. 0, -ENOENT: no such policy; -EINVAL: the workspace's is broken (err). In the arena. */
int policies_apply(struct exec *e, struct arena *a, const char *name, const char *workspace, bool is_remote,
		   struct applied *ret, struct error *err);

/* api.c */
void policies_list(struct exchange *x);
void policies_get(struct exchange *x);
void policies_replace(struct exchange *x);
void policies_check(struct exchange *x);
void policies_backtest(struct exchange *x);
void approvals_list(struct exchange *x);
void approvals_post(struct exchange *x);
void verdict_add_json(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct verdict *v, bool with_parts);

/* repository.c: whether the settings of the repositories that git would find in cwd, and in the folders that the script
 * goes to, name no program. script NULL: an argv. */
bool repositories_are_harmless(struct exec *e, struct arena *a, const char *workspace, const char *cwd,
			       const struct script *script);

/* gate.c: policy_judge, with a look at the workspace ("" = none) where that matters. */
void policy_judge_in(struct exec *e, struct arena *a, const struct applied *set, struct policy_request *req,
		     const char *workspace, struct verdict *ret);
/* gate.c: the one call of POST /api/commands. May it run? Then what it needs is in the spec; otherwise it has answered.
 */
bool policy_gate(struct exec *e, struct exchange *x, struct arena *a, struct spec *s);
