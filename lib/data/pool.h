/* Jobs over connections to a server: one connection a worker thread, one transaction a job.
 *
 * A job is repeated when the server says that it met another one (-EDEADLK), and when the connection broke off before
 * its commit was sent: then nothing of it can have been stored. Once the commit has been sent, a broken connection
 * leaves the outcome unknown (-ECONNRESET), and the job is not repeated. While the server is away one thread tries to
 * reach it, less and less often; the other jobs end with -ENOTCONN at once. */
#pragma once

#include "data/driver.h"

struct db_pool;

struct db_pool *db_pool_new(const struct db_driver *driver, const char *url);
/* When no job runs any more. */
void db_pool_free(struct db_pool *p);
/* On a lane's thread: runs the job and sets its result. c: the thread's own connection, made when it is needed. */
void db_pool_run(struct db_pool *p, struct db_conn **c, struct db_job *job, bool for_writing);
