/* Collections of documents. */
#include <errno.h>
#include <stdlib.h>

#include "agent/handlers.h"
#include "agent/knowledge/knowledge.h"
#include "agent/models/choice.h"

static const char *const languages[] = {
	"simple",  "danish",    "dutch",      "english",  "finnish", "french",  "german",  "hungarian",
	"italian", "norwegian", "portuguese", "romanian", "russian", "spanish", "swedish", "turkish",
};

void collection_read_row(struct db_stmt *st, struct arena *a, struct collection_row *ret)
{
	*ret = (struct collection_row){
		.id = db_col_dup(st, 0, a),
		.owner_id = db_col_dup(st, 1, a),
		.name = db_col_dup(st, 2, a),
		.description = db_col_dup(st, 3, a),
		.language = db_col_dup(st, 4, a),
		.is_shared = db_col_int(st, 5) != 0,
		.embedding = db_col_dup(st, 6, a),
		.piece_tokens = db_col_int(st, 7),
		.overlap_tokens = db_col_int(st, 8),
		.revision = db_col_int(st, 9),
		.version = db_col_int(st, 10),
		.created_at = db_col_int(st, 11),
		.updated_at = db_col_int(st, 12),
	};
}

bool collection_is_visible(const struct collection_row *row, const char *user_id, bool sees_all)
{
	return sees_all || row->is_shared || strcmp(row->owner_id, user_id) == 0;
}

static bool sees_all(const struct exchange *x)
{
	return identity_may(&x->who, "knowledge.manage");
}

#define SELECT_ONE "select " COLLECTION_COLUMNS " from knowledge_collections c where c.id = ?"

static int find(struct db_conn *c, struct exchange *x, const char *sql, const char *id, struct collection_row *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c, sql, DB_TEXT(id));
	int r = db_step(c, st);

	if (r != 1)
		return r;
	collection_read_row(st, x->arena, ret);
	return collection_is_visible(ret, x->who.user_id, sees_all(x));
}

int collection_find(struct db_conn *c, struct exchange *x, const char *id, struct collection_row *ret)
{
	return find(c, x, SELECT_ONE, id, ret);
}

int collection_find_to_change(struct db_conn *c, struct answer *a, const char *id, struct collection_row *ret)
{
	struct exchange *x = a->job.x;
	int r = find(c, x, SELECT_ONE DB_FOR_UPDATE, id, ret);

	if (r <= 0)
		return r < 0 ? r : answer_not_found(a, "collection");
	if (strcmp(ret->owner_id, x->who.user_id) != 0 && !sees_all(x))
		return answer_problem(a, 403, "forbidden",
				      "Only who made this collection, or may manage knowledge, may change it.");
	return 0;
}

int collection_changed(struct db_conn *c, const char *collection_id)
{
	return error_only(db_exec(c, "update knowledge_collections set revision = revision + 1 where id = ?",
				  DB_TEXT(collection_id)));
}

/* ---- Telling ---- */

static void add_row(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct collection_row *row)
{
	json_add_str(doc, obj, "id", row->id);
	json_add_str(doc, obj, "owner_id", row->owner_id);
	json_add_str(doc, obj, "name", row->name);
	json_add_str(doc, obj, "description", row->description);
	json_add_str(doc, obj, "language", row->language);
	yyjson_mut_obj_add_bool(doc, obj, "shared", row->is_shared);
	json_add_str(doc, obj, "embedding_model", *row->embedding ? row->embedding : NULL);
	yyjson_mut_obj_add_int(doc, obj, "piece_tokens", row->piece_tokens);
	yyjson_mut_obj_add_int(doc, obj, "overlap_tokens", row->overlap_tokens);
	yyjson_mut_obj_add_int(doc, obj, "version", row->version);
	json_add_time(doc, obj, "created_at", row->created_at);
	json_add_time(doc, obj, "updated_at", row->updated_at);
}

