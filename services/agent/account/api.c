/* GET /api/account/erasures: what becomes of what deleted users had. */
#include "agent/account/jobs.h"
#include "agent/handlers.h"

struct list_answer {
	struct answer answer;
	struct page page;
	const char *user_id; /* "": of all */
};

static void add_erasure(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct db_stmt *st, struct arena *a)
{
	json_add_str(doc, obj, "id", db_col_dup(st, 0, a));
	json_add_str(doc, obj, "user_id", db_col_dup(st, 1, a));
	json_add_str(doc, obj, "heir_id", db_col_dup(st, 2, a));
	json_add_str(doc, obj, "status", db_col_dup(st, 3, a));
	json_add_str(doc, obj, "stage", db_col_dup(st, 4, a));
	json_add_raw(doc, obj, "counts", db_col_dup(st, 5, a));
	yyjson_mut_obj_add_int(doc, obj, "attempts", db_col_int(st, 6));
	add_time(doc, obj, "created_at", db_col_int(st, 7));
	add_time(doc, obj, "ended_at", db_col_int(st, 8));
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct list_answer *l = (struct list_answer *)job;
	struct arena *a = job->x->arena;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	const char *id = NULL;
	int64_t n = 0;
	int r;
	struct db_stmt *st =
		db_query(c,
			 "select id, user_id, heir_id, status, stage, counts, attempts, created_at, ended_at from "
			 "account_jobs where kind = 'erase' and (? = '' or user_id = ?) and (? = '' or id < ?) order "
			 "by id desc limit ?",
			 DB_TEXT(l->user_id), DB_TEXT(l->user_id), DB_TEXT(l->page.after ?: ""),
			 DB_TEXT(l->page.after ?: ""), DB_INT(l->page.limit + 1));

	while ((r = db_step(c, st)) == 1 && n++ < l->page.limit) {
		id = db_col_dup(st, 0, a);
		add_erasure(doc, yyjson_mut_arr_add_obj(doc, items), st, a);
	}
	db_done(st);
	json_add_str(doc, obj, "next", n > l->page.limit ? page_cursor(a, id) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void erasures_list(struct exchange *x)
{
	struct list_answer *l = arena_new_of(x->arena, struct list_answer);

	l->user_id = http_query_get(x->arena, x->req->query, "user_id") ?: "";
	if (page_read(x, &l->page))
		answer_read(x, &l->answer, list_run);
}
