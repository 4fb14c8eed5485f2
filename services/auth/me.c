/* GET and PATCH /api/auth/me: who is signed in, and the name that he goes by. */
#include "account.h"
#include "auth.h"
#include "base/clock.h"
#include "handlers.h"

struct me {
	struct exchange_job job;
	int actor;
	const char *name; /* PATCH: the new one */
	struct account account;
};

static int me_run(struct db_conn *c, struct exchange_job *job)
{
	struct me *m = (struct me *)job;

	m->actor = actor_check(c, job->x, &m->account);
	return MIN(m->actor, 0);
}

static void me_done(struct exchange_job *job)
{
	struct me *m = (struct me *)job;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;

	if (m->actor != ACTOR_OK) {
		actor_refuse(job->x, m->actor);
		return;
	}
	obj = json_new_obj(job->x->arena, &doc);
	account_add_me(doc, obj, &m->account);
	reply_header(job->x, "Cache-Control", "no-store");
	reply_json(job->x, 200, doc);
}

void auth_me(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct me *m = arena_new_of(x->arena, struct me);

	m->job = (struct exchange_job){.x = x, .run = me_run, .done_ok = me_done};
	exchange_read(auth->db, &m->job);
}

static int rename_run(struct db_conn *c, struct exchange_job *job)
{
	struct me *m = (struct me *)job;
	int64_t r;

	m->actor = actor_check(c, job->x, &m->account);
	if (m->actor != ACTOR_OK)
		return MIN(m->actor, 0);
	r = db_exec(c, "update users set name = ?, updated_at = ? where id = ?", DB_TEXT(m->name),
		    DB_INT(clock_now_us()), DB_TEXT(m->account.id));
	m->account.name = m->name;
	return (int)MIN(r, 0);
}

void auth_me_patch(struct exchange *x)
{
	static const struct json_field fields[] = {{"name", JSON_STRING, .required = true, .max = 400}};
	const struct auth *auth = x->self;
	struct me *m = arena_new_of(x->arena, struct me);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0 ||
	    !(m->name = account_name_check(x->arena, json_get_str(x->body, "name", ""), &err))) {
		reply_error(x, 422, &err);
		return;
	}
	m->job = (struct exchange_job){.x = x, .run = rename_run, .done_ok = me_done};
	exchange_write(auth->db, &m->job);
}