/* How its documents are; stale: indexed with another model than it has now. */
static int add_counts(struct db_conn *c, yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct collection_row *row)
{
	static const char *const names[] = {"total", "ready", "working", "failed", "stale"};
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c,
		"select count(*), coalesce(sum(case when status = 'ready' then 1 else 0 end), 0), coalesce(sum(case "
		"when "
		"status in ('queued', 'reading', 'embedding') then 1 else 0 end), 0), coalesce(sum(case when status = "
		"'failed' then 1 else 0 end), 0), coalesce(sum(case when live > 0 and embedding <> ? then 1 else 0 "
		"end), "
		"0), coalesce(sum(pieces), 0), coalesce(sum(size), 0) from knowledge_documents where collection_id = ?",
		DB_TEXT(row->embedding), DB_TEXT(row->id));
	int r = db_step(c, st);
	yyjson_mut_val *counts = yyjson_mut_obj_add_obj(doc, obj, "documents");

	if (r < 1)
		return MIN(r, -EIO);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		yyjson_mut_obj_add_int(doc, counts, names[i], db_col_int(st, (int)i));
	yyjson_mut_obj_add_int(doc, obj, "pieces", db_col_int(st, 5));
	yyjson_mut_obj_add_int(doc, obj, "bytes", db_col_int(st, 6));
	return 0;
}

static int answer_row(struct db_conn *c, struct answer *a, int status, const struct collection_row *row)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a->job.x->arena, &doc);
	int r;

	add_row(doc, obj, row);
	r = add_counts(c, doc, obj, row);
	a->etag = arena_printf(a->job.x->arena, "\"%lld\"", (long long)row->version);
	return r < 0 ? r : answer_json(a, status, doc);
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct page_answer *l = (struct page_answer *)job;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items"), *item;
	struct collection_row *rows = arena_alloc(x->arena, (size_t)l->page.limit * sizeof(*rows)), more;
	int64_t n = 0;
	int r;
	struct db_stmt *st = db_query(c,
				      "select " COLLECTION_COLUMNS
				      " from knowledge_collections c where c.id < ? and (c.owner_id = ? or "
				      "c.is_shared = 1 or ? = 1) order by c.id desc limit ?",
				      DB_TEXT(l->page.after ? l->page.after : ID_LAST), DB_TEXT(x->who.user_id),
				      DB_INT(sees_all(x)), DB_INT(l->page.limit + 1));

	while ((r = db_step(c, st)) == 1 && n++ < l->page.limit)
		collection_read_row(st, x->arena, n <= l->page.limit ? &rows[n - 1] : &more);
	db_done(st);
	for (int64_t i = 0; r >= 0 && i < MIN(n, l->page.limit); i++) {
		item = yyjson_mut_arr_add_obj(doc, items);
		add_row(doc, item, &rows[i]);
		r = error_only(add_counts(c, doc, item, &rows[i]));
	}
	json_add_str(doc, obj, "next", n > l->page.limit ? page_cursor(x->arena, rows[l->page.limit - 1].id) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void collections_list(struct exchange *x)
{
	answer_page(x, list_run);
}

static int get_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct collection_row row;
	int r = collection_find(c, job->x, path_id(job->x), &row);

	if (r == 0)
		return answer_not_found(a, "collection");
	return r < 0 ? r : answer_row(c, a, 200, &row);
}

void collections_get(struct exchange *x)
{
	answer_read(x, arena_new_of(x->arena, struct answer), get_run);
}

/* ---- What a client sends ---- */

static const struct json_field create_fields[] = {
	{"name", JSON_STRING, true, 1, 100},
	{"description", JSON_STRING, false, 0, 1000},
	{"language", JSON_STRING, false, 1, 32},
	{"shared", JSON_BOOL},
	{"embedding_model", JSON_STRING_OR_NULL, false, 0, 200},
	{"piece_tokens", JSON_INT, false, 64, 2000},
	{"overlap_tokens", JSON_INT, false, 0, 500},
};

/* The language is how its words were stored. */
static const struct json_field patch_fields[] = {
	{"name", JSON_STRING, false, 1, 100},
	{"description", JSON_STRING, false, 0, 1000},
	{"shared", JSON_BOOL},
	{"embedding_model", JSON_STRING_OR_NULL, false, 0, 200},
	{"piece_tokens", JSON_INT, false, 64, 2000},
	{"overlap_tokens", JSON_INT, false, 0, 500},
};

