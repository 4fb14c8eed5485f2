/* A policy: what is decided for which kind of thing, and rules on programs. A JSON object (docs/policy.md;
 * PolicyText in docs/openapi.yaml is its shape); what is wrong in it is told when it is loaded, and its examples are
 * tried then. Immutable once loaded, so any thread may judge by it. */
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "egress/rules.h"
#include "policy/script.h"

/* In rising order of strictness. */
enum decision { DECISION_ALLOW, DECISION_ASK, DECISION_DENY };
const char *decision_name(enum decision d);

/* Whether the commands of one user in one workspace run in one sandbox; in rising order of what it allows. */
enum sharing {
	SHARING_UNSAID,
	SHARING_OWN,     /* each has its own */
	SHARING_EITHER,  /* … unless the request wants to share one */
	SHARING_SESSION, /* they share one, unless the request wants its own */
};

struct rule {
	const char *id;
	enum decision decision;
	const char *reason;       /* for people; NULL = none */
	const char **programs;    /* names or absolute paths; NULL at the end */
	const char **subcommands; /* NULL = any */
	const char **only;        /* allow: every argument is one of these, or begins as one that ends in '*' */
	const char **has;         /* one of these options is there */
	const char **lacks;       /* none of these options is there */
	const char **paths;       /* allow: arguments that are no options are below one of these */
	int64_t args_max;         /* -1 = any number */
};

#define POLICY_NAME_MAX 40
#define POLICY_RULES_MAX 500
#define POLICY_TEXT_MAX (64 << 10)

struct policy {
	char name[POLICY_NAME_MAX + 1];
	int64_t version; /* 0: built in, or not stored */
	char hash[65];   /* of its text */
	const char *description;
	enum decision standard;                         /* no rule speaks of the program */
	enum decision code;                             /* … and it runs other programs */
	enum decision untrusted;                        /* … and it is not in a folder that only the system writes */
	enum decision hazard;                           /* an option that runs or writes something */
	enum decision opaque;                           /* a script that is not provable */
	enum decision invisible;                        /* … for characters that cannot be seen */
	enum decision environment;                      /* a variable that changes what runs */
	enum decision read, workspace, hidden, outside; /* redirections */
	bool is_open;                                   /* nothing of it can be stricter than allow */
	const struct egress_rules *hosts;               /* that commands may reach; NULL: it does not speak of it */
	enum decision other_hosts;                      /* for those that are not among them */
	bool is_workspaces;                             /* from a file of the workspace: it can forbid only */
	bool ask_is_deny;                               /* nobody is there to be asked */
	enum sharing sharing;                           /* of a sandbox by the commands of a session */
	struct script_limits limits;
	struct rule *rules;
	size_t n_rules;
	struct str text; /* the JSON it was made from */
	struct arena *arena;
	unsigned refs; /* of the store */
};

/* Reads and checks it. The policy has an arena of its own (policy_free). Returns NULL with err set; the sentence names
 * the member. */
struct policy *policy_load(const char *name, struct str json, struct error *err);
void policy_free(struct policy *p);
DEFINE_CLEANUP(struct policy *, policy_free)

/* The policies that are always there, as JSON; ends with a NULL name. */
struct builtin_policy {
	const char *name, *json;
};
extern const struct builtin_policy builtin_policies[];

/* a-z, 0-9, '-' and '_', at most POLICY_NAME_MAX, no word of the API's own. */
bool policy_name_is_valid(const char *name);
