/* POST /api/roles, GET, PATCH and DELETE /api/roles/{name}. */
#include <errno.h>

#include "audit/audit.h"
#include "auth.h"
#include "base/clock.h"
#include "feed.h"
#include "handlers.h"
#include "rbac/permission_list.h"
#include "setup.h"

#define NAME_MAX_CHARS 63
#define DESCRIPTION_MAX 400

enum role_outcome { ROLE_DONE, ROLE_REFUSED, ROLE_MISSING, ROLE_TAKEN, ROLE_BUILT_IN, ROLE_IN_USE, ROLE_NOT_GIVEN };

struct role {
	const char *id, *name, *description;
	bool is_built_in;
	int64_t users;
	struct permission_list permissions;
};

struct role_change {
	struct exchange_job job;
	const char *name;
	const char *description; /* NULL: stays */
	bool has_permissions;
	struct permission_list permissions;
	struct audit_event event;
	int actor;
	enum role_outcome outcome;
	enum give_outcome give;
	const char *which; /* the permission that may not be given */
	struct role role;
};

/* ---- Reading ---- */

static int load_permissions(struct db_conn *c, struct arena *a, struct role *role)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c, "select permission from role_permissions where role_id = ? order by permission", DB_TEXT(role->id));
	int r;

	role->permissions.n = 0;
	while ((r = db_step(c, st)) == 1 && role->permissions.n < PERMISSION_LIST_MAX)
		role->permissions.items[role->permissions.n++] = db_col_dup(st, 0, a);
	role->permissions.items[role->permissions.n] = NULL;
	return MIN(r, 0);
}

static int load_row(struct db_conn *c, struct arena *a, const char *name, struct role *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c,
							   "select id, name, description, built_in, (select count(*) "
							   "from user_roles u where u.role_id = roles.id) "
							   "from roles where name = ?",
							   DB_TEXT(name));
	int r = db_step(c, st);

	if (r == 1)
		*ret = (struct role){.id = db_col_dup(st, 0, a),
				     .name = db_col_dup(st, 1, a),
				     .description = db_col_dup(st, 2, a),
				     .is_built_in = db_col_int(st, 3) != 0,
				     .users = db_col_int(st, 4)};
	return r;
}

static int load(struct db_conn *c, struct arena *a, const char *name, struct role *ret)
{
	int r = load_row(c, a, name, ret);

	if (r == 1)
		r = load_permissions(c, a, ret) < 0 ? -EIO : 1;
	return r;
}

static void reply_role(struct exchange *x, int status, const struct role *role)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	json_add_str(doc, obj, "name", role->name);
	json_add_str(doc, obj, "description", role->description);
	account_add_names(doc, obj, "permissions", role->permissions.items);
	yyjson_mut_obj_add_bool(doc, obj, "built_in", role->is_built_in);
	yyjson_mut_obj_add_int(doc, obj, "users", role->users);
	reply_json(x, status, doc);
}

/* ---- Writing ---- */

/* A job that ends so is rolled back; its number is the outcome. */
static int roll_back(struct role_change *p, enum role_outcome outcome)
{
	p->outcome = outcome;
	return outcome;
}

/* Looks at who asks and at what he gives; changes of rights come one after the other. Returns 0, the outcome or -errno.
 */
static int begin(struct db_conn *c, struct role_change *p)
{
	struct account actor;
	int r = setup_lock(c);

	if (r < 0)
		return r;
	p->outcome = ROLE_DONE;
	p->actor = actor_check(c, p->job.x, &actor);
	if (p->actor != ACTOR_OK)
		return p->actor < 0 ? p->actor : roll_back(p, ROLE_REFUSED);
	r = permissions_may_be_given(c, &actor, &p->permissions, &p->which);
	if (r < 0)
		return r;
	p->give = r;
	return r == GIVE_OK ? 0 : roll_back(p, ROLE_NOT_GIVEN);
}

static int put_permissions(struct db_conn *c, const char *role_id, const struct permission_list *list)
{
	int64_t r = db_exec(c, "delete from role_permissions where role_id = ?", DB_TEXT(role_id));

	for (size_t i = 0; r >= 0 && i < list->n; i++)
		r = db_exec(c, "insert into role_permissions (role_id, permission) values (?, ?)", DB_TEXT(role_id),
			    DB_TEXT(list->items[i]));
	return (int)MIN(r, 0);
}

