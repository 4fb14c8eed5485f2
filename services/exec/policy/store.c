#include "policy/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "files.h"

#define STORED_MAX (POLICY_TEXT_MAX + 4096)
#define POLICIES_MAX 200
#define WORKSPACE_FILE ".ogent/policy.json"

struct policy *policy_ref(struct policy *p)
{
	p->refs++;
	return p;
}

void policy_unref(struct policy *p)
{
	if (p && --p->refs == 0)
		policy_free(p);
}

static size_t index_of(const struct policies *ps, const char *name)
{
	size_t i = 0;

	while (i < ps->n && strcmp(ps->items[i]->name, name) != 0)
		i++;
	return i;
}

struct policy *policies_find(struct exec *e, const char *name)
{
	size_t i = index_of(e->policies, name);

	return i < e->policies->n ? e->policies->items[i] : NULL;
}

static void set(struct policies *ps, struct policy *p, int64_t changed_us, const char *changed_by)
{
	size_t i = index_of(ps, p->name);

	if (i == ps->n) {
		ps->n++;
		ps->items = xrealloc(ps->items, ps->n * sizeof(*ps->items));
		ps->changed_us = xrealloc(ps->changed_us, ps->n * sizeof(*ps->changed_us));
		ps->changed_by = xrealloc(ps->changed_by, ps->n * sizeof(*ps->changed_by));
	} else {
		if (ps->always == ps->items[i])
			ps->always = p;
		policy_unref(ps->items[i]);
	}
	ps->items[i] = p;
	ps->changed_us[i] = changed_us;
	snprintf(ps->changed_by[i], sizeof(ps->changed_by[i]), "%s", changed_by);
}

/* ---- The disk ---- */

/* NAME.VERSION.json */
static bool read_file_name(const char *file, char name[static POLICY_NAME_MAX + 1], uint64_t *ret_version)
{
	struct str rest = str_of(file), part = str_cut(&rest, '.'), number = str_cut(&rest, '.');

	if (part.n == 0 || part.n > POLICY_NAME_MAX || !rest.p || !str_is(rest, "json") ||
	    str_to_u64(number, INT64_MAX, ret_version) < 0)
		return false;
	memcpy(name, part.p, part.n);
	name[part.n] = 0;
	return policy_name_is_valid(name);
}

static void load_file(struct exec *e, const char *file, const char *name, uint64_t version)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct error err = {0};
	struct str text;
	yyjson_val *root;
	struct policy *p;
	int r = file_read(e->policies->policies_fd, file, STORED_MAX, a, &text);

	if (r < 0)
		fatal("cannot read the policy %s: %s", file, strerror(-r));
	root = yyjson_doc_get_root(json_parse(a, text.p, text.n, &err));
	p = policy_load(name, json_val_text(a, yyjson_obj_get(root, "policy")), &err);
	if (!p)
		fatal("the stored policy %s is not valid: %s", file, err.message);
	p->version = (int64_t)version;
	set(e->policies, p, json_get_int(root, "changed_us", 0), json_get_str(root, "changed_by", ""));
}

/* The newest version of each. */
static void load_all(struct exec *e)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	char name[POLICY_NAME_MAX + 1], names[POLICIES_MAX][POLICY_NAME_MAX + 1];
	uint64_t version, versions[POLICIES_MAX];
	DIR *dir = fdopendir(dir_open(e->policies->policies_fd, "."));
	struct dirent *d;
	size_t n = 0;

	while (dir && (d = readdir(dir))) {
		size_t i = 0;

		if (!read_file_name(d->d_name, name, &version))
			continue;
		while (i < n && strcmp(names[i], name) != 0)
			i++;
		if (i == POLICIES_MAX || (i < n && versions[i] > version))
			continue;
		n = MAX(n, i + 1);
		strcpy(names[i], name);
		versions[i] = version;
	}
	if (dir)
		closedir(dir);
	for (size_t i = 0; i < n; i++)
		load_file(e, arena_printf(a, "%s.%llu.json", names[i], (unsigned long long)versions[i]), names[i],
			  versions[i]);
}