static bool check_language(const char *language, struct error *err)
{
	_cleanup_(buf_deinit) struct buf names = BUF_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(languages); i++) {
		if (strcmp(languages[i], language) == 0)
			return true;
		buf_printf(&names, "%s%s", i ? ", " : "", languages[i]);
	}
	error_set(err, "invalid_field", "\"language\" is one of %s", names.p);
	return false;
}

/* Sharing with everybody is for those who manage knowledge; a model must be there. */
static bool check_body(struct exchange *x, const struct json_field *fields, size_t n)
{
	struct agent *agent = x->self;
	struct error err = {0};
	const char *model = NULL;

	if (json_check(x->body, fields, n, &err) < 0 ||
	    !check_language(json_get_str(x->body, "language", KNOWLEDGE_LANGUAGE_SIMPLE), &err)) {
		reply_error(x, 422, &err);
		return false;
	}
	model = json_get_str(x->body, "embedding_model", "");
	if (*model && !models_choose(agent->models, model, x->who.user_id, x->arena, &err)) {
		reply_problem(
			x, 422, "model_unknown",
			"The embedding model \"%.100s\" is not there: take one of GET /api/models, or leave it out.",
			model);
		return false;
	}
	if (!json_get_bool(x->body, "shared", false) || sees_all(x))
		return true;
	reply_problem(x, 403, "forbidden",
		      "Sharing a collection with everybody needs the permission knowledge.manage.");
	return false;
}

static bool check_overlap(struct answer *a, const struct collection_row *row, int *ret)
{
	if (row->overlap_tokens * 2 <= row->piece_tokens)
		return true;
	*ret = answer_problem(a, 422, "invalid_field", "\"overlap_tokens\" is at most half of \"piece_tokens\".");
	return false;
}

struct create {
	struct answer answer;
	char id[ID_SIZE];
};

static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct create *m = (struct create *)job;
	struct exchange *x = job->x;
	struct collection_row row = {
		.id = m->id,
		.owner_id = x->who.user_id,
		.name = json_get_str(x->body, "name", ""),
		.description = json_get_str(x->body, "description", ""),
		.language = json_get_str(x->body, "language", KNOWLEDGE_LANGUAGE_SIMPLE),
		.embedding = json_get_str(x->body, "embedding_model", ""),
		.is_shared = json_get_bool(x->body, "shared", false),
		.piece_tokens = json_get_int(x->body, "piece_tokens", 320),
		.version = 1,
		.created_at = clock_now_us(),
	};
	int r = answer_known(c, &m->answer);

	row.overlap_tokens = json_get_int(x->body, "overlap_tokens", MIN(row.piece_tokens / 8, 40));
	row.updated_at = row.created_at;
	if (r || !check_overlap(&m->answer, &row, &r))
		return r;
	int64_t n = db_exec(
		c,
		"insert into knowledge_collections (id, owner_id, name, description, language, is_shared, embedding, "
		"piece_tokens, overlap_tokens, revision, version, created_at, updated_at) values (?, ?, ?, ?, ?, ?, ?, "
		"?, "
		"?, 1, 1, ?, ?)",
		DB_TEXT(row.id), DB_TEXT(row.owner_id), DB_TEXT(row.name), DB_TEXT(row.description),
		DB_TEXT(row.language), DB_INT(row.is_shared), DB_TEXT(row.embedding), DB_INT(row.piece_tokens),
		DB_INT(row.overlap_tokens), DB_INT(row.created_at), DB_INT(row.updated_at));
	if (n < 0)
		return (int)n;
	m->answer.location = arena_printf(x->arena, "/api/knowledge/collections/%s", m->id);
	r = answer_row(c, &m->answer, 201, &row);
	return r < 0 ? r : answer_keep(c, &m->answer);
}

void collections_create(struct exchange *x)
{
	struct create *m = arena_new_of(x->arena, struct create);

	if (!check_body(x, create_fields, ARRAY_SIZE(create_fields)))
		return;
	id_new(m->id);
	answer_write(x, &m->answer, create_run);
}

