#include "workspace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "command.h"
#include "files.h"
#include "lookup.h"
#include "shared.h"

struct workspace_hold {
	char key[128];
	unsigned shares;
	bool is_alone;
	UT_hash_handle hh;
};

/* ---- Who works in it ---- */

static struct workspace_hold *hold_of(const struct exec *e, const char *key)
{
	struct workspace_hold *h;

	HASH_FIND_STR(e->holds, key, h);
	return h;
}

static struct workspace_hold *hold_make(struct exec *e, const char *key)
{
	struct workspace_hold *h = hold_of(e, key);

	if (h)
		return h;
	h = xcalloc(1, sizeof(*h));
	snprintf(h->key, sizeof(h->key), "%s", key);
	HASH_ADD_STR(e->holds, key, h);
	return h;
}

bool workspace_is_taken(const struct exec *e, const char *key)
{
	struct workspace_hold *h = hold_of(e, key);

	return h && h->is_alone;
}

bool workspace_share(struct exec *e, const char *key)
{
	if (workspace_is_taken(e, key))
		return false;
	hold_make(e, key)->shares++;
	return true;
}

const char *workspace_key(struct arena *a, const char *name, const char *target)
{
	return *target ? arena_printf(a, "%s@%s", name, target) : name;
}

static bool is_of(const struct spec *s, struct str name, const char *target)
{
	return str_is(name, s->workspace) && strcmp(s->target, target) == 0;
}

unsigned workspace_running(const struct exec *e, const char *key)
{
	const char *at = strchr(key, '@');
	struct str name = {key, at ? (size_t)(at - key) : strlen(key)};
	unsigned n = 0;

	for (struct command *c = e->by_id; c; c = c->hh_id.next)
		n += is_of(&c->spec, name, at ? at + 1 : "");
	return n;
}

/* Commands, or a shared sandbox, where what they left runs on. */
static bool is_lived_in(const struct exec *e, const char *key)
{
	return workspace_running(e, key) > 0 || (!strchr(key, '@') && shared_count(e->journal.dir_fd, key, NULL) > 0);
}

bool workspace_take(struct exec *e, const char *key)
{
	if (hold_of(e, key) || is_lived_in(e, key))
		return false;
	hold_make(e, key)->is_alone = true;
	return true;
}

bool workspace_upgrade(struct exec *e, const char *key)
{
	struct workspace_hold *h = hold_of(e, key);

	if (!h || h->shares != 1 || is_lived_in(e, key))
		return false;
	h->is_alone = true;
	return true;
}

void workspace_release(struct exec *e, const char *key)
{
	struct workspace_hold *h = hold_of(e, key);

	h->is_alone = false;
	h->shares -= h->shares > 0;
	if (h->shares > 0)
		return;
	HASH_DEL(e->holds, h);
	free(h);
}

/* ---- A request's work ---- */

static void reply_taken(struct exchange *x)
{
	reply_header(x, "Retry-After", "2");
	reply_problem(x, 409, "workspace_busy",
		      "The workspace is in use: wait until its commands, uploads and snapshots have ended, or end its "
		      "shared sandbox.");
}

void workspace_reply_failure(struct exchange *x, int result, const struct error *err)
{
	switch (result) {
	case -EBADMSG: reply_error(x, 422, err); break;
	case -EHOSTUNREACH: reply_error(x, 503, err); break;
	case -ECONNRESET: reply_error(x, 502, err); break;
	case -EBUSY: reply_taken(x); break;
	case -ENOENT: reply_problem(x, 404, "not_found", "There is no such thing, or it is not yours."); break;
	case -EEXIST: reply_problem(x, 409, "already_exists", "There is something of this name already."); break;
	case -ELOOP:
		reply_problem(x, 409, "link_in_path", "A link is in the way: files are reached without links only.");
		break;
	case -EXDEV: reply_problem(x, 409, "outside", "The path leads out of the workspace."); break;
	case -EINVAL: reply_problem(x, 422, "invalid_path", "This cannot be done with that path."); break;
	case -ENOTDIR: reply_problem(x, 409, "not_a_folder", "What the path names is not a folder."); break;
	case -EISDIR: reply_problem(x, 409, "is_a_folder", "What the path names is a folder."); break;
	case -EMEDIUMTYPE:
		reply_problem(x, 409, "not_a_file", "What the path names is neither a file nor a folder.");
		break;
	case -ENOTEMPTY:
		reply_problem(x, 409, "not_empty", "The folder is not empty; recursive=1 removes all of it.");
		break;
	case -ENAMETOOLONG: reply_problem(x, 409, "too_deep", "The folders are nested too deeply for this."); break;
	case -EMLINK:
		reply_problem(x, 409, "second_name",
			      "A file with several names (hard links) cannot become a protected one.");
		break;
	case -EFBIG: reply_problem(x, 413, "too_large", "This is more than a file or an archive may have."); break;
	case -EMFILE: reply_problem(x, 409, "too_many", "There are too many of these. Remove one first."); break;
	case -EACCES:
	case -EPERM: reply_problem(x, 409, "not_permitted", "The permissions of the files do not allow this."); break;
	case -ENOPKG:
		reply_problem(x, 501, "no_archives", "libarchive is not installed here: install libarchive13.");
		break;
	case -ENOTSUP:
		reply_problem(x, 409, "no_steps", "No snapshots of steps are kept: workspace_steps_max is 0.");
		break;
	case -ENOSPC:
	case -EDQUOT: reply_problem(x, 507, "storage_full", "The disk is full. Make room, then try again."); break;
	default:
		log_event(LOG_ERROR, "work in a workspace failed", "request_id", x->request_id, "error",
			  strerror(-result), NULL);
		reply_problem(x, 500, "internal", "This failed inside Ogent; the log has the request id.");
	}
}

