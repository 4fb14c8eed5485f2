/* Agents. Each change makes a version; what an execution uses is the version it began with. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "agent/agent_config.h"
#include "agent/agent_shares.h"
#include "agent/agent_templates.h"
#include "agent/agents.h"

#define SLUG_TRIES 50

void agent_row_read(struct db_stmt *st, struct arena *a, struct agent_row *ret)
{
	ret->id = db_col_dup(st, 0, a);
	ret->slug = db_col_dup(st, 1, a);
	ret->name = db_col_dup(st, 2, a);
	ret->description = db_col_dup(st, 3, a);
	ret->config = db_col_dup(st, 4, a);
	ret->version = db_col_int(st, 5);
	ret->owner_id = db_col_dup(st, 6, a);
	ret->created_at = db_col_int(st, 7);
	ret->updated_at = db_col_int(st, 8);
	ret->shares = db_col_dup(st, 9, a);
}

void agent_row_add(struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct agent_row *row,
		   const struct identity *who)
{
	json_add_str(doc, obj, "id", row->id);
	json_add_str(doc, obj, "name", row->name);
	json_add_str(doc, obj, "slug", row->slug);
	json_add_str(doc, obj, "description", row->description);
	agent_config_add(a, doc, obj, row->config);
	yyjson_mut_obj_add_int(doc, obj, "version", row->version);
	json_add_str(doc, obj, "owner_id", row->owner_id);
	agent_shares_add(a, doc, obj, row->shares, agent_rights(who, row->owner_id, row->shares));
	add_time(doc, obj, "created_at", row->created_at);
	add_time(doc, obj, "updated_at", row->updated_at);
}

int agent_row_answer(struct answer *a, int status, const struct agent_row *row)
{
	struct arena *arena = a->job.x->arena;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(arena, &doc);

	agent_row_add(arena, doc, obj, row, &a->job.x->who);
	a->etag = arena_printf(arena, "\"%lld\"", (long long)row->version);
	return answer_json(a, status, doc);
}

#define SELECT_ONE "select " AGENT_COLUMNS " from agents where id = ? and archived_at is null"

/* 1 found, 0 none, or -errno. */
static int find(struct db_conn *c, struct arena *a, const char *sql, const char *id, struct agent_row *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c, sql, DB_TEXT(id));
	int r = db_step(c, st);

	if (r == 1)
		agent_row_read(st, a, ret);
	return r;
}

int agent_find(struct db_conn *c, struct answer *a, struct agent_row *ret)
{
	struct exchange *x = a->job.x;
	int r = find(c, x->arena, SELECT_ONE, path_id(x), ret);

	if (r < 0)
		return r;
	return r == 1 && agent_rights(&x->who, ret->owner_id, ret->shares) ? 0 : answer_not_found(a, "agent");
}

const char *agent_make_slug(struct arena *a, const char *name)
{
	char *slug = arena_alloc(a, 64);
	size_t n = 0;

	for (const char *p = name; *p && n < 55; p++) {
		if (isalnum((unsigned char)*p))
			slug[n++] = (char)tolower((unsigned char)*p);
		else if (n > 0 && slug[n - 1] != '-')
			slug[n++] = '-';
	}
	while (n > 0 && slug[n - 1] == '-')
		n--;
	slug[n] = '\0';
	return n > 0 ? slug : "agent";
}

/* ---- Writing ---- */

static int insert_version(struct db_conn *c, const struct agent_row *row, const char *author_id)
{
	return error_only(
		db_exec(c,
			"insert into agent_versions (agent_id, version, name, description, config, author_id, "
			"created_at) values (?, ?, ?, ?, ?, ?, ?)",
			DB_TEXT(row->id), DB_INT(row->version), DB_TEXT(row->name), DB_TEXT(row->description),
			DB_TEXT(row->config), DB_TEXT(author_id), DB_INT(row->updated_at)));
}

int agent_row_insert(struct db_conn *c, const struct agent_row *row)
{
	int64_t r = db_exec(c, "insert into agents (" AGENT_COLUMNS ") values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			    DB_TEXT(row->id), DB_TEXT(row->slug), DB_TEXT(row->name), DB_TEXT(row->description),
			    DB_TEXT(row->config), DB_INT(row->version), DB_TEXT(row->owner_id), DB_INT(row->created_at),
			    DB_INT(row->updated_at), DB_TEXT(row->shares ?: "[]"));

	/* Its slug was free: somebody else has taken it meanwhile. */
	if (r == -EEXIST)
		return -EDEADLK;
	return r < 0 ? (int)r : insert_version(c, row, row->owner_id);
}

/* Whether the slug is taken: 1, 0, or -errno. */
static int is_taken(struct db_conn *c, const char *slug)
{
	int64_t one;

	return db_get_int(c, &one, "select 1 from agents where slug = ?", DB_TEXT(slug));
}

