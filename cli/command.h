/* The commands of `ogent`: one file and one line in the table (commands.c) each. */
#pragma once

#include "base/util.h"

/* `ogent help exit-codes` prints what they mean. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2, /* also: cancelled */
	EXIT_CANCELLED = 2,
	EXIT_NOT_RUNNING = 3,
	EXIT_AUTH = 4,
};

struct command {
	const char *name;
	const char *arguments; /* as they stand in the usage line behind the name */
	const char *summary;   /* one line for the list of commands */
	const char *help;      /* more lines for `ogent help NAME`; may be NULL */
	/* argv[0] is the command's name. Returns the exit code. */
	int (*run)(const struct command *self, int argc, char **argv);
};

/* Ends with a NULL name. */
extern const struct command commands[];
const struct command *command_find(const char *name);
void command_print_help(const struct command *c);

int cmd_up(const struct command *self, int argc, char **argv);
int cmd_status(const struct command *self, int argc, char **argv);
int cmd_login(const struct command *self, int argc, char **argv);
int cmd_mails(const struct command *self, int argc, char **argv);
int cmd_chat(const struct command *self, int argc, char **argv);
int cmd_run(const struct command *self, int argc, char **argv);
int cmd_policy(const struct command *self, int argc, char **argv);
int cmd_agents(const struct command *self, int argc, char **argv);
int cmd_usage(const struct command *self, int argc, char **argv);
int cmd_fork(const struct command *self, int argc, char **argv);
int cmd_approvals(const struct command *self, int argc, char **argv);
int cmd_batches(const struct command *self, int argc, char **argv);
int cmd_evaluations(const struct command *self, int argc, char **argv);
int cmd_schedules(const struct command *self, int argc, char **argv);
int cmd_knowledge(const struct command *self, int argc, char **argv);
int cmd_apis(const struct command *self, int argc, char **argv);
int cmd_models(const struct command *self, int argc, char **argv);
int cmd_history(const struct command *self, int argc, char **argv);
int cmd_backup(const struct command *self, int argc, char **argv);
int cmd_restore(const struct command *self, int argc, char **argv);
int cmd_users(const struct command *self, int argc, char **argv);
int cmd_roles(const struct command *self, int argc, char **argv);
int cmd_memory(const struct command *self, int argc, char **argv);
int cmd_account(const struct command *self, int argc, char **argv);
int cmd_retention(const struct command *self, int argc, char **argv);
int cmd_tokens(const struct command *self, int argc, char **argv);
int cmd_events(const struct command *self, int argc, char **argv);
int cmd_sso(const struct command *self, int argc, char **argv);
int cmd_audit(const struct command *self, int argc, char **argv);
int cmd_keys(const struct command *self, int argc, char **argv);
int cmd_config(const struct command *self, int argc, char **argv);
int cmd_doctor(const struct command *self, int argc, char **argv);
int cmd_role(const struct command *self, int argc, char **argv);
int cmd_files(const struct command *self, int argc, char **argv);
int cmd_terminal(const struct command *self, int argc, char **argv);
int cmd_exec(const struct command *self, int argc, char **argv);
int cmd_healthcheck(const struct command *self, int argc, char **argv);
int cmd_setup_link(const struct command *self, int argc, char **argv);
int cmd_version(const struct command *self, int argc, char **argv);
int cmd_help(const struct command *self, int argc, char **argv);
