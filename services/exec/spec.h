/* What a command is to do and how it ended: the two files of a command's folder, spec.json and result.json. */
#pragma once

#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/id.h"
#include "base/str.h"
#include "egress/rules.h"
#include "pty.h"

#define SPEC_FILE "spec.json"
#define RESULT_FILE "result.json"
#define NETWORK_FILE "network.jsonl" /* a line for each connection, with spec.hosts */
#define STARTED_FILE "started"       /* made before the leader runs: from then on it may have run */

enum command_status {
	COMMAND_QUEUED,
	COMMAND_RUNNING,
	COMMAND_EXITED,
	COMMAND_SIGNALLED,
	COMMAND_TIMEOUT,
	COMMAND_CANCELLED,
	COMMAND_OOM,
	COMMAND_CPU,   /* its CPU time was used up */
	COMMAND_QUOTA, /* its workspace had too much in it */
	COMMAND_LOST,  /* its supervisor is gone without a result: it may have run, wholly or in part */
	COMMAND_ERROR, /* it could not be started */
};
#define COMMAND_STATUSES (COMMAND_ERROR + 1)
const char *command_status_name(enum command_status s);
/* -EBADMSG: there is none of that name. */
int command_status_of(const char *name);
static inline bool command_status_is_end(enum command_status s)
{
	return s >= COMMAND_EXITED;
}

/* Strings belong to the arena that it was made in. */
struct spec {
	char id[ID_SIZE];
	const char *user_id;
	const char *key;          /* hash of user and Idempotency-Key, "" = none */
	const char *request_hash; /* of the request's body */
	char **argv;              /* NULL at the end; NULL for a script */
	const char *script;       /* NULL for argv */
	char **plan;              /* what is run of a script that policy/script.h could prove; NULL: bash runs it */
	bool network;             /* profile network: the machine's; otherwise as the target has it */
	const char *cwd;          /* as asked, "" = /workspace */
	char **env;               /* NAME=VALUE, NULL at the end */
	struct str input;         /* stdin's first bytes */
	bool has_input;           /* stdin stays open for more */
	bool keeps_input;         /* what is typed goes into the recording */
	struct tty_size tty;      /* a terminal of that size; rows 0 = none */
	const struct egress_rules *hosts; /* that it may reach; NULL = none */
	const char *inner, *dns;          /* with hosts: options exec_network_inner and exec_network_dns */
	const char *target;               /* its name, "" = this machine */
	const char *workspace;            /* its id, "" = an empty one of its own */
	const char *session;              /* the shared sandbox that it runs in (shared.h), "" = one of its own */
	uint64_t session_idle_ms;         /* with session: it ends when nobody has used it for so long */
	unsigned sessions_max;            /* … and how many may live */
	char **tags;                      /* for lists, NULL at the end */
	uid_t uid;                        /* on the host, where exec is root */
	bool protects;                    /* protect.h */
	bool may_use_any;                 /* workspaces of others; not kept */
	bool is_replay;                   /* only the command that its key stands for already may answer; not kept */
	uint64_t timeout_ms, memory_max, tmp_max, output_max, file_size_max;
	uint64_t cpu_max_ms, quota_bytes, quota_files; /* 0 = none */
	unsigned pids_max, cpu_percent;                /* of one CPU; 0 = no quota */
	int64_t created_us;
	const char *boot; /* the machine's start in which it was accepted (boot_id), "" = not known */
};

struct result {
	enum command_status status;
	int exit_code; /* -1 = none */
	int signal;    /* 0 = none */
	char reason[240];
	uint64_t output_bytes, truncated_bytes;
	int64_t started_us, ended_us; /* 0 = never */
	uint64_t cpu_ms, max_rss_kib;
	uint64_t system_ms, read_bytes, write_bytes;                /* of cpu_ms; of disks */
	unsigned pids_peak, forks_refused, memory_kills, throttled; /* 0 = none, or not known */
	char removed[64];                                           /* a protected file that it had made; "" = none */
};

/* Of the machine's start; another after each. "" = not known. */
const char *spec_boot_id(void);
struct str spec_to_json(struct arena *a, const struct spec *spec);
/* Returns 0 or -EBADMSG. */
int spec_from_json(struct arena *a, struct str text, struct spec *ret);
struct str result_to_json(struct arena *a, const struct result *result);
int result_from_json(struct arena *a, struct str text, struct result *ret);
