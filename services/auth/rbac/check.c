/* POST /api/permissions/check: may somebody do something, and why. */
#include "account.h"
#include "auth.h"
#include "handlers.h"
#include "rbac/permission_list.h"
#include "users.h"

/* One line of what a user has: by a role, or directly. */
struct right {
	const char *pattern, *role; /* role NULL: direct */
	bool is_denial;
};

enum check_outcome { CHECK_DONE, CHECK_REFUSED, CHECK_FORBIDDEN, CHECK_MISSING, CHECK_UNKNOWN };

struct check {
	struct exchange_job job;
	const char *user_id, *owner_id; /* owner_id NULL: no matter whose */
	struct permission_list wanted;
	int actor;
	enum check_outcome outcome;
	const char *which; /* the unknown one */
	struct account user;
	bool has_any[PERMISSION_LIST_MAX]; /* there is a permission NAME_any */
	struct right *rights;
	size_t n_rights;
};

/* ---- Reading ---- */

static int load_rights(struct db_conn *c, struct check *k)
{
	static const char sql[] =
		"select p.permission, r.name, 'allow' from user_roles u join roles r on r.id = u.role_id "
		"join role_permissions p on p.role_id = r.id where u.user_id = ? "
		"union all select permission, null, effect from user_permissions where user_id = ? order by 2, 1";
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c, sql, DB_TEXT(k->user_id), DB_TEXT(k->user_id));
	struct arena *a = k->job.x->arena;
	size_t cap = 64;
	int r;

	k->rights = arena_alloc(a, cap * sizeof(*k->rights));
	k->n_rights = 0;
	while ((r = db_step(c, st)) == 1) {
		if (k->n_rights == cap) {
			struct right *more = arena_alloc(a, 2 * cap * sizeof(*more));

			memcpy(more, k->rights, cap * sizeof(*more));
			k->rights = more;
			cap *= 2;
		}
		k->rights[k->n_rights++] = (struct right){.pattern = db_col_dup(st, 0, a),
							  .role = db_col_dup(st, 1, a),
							  .is_denial = str_is(db_col_str(st, 2), "deny")};
	}
	return r;
}

static int look_up(struct db_conn *c, struct check *k)
{
	for (size_t i = 0; i < k->wanted.n; i++) {
		const char *any = arena_printf(k->job.x->arena, "%s_any", k->wanted.items[i]);
		int r = permission_is_known(c, k->wanted.items[i]);

		if (r <= 0) {
			k->which = k->wanted.items[i];
			k->outcome = CHECK_UNKNOWN;
			return r;
		}
		r = permission_is_known(c, any);
		if (r < 0)
			return r;
		k->has_any[i] = r == 1;
	}
	return 1;
}

static int check_run(struct db_conn *c, struct exchange_job *job)
{
	struct check *k = (struct check *)job;
	struct account actor;
	int r;

	k->outcome = CHECK_REFUSED;
	k->actor = actor_check(c, job->x, &actor);
	if (k->actor != ACTOR_OK)
		return MIN(k->actor, 0);
	if (!k->user_id)
		k->user_id = actor.id;
	k->outcome = CHECK_FORBIDDEN;
	if (strcmp(k->user_id, actor.id) && !account_may(&actor, "users.read"))
		return 0;
	r = account_load(c, job->x->arena, k->user_id, &k->user);
	k->outcome = r ? CHECK_DONE : CHECK_MISSING;
	if (r == 1)
		r = look_up(c, k);
	return r == 1 ? load_rights(c, k) : MIN(r, 0);
}

/* ---- Judging ---- */

static const struct right *find(const struct check *k, const char *wanted, bool is_denial)
{
	for (size_t i = 0; i < k->n_rights; i++) {
		const struct right *r = &k->rights[i];

		if (r->is_denial == is_denial &&
		    (is_denial ? permission_denies(r->pattern, wanted) : permission_covers(r->pattern, wanted)))
			return r;
	}
	return NULL;
}