int agent_free_slug(struct db_conn *c, struct arena *a, const char *wish, const char **ret)
{
	int r = is_taken(c, *ret = wish);

	for (int i = 2; r == 1 && i < SLUG_TRIES; i++)
		r = is_taken(c, *ret = arena_printf(a, "%s-%d", wish, i));
	return r == 1 ? -EEXIST : r;
}

struct create {
	struct answer answer;
	char id[ID_SIZE];
	yyjson_val *body;
	const char *config;
};

static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct create *m = (struct create *)job;
	struct exchange *x = job->x;
	const char *slug = json_get_str(m->body, "slug", NULL);
	struct agent_row row = {
		.id = m->id,
		.slug = slug,
		.name = json_get_str(m->body, "name", ""),
		.description = json_get_str(m->body, "description", ""),
		.config = m->config,
		.version = 1,
		.owner_id = x->who.user_id,
		.created_at = clock_now_us(),
		.shares = "[]",
	};
	int r = answer_known(c, &m->answer);

	if (r)
		return r;
	row.updated_at = row.created_at;
	r = slug ? is_taken(c, slug) : agent_free_slug(c, x->arena, agent_make_slug(x->arena, row.name), &row.slug);
	if (r == 1)
		return answer_problem(&m->answer, 409, "slug_taken",
				      "Another agent has this slug: choose another one.");
	if (r == 0)
		r = agent_row_insert(c, &row);
	if (r < 0)
		return r;
	m->answer.location = arena_printf(x->arena, "/api/agents/%s", m->id);
	agent_row_answer(&m->answer, 201, &row);
	return answer_keep(c, &m->answer);
}

void agents_create_from(struct exchange *x, yyjson_val *body)
{
	struct create *m = arena_new_of(x->arena, struct create);
	struct error err = {0};

	m->body = agent_template_apply(x->arena, body, &err);
	if (m->body && agent_config_check(m->body, true, &err) == 0) {
		m->config = agent_config_make(x->self, x->arena, m->body, NULL);
		if (agent_config_check_whole(x->arena, m->config, &err) == 0) {
			id_new(m->id);
			answer_write(x, &m->answer, create_run);
			return;
		}
	}
	reply_error(x, 422, &err);
}

void agents_create(struct exchange *x)
{
	agents_create_from(x, x->body);
}

int agent_find_to_change(struct db_conn *c, struct answer *a, unsigned right, struct agent_row *row)
{
	int r = find(c, a->job.x->arena, SELECT_ONE DB_FOR_UPDATE, path_id(a->job.x), row);

	if (r < 0)
		return r;
	unsigned rights = r == 1 ? agent_rights(&a->job.x->who, row->owner_id, row->shares) : 0;
	if (!rights)
		return answer_not_found(a, "agent");
	if (!(rights & right))
		return answer_problem(
			a, 403, "forbidden",
			"This agent was not shared with you for that: ask its owner or an administrator.");
	return 0;
}

/* The changed agent as its next version. */
int agent_row_store(struct db_conn *c, struct answer *a, struct agent_row *row)
{
	row->version++;
	row->updated_at = clock_now_us();
	int64_t n =
		db_exec(c,
			"update agents set name = ?, description = ?, config = ?, version = ?, updated_at = ? where "
			"id = ?",
			DB_TEXT(row->name), DB_TEXT(row->description), DB_TEXT(row->config), DB_INT(row->version),
			DB_INT(row->updated_at), DB_TEXT(row->id));
	if (n >= 0)
		n = insert_version(c, row, a->job.x->who.user_id);
	return n < 0 ? (int)n : agent_row_answer(a, 200, row);
}

struct patch {
	struct answer answer;
	struct str if_match;
};

static bool matches(struct str if_match, int64_t version)
{
	char etag[32];

	snprintf(etag, sizeof(etag), "\"%lld\"", (long long)version);
	return str_is(if_match, "*") || str_is(if_match, etag);
}

static int patch_run(struct db_conn *c, struct exchange_job *job)
{
	struct patch *p = (struct patch *)job;
	struct exchange *x = job->x;
	struct error err = {0};
	struct agent_row row = {0};
	int r = agent_find_to_change(c, &p->answer, AGENT_EDIT, &row);

	if (r)
		return r;
	if (!matches(p->if_match, row.version))
		return answer_problem(&p->answer, 412, "version_conflict",
				      "Somebody else has changed this agent: read it again and repeat the change.");
	row.name = json_get_str(x->body, "name", row.name);
	row.description = json_get_str(x->body, "description", row.description);
	row.config = agent_config_make(x->self, x->arena, x->body, row.config);
	if (agent_config_check_whole(x->arena, row.config, &err) < 0)
		return answer_problem(&p->answer, 422, "unknown_variable", arena_strdup(x->arena, err.message));
	return agent_row_store(c, &p->answer, &row);
}