static int finish(struct db_conn *c, struct role_change *p, const struct permission_list *before)
{
	struct arena *a = p->job.x->arena;
	struct audit_event e = p->event;

	e.target = arena_printf(a, "role:%s", p->name);
	if (before && p->has_permissions)
		e.detail = audit_detail(a, "permissions", permission_list_join(a, &p->permissions), "before",
					permission_list_join(a, before), NULL);
	else if (p->has_permissions)
		e.detail = audit_detail(a, "permissions", permission_list_join(a, &p->permissions), NULL);
	return audit_add(c, p->job.x->self, &e);
}

static int insert(struct db_conn *c, struct role_change *p)
{
	char id[ID_SIZE];
	int64_t r;

	id_new(id);
	r = db_exec(c, "insert into roles (id, name, description, built_in, created_at) values (?, ?, ?, 0, ?)",
		    DB_TEXT(id), DB_TEXT(p->name), DB_TEXT(p->description ? p->description : ""),
		    DB_INT(clock_now_us()));
	return r < 0 ? (int)r : put_permissions(c, id, &p->permissions);
}

static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct role_change *p = (struct role_change *)job;
	int r = begin(c, p);

	if (r != 0)
		return r;
	r = load(c, job->x->arena, p->name, &p->role);
	if (r != 0)
		return r < 0 ? r : roll_back(p, ROLE_TAKEN);
	r = insert(c, p);
	if (r == 0)
		r = finish(c, p, NULL);
	return r < 0 ? r : error_only(load(c, job->x->arena, p->name, &p->role));
}

static int patch_run(struct db_conn *c, struct exchange_job *job)
{
	struct role_change *p = (struct role_change *)job;
	struct permission_list before;
	int r = load(c, job->x->arena, p->name, &p->role);
	struct permission_list whole = p->permissions, added = {0};

	if (r < 0)
		return r;
	/* What the role has already is not given anew. */
	for (size_t i = 0; r == 1 && i < whole.n; i++)
		if (!permission_list_has(&p->role.permissions, whole.items[i]))
			added.items[added.n++] = whole.items[i];
	p->permissions = added;
	int begun = begin(c, p);
	p->permissions = whole;
	if (begun != 0)
		return begun;
	if (r == 0)
		return roll_back(p, ROLE_MISSING);
	if (p->has_permissions && !strcmp(p->name, "admin"))
		return roll_back(p, ROLE_BUILT_IN);
	before = p->role.permissions;
	if (p->description)
		r = error_only(db_exec(c, "update roles set description = ? where id = ?", DB_TEXT(p->description),
				       DB_TEXT(p->role.id)));
	if (r >= 0 && p->has_permissions) {
		r = put_permissions(c, p->role.id, &p->permissions);
		if (r == 0)
			r = feed_add_role(c, p->role.id);
	}
	if (r >= 0)
		r = finish(c, p, &before);
	return r < 0 ? r : error_only(load(c, job->x->arena, p->name, &p->role));
}

static int delete_run(struct db_conn *c, struct exchange_job *job)
{
	struct role_change *p = (struct role_change *)job;
	int64_t r = begin(c, p);

	if (r != 0)
		return (int)r;
	r = load(c, job->x->arena, p->name, &p->role);
	if (r <= 0)
		return r < 0 ? (int)r : roll_back(p, ROLE_MISSING);
	if (p->role.is_built_in)
		return roll_back(p, ROLE_BUILT_IN);
	if (p->role.users)
		return roll_back(p, ROLE_IN_USE);
	r = db_exec(c, "delete from role_permissions where role_id = ?", DB_TEXT(p->role.id));
	if (r >= 0)
		r = db_exec(c, "delete from roles where id = ?", DB_TEXT(p->role.id));
	return r < 0 ? (int)r : finish(c, p, NULL);
}

/* ---- Answers ---- */

/* Returns whether it answered. */
static bool refuse(struct role_change *p, int result)
{
	struct exchange *x = p->job.x;

	if (result < 0) {
		reply_db_failure(x, result);
		return true;
	}
	switch (p->outcome) {
	case ROLE_DONE: return false;
	case ROLE_REFUSED: actor_refuse(x, p->actor); break;
	case ROLE_NOT_GIVEN: permissions_refuse(x, p->give, p->which); break;
	case ROLE_MISSING: reply_problem(x, 404, "not_found", "There is no such role."); break;
	case ROLE_TAKEN: reply_problem(x, 409, "role_exists", "There is a role of this name already."); break;
	case ROLE_BUILT_IN:
		reply_problem(x, 409, "built_in_role",
			      "Built-in roles cannot be removed, and admin always holds everything; make a role of "
			      "your own.");
		break;
	case ROLE_IN_USE:
		reply_problem(x, 409, "role_in_use", "%lld users have this role; give them others first.",
			      (long long)p->role.users);
		break;
	}
	return true;
}

