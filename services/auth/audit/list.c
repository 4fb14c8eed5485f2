/* GET /api/audit: the newest first, filtered. */
#include "audit/chain.h"

#include <inttypes.h>

#include "account.h"
#include "auth.h"
#include "base/clock.h"
#include "handlers.h"

/* A member of the query, its column and how it is compared. */
static const struct filter {
	const char *name, *sql;
	enum { FILTER_TEXT, FILTER_BEGINNING, FILTER_TIME } kind;
} filters[] = {
	{"event", " and event = ?", FILTER_BEGINNING}, {"outcome", " and outcome = ?", FILTER_TEXT},
	{"actor", " and actor_id = ?", FILTER_TEXT},   {"target", " and target = ?", FILTER_TEXT},
	{"address", " and address = ?", FILTER_TEXT},  {"request_id", " and request_id = ?", FILTER_TEXT},
	{"since", " and at >= ?", FILTER_TIME},        {"until", " and at < ?", FILTER_TIME},
};

struct audit_list {
	struct exchange_job job;
	struct page page;
	int actor;
	struct buf sql;
	struct db_value values[ARRAY_SIZE(filters) + 3];
	size_t n_values;
	yyjson_mut_doc *doc;
	yyjson_mut_val *root;
};

static void free_sql(void *arg)
{
	buf_deinit(arg);
}

/* "user.*": all that begins so. */
static void add_beginning(struct audit_list *l, const char *text)
{
	size_t n = strlen(text) - 1; /* with the dot, without the star */

	buf_add_str(&l->sql, " and event >= ? and event < ?");
	l->values[l->n_values++] = db_text_n(text, n);
	l->values[l->n_values++] = DB_TEXT(arena_printf(l->job.x->arena, "%.*s/", (int)n - 1, text));
}

/* Returns false after answering 400. */
static bool add_filter(struct audit_list *l, const struct filter *f, const char *text)
{
	struct str given = str_of(text);
	int64_t at;

	if (f->kind == FILTER_BEGINNING && given.n > 2 && str_has_suffix(given, STR(".*"))) {
		add_beginning(l, text);
		return true;
	}
	buf_add_str(&l->sql, f->sql);
	if (f->kind != FILTER_TIME) {
		l->values[l->n_values++] = DB_TEXT(text);
		return true;
	}
	if (time_parse(given, &at) < 0) {
		reply_problem(l->job.x, 400, "bad_request", "%s must be a time such as 2026-11-22T16:00:00Z.", f->name);
		return false;
	}
	l->values[l->n_values++] = DB_INT(at);
	return true;
}

static bool read_filters(struct audit_list *l)
{
	struct exchange *x = l->job.x;

	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		const char *text = http_query_get(x->arena, x->req->query, filters[i].name);

		if (text && *text && !add_filter(l, &filters[i], text))
			return false;
	}
	return true;
}

static bool read_page(struct audit_list *l)
{
	uint64_t before = INT64_MAX;

	if (!page_read(l->job.x, &l->page))
		return false;
	if (l->page.after && str_to_u64(str_of(l->page.after), INT64_MAX, &before) < 0) {
		reply_problem(l->job.x, 400, "bad_request", "after must be the `next` of an earlier answer.");
		return false;
	}
	l->values[l->n_values++] = DB_INT((int64_t)before);
	return true;
}

static void add_item(struct audit_list *l, yyjson_mut_val *items, const struct audit_row *row, struct str hash)
{
	static const char *const names[] = {"event",  "outcome", NULL,         NULL,         NULL,
					    "target", "address", "session_id", "request_id", NULL};
	struct arena *a = l->job.x->arena;
	yyjson_mut_val *item = yyjson_mut_arr_add_obj(l->doc, items), *actor;
	char at[TIME_TEXT_SIZE];

	time_format(row->at, at);
	yyjson_mut_obj_add_int(l->doc, item, "seq", row->seq);
	json_add_str(l->doc, item, "at", at);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i])
			yyjson_mut_obj_add_strncpy(l->doc, item, names[i], row->text[i].p, row->text[i].n);
	actor = yyjson_mut_obj_add_obj(l->doc, item, "actor");
	yyjson_mut_obj_add_strncpy(l->doc, actor, "kind", row->text[AUDIT_ACTOR_KIND].p, row->text[AUDIT_ACTOR_KIND].n);
	yyjson_mut_obj_add_strncpy(l->doc, actor, "id", row->text[AUDIT_ACTOR_ID].p, row->text[AUDIT_ACTOR_ID].n);
	yyjson_mut_obj_add_strncpy(l->doc, actor, "name", row->text[AUDIT_ACTOR_NAME].p, row->text[AUDIT_ACTOR_NAME].n);
	/* Whoever changed a row need not have left JSON. */
	if (json_parse(a, row->text[AUDIT_DETAIL].p, row->text[AUDIT_DETAIL].n, NULL))
		json_add_raw(l->doc, item, "detail",
			     arena_strndup(a, row->text[AUDIT_DETAIL].p, row->text[AUDIT_DETAIL].n));
	else
		yyjson_mut_obj_add_null(l->doc, item, "detail");
	yyjson_mut_obj_add_strncpy(l->doc, item, "hash", hash.p, hash.n);
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct audit_list *l = (struct audit_list *)job;
	_cleanup_(db_done_p) struct db_stmt *st = NULL;
	int64_t n = 0, last = 0;
	yyjson_mut_val *items;
	int r;

	l->actor = actor_check(c, job->x, NULL);
	if (l->actor != ACTOR_OK)
		return MIN(l->actor, 0);
	l->root = json_new_obj(job->x->arena, &l->doc);
	items = yyjson_mut_obj_add_arr(l->doc, l->root, "items");
	st = db_query_dynamic(c, l->sql.p, l->values, l->n_values);
	for (; (r = db_step(c, st)) == 1 && n < l->page.limit; n++) {
		struct audit_row row;
		struct str hash;

		audit_row_of(st, &row, &hash);
		add_item(l, items, &row, hash);
		last = row.seq;
	}
	json_add_str(l->doc, l->root, "next",
		     r == 1 ? page_cursor(job->x->arena, arena_printf(job->x->arena, "%" PRId64, last)) : NULL);
	return MIN(r, 0);
}

static void list_done(struct exchange_job *job)
{
	struct audit_list *l = (struct audit_list *)job;

	if (l->actor != ACTOR_OK) {
		actor_refuse(job->x, l->actor);
		return;
	}
	reply_header(job->x, "Cache-Control", "no-store");
	reply_json(job->x, 200, l->doc);
}

void audit_list(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct audit_list *l = arena_new_of(x->arena, struct audit_list);

	l->job = (struct exchange_job){.x = x, .run = list_run, .done_ok = list_done};
	arena_defer(x->arena, free_sql, &l->sql);
	buf_add_str(&l->sql, "select " AUDIT_COLUMNS " from audit_log where seq < ?");
	if (!read_page(l) || !read_filters(l))
		return;
	buf_add_str(&l->sql, " order by seq desc limit ?");
	l->values[l->n_values++] = DB_INT(l->page.limit + 1);
	exchange_read(auth->db, &l->job);
}
