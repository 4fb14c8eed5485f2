#include "workspace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "command.h"
#include "lookup.h"
#include "shared.h"

struct workspace_hold {
	char name[65];
	unsigned shares;
	bool is_alone;
	UT_hash_handle hh;
};

/* ---- Who works in it ---- */

static struct workspace_hold *hold_of(const struct exec *e, const char *name)
{
	struct workspace_hold *h;

	HASH_FIND_STR(e->holds, name, h);
	return h;
}

static struct workspace_hold *hold_make(struct exec *e, const char *name)
{
	struct workspace_hold *h = hold_of(e, name);

	if (h)
		return h;
	h = xcalloc(1, sizeof(*h));
	snprintf(h->name, sizeof(h->name), "%s", name);
	HASH_ADD_STR(e->holds, name, h);
	return h;
}

bool workspace_is_taken(const struct exec *e, const char *name)
{
	struct workspace_hold *h = hold_of(e, name);

	return h && h->is_alone;
}

bool workspace_share(struct exec *e, const char *name)
{
	if (workspace_is_taken(e, name))
		return false;
	hold_make(e, name)->shares++;
	return true;
}

unsigned workspace_running(const struct exec *e, const char *name)
{
	unsigned n = 0;

	for (struct command *c = e->by_id; c; c = c->hh_id.next)
		n += !c->spec.target[0] && strcmp(c->spec.workspace, name) == 0;
	return n;
}

/* Commands, or a shared sandbox, where what they left runs on. */
static bool is_lived_in(const struct exec *e, const char *name)
{
	return workspace_running(e, name) > 0 || shared_count(e->journal.dir_fd, name, NULL) > 0;
}

bool workspace_take(struct exec *e, const char *name)
{
	if (hold_of(e, name) || is_lived_in(e, name))
		return false;
	hold_make(e, name)->is_alone = true;
	return true;
}

bool workspace_upgrade(struct exec *e, const char *name)
{
	struct workspace_hold *h = hold_of(e, name);

	if (!h || h->shares != 1 || is_lived_in(e, name))
		return false;
	h->is_alone = true;
	return true;
}

void workspace_release(struct exec *e, const char *name)
{
	struct workspace_hold *h = hold_of(e, name);

	h->is_alone = false;
	h->shares -= h->shares > 0;
	if (h->shares > 0)
		return;
	HASH_DEL(e->holds, h);
	free(h);
}

/* ---- A request's work ---- */

void workspace_reply_failure(struct exchange *x, int result, const struct error *err)
{
	switch (result) {
	case -EBADMSG: reply_error(x, 422, err); break;
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

static void reply_taken(struct exchange *x)
{
	reply_header(x, "Retry-After", "2");
	reply_problem(x, 409, "workspace_busy",
		      "The workspace is in use: wait until its commands, uploads and snapshots have ended, or end its "
		      "shared sandbox.");
}

static void work_run(struct job *job)
{
	struct workspace_job *w = container_of(job, struct workspace_job, job);

	if (w->root < 0) {
		w->root = journal_workspace(&w->exec->journal, w->name, w->any ? NULL : w->x->who.user_id);
		w->result = w->root < 0 ? w->root : 0;
	}
	if (w->result >= 0)
		w->result = w->run(w);
}

void workspace_over(struct workspace_job *w)
{
	if (w->root >= 0)
		close(w->root);
	w->root = -1;
	if (w->is_held)
		workspace_release(w->exec, w->name);
	w->is_held = false;
	exchange_drop(w->x);
}

static void work_done(struct job *job)
{
	struct workspace_job *w = container_of(job, struct workspace_job, job);
	struct exchange *x = w->x;
	bool keeps = w->keeps_root && w->result >= 0 && x->req;

	if (!keeps && w->clean)
		w->clean(w);
	w->is_busy = false;
	if (x->req && w->result < 0)
		workspace_reply_failure(x, w->result, &w->err);
	else if (x->req)
		w->done(w);
	if (!keeps)
		workspace_over(w);
}

static bool submit(struct workspace_job *w)
{
	w->job = (struct job){.run = work_run, .done = work_done};
	w->is_busy = true;
	if (job_submit(w->exec->files_lane, &w->job) == 0)
		return true;
	if (w->clean)
		w->clean(w);
	if (w->x->req)
		reply_busy(w->x);
	workspace_over(w);
	return false;
}

bool workspace_again(struct workspace_job *w, int (*run)(struct workspace_job *w),
		     void (*done)(struct workspace_job *w))
{
	w->run = run;
	w->done = done;
	return submit(w);
}

static bool may_use_any(const struct identity *who, enum workspace_use use)
{
	if (who->service[0] && !who->user_id[0])
		return true;
	return identity_may(who, use == WORKSPACE_READ ? "commands.read_any" : "commands.run_any");
}

void workspace_start(struct exchange *x, struct workspace_job *w, enum workspace_use use)
{
	const char *target = http_query_get(x->arena, x->req->query, "target");
	struct exec *e = x->self;

	if (target && *target && strcmp(target, TARGET_LOCAL) != 0) {
		reply_problem(x, 501, "not_on_this_target",
			      "Files are those of this machine's workspaces. On a target over SSH, use a command.");
		return;
	}
	w->x = x;
	w->exec = e;
	w->use = use;
	w->name = x->params[0].p;
	w->any = may_use_any(&x->who, use);
	w->root = -1;
	if (!workspace_is_valid(x->params[0])) {
		workspace_reply_failure(x, -ENOENT, NULL);
		return;
	}
	w->is_held = use == WORKSPACE_WRITE ? workspace_share(e, w->name)
					    : use == WORKSPACE_ALONE && workspace_take(e, w->name);
	if (use != WORKSPACE_READ && !w->is_held) {
		reply_taken(x);
		return;
	}
	exchange_hold(x);
	submit(w);
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

struct tree_size workspace_limits(const struct exec *e)
{
	return (struct tree_size){e->workspace_max, TARBALL_FILES_MAX};
}

void workspace_add_json(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct exec *e, const struct workspace_entry *w)
{
	char text[TIME_TEXT_SIZE];

	yyjson_mut_obj_add_strcpy(doc, obj, "id", w->name);
	json_add_str(doc, obj, "user_id", w->user_id[0] ? w->user_id : NULL);
	time_format(w->created_us, text);
	yyjson_mut_obj_add_strcpy(doc, obj, "created_at", text);
	yyjson_mut_obj_add_uint(doc, obj, "running_commands", workspace_running(e, w->name));
}
