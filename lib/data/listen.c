#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "data/driver.h"

#define WAIT_MS 20000
#define AWAY_MS 1000
#define MAX_MESSAGES 1000

struct db_listener {
	const struct db_driver *driver;
	char *url, *channel;
	void (*on_message)(void *arg, const char *message);
	void *arg;
	struct job_lane *lane;
	struct job job; /* waits, again and again */
	int wake;       /* an eventfd: stop waiting */
	bool is_stopped;

	/* The job's, between its run and its done. */
	struct db_conn *conn;
	bool has_come_up;
	struct buf messages; /* each with its NUL */
	unsigned n_messages;
};

/* ---- On the lane's thread ---- */

static void take(void *arg, const char *message)
{
	struct db_listener *l = arg;

	if (l->n_messages == MAX_MESSAGES)
		return;
	buf_add(&l->messages, message, strlen(message) + 1);
	l->n_messages++;
}

static void pause_until_woken(struct db_listener *l, int ms)
{
	struct pollfd fd = {.fd = l->wake, .events = POLLIN};

	poll(&fd, 1, ms);
}

static void connect_again(struct db_listener *l)
{
	if (l->driver->open(l->url, false, &l->conn, NULL) == 0 && l->driver->listen(l->conn, l->channel) == 0) {
		l->has_come_up = true;
		return;
	}
	if (l->conn)
		l->driver->close(l->conn);
	l->conn = NULL;
	pause_until_woken(l, AWAY_MS);
}

static void wait_for_messages(struct job *job)
{
	struct db_listener *l = container_of(job, struct db_listener, job);

	if (!l->conn) {
		connect_again(l);
		return;
	}
	if (l->driver->wait(l->conn, l->wake, WAIT_MS, take, l) < 0) {
		l->driver->close(l->conn);
		l->conn = NULL;
	}
}

/* ---- On the loop ---- */

static void deliver(struct db_listener *l)
{
	const char *p = l->messages.p;

	/* Something may have been missed: by the connection that was away, or by more messages than fit. */
	if (l->has_come_up || l->n_messages == MAX_MESSAGES)
		l->on_message(l->arg, NULL);
	for (; l->n_messages > 0; l->n_messages--, p += strlen(p) + 1)
		l->on_message(l->arg, p);
	l->has_come_up = false;
	buf_clear(&l->messages);
}

static void on_waited(struct job *job)
{
	struct db_listener *l = container_of(job, struct db_listener, job);

	if (l->is_stopped)
		return;
	deliver(l);
	if (!l->is_stopped)
		job_submit(l->lane, job);
}

struct db_listener *db_listen(uv_loop_t *loop, struct db *db, const char *channel,
			      void (*on_message)(void *arg, const char *message), void *arg)
{
	const struct db_driver *driver = db_driver_of(db);
	struct db_listener *l;

	if (!driver->listen)
		return NULL;
	l = xcalloc(1, sizeof(*l));
	l->driver = driver;
	l->url = xstrdup(db_url_of(db));
	l->channel = xstrdup(channel);
	l->on_message = on_message;
	l->arg = arg;
	l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->wake < 0)
		abort();
	l->job.run = wait_for_messages;
	l->job.done = on_waited;
	list_init(&l->job.link);
	l->lane = job_lane_new(loop, "db-listen", 1, 1, NULL, NULL, l);
	job_submit(l->lane, &l->job);
	return l;
}

void db_listener_free(struct db_listener *l)
{
	uint64_t one = 1;

	if (!l)
		return;
	l->is_stopped = true;
	if (write(l->wake, &one, sizeof(one)) < 0)
		abort();
	job_lane_free(l->lane);
	if (l->conn)
		l->driver->close(l->conn);
	close(l->wake);
	buf_deinit(&l->messages);
	explicit_bzero(l->url, strlen(l->url));
	free(l->url);
	free(l->channel);
	free(l);
}

int db_notify(struct db_conn *c, const char *channel, const char *message)
{
	return c->driver->notify ? c->driver->notify(c, channel, message) : 0;
}
