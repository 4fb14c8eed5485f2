/* The administrator's list of OAuth clients: /api/auth/clients. */
#include <errno.h>

#include "account.h"
#include "audit/audit.h"
#include "base/clock.h"
#include "feed.h"
#include "oauth/client_store.h"
#include "oauth/handlers.h"
#include "oauth/issue.h"

struct clients {
	struct exchange_job job;
	struct audit_event event;
	struct new_client client;
	const char *id; /* to be removed */
	yyjson_mut_doc *doc;
	int actor;
};

static void done(struct exchange_job *job)
{
	struct clients *s = (struct clients *)job;
	struct exchange *x = job->x;

	feed_wake(x->self);
	if (s->actor != ACTOR_OK)
		actor_refuse(x, s->actor);
	else if (s->doc)
		reply_json(x, 200, s->doc);
	else if (s->id)
		reply_empty(x, 204);
	else
		new_client_reply(x, &s->client);
}

static void add_item(struct clients *s, yyjson_mut_val *list, struct db_stmt *st)
{
	yyjson_mut_val *item = yyjson_mut_arr_add_obj(s->doc, list);
	struct arena *a = s->job.x->arena;

	json_add_str(s->doc, item, "client_id", db_col_dup(st, 0, a));
	json_add_str(s->doc, item, "kind", db_col_dup(st, 1, a));
	json_add_str(s->doc, item, "client_name", db_col_dup(st, 2, a));
	json_add_str(s->doc, item, "client_uri", db_col_dup(st, 3, a));
	json_add_str(s->doc, item, "token_endpoint_auth_method", db_col_dup(st, 4, a));
	json_add_raw(s->doc, item, "redirect_uris", db_col_dup(st, 5, a));
	json_add_time(s->doc, item, "created_at", db_col_int(st, 6));
	json_add_time(s->doc, item, "used_at", db_col_int(st, 7));
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct clients *s = (struct clients *)job;
	_cleanup_(db_done_p) struct db_stmt *st = NULL;
	yyjson_mut_val *list;
	int r;

	s->actor = actor_check(c, job->x, NULL);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	list = yyjson_mut_obj_add_arr(s->doc, json_new_obj(job->x->arena, &s->doc), "items");
	st = db_query(c,
		      "select id, kind, name, uri, auth_method, redirect_uris, created_at, used_at from oauth_clients "
		      "order by created_at desc limit 1000");
	while ((r = db_step(c, st)) == 1)
		add_item(s, list, st);
	return r;
}

void oauth_clients_list(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct clients *s = arena_new_of(x->arena, struct clients);

	s->job = (struct exchange_job){.x = x, .run = list_run, .done_ok = done};
	exchange_read(auth->db, &s->job);
}

static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct clients *s = (struct clients *)job;
	int r;

	s->actor = actor_check(c, job->x, NULL);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	r = new_client_insert(c, &s->client);
	s->event.target = arena_printf(job->x->arena, "client:%s", s->client.id);
	return r < 0 ? r : audit_add(c, job->x->self, &s->event);
}

void oauth_clients_create(struct exchange *x)
{
	static const struct json_field fields[] = {
		{"client_name", JSON_STRING, .required = true, .max = 400},
		{"client_uri", JSON_STRING, .max = 1000},
		{"redirect_uris", JSON_ARRAY, .required = true, .max = CLIENT_REDIRECTS_MAX},
		{"token_endpoint_auth_method", JSON_STRING, .max = 32},
	};
	const struct auth *auth = x->self;
	struct clients *s = arena_new_of(x->arena, struct clients);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0 ||
	    client_metadata_read(x->arena, x->body, &s->client.metadata, &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	new_client_init(&s->client, "managed", "", x->who.user_id);
	audit_event_of(x, "client.created", &s->event);
	s->event.detail = audit_detail(x->arena, "name", s->client.metadata.name, NULL);
	s->job = (struct exchange_job){.x = x, .run = create_run, .done_ok = done};
	exchange_write(auth->db, &s->job);
}

static int delete_run(struct db_conn *c, struct exchange_job *job)
{
	struct clients *s = (struct clients *)job;
	int64_t r;

	s->actor = actor_check(c, job->x, NULL);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	r = db_exec(c, "delete from oauth_clients where id = ?", DB_TEXT(s->id));
	if (r <= 0)
		return r < 0 ? (int)r : -ENOENT;
	r = db_exec(c, "delete from oauth_codes where client_id = ?", DB_TEXT(s->id));
	if (r >= 0)
		r = db_exec(c, "delete from oauth_consents where client_id = ?", DB_TEXT(s->id));
	if (r >= 0)
		r = oauth_end_sessions(c, job->x->arena, s->id, NULL, "client_removed");
	return r < 0 ? (int)r : audit_add(c, job->x->self, &s->event);
}

void oauth_clients_delete(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct clients *s = arena_new_of(x->arena, struct clients);

	s->id = x->params[0].p;
	audit_event_of(x, "client.removed", &s->event);
	s->event.target = arena_printf(x->arena, "client:%.64s", s->id);
	s->job = (struct exchange_job){.x = x, .run = delete_run, .done_ok = done};
	exchange_write(auth->db, &s->job);
}