int policies_put(struct exec *e, struct policy *p, const char *user_id)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct policy *old = policies_find(e, p->name);
	int64_t now = clock_now_us();
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	const char *file;
	int r;

	if (!old && e->policies->n >= POLICIES_MAX)
		return -ENOSPC;
	p->version = old ? old->version + 1 : 1;
	yyjson_mut_obj_add_sint(doc, obj, "version", p->version);
	yyjson_mut_obj_add_sint(doc, obj, "changed_us", now);
	json_add_str(doc, obj, "changed_by", user_id);
	json_add_raw(doc, obj, "policy", arena_strndup(a, p->text.p, p->text.n));
	file = arena_printf(a, "%s.%lld.json", p->name, (long long)p->version);
	r = file_create(e->policies->policies_fd, file, json_text(a, doc));
	if (r == 0 && fsync(e->policies->policies_fd) < 0)
		r = -errno;
	if (r == 0)
		set(e->policies, p, now, user_id);
	return r;
}

/* ---- Start and end ---- */

void policies_open(struct exec *e)
{
	const char *always = option_str(service_options(e->service), "command_policy");
	struct policies *ps = e->policies = xcalloc(1, sizeof(*ps));
	struct error err = {0};

	ps->policies_fd = dir_make(e->journal.dir_fd, "policies");
	ps->approvals_fd = dir_make(e->journal.dir_fd, "approvals");
	if (ps->policies_fd < 0 || ps->approvals_fd < 0)
		fatal("cannot open the folders of policies below %s", e->dir);
	for (const struct builtin_policy *b = builtin_policies; b->name; b++) {
		struct policy *p = policy_load(b->name, str_of(b->json), &err);

		if (!p)
			fatal("the policy %s: %s", b->name, err.message);
		set(ps, p, 0, "");
	}
	load_all(e);
	ps->always = policies_find(e, always);
	if (!ps->always)
		fatal("option command_policy: there is no policy \"%s\"; built in are contained, guarded and minimal",
		      always);
	approvals_open(e);
}

void policies_close(struct exec *e)
{
	struct policies *ps = e->policies;

	approvals_close(e);
	for (size_t i = 0; i < ps->n; i++)
		policy_unref(ps->items[i]);
	close(ps->policies_fd);
	close(ps->approvals_fd);
	free(ps->items);
	free(ps->changed_us);
	free(ps->changed_by);
	free(ps);
}

/* ---- Those of one command ---- */

static void unref(void *p)
{
	policy_unref(p);
}

static void add(struct applied *set, struct arena *a, struct policy *p)
{
	size_t n = strlen(set->names);

	set->policies[set->n++] = policy_ref(p);
	arena_defer(a, unref, p);
	snprintf(set->names + n, sizeof(set->names) - n, "%s@%lld:%.16s ", p->name, (long long)p->version, p->hash);
}

/* The workspace's own: it can only make the verdict stricter. 0 also when there is none. */
static int add_workspace(struct exec *e, struct arena *a, const char *workspace, struct applied *set, struct error *err)
{
	struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	const char *path = arena_printf(a, "%s/" WORKSPACE_FILE, workspace);
	int fd = (int)syscall(SYS_openat2, e->journal.workspaces_fd, path, &how, sizeof(how));
	char *text;
	struct policy *p;
	struct stat st;
	ssize_t n = -1;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	text = arena_alloc(a, POLICY_TEXT_MAX + 1);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		n = read(fd, text, POLICY_TEXT_MAX + 1);
	if (fd >= 0)
		close(fd);
	if (n < 0 || n > POLICY_TEXT_MAX)
		return error_set(err, "policy_denied", "The workspace's " WORKSPACE_FILE " cannot be read.");
	p = policy_load("workspace", (struct str){text, (size_t)n}, err);
	if (!p) {
		error_prefix(err, "The workspace's " WORKSPACE_FILE " is not valid");
		return -EINVAL;
	}
	p->is_workspaces = true;
	add(set, a, p);
	policy_unref(p);
	return 0;
}

int policies_apply(struct exec *e, struct arena *a, const char *name, const char *workspace, bool is_remote,
		   struct applied *ret, struct error *err)
{
	struct policy *asked = name[0] ? policies_find(e, name) : NULL;

	*ret = (struct applied){0};
	add(ret, a, (struct policy *)(uintptr_t)e->policies->always);
	if (name[0] && !asked)
		return -ENOENT;
	if (asked && asked != e->policies->always)
		add(ret, a, asked);
	return workspace[0] && !is_remote ? add_workspace(e, a, workspace, ret, err) : 0;
}