/* ---- Its steps ---- */

static bool is_here(const struct workspace_job *w)
{
	return w->target->kind == &target_local;
}

void workspace_over(struct workspace_job *w)
{
	if (w->remote)
		w->target->kind->errand_close(w->remote);
	else if (w->is_open)
		errand_deinit(&w->errand);
	w->remote = NULL;
	w->is_open = false;
	if (w->is_held)
		workspace_release(w->exec, w->key);
	w->is_held = false;
	exchange_drop(w->x);
}

/* On the loop: w->result is there. */
static void work_done(struct workspace_job *w)
{
	struct exchange *x = w->x;
	bool goes_on = w->goes_on && w->result >= 0 && x->req;
	/* What fails in the middle of an answer can be told by breaking it off only. */
	struct http_request *begun = x->req && w->result < 0 && http_reply_has_started(x->req) ? x->req : NULL;

	if (!goes_on && w->clean)
		w->clean(w);
	w->is_busy = false;
	if (x->req && w->result < 0 && !begun)
		workspace_reply_failure(x, w->result, &w->r.err);
	else if (x->req && !begun)
		w->done(w);
	if (!goes_on)
		workspace_over(w);
	if (begun)
		http_reply_abort(begun);
}

static void on_job(struct job *job)
{
	work_done(container_of(job, struct workspace_job, job));
}

/* Who reads a file does not wait behind archives. */
static bool is_long(const struct workspace_job *w)
{
	switch (w->step.op) {
	case ERRAND_MEASURE:
	case ERRAND_PACK:
	case ERRAND_UNPACK:
	case ERRAND_KEEP:
	case ERRAND_RESTORE:
	case ERRAND_DROP:
	case ERRAND_COPY:
	case ERRAND_ERASE: return true;
	case ERRAND_REMOVE: return w->step.flags & ERRAND_RECURSIVE;
	default: return false;
	}
}

static bool submit(struct workspace_job *w, void (*run)(struct job *), void (*done)(struct job *))
{
	struct job_lane *lane = is_here(w) && is_long(w) ? w->exec->trees_lane : w->exec->files_lane;

	w->job = (struct job){.run = run, .done = done};
	w->is_busy = true;
	if (job_submit(lane, &w->job) == 0)
		return true;
	if (w->clean)
		w->clean(w);
	if (w->x->req)
		reply_busy(w->x);
	workspace_over(w);
	return false;
}

/* Whether he may touch it; what the request needs besides. */
static int check(struct workspace_job *w)
{
	const char *target = workspace_target_name(w->target);
	int r = 0;

	/* A new one is claimed by `before`. */
	if (w->step.op != ERRAND_MAKE)
		r = journal_check_owner(&w->exec->journal, w->name, target, w->any ? NULL : w->x->who.user_id);
	return r == 0 && w->before ? w->before(w) : r;
}

static void do_step(struct workspace_job *w)
{
	errand_do(&w->errand, &w->step, w->x->arena, &w->r);
	w->result = w->r.result;
}

static void step_run(struct job *job)
{
	do_step(container_of(job, struct workspace_job, job));
}

/* All of it on this machine. */
static void here_run(struct job *job)
{
	struct workspace_job *w = container_of(job, struct workspace_job, job);
	int root;

	w->result = check(w);
	if (w->result < 0)
		return;
	root = dir_open(w->exec->journal.workspaces_fd, w->name);
	errand_init(&w->errand, &w->exec->snapshots, w->name, root);
	w->is_open = true;
	if (root < 0 && w->step.op != ERRAND_MAKE)
		w->result = root;
	else if (w->run)
		w->result = w->run(w);
	else
		do_step(w);
	if (w->after)
		w->after(w);
}

/* ---- The same on a target: look here, do it there, note it here ---- */

static void after_run(struct job *job)
{
	struct workspace_job *w = container_of(job, struct workspace_job, job);

	w->after(w);
}

