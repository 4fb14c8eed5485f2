/* PATCH and DELETE /api/users/{id}, and DELETE /api/auth/me: of one's own account. */
#include "audit/audit.h"
#include "base/clock.h"
#include "feed.h"
#include "handlers.h"
#include "mail/outbox.h"
#include "mfa/factors.h"
#include "new_user.h"
#include "oauth/issue.h"
#include "role_list.h"
#include "sessions.h"
#include "setup.h"
#include "sso/sso.h"
#include "users.h"

#include <errno.h>

enum change_outcome {
	CHANGE_DONE,
	CHANGE_REFUSED,
	CHANGE_MISSING,
	CHANGE_OWNER,
	CHANGE_LAST_ADMINISTRATOR,
	CHANGE_HEIR
};

struct change {
	struct exchange_job job;
	struct audit_event event;
	const char *id;
	const char *name; /* NULL: stays */
	int disabled;     /* -1: stays */
	bool has_roles;
	bool is_own;      /* the account of who asks */
	const char *heir; /* DELETE: who gets what was shared; NULL: who deletes, for one's own the owner */
	struct role_list roles;
	int actor;
	struct account account;
	enum change_outcome outcome;
};

/* A job that ends so is rolled back; its number is the outcome. */
static int roll_back(struct change *p, enum change_outcome outcome)
{
	p->outcome = outcome;
	return outcome;
}

/* Whether there was an administrator who could sign in, and now there is none: the set-up's state is no such loss. */
static int check_administrators(struct db_conn *c, struct change *p, int64_t before)
{
	int64_t after = users_count_administrators(c);

	if (after < 0)
		return after;
	return before > 0 && after == 0 ? roll_back(p, CHANGE_LAST_ADMINISTRATOR) : 0;
}

/* Loads the user after looking at who asks. Changes come one after the other, so that two cannot take the rights of the
 * last two administrators. Returns 1, 0 (the outcome says why not) or -errno. */
static int begin(struct db_conn *c, struct change *p, int64_t *ret_administrators)
{
	struct account actor;
	int r = setup_lock(c);

	if (r < 0)
		return r;
	*ret_administrators = users_count_administrators(c);
	if (*ret_administrators < 0)
		return (int)*ret_administrators;
	p->outcome = CHANGE_REFUSED;
	p->actor = p->is_own ? actor_check_fresh(c, p->job.x, &actor) : actor_check(c, p->job.x, &actor);
	if (p->actor == ACTOR_OK && p->has_roles)
		p->actor = roles_may_be_given(c, &actor, &p->roles);
	if (p->actor != ACTOR_OK)
		return MIN(p->actor, 0);
	r = account_load(c, p->job.x->arena, p->id, &p->account);
	p->outcome = r == 1 ? CHANGE_DONE : CHANGE_MISSING;
	return r;
}

static int apply(struct db_conn *c, struct change *p)
{
	bool changes_rights = p->has_roles || p->disabled >= 0;
	int64_t r = db_exec(c,
			    "update users set name = ?, disabled = ?, permission_epoch = permission_epoch + ?, "
			    "updated_at = ? where id = ?",
			    DB_TEXT(p->name ? p->name : p->account.name),
			    DB_INT(p->disabled >= 0 ? p->disabled : p->account.disabled), DB_INT(changes_rights),
			    DB_INT(clock_now_us()), DB_TEXT(p->id));

	if (r >= 0 && p->has_roles)
		r = user_roles_set(c, p->id, p->roles.names);
	if (r >= 0 && p->disabled == 1)
		r = session_revoke_all(c, p->id, "user_disabled");
	if (r >= 0 && changes_rights)
		r = p->disabled == 1 ? feed_add_user(c, p->id, "user_disabled") : feed_add_rights(c, p->id);
	return MIN(r, 0);
}