void agents_patch(struct exchange *x)
{
	struct patch *p = arena_new_of(x->arena, struct patch);
	struct error err = {0};

	p->if_match = arena_str(x->arena, http_header_get(&x->req->headers, "If-Match"));
	if (p->if_match.n == 0) {
		reply_problem(x, 428, "precondition_required",
			      "Send the ETag of the agent that you have read as If-Match.");
		return;
	}
	if (agent_config_check(x->body, false, &err) == 0)
		answer_write(x, &p->answer, patch_run);
	else
		reply_error(x, 422, &err);
}

/* Its slug becomes free. */
static int archive_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct agent_row row = {0};
	int r = agent_find_to_change(c, a, AGENT_OWN, &row);

	if (r)
		return r;
	a->status = 204;
	return error_only(db_exec(c, "update agents set archived_at = ?, slug = ? where id = ?", DB_INT(clock_now_us()),
				  DB_TEXT(arena_printf(job->x->arena, "%s~%s", row.slug, row.id)), DB_TEXT(row.id)));
}

void agents_archive(struct exchange *x)
{
	answer_write(x, arena_new_of(x->arena, struct answer), archive_run);
}

/* ---- Reading ---- */

static int get_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct agent_row row;
	int r = agent_find(c, a, &row);

	return r ? r : agent_row_answer(a, 200, &row);
}

void agents_get(struct exchange *x)
{
	answer_read(x, arena_new_of(x->arena, struct answer), get_run);
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct page_answer *l = (struct page_answer *)job;
	struct arena *a = job->x->arena;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	struct agent_row row = {0};
	int64_t n = 0;
	int r;
	struct db_stmt *st = db_query(
		c, "select " AGENT_COLUMNS " from agents where archived_at is null and id < ? order by id desc",
		DB_TEXT(l->page.after ? l->page.after : ID_LAST));

	while ((r = db_step(c, st)) == 1) {
		struct agent_row found;

		agent_row_read(st, a, &found);
		if (!agent_rights(&job->x->who, found.owner_id, found.shares))
			continue;
		if (n++ == l->page.limit)
			break;
		row = found;
		agent_row_add(a, doc, yyjson_mut_arr_add_obj(doc, items), &row, &job->x->who);
	}
	db_done(st);
	json_add_str(doc, obj, "next", n > l->page.limit ? page_cursor(a, row.id) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void agents_list(struct exchange *x)
{
	answer_page(x, list_run);
}
/* ---- The first agent ---- */

#define ASSISTANT_INSTRUCTIONS                                                                                         \
	"You are a helpful assistant with a Linux shell. The tool `shell` runs a command line in a sandbox; its "      \
	"working "                                                                                                     \
	"directory /workspace is a folder of this conversation and keeps its files between calls. When a question is " \
	"about this system, about files, or is best answered by computing, run a command and answer from its real "    \
	"output; do not guess. Keep commands simple, look at their exit status, and say so when something failed. "    \
	"Answer in Markdown, briefly, in the language of the question."

struct seed {
	struct db_job db;
	const struct agent *agent;
	char id[ID_SIZE];
	int result;
	bool is_done;
};

static int seed_run(struct db_conn *c, struct db_job *job)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct seed *s = container_of(job, struct seed, db);
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	int64_t one;
	int r = db_get_int(c, &one, "select 1 from agents limit 1");

	if (r)
		return MIN(r, 0);
	json_add_str(doc, obj, "instructions", ASSISTANT_INSTRUCTIONS);
	yyjson_mut_val *tools = yyjson_mut_obj_add_arr(doc, obj, "tools");
	yyjson_mut_arr_add_str(doc, tools, "shell");
	struct str text = json_text(a, doc);
	struct agent_row row = {
		.id = s->id,
		.slug = "assistant",
		.name = "Assistant",
		.description = "Answers questions and runs commands in a sandbox.",
		.config =
			agent_config_make(s->agent, a, yyjson_doc_get_root(json_parse(a, text.p, text.n, NULL)), NULL),
		.version = 1,
		.created_at = clock_now_us(),
		.updated_at = clock_now_us(),
		.shares = AGENT_SHARED_WITH_ALL,
	};
	return agent_row_insert(c, &row);
}

static void on_seeded(struct db_job *job, int result)
{
	struct seed *s = container_of(job, struct seed, db);

	s->result = result;
	s->is_done = true;
}

int agents_seed(struct agent *agent)
{
	struct seed s = {.db = {.run = seed_run, .done = on_seeded}, .agent = agent};

	id_new(s.id);
	db_write(agent->db, &s.db);
	while (!s.is_done)
		uv_run(service_loop(agent->service), UV_RUN_ONCE);
	return s.result;
}
