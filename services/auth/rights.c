/* GET /users/{id}/rights: what a user may right now, for a service that does something for him while he is away, such
 * as a schedule. {active, name, roles, permissions, rights}: without them when he is disabled or gone. */
#include "account.h"
#include "auth.h"
#include "handlers.h"

struct rights {
	struct exchange_job job;
	struct account account;
	bool is_active;
};

static int rights_run(struct db_conn *c, struct exchange_job *job)
{
	struct rights *q = (struct rights *)job;
	int r = account_load(c, job->x->arena, job->x->params[0].p, &q->account);

	q->is_active = r == 1 && !q->account.disabled;
	return MIN(r, 0);
}

static void rights_done(struct exchange_job *job)
{
	struct rights *q = (struct rights *)job;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(job->x->arena, &doc);

	yyjson_mut_obj_add_bool(doc, obj, "active", q->is_active);
	if (q->is_active) {
		json_add_str(doc, obj, "name", q->account.name);
		account_add_names(doc, obj, "roles", q->account.roles);
		account_add_names(doc, obj, "permissions", q->account.permissions);
		yyjson_mut_obj_add_int(doc, obj, "rights", q->account.rights);
	}
	reply_header(job->x, "Cache-Control", "no-store");
	reply_json(job->x, 200, doc);
}

void users_rights(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct rights *q = arena_new_of(x->arena, struct rights);

	q->job = (struct exchange_job){.x = x, .run = rights_run, .done_ok = rights_done};
	exchange_read(auth->db, &q->job);
}
