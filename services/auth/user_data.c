/* GET /users/{id}/data, for the agent service: what auth knows of a person, for the file that he takes along. No secret
 * is in it, nor the hash of one. */
#include <errno.h>
#include <string.h>

#include "account.h"
#include "auth.h"
#include "base/clock.h"
#include "handlers.h"

/* columns: t text, i number, d time, j JSON, in the order of the statement, which takes the user. */
static const struct section {
	const char *name, *columns, *sql;
} sections[] = {
	{"sessions", "t:id t:client t:address t:user_agent d:created_at d:ends_at d:revoked_at",
	 "select id, client, address, user_agent, created_at, ends_at, revoked_at from sessions where user_id = ? "
	 "order "
	 "by id"},
	{"access_tokens", "t:id t:name j:scopes d:created_at d:expires_at d:last_used_at",
	 "select id, name, scopes, created_at, expires_at, last_used_at from access_tokens where user_id = ? order by "
	 "id"},
	{"identities", "t:id t:provider_id t:subject t:email d:created_at d:last_used_at",
	 "select id, provider_id, subject, email, created_at, last_used_at from identities where user_id = ? order by "
	 "id"},
	{"audit", "i:seq d:at t:event t:outcome t:target t:address j:detail",
	 "select seq, at, event, outcome, target, address, detail from audit_log where actor_id = ? order by seq desc "
	 "limit 5000"},
};

struct user_data {
	struct exchange_job job;
	struct account account;
	bool is_found;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;
};

static void add_column(struct user_data *d, yyjson_mut_val *obj, struct db_stmt *st, int i, const char *column)
{
	struct arena *a = d->job.x->arena;
	const char *name = column + 2;

	if (db_col_is_null(st, i))
		yyjson_mut_obj_add_null(d->doc, obj, name);
	else if (column[0] == 'i')
		yyjson_mut_obj_add_int(d->doc, obj, name, db_col_int(st, i));
	else if (column[0] == 'd')
		json_add_time(d->doc, obj, name, db_col_int(st, i));
	else if (column[0] == 'j')
		json_add_raw(d->doc, obj, name, db_col_dup(st, i, a));
	else
		json_add_str(d->doc, obj, name, db_col_dup(st, i, a));
}

static int add_section(struct db_conn *c, struct user_data *d, const struct section *s)
{
	struct arena *a = d->job.x->arena;
	yyjson_mut_val *items = yyjson_mut_obj_add_arr(d->doc, d->obj, s->name);
	struct db_stmt *st = db_query(c, s->sql, DB_TEXT(d->account.id));
	int r;

	while ((r = db_step(c, st)) == 1) {
		yyjson_mut_val *item = yyjson_mut_arr_add_obj(d->doc, items);
		char *save = NULL, *columns = arena_strdup(a, s->columns);
		int i = 0;

		for (char *p = strtok_r(columns, " ", &save); p; p = strtok_r(NULL, " ", &save))
			add_column(d, item, st, i++, p);
	}
	db_done(st);
	return r;
}

static int data_run(struct db_conn *c, struct exchange_job *job)
{
	struct user_data *d = (struct user_data *)job;
	int r = account_load(c, job->x->arena, job->x->params[0].p, &d->account);

	d->is_found = r == 1;
	d->obj = json_new_obj(job->x->arena, &d->doc);
	if (r == 1)
		account_add_common(d->doc, d->obj, &d->account);
	for (size_t i = 0; r == 1 && i < ARRAY_SIZE(sections); i++)
		r = add_section(c, d, &sections[i]) < 0 ? -EIO : 1;
	return MIN(r, 0);
}

static void data_done(struct exchange_job *job)
{
	struct user_data *d = (struct user_data *)job;

	if (!d->is_found) {
		reply_problem(job->x, 404, "not_found", "There is no such user.");
		return;
	}
	reply_header(job->x, "Cache-Control", "no-store");
	reply_json(job->x, 200, d->doc);
}

void users_data(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct user_data *d = arena_new_of(x->arena, struct user_data);

	d->job = (struct exchange_job){.x = x, .run = data_run, .done_ok = data_done};
	exchange_read(auth->db, &d->job);
}
