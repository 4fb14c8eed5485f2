/* What is done with all that is a person's, in the background: erasing it, and writing it into a file for him.
 *
 * A job is a row of account_jobs. A process takes one at a time, under a claim: each write asks for it, so that who was
 * taken for dead writes no more, and after a crash the job is taken up again. */
#pragma once

#include "base/arena.h"
#include "base/id.h"
#include "base/json.h"
#include "data/db.h"

struct agent;
struct account_jobs;

struct account_jobs *account_jobs_new(struct agent *agent);
void account_jobs_start(struct account_jobs *j);
/* There is a new one. */
void account_jobs_wake(struct account_jobs *j);
void account_jobs_stop(struct account_jobs *j);
void account_jobs_free(struct account_jobs *j);

/* One that is being worked on. */
struct account_job {
	struct agent *agent;
	char id[ID_SIZE], user_id[65];
	bool is_export; /* otherwise everything goes */
	int64_t claim, attempts, created_at;
	const char *counts; /* as they were stored, an object of JSON */
	/* It is done with (0), to be tried again later (-EAGAIN), failed for good (-ECANCELED, with `error`), or
	 * somebody else's (ACCOUNT_LOST). On the loop, once. */
	void (*on_ended)(struct account_job *job, int result);
	struct error error;
};

/* Somebody else has it. */
#define ACCOUNT_LOST 1

/* In a write: 0 while it is ours, ACCOUNT_LOST, or -errno. The row stays as it is until the end of the transaction. */
int account_job_check(struct db_conn *c, const struct account_job *job);
/* In a write, after the check: what it is at. counts: an object of JSON. Returns 0 or -errno. */
int account_job_note(struct db_conn *c, const struct account_job *job, const char *stage, const char *counts);

/* In a write: a new job. Returns 0 or -errno. */
int account_job_add(struct db_conn *c, const char *id, const char *kind, const char *user_id, const char *heir_id);

/* In a write: the files of exports of a person that have ended go, with their jobs; id "": all. Returns how many, or
 * -errno. */
int account_exports_erase(struct db_conn *c, const char *user_id, const char *id);
/* A file in the database is cut into these. */
#define ACCOUNT_PART_BYTES (128 * 1024)
/* How often an export is tried. */
#define EXPORT_ATTEMPTS 5

/* export.c: all that is the person's becomes a file. NULL, with the job's error: it cannot begin. */
struct exporting;
struct exporting *exporting_start(struct account_job *job);
void exporting_stop(struct exporting *e);
void exporting_free(struct exporting *e);

/* erase.c: everything of the person goes. What is freed with erasure_free must have ended or been stopped. */
struct erasure;
struct erasure *erasure_start(struct account_job *job);
void erasure_stop(struct erasure *e);
void erasure_free(struct erasure *e);
