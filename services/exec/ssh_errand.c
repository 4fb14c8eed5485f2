/* An errand in a target's workspace: a channel of its own, on which each step is a frame and its answer another. The
 * next step may come right from `done`, which comes from the loop and never from within libssh. */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "ssh_run.h"
#include "target/wire_errand.h"

#define STEP_MS 30000  /* for a step that does one thing */
#define WORK_MS 600000 /* for one that goes through files without number */

struct remote_errand {
	struct list link; /* in the target's errands */
	struct ssh_target *target;
	struct ssh_run *run; /* NULL: it failed, and no step will be done any more */
	struct errand_request req;
	bool is_sent;    /* the request, with its first step */
	struct buf last; /* the answer with the last result's data */
	char lost[400];  /* why it failed */
	int lost_as;

	/* The step under way. */
	const struct errand_step *step; /* NULL: none is */
	struct arena *arena;
	struct errand_result *ret;
	void (*done)(void *arg);
	void *arg;
	bool has_answer;
	size_t unsent, received; /* bytes of the step and of its answer, when it was last looked at */
	struct later later;
};

static struct wheel *wheel_of(const struct remote_errand *e)
{
	return service_wheel(e->target->target.exec->service);
}

/* ---- Its end ---- */

static void fail_step(struct remote_errand *e)
{
	*e->ret = (struct errand_result){.result = e->lost_as};
	snprintf(e->ret->err.code, sizeof(e->ret->err.code), "%s",
		 e->lost_as == -EHOSTUNREACH ? "target_unavailable" : "target_lost");
	snprintf(e->ret->err.message, sizeof(e->ret->err.message), "%s", e->lost);
}

static void drop_run(struct remote_errand *e)
{
	struct ssh_target *t = e->target;

	if (!e->run)
		return;
	ssh_run_free(e->run);
	e->run = NULL;
	ssh_target_dispatch(t); /* there is room for another */
}

/* The run is freed later: its own step may be on the stack. */
void ssh_errand_fail(struct remote_errand *e, int result, const char *text)
{
	if (e->lost_as)
		return;
	e->lost_as = result;
	snprintf(e->lost, sizeof(e->lost), "%s", text);
	ssh_run_detach(e->run);
	e->run->state = RUN_SAVING;
	later_set(wheel_of(e), &e->later);
}

static void finish_step(struct remote_errand *e)
{
	if (e->run)
		deadline_clear(&e->run->deadline);
	e->step = NULL;
	e->has_answer = false;
	e->done(e->arg);
}

/* A target that was taken over may say anything; more than was asked for would break the client's answer. */
static bool read_answer(struct remote_errand *e)
{
	const struct errand_step *s = e->step;

	return e->has_answer && wire_read_done(e->arena, buf_str(&e->last), s->op, e->ret) == 0 &&
	       e->ret->data.n <= s->n && e->ret->n <= s->n;
}

static void deliver(struct remote_errand *e)
{
	bool is_answered = read_answer(e);

	if (!is_answered && !e->lost_as)
		ssh_errand_fail(e, -ECONNRESET, "The target's answer is not that of " TARGET_NAME ".");
	if (!is_answered)
		fail_step(e);
	if (e->lost_as)
		drop_run(e);
	finish_step(e);
}

static void on_later(struct later *l)
{
	struct remote_errand *e = container_of(l, struct remote_errand, later);

	if (e->step)
		deliver(e);
	else if (e->lost_as)
		drop_run(e);
}

/* ---- For its run ---- */

static uint64_t patience_ms(enum errand_op op)
{
	switch (op) {
	case ERRAND_MEASURE:
	case ERRAND_PLACE:
	case ERRAND_REMOVE:
	case ERRAND_PACK:
	case ERRAND_UNPACK:
	case ERRAND_LIST:
	case ERRAND_KEEP:
	case ERRAND_RESTORE:
	case ERRAND_DROP:
	case ERRAND_COPY:
	case ERRAND_ERASE: return WORK_MS;
	default: return STEP_MS;
	}
}

static void send_step(struct remote_errand *e)
{
	wire_add_step(&e->run->out, e->step);
	e->unsent = e->run->out.n;
	e->received = e->run->in.buf.n;
	ssh_run_await(e->run, patience_ms(e->step->op));
}

