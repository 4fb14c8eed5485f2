/* The programs that a user has let in: their list, and letting one out again. */
#include <errno.h>

#include "audit/audit.h"
#include "base/clock.h"
#include "feed.h"
#include "oauth/handlers.h"
#include "oauth/issue.h"
#include "sessions.h"

struct consents {
	struct exchange_job job;
	struct audit_event event;
	const char *id; /* of the one to be removed */
	yyjson_mut_doc *doc;
	int actor;
};

static int add_item(struct consents *s, yyjson_mut_val *list, struct db_stmt *st)
{
	struct arena *a = s->job.x->arena;
	yyjson_mut_val *item = yyjson_mut_arr_add_obj(s->doc, list), *names;
	char created[TIME_TEXT_SIZE];
	struct scope_list scopes;

	scope_read(db_col_dup(st, 3, a), &scopes);
	time_format(db_col_int(st, 4), created);
	json_add_str(s->doc, item, "id", db_col_dup(st, 0, a));
	json_add_str(s->doc, item, "name", db_col_dup(st, 1, a));
	json_add_str(s->doc, item, "uri", db_col_dup(st, 2, a));
	names = yyjson_mut_obj_add_arr(s->doc, item, "scopes");
	for (size_t i = 0; i < scopes.n; i++)
		yyjson_mut_arr_add_str(s->doc, names, scopes.names[i]);
	json_add_str(s->doc, item, "created_at", created);
	return 0;
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct consents *s = (struct consents *)job;
	_cleanup_(db_done_p) struct db_stmt *st = NULL;
	yyjson_mut_val *list;
	int r;

	s->actor = actor_check(c, job->x, NULL);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	list = yyjson_mut_obj_add_arr(s->doc, json_new_obj(job->x->arena, &s->doc), "items");
	st = db_query(c,
		      "select id, client_name, client_uri, scope, created_at from oauth_consents where user_id = ? "
		      "order by updated_at desc limit 200",
		      DB_TEXT(job->x->who.user_id));
	while ((r = db_step(c, st)) == 1)
		add_item(s, list, st);
	return r;
}

static void list_done(struct exchange_job *job)
{
	struct consents *s = (struct consents *)job;

	if (s->actor == ACTOR_OK)
		reply_json(job->x, 200, s->doc);
	else
		actor_refuse(job->x, s->actor);
}

void oauth_consents_list(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct consents *s = arena_new_of(x->arena, struct consents);

	s->job = (struct exchange_job){.x = x, .run = list_run, .done_ok = list_done};
	exchange_read(auth->db, &s->job);
}

static int find_client(struct db_conn *c, const struct consents *s, const char **ret)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select client_id from oauth_consents where id = ? and user_id = ?" DB_FOR_UPDATE,
			 DB_TEXT(s->id), DB_TEXT(s->job.x->who.user_id));
	int r = db_step(c, st);

	if (r == 1)
		*ret = db_col_dup(st, 0, s->job.x->arena);
	return r;
}

static int delete_run(struct db_conn *c, struct exchange_job *job)
{
	struct consents *s = (struct consents *)job;
	const char *client_id = NULL;
	int64_t r;

	s->actor = actor_check(c, job->x, NULL);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	r = find_client(c, s, &client_id);
	if (r <= 0)
		return r < 0 ? (int)r : -ENOENT;
	r = db_exec(c, "delete from oauth_consents where id = ?", DB_TEXT(s->id));
	if (r >= 0)
		r = db_exec(c, "delete from oauth_codes where user_id = ? and client_id = ? and used_at is null",
			    DB_TEXT(job->x->who.user_id), DB_TEXT(client_id));
	if (r >= 0)
		r = oauth_end_sessions(c, job->x->arena, client_id, job->x->who.user_id, "consent_withdrawn");
	s->event.detail = audit_detail(job->x->arena, "client_id", client_id, NULL);
	return r < 0 ? (int)r : audit_add(c, job->x->self, &s->event);
}

static void delete_done(struct exchange_job *job)
{
	struct consents *s = (struct consents *)job;

	feed_wake(job->x->self);
	if (s->actor == ACTOR_OK)
		reply_empty(job->x, 204);
	else
		actor_refuse(job->x, s->actor);
}

void oauth_consents_delete(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct consents *s = arena_new_of(x->arena, struct consents);

	s->id = x->params[0].p;
	audit_event_of(x, "consent.withdrawn", &s->event);
	s->job = (struct exchange_job){.x = x, .run = delete_run, .done_ok = delete_done};
	exchange_write(auth->db, &s->job);
}