static int audit(struct db_conn *c, struct change *p)
{
	struct arena *a = p->job.x->arena;

	p->event.target = arena_printf(a, "user:%s", p->id);
	p->event.detail = audit_detail(a, "name", p->account.name, "disabled",
				       p->disabled < 0 ? NULL
				       : p->disabled   ? "true"
						       : "false",
				       "roles", p->has_roles ? role_list_join(a, &p->roles) : NULL, NULL);
	return audit_add(c, p->job.x->self, &p->event);
}

static int patch_run(struct db_conn *c, struct exchange_job *job)
{
	struct change *p = (struct change *)job;
	int64_t before;
	int r = begin(c, p, &before);

	if (r != 1)
		return r;
	r = apply(c, p);
	if (r == 0)
		r = check_administrators(c, p, before);
	if (r == 0)
		r = error_only(account_load(c, job->x->arena, p->id, &p->account));
	return r != 0 ? r : audit(c, p);
}

/* Which of two reasons to give to who wants to delete the owner. */
static bool is_last_administrator(const struct change *p, int64_t before)
{
	bool is_admin = false;

	for (const char **role = p->account.roles; *role; role++)
		is_admin |= !strcmp(*role, "admin");
	return is_admin && !p->account.disabled && before == 1;
}

/* 1, 0 (he cannot be it) or -errno. */
static int find_heir(struct db_conn *c, struct change *p)
{
	_cleanup_(db_done_p) struct db_stmt *st = NULL;
	struct account heir;
	int r;

	if (!p->heir && strcmp(p->job.x->who.user_id, p->id) != 0) {
		p->heir = p->job.x->who.user_id;
	} else if (!p->heir) {
		st = db_query(c, "select owner_id from setup");
		r = db_step(c, st);
		if (r != 1)
			return r;
		p->heir = db_col_dup(st, 0, p->job.x->arena);
	}
	if (!p->heir || strcmp(p->heir, p->id) == 0)
		return 0;
	r = account_load(c, p->job.x->arena, p->heir, &heir);
	return r == 1 ? !heir.disabled : r;
}

static const char *gone_json(struct arena *a, const char *heir)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);

	json_add_str(doc, obj, "heir", heir);
	return json_text(a, doc).p;
}

static int delete_rows(struct db_conn *c, const char *id, const char *gone)
{
	/* The row first: no session can begin any more. */
	int64_t r = db_exec(c, "update users set disabled = 1 where id = ?", DB_TEXT(id));

	if (r >= 0)
		r = db_exec(c, "delete from sessions where user_id = ?", DB_TEXT(id));
	if (r >= 0)
		r = factors_remove_all(c, id);
	if (r >= 0)
		r = db_exec(c, "delete from links where user_id = ?", DB_TEXT(id));
	if (r >= 0)
		r = db_exec(c, "delete from outbox where user_id = ?", DB_TEXT(id));
	if (r >= 0)
		r = db_exec(c, "delete from api_keys where user_id = ?", DB_TEXT(id));
	if (r >= 0)
		r = db_exec(c, "delete from access_tokens where user_id = ?", DB_TEXT(id));
	if (r >= 0)
		r = db_exec(c, "delete from user_permissions where user_id = ?", DB_TEXT(id));
	if (r >= 0)
		r = oauth_forget_user(c, id);
	if (r >= 0)
		r = identities_forget_user(c, id);
	if (r >= 0)
		r = db_exec(c, "delete from user_roles where user_id = ?", DB_TEXT(id));
	if (r >= 0)
		r = db_exec(c, "delete from users where id = ?", DB_TEXT(id));
	if (r >= 0)
		r = feed_add_user(c, id, "user_deleted");
	if (r >= 0)
		r = outbox_add_call(c, OUTBOX_USER_DELETED, id, gone);
	return MIN(r, 0);
}