void ssh_errand_send(struct remote_errand *e)
{
	e->is_sent = true;
	wire_add_errand(&e->run->out, &e->req);
	send_step(e);
}

/* Its bytes may still be under way, on a slow line. More to send than before, a sign of life of ours, is no progress.
 */
void ssh_errand_overdue(struct remote_errand *e)
{
	struct ssh_run *run = e->run;

	if (e->has_answer)
		return;
	if (run->out.n >= e->unsent && run->in.buf.n <= e->received) {
		ssh_errand_fail(e, -ECONNRESET,
				"The program on the target does not answer; it may still do what it was asked.");
		return;
	}
	e->unsent = run->out.n;
	e->received = run->in.buf.n;
	ssh_run_await(run, patience_ms(e->step->op));
}

bool ssh_errand_has_begun(const struct remote_errand *e)
{
	return e->is_sent;
}

void ssh_errand_take(struct remote_errand *e, const struct frame *f)
{
	struct ssh_run *run = e->run;

	if (f->type == FRAME_DONE && e->step && !e->has_answer) {
		buf_clear(&e->last);
		buf_add(&e->last, f->data.p, f->data.n);
		e->has_answer = true;
		later_set(wheel_of(e), &e->later);
	} else if (f->type == FRAME_END) {
		run->has_end = wire_read_end(f->data, &run->result) == 0;
		run->is_broken = !run->has_end;
	} else {
		run->is_broken = true;
	}
}

void ssh_errand_next(struct remote_errand *e)
{
	struct ssh_run *run = e->run;
	char text[300];

	if (run->is_other_version)
		ssh_errand_fail(e, -EHOSTUNREACH,
				"The target's " TARGET_NAME " is of another version: install the one of "
				"this release (docs/ssh-target.md).");
	else if (run->has_end)
		ssh_errand_fail(e, -EHOSTUNREACH, run->result.reason);
	else if (run->is_broken || (run->is_closed && !run->has_hello)) {
		snprintf(text, sizeof(text), "The target's answer is not that of " TARGET_NAME "%s%s.",
			 run->said[0] ? ": " : "", run->said);
		ssh_errand_fail(e, run->has_hello ? -ECONNRESET : -EHOSTUNREACH, text);
	} else if (run->is_closed)
		ssh_errand_fail(e, -ECONNRESET, "The program on the target ended.");
}

/* ---- For the target ---- */

struct remote_errand *ssh_errand_open(struct target *target, const struct errand_request *req)
{
	struct ssh_target *t = container_of(target, struct ssh_target, target);
	struct remote_errand *e = xcalloc(1, sizeof(*e));

	e->target = t;
	e->req = *req;
	later_init(&e->later, on_later);
	list_append(&t->errands, &e->link);
	e->run = ssh_run_new(t, NULL, e);
	return e;
}

void ssh_errand_step(struct remote_errand *e, const struct errand_step *step, struct arena *a,
		     struct errand_result *ret, void (*done)(void *arg), void *arg)
{
	e->step = step;
	e->arena = a;
	e->ret = ret;
	e->done = done;
	e->arg = arg;
	if (e->lost_as) {
		later_set(wheel_of(e), &e->later);
	} else if (e->is_sent) {
		send_step(e);
		ssh_link_wake(e->run->on);
	} else {
		list_append(&e->target->waiting, &e->run->link);
		ssh_target_dispatch(e->target);
	}
}

void ssh_errand_close(struct remote_errand *e)
{
	list_remove(&e->link);
	later_clear(&e->later);
	drop_run(e);
	buf_deinit(&e->last);
	free(e);
}

void ssh_errands_end(struct target *target)
{
	struct ssh_target *t = container_of(target, struct ssh_target, target);
	struct remote_errand *e;

	list_foreach (e, &t->errands, struct remote_errand, link)
		if (e->step) {
			if (!e->has_answer && !e->lost_as)
				ssh_errand_fail(e, -ECONNRESET, "The service of commands ends.");
			later_clear(&e->later);
			deliver(e);
		}
}
