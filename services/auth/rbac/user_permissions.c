/* GET and PUT /api/users/{id}/permissions: what a user is granted and denied besides his roles. */
#include <errno.h>

#include "audit/audit.h"
#include "auth.h"
#include "base/clock.h"
#include "feed.h"
#include "handlers.h"
#include "rbac/permission_list.h"
#include "setup.h"
#include "users.h"

enum direct_outcome { DIRECT_DONE, DIRECT_REFUSED, DIRECT_MISSING, DIRECT_NOT_GIVEN, DIRECT_BOTH, DIRECT_LAST };

struct direct {
	struct permission_list grants, denials;
};

struct direct_change {
	struct exchange_job job;
	const char *id;
	struct direct now;
	struct audit_event event;
	int actor;
	enum direct_outcome outcome;
	enum give_outcome give;
	const char *which;
};

static int load(struct db_conn *c, struct arena *a, const char *user_id, struct direct *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select permission, effect from user_permissions where user_id = ? order by permission",
			 DB_TEXT(user_id));
	int r;

	*ret = (struct direct){0};
	while ((r = db_step(c, st)) == 1) {
		struct permission_list *list = str_is(db_col_str(st, 1), "deny") ? &ret->denials : &ret->grants;

		if (list->n < PERMISSION_LIST_MAX)
			list->items[list->n++] = db_col_dup(st, 0, a);
	}
	return r;
}

static int insert(struct db_conn *c, const char *user_id, const struct permission_list *list, const char *effect)
{
	int64_t r = 0;

	for (size_t i = 0; r >= 0 && i < list->n; i++)
		r = db_exec(
			c, "insert into user_permissions (user_id, permission, effect, created_at) values (?, ?, ?, ?)",
			DB_TEXT(user_id), DB_TEXT(list->items[i]), DB_TEXT(effect), DB_INT(clock_now_us()));
	return (int)MIN(r, 0);
}

static int put(struct db_conn *c, const struct direct_change *p)
{
	int64_t r = db_exec(c, "delete from user_permissions where user_id = ?", DB_TEXT(p->id));

	if (r >= 0)
		r = insert(c, p->id, &p->now.grants, "allow");
	if (r >= 0)
		r = insert(c, p->id, &p->now.denials, "deny");
	if (r >= 0)
		r = db_exec(c, "update users set permission_epoch = permission_epoch + 1, updated_at = ? where id = ?",
			    DB_INT(clock_now_us()), DB_TEXT(p->id));
	return r < 0 ? (int)r : feed_add_rights(c, p->id);
}

static int roll_back(struct direct_change *p, enum direct_outcome outcome)
{
	p->outcome = outcome;
	return outcome;
}

static struct permission_list missing_in(const struct permission_list *list, const struct permission_list *in)
{
	struct permission_list ret = {0};

	for (size_t i = 0; i < list->n; i++)
		if (!permission_list_has(in, list->items[i]))
			ret.items[ret.n++] = list->items[i];
	return ret;
}

/* A new grant and a denial that is lifted both give a right; a new denial needs a name that exists. */
static int check_given(struct db_conn *c, struct direct_change *p, const struct account *actor,
		       const struct direct *before)
{
	struct permission_list grants = missing_in(&p->now.grants, &before->grants),
			       lifted = missing_in(&before->denials, &p->now.denials);
	int r = permissions_may_be_given(c, actor, &grants, &p->which);

	if (r == GIVE_OK)
		r = permissions_may_be_given(c, actor, &lifted, &p->which);
	for (size_t i = 0; r == GIVE_OK && i < p->now.denials.n; i++) {
		p->which = p->now.denials.items[i];
		if (permission_list_has(&p->now.grants, p->which))
			return roll_back(p, DIRECT_BOTH);
		r = permission_is_known(c, p->which);
		r = r < 0 ? r : r ? GIVE_OK : GIVE_UNKNOWN;
	}
	if (r <= 0)
		return r;
	p->give = r;
	return roll_back(p, DIRECT_NOT_GIVEN);
}

static int add_event(struct db_conn *c, struct direct_change *p)
{
	struct arena *a = p->job.x->arena;
	struct audit_event e = p->event;

	e.target = arena_printf(a, "user:%s", p->id);
	e.detail = audit_detail(a, "grants", permission_list_join(a, &p->now.grants), "denials",
				permission_list_join(a, &p->now.denials), NULL);
	return audit_add(c, p->job.x->self, &e);
}

