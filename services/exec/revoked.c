/* A user who was disabled or removed loses what lasts longer than a request: his commands, his shared sandboxes with
 * all that runs in them, and (terminal.c) his connections to terminals. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "command.h"
#include "service/revocation.h"
#include "shared.h"

#define LATE_US (60 * 1000000ll) /* of one that is younger nothing may go on, however it was let in meanwhile */

struct ending {
	struct job job;
	struct exec *exec;
	char *user_id;
	int64_t before_us;
};

static void end_sandboxes(struct job *job)
{
	struct ending *q = container_of(job, struct ending, job);

	shared_end_of(q->exec->journal.dir_fd, q->user_id, q->before_us);
}

static void ending_free(struct job *job)
{
	struct ending *q = container_of(job, struct ending, job);

	free(q->user_id);
	free(q);
}

static void start_ending(struct exec *e, const char *user_id, int64_t before_us)
{
	struct ending *q = xcalloc(1, sizeof(*q));

	*q = (struct ending){{.run = end_sandboxes, .done = ending_free}, e, xstrdup(user_id), before_us};
	if (job_submit(e->files_lane, &q->job) < 0) {
		log_event(LOG_WARN, "shared sandboxes of a user who was disabled were not ended", "user", user_id,
			  NULL);
		ending_free(&q->job);
	}
}

/* They come again after a reconnection, when he may have been enabled since. */
void commands_revoke(void *arg, const struct revocation *what)
{
	struct exec *e = arg;
	int64_t now = clock_now_us(), before_us = now - what->at_us < LATE_US ? INT64_MAX : what->at_us;
	struct command *c, *next;

	if (what->kind != REVOKED_USER || what->permissions || what->number <= e->revoked_number)
		return;
	e->revoked_number = what->number;
	HASH_ITER(hh_id, e->by_id, c, next)
	if (strcmp(c->spec.user_id, what->subject) == 0 && c->spec.created_us <= before_us)
		command_cancel(c);
	start_ending(e, what->subject, before_us);
}
