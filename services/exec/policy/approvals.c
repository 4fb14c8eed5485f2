/* What people were asked and what they approved: one file each, all of it in memory. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "files.h"
#include "policy/store.h"

#define APPROVAL_FILE_MAX (256 << 10)
#define NAME_LENGTH 40 /* of a hash, as a file's name */

static void file_name(const char *hash, char ret[static NAME_LENGTH + 6])
{
	snprintf(ret, NAME_LENGTH + 6, "%.*s.json", NAME_LENGTH, hash);
}

struct approval *approval_find(struct exec *e, const char *hash)
{
	struct policies *ps = e->policies;

	for (size_t i = 0; i < ps->n_approvals; i++)
		if (strcmp(ps->approvals[i].hash, hash) == 0)
			return &ps->approvals[i];
	return NULL;
}

/* ---- The disk ---- */

/* What waits may be lost with the machine: it is asked again. */
static int save(struct exec *e, const struct approval *ap)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	char name[NAME_LENGTH + 6];
	int r;

	json_add_str(doc, obj, "hash", ap->hash);
	json_add_str(doc, obj, "user_id", ap->user_id);
	json_add_str(doc, obj, "approved_by", ap->approved_by);
	json_add_str(doc, obj, "policy", ap->policy);
	json_add_str(doc, obj, "profile", ap->profile);
	json_add_str(doc, obj, "text", ap->text);
	json_add_str(doc, obj, "reason", ap->reason);
	yyjson_mut_obj_add_sint(doc, obj, "created_us", ap->created_us);
	yyjson_mut_obj_add_sint(doc, obj, "expires_us", ap->expires_us);
	yyjson_mut_obj_add_uint(doc, obj, "uses", ap->uses);
	file_name(ap->hash, name);
	r = file_replace(e->policies->approvals_fd, name, json_text(a, doc));
	return r < 0 || !ap->approved_by[0] ? r : file_sync(e->policies->approvals_fd, name);
}

static struct approval *append(struct policies *ps, const struct approval *ap)
{
	ps->approvals = xrealloc(ps->approvals, (ps->n_approvals + 1) * sizeof(*ps->approvals));
	ps->approvals[ps->n_approvals] = *ap;
	return &ps->approvals[ps->n_approvals++];
}

static void copy(char *to, size_t size, yyjson_val *root, const char *name)
{
	snprintf(to, size, "%s", json_get_str(root, name, ""));
}

static void load(struct exec *e, const char *file)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct approval ap = {0};
	struct error err;
	struct str text;
	yyjson_val *root;

	if (file_read(e->policies->approvals_fd, file, APPROVAL_FILE_MAX, a, &text) < 0)
		return;
	root = yyjson_doc_get_root(json_parse(a, text.p, text.n, &err));
	copy(ap.hash, sizeof(ap.hash), root, "hash");
	if (strlen(ap.hash) != 64)
		return;
	copy(ap.user_id, sizeof(ap.user_id), root, "user_id");
	copy(ap.approved_by, sizeof(ap.approved_by), root, "approved_by");
	copy(ap.policy, sizeof(ap.policy), root, "policy");
	copy(ap.profile, sizeof(ap.profile), root, "profile");
	ap.text = xstrdup(json_get_str(root, "text", ""));
	ap.reason = xstrdup(json_get_str(root, "reason", ""));
	ap.created_us = json_get_int(root, "created_us", 0);
	ap.expires_us = json_get_int(root, "expires_us", 0);
	ap.uses = (unsigned)json_get_int(root, "uses", 0);
	append(e->policies, &ap);
}

/* It is gone from the disk before it counts as gone. */
static int drop(struct exec *e, struct approval *ap)
{
	struct policies *ps = e->policies;
	char name[NAME_LENGTH + 6];

	file_name(ap->hash, name);
	if ((unlinkat(ps->approvals_fd, name, 0) < 0 && errno != ENOENT) || fsync(ps->approvals_fd) < 0)
		return -errno;
	free(ap->text);
	free(ap->reason);
	*ap = ps->approvals[--ps->n_approvals];
	return 0;
}

void approvals_open(struct exec *e)
{
	DIR *dir = fdopendir(dir_open(e->policies->approvals_fd, "."));
	struct dirent *d;

	while (dir && (d = readdir(dir)))
		if (str_has_suffix(str_of(d->d_name), STR(".json")))
			load(e, d->d_name);
	if (dir)
		closedir(dir);
	approvals_prune(e);
}

void approvals_close(struct exec *e)
{
	struct policies *ps = e->policies;

	for (size_t i = 0; i < ps->n_approvals; i++) {
		free(ps->approvals[i].text);
		free(ps->approvals[i].reason);
	}
	free(ps->approvals);
}

void approvals_prune(struct exec *e)
{
	struct policies *ps = e->policies;
	int64_t now = clock_now_us();

	for (size_t i = ps->n_approvals; i > 0; i--)
		if (ps->approvals[i - 1].expires_us <= now)
			drop(e, &ps->approvals[i - 1]);
}

/* ---- Asking and giving ---- */

/* The oldest that nobody has approved makes room. */
static void make_room(struct exec *e)
{
	struct policies *ps = e->policies;
	struct approval *oldest = NULL;

	for (size_t i = 0; i < ps->n_approvals; i++) {
		struct approval *ap = &ps->approvals[i];

		if (!ap->approved_by[0] && (!oldest || ap->created_us < oldest->created_us))
			oldest = ap;
	}
	if (ps->n_approvals >= APPROVALS_MAX && oldest)
		drop(e, oldest);
}

void approval_ask(struct exec *e, const struct approval *asked)
{
	struct approval ap = *asked;

	if (approval_find(e, ap.hash))
		return;
	approvals_prune(e);
	make_room(e);
	if (e->policies->n_approvals >= APPROVALS_MAX)
		return;
	ap.text = xstrdup(asked->text);
	ap.reason = xstrdup(asked->reason);
	ap.created_us = clock_now_us();
	ap.expires_us = ap.created_us + APPROVAL_WAITS_US;
	save(e, append(e->policies, &ap));
}

int approval_use(struct exec *e, const char *hash)
{
	struct approval *ap = approval_find(e, hash);
	int r;

	if (!ap || !ap->approved_by[0] || ap->uses == 0 || ap->expires_us <= clock_now_us())
		return -ENOENT;
	if (ap->uses == 1)
		return drop(e, ap);
	ap->uses--;
	r = save(e, ap);
	if (r < 0)
		ap->uses++;
	return r;
}

int approval_give(struct exec *e, struct approval *ap, const char *approved_by, unsigned uses, int64_t seconds)
{
	struct approval old = *ap;
	int r;

	snprintf(ap->approved_by, sizeof(ap->approved_by), "%s", approved_by);
	ap->uses = uses;
	ap->expires_us = clock_now_us() + seconds * 1000000;
	r = save(e, ap);
	if (r < 0)
		*ap = old;
	return r;
}