static void on_first_step(void *arg)
{
	struct workspace_job *w = arg;

	w->result = w->r.result;
	if (w->after)
		submit(w, after_run, on_job);
	else
		work_done(w);
}

static void on_step(void *arg)
{
	struct workspace_job *w = arg;

	w->result = w->r.result;
	work_done(w);
}

static void check_run(struct job *job)
{
	struct workspace_job *w = container_of(job, struct workspace_job, job);

	w->result = check(w);
}

static void check_done(struct job *job)
{
	struct workspace_job *w = container_of(job, struct workspace_job, job);

	if (w->result < 0) {
		work_done(w);
		return;
	}
	w->req = (struct errand_request){
		.workspace = w->name,
		.writes = w->use == WORKSPACE_WRITE,
		.alone = w->use == WORKSPACE_ALONE,
		.bytes_max = w->exec->workspace_max,
		.snapshots_max = w->exec->snapshots_max,
		.steps_max = w->exec->steps_max,
	};
	w->remote = w->target->kind->errand_open((struct target *)(uintptr_t)w->target, &w->req);
	w->target->kind->errand_step(w->remote, &w->step, w->x->arena, &w->r, on_first_step, w);
}

void workspace_again(struct workspace_job *w, void (*done)(struct workspace_job *w))
{
	w->done = done;
	w->is_busy = true;
	if (w->remote)
		w->target->kind->errand_step(w->remote, &w->step, w->x->arena, &w->r, on_step, w);
	else
		submit(w, step_run, on_job);
}

/* ---- Its beginning ---- */

static bool may_use_any(const struct identity *who, enum workspace_use use)
{
	if (who->service[0] && !who->user_id[0])
		return true;
	return identity_may(who, use == WORKSPACE_READ ? "commands.read_any" : "commands.run_any");
}

const char *workspace_target_name(const struct target *t)
{
	return t->kind == &target_local ? "" : t->name;
}

struct target *workspace_target(struct exchange *x)
{
	const char *name = http_query_get(x->arena, x->req->query, "target");
	struct target *t = target_find(x->self, name ? name : "");
	const char *why;

	if (!t) {
		reply_problem(x, 422, "unknown_target",
			      "There is no target of the name \"%.32s\". GET /api/targets lists those there are.",
			      name);
		return NULL;
	}
	why = t->kind->errand_open ? t->kind->unavailable(t, x->arena) : NULL;
	if (why)
		reply_problem(x, 503, "target_unavailable", "%s", why);
	return why ? NULL : t;
}

void workspace_start(struct exchange *x, struct workspace_job *w, enum workspace_use use)
{
	struct exec *e = x->self;

	w->target = w->target ? w->target : workspace_target(x);
	if (!w->target)
		return;
	if (w->run && !is_here(w)) {
		reply_problem(x, 501, "not_on_this_target", "Shared sandboxes are those of this machine.");
		return;
	}
	w->x = x;
	w->exec = e;
	w->use = use;
	w->name = w->name ? w->name : x->params[0].p;
	w->key = workspace_key(x->arena, w->name, workspace_target_name(w->target));
	w->any = may_use_any(&x->who, use);
	if (!workspace_is_valid(str_of(w->name))) {
		workspace_reply_failure(x, -ENOENT, NULL);
		return;
	}
	w->is_held = use == WORKSPACE_WRITE ? workspace_share(e, w->key)
					    : use == WORKSPACE_ALONE && workspace_take(e, w->key);
	if (use != WORKSPACE_READ && !w->is_held) {
		reply_taken(x);
		return;
	}
	exchange_hold(x);
	if (is_here(w))
		submit(w, here_run, on_job);
	else
		submit(w, check_run, check_done);
}

/* ---- What requests say ---- */

const char *workspace_path(struct exchange *x, const char *path)
{
	if (path && tree_path_is_valid(str_of(path)))
		return path;
	reply_problem(x, 422, "invalid_path",
		      "A path has names of 1 to 255 bytes between slashes, none of them \".\" or \"..\".");
	return NULL;
}

bool workspace_flag(struct exchange *x, const char *name)
{
	const char *value = http_query_get(x->arena, x->req->query, name);

	return value && strcmp(value, "1") == 0;
}

void workspace_add_json(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct exec *e, const struct target *t,
			const struct workspace_entry *w)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	const char *key = workspace_key(a, w->name, workspace_target_name(t));
	char text[TIME_TEXT_SIZE];

	yyjson_mut_obj_add_strcpy(doc, obj, "id", w->name);
	yyjson_mut_obj_add_strcpy(doc, obj, "target", t->name);
	json_add_str(doc, obj, "user_id", w->user_id[0] ? w->user_id : NULL);
	time_format(w->created_us, text);
	yyjson_mut_obj_add_strcpy(doc, obj, "created_at", text);
	yyjson_mut_obj_add_uint(doc, obj, "running_commands", workspace_running(e, key));
}
