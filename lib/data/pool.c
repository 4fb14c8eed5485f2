#include "data/pool.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

/* Of a job that meets others; after that it is -EBUSY. */
#define MAX_MEETINGS 20
#define MEETING_PAUSE_MAX_MS 64
/* Of a job whose connection breaks off before its commit. */
#define MAX_RECONNECTS 3
#define AWAY_PAUSE_MIN_MS 50
#define AWAY_PAUSE_MAX_MS 2000

struct db_pool {
	const struct db_driver *driver;
	char *url;
	uv_mutex_t lock; /* for what follows */
	unsigned failures;
	uint64_t next_try_us; /* monotonic; while failures > 0 */
	bool is_trying;       /* one thread, while failures > 0 */
};

struct db_pool *db_pool_new(const struct db_driver *driver, const char *url)
{
	struct db_pool *p = xcalloc(1, sizeof(*p));

	p->driver = driver;
	p->url = xstrdup(url);
	if (uv_mutex_init(&p->lock) != 0)
		abort();
	return p;
}

void db_pool_free(struct db_pool *p)
{
	if (!p)
		return;
	uv_mutex_destroy(&p->lock);
	explicit_bzero(p->url, strlen(p->url));
	free(p->url);
	free(p);
}

/* ---- Connections ---- */

static bool may_try(struct db_pool *p)
{
	bool may;

	uv_mutex_lock(&p->lock);
	may = p->failures == 0 || (!p->is_trying && clock_mono_us() >= p->next_try_us);
	if (may && p->failures > 0)
		p->is_trying = true;
	uv_mutex_unlock(&p->lock);
	return may;
}

static uint64_t away_pause_ms(unsigned failures)
{
	uint64_t ms = MIN((uint64_t)AWAY_PAUSE_MIN_MS << MIN(failures, 10u), AWAY_PAUSE_MAX_MS);

	return ms / 2 + randombytes_uniform((uint32_t)ms / 2 + 1);
}

static void note_try(struct db_pool *p, int result, const struct error *err)
{
	unsigned before;

	uv_mutex_lock(&p->lock);
	before = p->failures;
	p->is_trying = false;
	p->failures = result < 0 ? before + 1 : 0;
	p->next_try_us = clock_mono_us() + away_pause_ms(before) * 1000;
	uv_mutex_unlock(&p->lock);
	if (result < 0 && before == 0)
		log_warn("the database is away: %s", err->message);
	else if (result == 0 && before > 0)
		log_info("the database is back");
}

static int connect_if_needed(struct db_pool *p, struct db_conn **c, bool for_writing)
{
	struct error err = {0};
	int r;

	if (*c)
		return 0;
	if (!may_try(p))
		return -ENOTCONN;
	r = p->driver->open(p->url, for_writing, c, &err);
	note_try(p, r, &err);
	return r < 0 ? -ENOTCONN : 0;
}

static void drop_if_lost(struct db_conn **c)
{
	if (*c && !(*c)->driver->is_connected(*c)) {
		(*c)->driver->close(*c);
		*c = NULL;
	}
}

/* ---- Jobs ---- */

enum outcome { DONE, MET_ANOTHER, LOST };

/* The job once, as one transaction. */
static enum outcome attempt(struct db_conn *c, struct db_job *job, const char *begin)
{
	const struct db_driver *d = c->driver;
	bool is_commit_sent = false;

	c->is_over = false;
	int r = d->run(c, begin);

	if (r == 0)
		r = job->run(c, job);
	if (r == 0 && c->is_over) /* whatever the job made of it: what it wrote before is gone */
		r = -EDEADLK;
	if (r == 0) {
		is_commit_sent = true;
		r = d->run(c, "commit");
	}
	if (r != 0 && d->is_connected(c) && d->is_in_transaction(c))
		d->run(c, "rollback");
	job->result = r;
	if (r < 0 && !d->is_connected(c)) {
		job->result = is_commit_sent ? -ECONNRESET : -ENOTCONN;
		return is_commit_sent ? DONE : LOST;
	}
	return r == -EDEADLK ? MET_ANOTHER : DONE;
}

static void pause_after_meeting(unsigned meetings)
{
	uint32_t ms = MIN(1u << MIN(meetings, 10u), (uint32_t)MEETING_PAUSE_MAX_MS);

	usleep(randombytes_uniform(ms * 1000));
}

void db_pool_run(struct db_pool *p, struct db_conn **c, struct db_job *job, bool for_writing)
{
	const char *begin = for_writing ? p->driver->begin_write : p->driver->begin_read;
	unsigned meetings = 0, reconnects = 0;

	for (;;) {
		job->result = connect_if_needed(p, c, for_writing);
		if (job->result < 0)
			return;
		switch (attempt(*c, job, begin)) {
		case DONE: drop_if_lost(c); return;
		case MET_ANOTHER:
			if (++meetings == MAX_MEETINGS) {
				job->result = -EBUSY;
				return;
			}
			pause_after_meeting(meetings);
			break;
		case LOST:
			drop_if_lost(c);
			if (++reconnects > MAX_RECONNECTS)
				return;
			break;
		}
	}
}
