#include "account.h"
#include "auth.h"
#include "handlers.h"

struct me {
	struct exchange_job job;
	int actor;
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
