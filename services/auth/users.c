/* GET /api/users and /api/users/{id}. */
#include "users.h"

#include "handlers.h"

void user_add(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct account *account)
{
	account_add_common(doc, obj, account);
	yyjson_mut_obj_add_bool(doc, obj, "disabled", account->disabled);
}

void user_reply(struct exchange *x, int status, const struct account *account)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	user_add(doc, obj, account);
	reply_json(x, status, doc);
}

void user_reply_missing(struct exchange *x)
{
	reply_problem(x, 404, "not_found", "There is no such user.");
}

int64_t users_count_administrators(struct db_conn *c)
{
	int64_t n = 0;
	int r = db_get_int(c, &n,
			   "select count(*) from users u join user_roles ur on ur.user_id = u.id "
			   "join roles r on r.id = ur.role_id "
			   "where r.name = 'admin' and u.disabled = 0 and u.password_hash is not null "
			   /* Whoever is denied something is not in full charge. */
			   "and not exists (select 1 from user_permissions d where d.user_id = u.id "
			   "and d.effect = 'deny')");

	return r < 0 ? r : n;
}

/* ---- One ---- */

struct user_get {
	struct exchange_job job;
	int actor;
	bool is_found;
	struct account account;
};

static int get_run(struct db_conn *c, struct exchange_job *job)
{
	struct user_get *g = (struct user_get *)job;
	int r;

	g->actor = actor_check(c, job->x, NULL);
	if (g->actor != ACTOR_OK)
		return MIN(g->actor, 0);
	r = account_load(c, job->x->arena, job->x->params[0].p, &g->account);
	g->is_found = r == 1;
	return MIN(r, 0);
}

static void get_done(struct exchange_job *job)
{
	struct user_get *g = (struct user_get *)job;

	if (g->actor != ACTOR_OK)
		actor_refuse(job->x, g->actor);
	else if (!g->is_found)
		user_reply_missing(job->x);
	else
		user_reply(job->x, 200, &g->account);
}

void users_get(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct user_get *g = arena_new_of(x->arena, struct user_get);

	g->job = (struct exchange_job){.x = x, .run = get_run, .done_ok = get_done};
	exchange_read(auth->db, &g->job);
}

/* ---- Many, newest first (the ids sort by time) ---- */

struct user_list {
	struct exchange_job job;
	struct page page;
	int actor;
	struct account *accounts; /* up to limit + 1: one more says that there is a next page */
	int64_t n;
};

static int list_ids(struct db_conn *c, struct user_list *l)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select id from users where id < ? order by id desc limit ?",
			 DB_TEXT(l->page.after ? l->page.after : "~"), DB_INT(l->page.limit + 1));
	int r;

	for (l->n = 0; (r = db_step(c, st)) == 1; l->n++)
		l->accounts[l->n].id = db_col_dup(st, 0, l->job.x->arena);
	return r;
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct user_list *l = (struct user_list *)job;
	int r;

	l->actor = actor_check(c, job->x, NULL);
	if (l->actor != ACTOR_OK)
		return MIN(l->actor, 0);
	l->accounts = arena_alloc(job->x->arena, (l->page.limit + 1) * sizeof(*l->accounts));
	r = list_ids(c, l);
	for (int64_t i = 0; r >= 0 && i < l->n; i++)
		r = account_load(c, job->x->arena, l->accounts[i].id, &l->accounts[i]);
	return MIN(r, 0);
}

static void list_done(struct exchange_job *job)
{
	struct user_list *l = (struct user_list *)job;
	struct exchange *x = job->x;
	bool has_next = l->n > l->page.limit;
	int64_t n = MIN(l->n, l->page.limit);
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj, *items;

	if (l->actor != ACTOR_OK) {
		actor_refuse(x, l->actor);
		return;
	}
	obj = json_new_obj(x->arena, &doc);
	items = yyjson_mut_obj_add_arr(doc, obj, "items");
	for (int64_t i = 0; i < n; i++)
		user_add(doc, yyjson_mut_arr_add_obj(doc, items), &l->accounts[i]);
	json_add_str(doc, obj, "next", has_next ? page_cursor(x->arena, l->accounts[n - 1].id) : NULL);
	reply_json(x, 200, doc);
}

void users_list(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct user_list *l = arena_new_of(x->arena, struct user_list);

	if (!page_read(x, &l->page))
		return;
	l->job = (struct exchange_job){.x = x, .run = list_run, .done_ok = list_done};
	exchange_read(auth->db, &l->job);
}