static void change(struct collection_row *row, yyjson_val *body)
{
	yyjson_val *model = yyjson_obj_get(body, "embedding_model");

	row->name = json_get_str(body, "name", row->name);
	row->description = json_get_str(body, "description", row->description);
	row->is_shared = json_get_bool(body, "shared", row->is_shared);
	row->piece_tokens = json_get_int(body, "piece_tokens", row->piece_tokens);
	row->overlap_tokens = json_get_int(body, "overlap_tokens", row->overlap_tokens);
	if (model)
		row->embedding = yyjson_is_str(model) ? yyjson_get_str(model) : "";
	row->version++;
	row->updated_at = clock_now_us();
}

static int patch_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct collection_row row;
	int r = collection_find_to_change(c, a, path_id(job->x), &row);

	if (r)
		return r;
	change(&row, job->x->body);
	if (!check_overlap(a, &row, &r))
		return r;
	int64_t n = db_exec(c,
			    "update knowledge_collections set name = ?, description = ?, is_shared = ?, embedding = ?, "
			    "piece_tokens = "
			    "?, overlap_tokens = ?, revision = revision + 1, version = ?, updated_at = ? where id = ?",
			    DB_TEXT(row.name), DB_TEXT(row.description), DB_INT(row.is_shared), DB_TEXT(row.embedding),
			    DB_INT(row.piece_tokens), DB_INT(row.overlap_tokens), DB_INT(row.version),
			    DB_INT(row.updated_at), DB_TEXT(row.id));
	return n < 0 ? (int)n : answer_row(c, a, 200, &row);
}

void collections_patch(struct exchange *x)
{
	if (check_body(x, patch_fields, ARRAY_SIZE(patch_fields)))
		answer_write(x, arena_new_of(x->arena, struct answer), patch_run);
}

/* ---- Removing, indexing anew ---- */

static int delete_documents(struct db_conn *c, struct arena *a, const char *collection_id)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select id from knowledge_documents where collection_id = ?", DB_TEXT(collection_id));
	const char **ids = NULL;
	size_t n = 0;
	int r;

	while ((r = db_step(c, st)) == 1) {
		if ((n & (n - 1)) == 0) {
			const char **more = arena_alloc(a, (n ? n * 2 : 1) * sizeof(*more));
			if (n)
				memcpy(more, ids, n * sizeof(*ids));
			ids = more;
		}
		ids[n++] = db_col_dup(st, 0, a);
	}
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = pieces_delete(c, ids[i], 0);
	if (r >= 0)
		r = error_only(
			db_exec(c, "delete from knowledge_documents where collection_id = ?", DB_TEXT(collection_id)));
	return MIN(r, 0);
}

static int delete_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct collection_row row;
	int r = collection_find_to_change(c, a, path_id(job->x), &row);

	if (r)
		return r;
	r = delete_documents(c, job->x->arena, row.id);
	a->status = 204;
	return r < 0 ? r : error_only(db_exec(c, "delete from knowledge_collections where id = ?", DB_TEXT(row.id)));
}

void collections_delete(struct exchange *x)
{
	answer_write(x, arena_new_of(x->arena, struct answer), delete_run);
}

static int index_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct collection_row row;
	int64_t now = 0, n;
	int r = collection_find_to_change(c, a, path_id(job->x), &row);

	if (r == 0)
		r = db_clock_us(c, &now);
	if (r)
		return r;
	n = db_exec(c,
		    "update knowledge_documents set status = 'queued', owner = null, claim = claim + 1, attempts = 0, "
		    "run_after = ?, error_code = null, error_message = null, done_pieces = 0, updated_at = ? where "
		    "collection_id = ?",
		    DB_INT(now), DB_INT(clock_now_us()), DB_TEXT(row.id));
	return n < 0 ? (int)n : answer_row(c, a, 202, &row);
}

static void index_done(struct exchange_job *job, int result)
{
	knowledge_wake(((struct agent *)job->x->self)->knowledge);
	answer_send(job, result);
}

void collections_index(struct exchange *x)
{
	struct answer *a = arena_new_of(x->arena, struct answer);

	a->job.done = index_done;
	answer_write(x, a, index_run);
}