/* Returns 0, the outcome or -errno. */
static int change(struct db_conn *c, struct direct_change *p, const struct account *actor)
{
	int64_t administrators = users_count_administrators(c), left;
	struct direct before;
	int r;

	if (administrators < 0)
		return (int)administrators;
	r = load(c, p->job.x->arena, p->id, &before);
	if (r == 0)
		r = check_given(c, p, actor, &before);
	if (r == 0)
		r = put(c, p);
	if (r != 0)
		return r;
	left = users_count_administrators(c);
	if (left < 0)
		return (int)left;
	return administrators > 0 && left == 0 ? roll_back(p, DIRECT_LAST) : add_event(c, p);
}

static int run(struct db_conn *c, struct exchange_job *job)
{
	struct direct_change *p = (struct direct_change *)job;
	bool is_put = job->x->route->method == HTTP_PUT_;
	struct account actor, user;
	int r = is_put ? setup_lock(c) : 0;

	if (r < 0)
		return r;
	p->outcome = DIRECT_DONE;
	p->actor = actor_check(c, job->x, &actor);
	if (p->actor != ACTOR_OK)
		return p->actor < 0 ? p->actor : roll_back(p, DIRECT_REFUSED);
	r = account_load(c, job->x->arena, p->id, &user);
	if (r <= 0)
		return r < 0 ? r : roll_back(p, DIRECT_MISSING);
	return is_put ? change(c, p, &actor) : load(c, job->x->arena, p->id, &p->now);
}

static bool refuse(struct direct_change *p, int result)
{
	struct exchange *x = p->job.x;

	if (result < 0) {
		reply_db_failure(x, result);
		return true;
	}
	switch (p->outcome) {
	case DIRECT_DONE: return false;
	case DIRECT_REFUSED: actor_refuse(x, p->actor); break;
	case DIRECT_MISSING: user_reply_missing(x); break;
	case DIRECT_NOT_GIVEN: permissions_refuse(x, p->give, p->which); break;
	case DIRECT_BOTH:
		reply_problem(x, 422, "invalid_field", "\"%s\" is granted and denied; take one of them.", p->which);
		break;
	case DIRECT_LAST:
		reply_problem(x, 409, "last_administrator",
			      "Nobody could administrate any more: an administrator with denials does not count.");
		break;
	}
	return true;
}

static void done(struct exchange_job *job, int result)
{
	struct direct_change *p = (struct direct_change *)job;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;

	if (refuse(p, result))
		return;
	if (x->route->method == HTTP_PUT_) {
		feed_wake(x->self);
		log_event(LOG_INFO, "direct permissions changed", "event", p->event.event, "user_id", p->id, "by",
			  x->who.user_id, "address", p->event.address, "request_id", x->request_id, NULL);
	}
	obj = json_new_obj(x->arena, &doc);
	account_add_names(doc, obj, "grants", p->now.grants.items);
	account_add_names(doc, obj, "denials", p->now.denials.items);
	reply_json(x, 200, doc);
}

static struct direct_change *change_new(struct exchange *x)
{
	struct direct_change *p = arena_new_of(x->arena, struct direct_change);

	p->id = x->params[0].p;
	p->job = (struct exchange_job){.x = x, .run = run, .done = done};
	return p;
}

void user_permissions_get(struct exchange *x)
{
	const struct auth *auth = x->self;

	exchange_read(auth->db, &change_new(x)->job);
}

void user_permissions_put(struct exchange *x)
{
	static const struct json_field fields[] = {
		{"grants", JSON_ARRAY, .required = true, .max = PERMISSION_LIST_MAX},
		{"denials", JSON_ARRAY, .required = true, .max = PERMISSION_LIST_MAX}};
	const struct auth *auth = x->self;
	struct direct_change *p = change_new(x);
	struct error err = {0};

	audit_event_of(x, "user.permissions_changed", &p->event);
	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0)
		reply_error(x, 422, &err);
	else if (permission_list_read(x, json_get_arr(x->body, "grants"), "grants", &p->now.grants) &&
		 permission_list_read(x, json_get_arr(x->body, "denials"), "denials", &p->now.denials))
		exchange_write(auth->db, &p->job);
}