static void log_change(struct role_change *p)
{
	log_event(LOG_INFO, "role changed", "event", p->event.event, "role", p->name, "by", p->job.x->who.user_id,
		  "address", p->event.address, "request_id", p->job.x->request_id, NULL);
}

static void change_done(struct exchange_job *job, int result)
{
	struct role_change *p = (struct role_change *)job;
	enum http_method method = job->x->route->method;

	if (refuse(p, result))
		return;
	feed_wake(job->x->self);
	log_change(p);
	if (method == HTTP_DELETE_) {
		reply_empty(job->x, 204);
		return;
	}
	if (method == HTTP_POST_)
		reply_header(job->x, "Location", arena_printf(job->x->arena, "/api/roles/%s", p->name));
	reply_role(job->x, method == HTTP_POST_ ? 201 : 200, &p->role);
}

/* ---- Requests ---- */

static bool name_is_fine(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");

	return n > 0 && n <= NAME_MAX_CHARS && !name[n] && name[0] >= 'a' && name[0] <= 'z';
}

static struct role_change *change_new(struct exchange *x, const char *event,
				      int (*run)(struct db_conn *c, struct exchange_job *job))
{
	struct role_change *p = arena_new_of(x->arena, struct role_change);

	audit_event_of(x, event, &p->event);
	p->job = (struct exchange_job){.x = x, .run = run, .done = change_done};
	return p;
}

static bool read_lists(struct exchange *x, struct role_change *p)
{
	yyjson_val *permissions = json_get_arr(x->body, "permissions");

	p->description = json_get_str(x->body, "description", NULL);
	p->has_permissions = permissions != NULL;
	return permission_list_read(x, permissions, "permissions", &p->permissions);
}

void roles_create(struct exchange *x)
{
	static const struct json_field fields[] = {
		{"name", JSON_STRING, .required = true, .max = 64},
		{"description", JSON_STRING, .max = DESCRIPTION_MAX},
		{"permissions", JSON_ARRAY, .required = true, .max = PERMISSION_LIST_MAX}};
	const struct auth *auth = x->self;
	struct role_change *p = change_new(x, "role.created", create_run);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	p->name = json_get_str(x->body, "name", "");
	if (!name_is_fine(p->name)) {
		reply_problem(x, 422, "invalid_field",
			      "`name` begins with a letter and has at most %d of a-z, 0-9, - and _.", NAME_MAX_CHARS);
		return;
	}
	if (read_lists(x, p))
		exchange_write(auth->db, &p->job);
}

void roles_patch(struct exchange *x)
{
	static const struct json_field fields[] = {{"description", JSON_STRING, .max = DESCRIPTION_MAX},
						   {"permissions", JSON_ARRAY, .max = PERMISSION_LIST_MAX}};
	const struct auth *auth = x->self;
	struct role_change *p = change_new(x, "role.changed", patch_run);
	struct error err = {0};

	p->name = x->params[0].p;
	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0)
		reply_error(x, 422, &err);
	else if (read_lists(x, p))
		exchange_write(auth->db, &p->job);
}

void roles_delete(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct role_change *p = change_new(x, "role.removed", delete_run);

	p->name = x->params[0].p;
	exchange_write(auth->db, &p->job);
}

static int get_run(struct db_conn *c, struct exchange_job *job)
{
	struct role_change *p = (struct role_change *)job;
	int r;

	p->outcome = ROLE_REFUSED;
	p->actor = actor_check(c, job->x, NULL);
	if (p->actor != ACTOR_OK)
		return MIN(p->actor, 0);
	r = load(c, job->x->arena, p->name, &p->role);
	p->outcome = r == 1 ? ROLE_DONE : ROLE_MISSING;
	return MIN(r, 0);
}

static void get_done(struct exchange_job *job, int result)
{
	struct role_change *p = (struct role_change *)job;

	if (!refuse(p, result))
		reply_role(job->x, 200, &p->role);
}

void roles_get(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct role_change *p = arena_new_of(x->arena, struct role_change);

	p->name = x->params[0].p;
	p->job = (struct exchange_job){.x = x, .run = get_run, .done = get_done};
	exchange_read(auth->db, &p->job);
}
