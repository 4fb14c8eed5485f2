#include "service/internal.h"

static int on_run(struct db_conn *c, struct db_job *db)
{
	struct exchange_job *job = container_of(db, struct exchange_job, db);

	return job->run(c, job);
}

static void on_done(struct db_job *db, int result)
{
	struct exchange_job *job = container_of(db, struct exchange_job, db);
	struct exchange *x = job->x;

	if (job->done)
		job->done(job, result);
	else if (result)
		reply_db_failure(x, result);
	else if (job->done_ok)
		job->done_ok(job);
	exchange_drop(x);
}

static void prepare(struct exchange_job *job)
{
	exchange_hold(job->x);
	job->db.run = on_run;
	job->db.done = on_done;
}

void exchange_read(struct db *db, struct exchange_job *job)
{
	prepare(job);
	db_read(db, &job->db);
}

void exchange_write(struct db *db, struct exchange_job *job)
{
	prepare(job);
	db_write(db, &job->db);
}