static int delete_run(struct db_conn *c, struct exchange_job *job)
{
	struct change *p = (struct change *)job;
	int64_t before, one;
	int r = begin(c, p, &before);

	if (r != 1)
		return r;
	r = db_get_int(c, &one, "select 1 from setup where owner_id = ?", DB_TEXT(p->id));
	if (r != 0)
		return r < 0 ? r
			     : roll_back(p,
					 is_last_administrator(p, before) ? CHANGE_LAST_ADMINISTRATOR : CHANGE_OWNER);
	r = find_heir(c, p);
	if (r != 1)
		return r < 0 ? r : roll_back(p, CHANGE_HEIR);
	r = delete_rows(c, p->id, gone_json(job->x->arena, p->heir));
	if (r == 0)
		r = check_administrators(c, p, before);
	return r != 0 ? r : audit(c, p);
}

/* Answers everything but success; returns whether it did. */
static bool refuse(struct change *p, int result)
{
	struct exchange *x = p->job.x;

	if (result < 0) {
		reply_db_failure(x, result);
		return true;
	}
	switch (p->outcome) {
	case CHANGE_DONE: return false;
	case CHANGE_HEIR:
		reply_problem(x, 422, "invalid_field",
			      "transfer_to is the id of another user who is not disabled: he gets the agents and "
			      "collections that others use.");
		break;
	case CHANGE_REFUSED: roles_refuse(x, p->actor); break;
	case CHANGE_MISSING: user_reply_missing(x); break;
	case CHANGE_OWNER:
		reply_problem(x, 409, "owner_account",
			      "This account belongs to the owner of this installation and its command line; disable it "
			      "instead.");
		break;
	case CHANGE_LAST_ADMINISTRATOR:
		reply_problem(x, 409, "last_administrator",
			      "Nobody could administrate any more; make somebody else an administrator first.");
		break;
	}
	return true;
}

static void patch_done(struct exchange_job *job, int result)
{
	struct change *p = (struct change *)job;

	if (refuse(p, result))
		return;
	feed_wake(job->x->self);
	user_reply(job->x, 200, &p->account);
}

static void delete_done(struct exchange_job *job, int result)
{
	struct change *p = (struct change *)job;

	if (refuse(p, result))
		return;
	feed_wake(job->x->self);
	outbox_wake(job->x->self);
	reply_empty(job->x, 204);
}

/* Returns NULL after answering 422. */
static struct change *read_patch(struct exchange *x)
{
	static const struct json_field fields[] = {{"name", JSON_STRING, .max = 400},
						   {"disabled", JSON_BOOL},
						   {"roles", JSON_ARRAY, .max = ROLE_LIST_MAX}};
	struct change *p = arena_new_of(x->arena, struct change);
	yyjson_val *roles = json_get_arr(x->body, "roles"), *disabled = yyjson_obj_get(x->body, "disabled");
	const char *name = json_get_str(x->body, "name", NULL);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0)
		goto invalid;
	if (name) {
		p->name = account_name_check(x->arena, name, &err);
		if (!p->name)
			goto invalid;
	}
	p->disabled = disabled ? yyjson_get_bool(disabled) : -1;
	p->has_roles = roles != NULL;
	if (roles && !role_list_read(x, roles, &p->roles))
		return NULL;
	return p;
invalid:
	reply_error(x, 422, &err);
	return NULL;
}

void users_patch(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct change *p = read_patch(x);

	if (!p)
		return;
	p->id = x->params[0].p;
	audit_event_of(x, "user.changed", &p->event);
	p->job = (struct exchange_job){.x = x, .run = patch_run, .done = patch_done};
	exchange_write(auth->db, &p->job);
}

static void start_deleting(struct exchange *x, const char *id, bool is_own)
{
	const struct auth *auth = x->self;
	struct change *p = arena_new_of(x->arena, struct change);

	p->id = id;
	p->is_own = is_own;
	p->heir = is_own ? NULL : http_query_get(x->arena, x->req->query, "transfer_to");
	p->disabled = -1;
	audit_event_of(x, "user.deleted", &p->event);
	p->job = (struct exchange_job){.x = x, .run = delete_run, .done = delete_done};
	exchange_write(auth->db, &p->job);
}

void users_delete(struct exchange *x)
{
	start_deleting(x, x->params[0].p, false);
}

void auth_me_delete(struct exchange *x)
{
	start_deleting(x, x->who.user_id, true);
}
