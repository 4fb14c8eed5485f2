/* POST /api/users/service-accounts: a user that is a program. It has roles and tokens, and nothing to sign in with. */
#include "audit/audit.h"
#include "auth.h"
#include "base/clock.h"
#include "handlers.h"
#include "new_user.h"
#include "role_list.h"
#include "users.h"

#include <errno.h>

struct service_account {
	struct exchange_job job;
	const char *name;
	struct role_list roles;
	struct audit_event event;
	int actor;
	struct account account;
};

static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct service_account *s = (struct service_account *)job;
	struct audit_event e = s->event;
	int64_t now = clock_now_us(), r;
	struct account actor;
	char id[ID_SIZE];

	s->actor = actor_check(c, job->x, &actor);
	if (s->actor == ACTOR_OK)
		s->actor = roles_may_be_given(c, &actor, &s->roles);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	id_new(id);
	r = db_exec(c,
		    "insert into users (id, kind, name, disabled, permission_epoch, created_at, updated_at) "
		    "values (?, 'service', ?, 0, 1, ?, ?)",
		    DB_TEXT(id), DB_TEXT(s->name), DB_INT(now), DB_INT(now));
	if (r >= 0)
		r = user_roles_set(c, id, s->roles.names);
	if (r >= 0)
		r = account_load(c, job->x->arena, id, &s->account);
	if (r <= 0)
		return r < 0 ? (int)r : -ENOENT;
	e.target = arena_printf(job->x->arena, "user:%s", id);
	e.detail = audit_detail(job->x->arena, "kind", "service", "name", s->name, NULL);
	return audit_add(c, job->x->self, &e);
}

static void create_done(struct exchange_job *job)
{
	struct service_account *s = (struct service_account *)job;
	struct exchange *x = job->x;

	if (s->actor != ACTOR_OK) {
		roles_refuse(x, s->actor);
		return;
	}
	log_event(LOG_INFO, "service account added", "event", s->event.event, "user_id", s->account.id, "by",
		  x->who.user_id, "address", s->event.address, "request_id", x->request_id, NULL);
	reply_header(x, "Location", arena_printf(x->arena, "/api/users/%s", s->account.id));
	user_reply(x, 201, &s->account);
}

void service_accounts_create(struct exchange *x)
{
	static const struct json_field fields[] = {{"name", JSON_STRING, .required = true, .max = 400},
						   {"roles", JSON_ARRAY, .required = true, .max = ROLE_LIST_MAX}};
	const struct auth *auth = x->self;
	struct service_account *s = arena_new_of(x->arena, struct service_account);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) == 0)
		s->name = account_name_check(x->arena, json_get_str(x->body, "name", ""), &err);
	if (!s->name) {
		reply_error(x, 422, &err);
		return;
	}
	if (!role_list_read(x, json_get_arr(x->body, "roles"), &s->roles))
		return;
	audit_event_of(x, "user.created", &s->event);
	s->job = (struct exchange_job){.x = x, .run = create_run, .done_ok = create_done};
	exchange_write(auth->db, &s->job);
}
