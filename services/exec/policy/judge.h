/* The verdict on a command: the strictest over all its parts, by the strictest of the policies that apply. No I/O but
 * looking at the folders of programs. */
#pragma once

#include "policy/programs.h"
#include "policy/rules.h"

enum profile {
	PROFILE_SANDBOX, /* no network, writes in the workspace only */
	PROFILE_NETWORK, /* … and the network of the machine that it runs on */
	PROFILE_NONE,    /* no sandbox: nobody runs it */
	PROFILE_UNKNOWN,
};
const char *profile_name(enum profile p);
enum profile profile_of(const char *name);

/* What is to be judged. Strings live as long as the verdict is used. */
struct policy_request {
	char *const *argv; /* or */
	struct str script; /* p NULL: argv */
	const char *cwd;   /* as asked; "" = the workspace */
	char *const *env;  /* NAME=VALUE; NULL = none */
	enum profile profile;
	const struct egress_rules *hosts; /* that it wants to reach; NULL = none */
	bool is_remote;                   /* on another host: its folders cannot be looked at */
	bool distrusts_git;               /* settings of a repository may name filters */
};

/* One thing that was looked at. */
struct part {
	enum decision decision;
	const char *kind; /* command, redirection, environment, option, syntax, limit, profile, host */
	const char *text; /* shown as text_show does */
	const char *policy, *rule, *reason;
	const char *program; /* as resolved; NULL = not found */
	const char *class;   /* of commands */
	int command;         /* which of the script's, from 0; -1 = the whole */
};

struct verdict {
	enum decision decision;
	const struct part *decider; /* the first of the strictest parts; never NULL */
	struct part *parts;
	unsigned n;
	struct script script; /* when a script was judged */
	bool is_script, is_provable;
	bool is_confined;  /* redirections must stay in the workspace at the run too */
	bool reads_git;    /* a rule allowed git: its helpers are switched off */
	bool reads_tree;   /* … which compares files, and passes them through filters */
	struct arg *words; /* all words, of wrapped programs too: for those who look for files among them */
	unsigned n_words;
};

#define VERDICT_PARTS_MAX 200 /* further ones count, and are kept when they are stricter */

void policy_judge(struct arena *a, const struct policy *const *policies, size_t n, const struct policy_request *req,
		  struct verdict *ret);

/* Where a path of the command leads, relative to the workspace and without "." and ".."; NULL: not below it, or not to
 * be told without looking ("..", "~"). cwd as in the request. In the arena. */
const char *workspace_relative(struct arena *a, const char *cwd, struct str path);
