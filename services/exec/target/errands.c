#include "target/errands.h"

#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "files.h"
#include "target/place.h"

#define TRASH_US (24ll * 3600 * 1000000) /* nobody takes that long to remove or restore a workspace */

static int open_root(const struct errands *e)
{
	return dir_open(e->on.workspaces_fd, e->req.workspace);
}

/* What one that was killed left: of this workspace while nobody else works in it, of the others when it is old. */
static void sweep(const struct errands *e)
{
	int64_t now = clock_now_us();

	snapshot_sweep_of(&e->on, e->req.workspace, now);
	snapshot_sweep_trash(&e->on, now - TRASH_US);
}

static int open_all(struct errands *e, const char *dir)
{
	int r = place_open(dir, false, &e->dir_fd), root;

	if (r < 0)
		return r;
	e->on.workspaces_fd = dir_open(e->dir_fd, "workspaces");
	e->on.fd = dir_make(e->dir_fd, "snapshots");
	if (e->on.workspaces_fd < 0 || e->on.fd < 0)
		return MIN(e->on.workspaces_fd, e->on.fd);
	if (e->req.writes || e->req.alone) {
		e->lock_fd = place_lock(e->dir_fd, e->req.workspace, e->req.alone);
		if (e->lock_fd < 0)
			return e->lock_fd;
	}
	if (e->req.alone)
		sweep(e);
	root = open_root(e);
	errand_init(&e->errand, &e->on, e->req.workspace, root);
	return MIN(root, 0);
}

bool errands_open(struct errands *e, const char *dir, uid_t uid_base, struct str request, const char **ret_says)
{
	int r;

	*e = (struct errands){
		.kept = arena_new(), .arena = arena_new(), .dir_fd = -1, .lock_fd = -1, .uid_base = uid_base};
	e->on.workspaces_fd = e->on.fd = -1;
	errand_init(&e->errand, &e->on, "", -1);
	r = wire_read_errand(e->kept, request, &e->req);
	if (r < 0) {
		*ret_says = r == -EPROTO ? "The target's " TARGET_NAME
					   " is of another version: install the one of this release."
					 : "The target could not read the request.";
		errands_close(e);
		return false;
	}
	e->on.bytes_max = e->req.bytes_max;
	e->on.max = e->req.snapshots_max;
	e->on.steps_max = e->req.steps_max;
	e->failed = open_all(e, dir);
	return true;
}

static int make(struct errands *e, struct errand_result *ret)
{
	struct spec spec = {.workspace = e->req.workspace};
	int r = e->failed == -ENOENT ? place_prepare(e->dir_fd, e->uid_base, &spec)
		: e->failed < 0      ? e->failed
				     : -EEXIST;

	if (r < 0)
		return r;
	e->errand.root = open_root(e);
	e->failed = MIN(e->errand.root, 0);
	return e->failed < 0 ? e->failed : fstat(e->errand.root, &ret->st) < 0 ? -errno : 0;
}

/* Others who came in since stay: what is protected from them is left alone, or the step is refused. */
static int claim_alone(struct errands *e, struct errand_step *s)
{
	int r = s->flags & ERRAND_ALONE && !e->req.alone ? place_lock_alone(e->lock_fd) : 0;

	if (r < 0 && s->op == ERRAND_UNPACK)
		s->flags |= ERRAND_RUNNING;
	return s->op == ERRAND_UNPACK ? 0 : r;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Whether another step may follow. */
static bool goes_on(const struct errand_step *s, const struct errand_result *r)
{
	return r->result == 0 && (s->op == ERRAND_OPEN || s->op == ERRAND_READ || s->op == ERRAND_PUT ||
				  s->op == ERRAND_WRITE || s->op == ERRAND_PACK || s->op == ERRAND_TAKE);
}

bool errands_step(struct errands *e, struct str data, struct buf *out)
{
	struct errand_result result = {0};
	struct errand_step s;

	arena_reset(e->arena);
	if (wire_read_step(e->arena, data, &s) < 0)
		return false;
	if (s.op == ERRAND_MAKE)
		result.result = make(e, &result);
	else
		result.result = e->failed < 0 ? e->failed : claim_alone(e, &s);
	if (s.op != ERRAND_MAKE && result.result == 0)
		errand_do(&e->errand, &s, e->arena, &result);
	if (s.op == ERRAND_ERASE && result.result == 0)
		place_unlock_for_good(e->dir_fd, e->req.workspace);
	/* Whoever comes next, once the answer is there, finds nobody at work. */
	if (!goes_on(&s, &result)) {
		close_fd(&e->lock_fd);
		e->failed = -EINVAL;
	}
	wire_add_done(out, s.op, &result);
	return true;
}

void errands_close(struct errands *e)
{
	errand_deinit(&e->errand);
	close_fd(&e->on.workspaces_fd);
	close_fd(&e->on.fd);
	close_fd(&e->lock_fd);
	close_fd(&e->dir_fd);
	arena_free(e->kept);
	arena_free(e->arena);
}
