/* GET /api/auth/mails: what was sent, waits or failed; without a mail server, the links to be handed over. Who lacks a
 * right that the user of a link has does not see the link: with it he could become that user. */
#include "auth/handlers.h"
#include "auth/role_list.h"
#include "base/clock.h"
#include "outbox.h"

struct mail_row {
	const char *id, *kind, *to, *user_id, *link_id, *state, *error;
	int64_t attempts, created_at, next_at;
	bool is_link_open, may_see;
};

struct mail_list {
	struct exchange_job job;
	struct page page;
	int actor;
	struct account account;
	struct mail_row *rows; /* up to limit + 1 */
	int64_t n;
};

static int load(struct db_conn *c, struct mail_list *l)
{
	struct arena *a = l->job.x->arena;
	struct db_stmt *st = db_query(
		c,
		"select o.id, o.kind, o.recipient, o.user_id, o.link_id, o.state, o.error, o.attempts, o.created_at, "
		"o.next_at, l.id from outbox o left join links l on l.id = o.link_id and l.used_at is null and "
		"l.withdrawn_at is null and l.expires_at > ? where o.id < ? and o.recipient <> '' order by o.id desc "
		"limit ?",
		DB_INT(clock_now_us()), DB_TEXT(l->page.after ? l->page.after : "~"), DB_INT(l->page.limit + 1));
	int r;

	for (l->n = 0; (r = db_step(c, st)) == 1; l->n++)
		l->rows[l->n] = (struct mail_row){
			.id = db_col_dup(st, 0, a),
			.kind = db_col_dup(st, 1, a),
			.to = db_col_dup(st, 2, a),
			.user_id = db_col_dup(st, 3, a),
			.link_id = db_col_dup(st, 4, a),
			.state = db_col_dup(st, 5, a),
			.error = db_col_dup(st, 6, a),
			.attempts = db_col_int(st, 7),
			.created_at = db_col_int(st, 8),
			.next_at = db_col_int(st, 9),
			.is_link_open = !db_col_is_null(st, 10),
		};
	db_done(st);
	return r;
}

/* Whom the link would make of its holder: a user that there is, or one with the roles of an invitation. */
static int may_see(struct db_conn *c, struct mail_list *l, struct mail_row *row)
{
	struct arena *a = l->job.x->arena;
	struct role_list roles = {0};
	struct account account;
	struct link_row link;
	size_t i, n;
	yyjson_val *item;
	yyjson_doc *doc;
	int r;

	if (!row->is_link_open || strcmp(row->state, "shown"))
		return 0;
	if (row->user_id) {
		r = account_load(c, a, row->user_id, &account);
		row->may_see = r == 1 && account_covers(&l->account, &account);
		return MIN(r, 0);
	}
	r = link_find(c, a, row->link_id, NULL, &link);
	if (r <= 0)
		return r;
	doc = link.roles ? json_parse(a, link.roles, strlen(link.roles), NULL) : NULL;
	yyjson_arr_foreach(doc ? yyjson_doc_get_root(doc) : NULL, i, n, item)
	{
		if (i < ROLE_LIST_MAX)
			roles.names[i] = yyjson_get_str(item);
	}
	r = roles_may_be_given(c, &l->account, &roles);
	row->may_see = r == ACTOR_OK;
	return MIN(r, 0);
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct mail_list *l = (struct mail_list *)job;
	int r;

	l->actor = actor_check(c, job->x, &l->account);
	if (l->actor != ACTOR_OK)
		return MIN(l->actor, 0);
	l->rows = arena_alloc(job->x->arena, (size_t)(l->page.limit + 1) * sizeof(*l->rows));
	r = load(c, l);
	for (int64_t i = 0; r >= 0 && i < l->n; i++)
		r = may_see(c, l, &l->rows[i]);
	return MIN(r, 0);
}

static void add_row(struct exchange *x, yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct mail_row *row)
{
	bool waits = !strcmp(row->state, "waiting");
	char created[TIME_TEXT_SIZE], next[TIME_TEXT_SIZE];

	time_format(row->created_at, created);
	time_format(row->next_at, next);
	json_add_str(doc, obj, "id", row->id);
	json_add_str(doc, obj, "kind", row->kind);
	json_add_str(doc, obj, "to", row->to);
	json_add_str(doc, obj, "user_id", row->user_id);
	json_add_str(doc, obj, "state", row->state);
	yyjson_mut_obj_add_int(doc, obj, "attempts", row->attempts);
	json_add_str(doc, obj, "error", row->error);
	json_add_str(doc, obj, "created_at", created);
	json_add_str(doc, obj, "next_at", waits ? next : NULL);
	json_add_str(doc, obj, "link", row->may_see ? link_url(x->self, x->arena, row->kind, row->link_id) : NULL);
}

static void list_done(struct exchange_job *job)
{
	struct mail_list *l = (struct mail_list *)job;
	struct exchange *x = job->x;
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
		add_row(x, doc, yyjson_mut_arr_add_obj(doc, items), &l->rows[i]);
	json_add_str(doc, obj, "next", l->n > n ? page_cursor(x->arena, l->rows[n - 1].id) : NULL);
	reply_header(x, "Cache-Control", "no-store");
	reply_json(x, 200, doc);
}

void mails_list(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct mail_list *l = arena_new_of(x->arena, struct mail_list);

	if (!page_read(x, &l->page))
		return;
	l->job = (struct exchange_job){.x = x, .run = list_run, .done_ok = list_done};
	exchange_read(auth->db, &l->job);
}
