/* For the tests: a spawner in a temporary folder, and commands run through it as exec would. */
#pragma once

#include "spawner.h"
#include "spec.h"
#include "spool.h"

struct bench {
	char dir[32];
	int dir_fd;
	struct spawner spawner;
	struct arena *arena;
	unsigned n;
};

/* Leaves root for the user `nobody` if as_user; then the namespaces can be made to fail. Fails the test on error. */
struct bench *bench_new(bool as_user, bool namespaces);
/* With `pool` sandboxes made ahead. */
struct bench *bench_new_with(bool as_user, bool namespaces, unsigned pool);
void bench_free(struct bench *b);

/* On a machine that is emulated, where everything takes many times as long (OGENT_TEST_SLOW). */
bool trials_are_slow(void);

/* One command. */
struct trial {
	struct bench *bench;
	struct spec spec; /* change it before trial_start */
	int control;
	int64_t started_us;
	uint64_t total; /* as told */
	uint64_t input_taken;
	bool is_input_closed, is_waiting;
	struct result result;
	bool is_ended, is_closed;
	struct str output; /* what is kept, both streams; after trial_wait */
};

/* A script in a workspace of its own. */
struct trial trial_script(struct bench *b, const char *script);
struct trial trial_argv(struct bench *b, char *const *argv);
void trial_start(struct trial *t);
/* The same in a workspace that is there already. */
void trial_start_in(struct trial *t);
/* The two halves of it: everything on disk, and the request to the spawner. */
void trial_prepare(struct trial *t);
void trial_ask(struct trial *t);
/* Handles messages until the predicate holds or ms have passed; returns whether it did. */
bool trial_until(struct trial *t, bool (*fn)(const struct trial *t), int ms);
/* Until its end (30 s), then reads result and output. */
void trial_wait(struct trial *t);
void trial_cancel(struct trial *t);
/* All of it. */
struct trial trial_run(struct bench *b, const char *script);
bool trial_has_started(const struct trial *t);
bool trial_has_output(const struct trial *t);
bool trial_has_ended(const struct trial *t);
bool trial_is_waiting(const struct trial *t);
bool trial_input_is_closed(const struct trial *t);
/* The supervisor's pid, from /proc; 0 = gone. */
pid_t trial_supervisor(const struct trial *t);
/* Makes the workspace's folder, with the owner that the spec asks for. */
void bench_workspace(struct bench *b, const char *name, uid_t uid);
/* Processes on the machine whose command line has the text. */
unsigned count_processes(const char *text);