/* The sentence, and whether it is a yes. */
static const char *explain(const struct check *k, const char *wanted, bool *ret_allowed, const struct right **ret_by)
{
	const struct exchange *x = k->job.x;
	struct arena *a = x->arena;
	bool is_self = !strcmp(k->user_id, x->who.user_id);

	*ret_allowed = false;
	*ret_by = NULL;
	if (k->user.disabled)
		return "denied: the account is disabled";
	*ret_by = find(k, wanted, true);
	if (*ret_by)
		return arena_printf(a, "denied by direct denial %s", (*ret_by)->pattern);
	*ret_by = find(k, wanted, false);
	if (!*ret_by)
		return arena_printf(a, "denied: no role and no direct grant covers %s", wanted);
	if (is_self && x->who.is_scoped && !identity_may(&x->who, wanted))
		return "denied by the scopes of the token that asks";
	*ret_allowed = true;
	if ((*ret_by)->role)
		return arena_printf(a, "allowed by role %s → %s", (*ret_by)->role, (*ret_by)->pattern);
	return arena_printf(a, "allowed by direct grant %s", (*ret_by)->pattern);
}

static void add_item(const struct check *k, yyjson_mut_doc *doc, yyjson_mut_val *obj, size_t i)
{
	struct arena *a = k->job.x->arena;
	const char *wanted = k->wanted.items[i], *asked = wanted, *text;
	bool is_foreign = k->owner_id && strcmp(k->owner_id, k->user_id), allowed;
	const struct right *by;

	/* What belongs to somebody else needs NAME_any where there is such a permission. */
	if (is_foreign && k->has_any[i])
		asked = arena_printf(a, "%s_any", wanted);
	text = explain(k, asked, &allowed, &by);
	json_add_str(doc, obj, "permission", wanted);
	json_add_str(doc, obj, "asked", asked);
	yyjson_mut_obj_add_bool(doc, obj, "allowed", allowed);
	json_add_str(doc, obj, "explanation", text);
	json_add_str(doc, obj, "role", by ? by->role : NULL);
	json_add_str(doc, obj, "pattern", by ? by->pattern : NULL);
}

static void check_done(struct exchange_job *job)
{
	struct check *k = (struct check *)job;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj, *items;

	switch (k->outcome) {
	case CHECK_DONE: break;
	case CHECK_REFUSED: actor_refuse(x, k->actor); return;
	case CHECK_FORBIDDEN:
		reply_problem(x, 403, "forbidden", "To ask about others needs the permission users.read.");
		return;
	case CHECK_MISSING: user_reply_missing(x); return;
	case CHECK_UNKNOWN: permissions_refuse(x, GIVE_UNKNOWN, k->which); return;
	}
	obj = json_new_obj(x->arena, &doc);
	json_add_str(doc, obj, "user_id", k->user_id);
	items = yyjson_mut_obj_add_arr(doc, obj, "items");
	for (size_t i = 0; i < k->wanted.n; i++)
		add_item(k, doc, yyjson_mut_arr_add_obj(doc, items), i);
	reply_header(x, "Cache-Control", "no-store");
	reply_json(x, 200, doc);
}

void permissions_check(struct exchange *x)
{
	static const struct json_field fields[] = {
		{"permissions", JSON_ARRAY, .required = true, .min = 1, .max = PERMISSION_LIST_MAX},
		{"user_id", JSON_STRING, .max = 36},
		{"owner_id", JSON_STRING, .max = 36}};
	const struct auth *auth = x->self;
	struct check *k = arena_new_of(x->arena, struct check);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (!permission_list_read(x, json_get_arr(x->body, "permissions"), "permissions", &k->wanted))
		return;
	k->user_id = json_get_str(x->body, "user_id", NULL);
	k->owner_id = json_get_str(x->body, "owner_id", NULL);
	k->job = (struct exchange_job){.x = x, .run = check_run, .done_ok = check_done};
	exchange_read(auth->db, &k->job);
}
