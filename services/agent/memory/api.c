/* GET, PUT, DELETE /api/memory and DELETE /api/memory/{id}: what agents remember, for the person it is about. What is
 * shared everybody sees, and those with settings.manage change. */
#include <errno.h>

#include "agent/handlers.h"
#include "agent/memory/store.h"

struct memory_answer {
	struct answer answer;
	struct memory_query query;
	struct page page;
	enum memory_scope scope;
	yyjson_mut_doc *doc;
	yyjson_mut_val *items;
	int64_t n;
	const char *last;
};

static void add(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct memory *m)
{
	json_add_str(doc, obj, "id", m->id);
	json_add_str(doc, obj, "scope", m->scope);
	json_add_str(doc, obj, "agent_id", m->agent_id);
	json_add_str(doc, obj, "name", m->name);
	json_add_str(doc, obj, "value", m->value);
	json_add_str(doc, obj, "execution_id", m->execution_id);
	add_time(doc, obj, "created_at", m->created_at);
	add_time(doc, obj, "updated_at", m->updated_at);
}

static void add_item(void *arg, const struct memory *m)
{
	struct memory_answer *l = arg;

	if (l->n++ >= l->page.limit)
		return;
	add(l->doc, yyjson_mut_arr_add_obj(l->doc, l->items), m);
	l->last = m->id;
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct memory_answer *l = (struct memory_answer *)job;
	struct arena *a = job->x->arena;
	yyjson_mut_val *obj = json_new_obj(a, &l->doc);
	int r;

	l->items = yyjson_mut_obj_add_arr(l->doc, obj, "items");
	l->n = 0;
	r = memory_find(c, &l->query, a, add_item, l);
	/* What was found by words is one page: the best. */
	json_add_str(l->doc, obj, "next", l->n > l->page.limit && !*l->query.words ? page_cursor(a, l->last) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, l->doc);
}

/* The query's scope, or all. Returns false after answering. */
static bool read_scopes(struct exchange *x, struct memory_query *q)
{
	const char *scope = http_query_get(x->arena, x->req->query, "scope");
	enum memory_scope s = scope ? memory_scope_of(scope) : MEMORY_SCOPES;

	if (scope && s == MEMORY_SCOPES) {
		reply_problem(x, 400, "invalid_query", "scope is user, agent or shared.");
		return false;
	}
	for (int i = 0; i < MEMORY_SCOPES; i++)
		q->scopes[i] = !scope || i == (int)s;
	return true;
}

void memory_list(struct exchange *x)
{
	struct memory_answer *l = arena_new_of(x->arena, struct memory_answer);
	const char *agent = http_query_get(x->arena, x->req->query, "agent_id"),
		   *words = http_query_get(x->arena, x->req->query, "q");

	if (!page_read(x, &l->page) || !read_scopes(x, &l->query))
		return;
	l->query.who = (struct memory_who){x->who.user_id, agent};
	l->query.all_agents = !agent;
	l->query.words = words ? words : "";
	l->query.after = l->page.after ? l->page.after : ID_LAST;
	l->query.limit = l->page.limit + 1;
	answer_read(x, &l->answer, list_run);
}

static const struct json_field put_fields[] = {
	{"scope", JSON_STRING, true},
	{"name", JSON_STRING, true, 1, MEMORY_NAME_MAX},
	{"value", JSON_STRING, true, 1, MEMORY_VALUE_MAX},
	{"agent_id", JSON_STRING, false, 36, 36},
};

static int put_run(struct db_conn *c, struct exchange_job *job)
{
	struct memory_answer *p = (struct memory_answer *)job;
	struct exchange *x = job->x;
	struct memory m;
	yyjson_mut_doc *doc;
	yyjson_mut_val *root;
	int r = memory_put(c, &p->query.who, p->scope, json_get_str(x->body, "name", ""),
			   json_get_str(x->body, "value", ""), NULL, x->arena, &m);

	if (r == -EMFILE)
		return answer_problem(&p->answer, 409, "memory_full",
				      "There is no room for more notes there: delete some first.");
	if (r < 0)
		return r;
	root = json_new_obj(x->arena, &doc);
	add(doc, root, &m);
	return answer_json(&p->answer, r ? 201 : 200, doc);
}

static bool may_share(const struct exchange *x)
{
	return identity_may(&x->who, "settings.manage");
}

void memory_save(struct exchange *x)
{
	struct memory_answer *p = arena_new_of(x->arena, struct memory_answer);
	struct error err = {0};

	if (json_check(x->body, put_fields, ARRAY_SIZE(put_fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	p->scope = memory_scope_of(json_get_str(x->body, "scope", ""));
	p->query.who = (struct memory_who){x->who.user_id, json_get_str(x->body, "agent_id", NULL)};
	if (p->scope == MEMORY_SCOPES || strpbrk(json_get_str(x->body, "name", ""), "\r\n") ||
	    (p->scope == MEMORY_AGENT) != (p->query.who.agent_id != NULL))
		reply_problem(x, 422, "invalid_field",
			      "\"scope\" is user, agent (with \"agent_id\") or shared; \"name\" is one line.");
	else if (p->scope == MEMORY_SHARED && !may_share(x))
		reply_problem(x, 403, "forbidden", "What is shared is changed by those who manage the settings.");
	else
		answer_write(x, &p->answer, put_run);
}

static int delete_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct exchange *x = job->x;
	struct memory m;
	int r = memory_get_id(c, path_id(x), x->arena, &m);

	if (r < 0)
		return r;
	if (r == 0 || (*m.user_id && strcmp(m.user_id, x->who.user_id) != 0))
		return answer_not_found(a, "note");
	if (!*m.user_id && !may_share(x))
		return answer_problem(a, 403, "forbidden",
				      "What is shared is changed by those who manage the settings.");
	a->status = 204;
	return error_only(memory_delete_id(c, m.id));
}

void memory_remove(struct exchange *x)
{
	answer_write(x, arena_new_of(x->arena, struct answer), delete_run);
}

static int clear_run(struct db_conn *c, struct exchange_job *job)
{
	((struct answer *)job)->status = 204;
	return error_only(memory_delete_user(c, job->x->who.user_id));
}

void memory_clear(struct exchange *x)
{
	answer_write(x, arena_new_of(x->arena, struct answer), clear_run);
}
