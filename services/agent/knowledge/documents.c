/* Documents: sending, listing, looking at, indexing anew, deleting. */
#include <errno.h>
#include <stdlib.h>

#include "agent/handlers.h"
#include "agent/knowledge/knowledge.h"
#include "agent/knowledge/multipart.h"
#include "agent/knowledge/read.h"
#include "base/encode.h"
#include "base/utf8.h"

#define PART_BYTES (512 * 1024)
#define NAME_MAX_BYTES 200
#define PIECES_MAX 50
#define COLUMNS                                                                                                     \
	"d.id, d.collection_id, d.name, d.title, d.media_type, d.size, d.hash, d.user_id, d.status, d.error_code, " \
	"d.error_message, d.pages, d.pieces, d.tokens, d.done_pieces, d.live, d.embedding, d.created_at, "          \
	"d.updated_at, "                                                                                            \
	"d.indexed_at, c.embedding, c.owner_id, c.is_shared"
#define TABLES " from knowledge_documents d join knowledge_collections c on c.id = d.collection_id "

struct document_row {
	const char *id, *collection_id, *name, *title, *media_type, *hash, *user_id, *status, *error_code,
		*error_message, *embedding, *collection_embedding;
	int64_t size, pages, pieces, tokens, done_pieces, live, created_at, updated_at, indexed_at;
	struct collection_row collection; /* owner_id and is_shared alone */
};

static void read_row(struct db_stmt *st, struct arena *a, struct document_row *ret)
{
	*ret = (struct document_row){
		.id = db_col_dup(st, 0, a),
		.collection_id = db_col_dup(st, 1, a),
		.name = db_col_dup(st, 2, a),
		.title = db_col_dup(st, 3, a),
		.media_type = db_col_dup(st, 4, a),
		.size = db_col_int(st, 5),
		.hash = db_col_dup(st, 6, a),
		.user_id = db_col_dup(st, 7, a),
		.status = db_col_dup(st, 8, a),
		.error_code = db_col_dup(st, 9, a),
		.error_message = db_col_dup(st, 10, a),
		.pages = db_col_int(st, 11),
		.pieces = db_col_int(st, 12),
		.tokens = db_col_int(st, 13),
		.done_pieces = db_col_int(st, 14),
		.live = db_col_int(st, 15),
		.embedding = db_col_dup(st, 16, a),
		.created_at = db_col_int(st, 17),
		.updated_at = db_col_int(st, 18),
		.indexed_at = db_col_int(st, 19),
		.collection_embedding = db_col_dup(st, 20, a),
		.collection = {.owner_id = db_col_dup(st, 21, a), .is_shared = db_col_int(st, 22) != 0},
	};
}

static void add_count(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, int64_t n)
{
	if (n > 0)
		yyjson_mut_obj_add_int(doc, obj, key, n);
	else
		yyjson_mut_obj_add_null(doc, obj, key);
}

static void add_row(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct document_row *row)
{
	yyjson_mut_val *error;

	json_add_str(doc, obj, "id", row->id);
	json_add_str(doc, obj, "collection_id", row->collection_id);
	json_add_str(doc, obj, "name", row->name);
	json_add_str(doc, obj, "title", row->title);
	json_add_str(doc, obj, "media_type", row->media_type);
	yyjson_mut_obj_add_int(doc, obj, "size", row->size);
	json_add_str(doc, obj, "hash", row->hash);
	json_add_str(doc, obj, "user_id", row->user_id);
	json_add_str(doc, obj, "status", row->status);
	if (row->error_code) {
		error = yyjson_mut_obj_add_obj(doc, obj, "error");
		json_add_str(doc, error, "code", row->error_code);
		json_add_str(doc, error, "message", row->error_message);
	} else {
		yyjson_mut_obj_add_null(doc, obj, "error");
	}
	add_count(doc, obj, "pages", row->pages);
	yyjson_mut_obj_add_int(doc, obj, "pieces", row->pieces);
	yyjson_mut_obj_add_int(doc, obj, "done_pieces", row->done_pieces);
	yyjson_mut_obj_add_int(doc, obj, "tokens", row->tokens);
	yyjson_mut_obj_add_bool(doc, obj, "searchable", row->live > 0);
	yyjson_mut_obj_add_bool(doc, obj, "stale",
				row->live > 0 && strcmp(row->embedding, row->collection_embedding) != 0);
	json_add_time(doc, obj, "created_at", row->created_at);
	json_add_time(doc, obj, "updated_at", row->updated_at);
	json_add_time(doc, obj, "indexed_at", row->indexed_at);
}

static int answer_row(struct answer *a, int status, const struct document_row *row)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a->job.x->arena, &doc);

	add_row(doc, obj, row);
	return answer_json(a, status, doc);
}

static bool manages(const struct exchange *x)
{
	return identity_may(&x->who, "knowledge.manage");
}

#define SELECT_ONE "select " COLUMNS TABLES "where d.id = ?"

static int find(struct db_conn *c, struct exchange *x, const char *sql, const char *id, struct document_row *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c, sql, DB_TEXT(id));
	int r = db_step(c, st);

	if (r != 1)
		return r;
	read_row(st, x->arena, ret);
	return collection_is_visible(&ret->collection, x->who.user_id, manages(x));
}

static int find_to_change(struct db_conn *c, struct answer *a, struct document_row *ret)
{
	struct exchange *x = a->job.x;
	int r = find(c, x, SELECT_ONE " /*! for update of d */", path_id(x), ret);

	if (r <= 0)
		return r < 0 ? r : answer_not_found(a, "document");
	if (strcmp(ret->collection.owner_id, x->who.user_id) != 0 && !manages(x))
		return answer_problem(a, 403, "forbidden",
				      "Only who made this collection, or may manage knowledge, may change it.");
	return 0;
}

/* ---- Sending ---- */

struct upload {
	struct answer answer;
	char id[ID_SIZE], hash[SHA256_HEX_SIZE];
	const char *name;
	enum media media;
	struct str bytes;
};

static int find_same(struct db_conn *c, struct upload *u, const char *collection_id, struct document_row *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select " COLUMNS TABLES "where d.collection_id = ? and d.hash = ?", DB_TEXT(collection_id),
			 DB_TEXT(u->hash));
	int r = db_step(c, st);

	if (r == 1)
		read_row(st, u->answer.job.x->arena, ret);
	return r;
}

static int insert_content(struct db_conn *c, const struct upload *u)
{
	int64_t r = 0;

	for (size_t at = 0, part = 0; r >= 0 && at < u->bytes.n; at += PART_BYTES, part++)
		r = db_exec(c, "insert into knowledge_contents (document_id, part, data) values (?, ?, ?)",
			    DB_TEXT(u->id), DB_INT((int64_t)part),
			    DB_BLOB(u->bytes.p + at, MIN(u->bytes.n - at, (size_t)PART_BYTES)));
	return (int)MIN(r, 0);
}

static int insert_document(struct db_conn *c, const struct upload *u, const char *collection_id)
{
	int64_t now, r = db_clock_us(c, &now);

	if (r == 0)
		r = db_exec(
			c,
			"insert into knowledge_documents (id, collection_id, name, title, media_type, size, hash, "
			"user_id, status, pages, pieces, tokens, done_pieces, embedding, dimension, live, claim, "
			"lease_until, attempts, run_after, created_at, updated_at, indexed_at) values (?, ?, ?, '', ?, "
			"?, ?, ?, 'queued', 0, 0, 0, 0, '', 0, 0, 0, 0, 0, ?, ?, ?, 0)",
			DB_TEXT(u->id), DB_TEXT(collection_id), DB_TEXT(u->name), DB_TEXT(media_type_name(u->media)),
			DB_INT((int64_t)u->bytes.n), DB_TEXT(u->hash), DB_TEXT(u->answer.job.x->who.user_id),
			DB_INT(now), DB_INT(clock_now_us()), DB_INT(clock_now_us()));
	return r < 0 ? (int)r : insert_content(c, u);
}

/* The collection's row is locked, so of two that send the same at once the second finds the first. */
static int upload_run(struct db_conn *c, struct exchange_job *job)
{
	struct upload *u = (struct upload *)job;
	struct exchange *x = job->x;
	struct collection_row collection;
	struct document_row row;
	int r = collection_find_to_change(c, &u->answer, path_id(x), &collection);

	if (r)
		return r;
	r = find_same(c, u, collection.id, &row);
	if (r < 0)
		return r;
	if (r == 1)
		return answer_row(&u->answer, 200, &row);
	r = insert_document(c, u, collection.id);
	if (r == 0)
		r = find(c, x, SELECT_ONE, u->id, &row);
	if (r < 1)
		return MIN(r, -EIO);
	u->answer.location = arena_printf(x->arena, "/api/knowledge/documents/%s", u->id);
	return answer_row(&u->answer, 201, &row);
}

static void upload_done(struct exchange_job *job, int result)
{
	knowledge_wake(((struct agent *)job->x->self)->knowledge);
	answer_send(job, result);
}

/* Readable, and not longer than a row takes. */
static const char *clean_name(struct arena *a, const char *name)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	struct utf8_carry carry = {0};
	size_t n;

	utf8_clean(&carry, name, strlen(name), true, &out);
	for (size_t i = 0; i < out.n; i++)
		if ((unsigned char)out.p[i] < 0x20 || out.p[i] == 0x7f)
			out.p[i] = ' ';
	n = MIN(out.n, (size_t)NAME_MAX_BYTES);
	while (n < out.n && n > 0 && ((unsigned char)out.p[n] & 0xc0) == 0x80)
		n--;
	struct str trimmed = str_trim((struct str){out.p, n});
	return trimmed.n ? arena_strndup(a, trimmed.p, trimmed.n) : "document";
}

static void on_body(struct http_request *r, int err, struct str body)
{
	struct exchange *x = r->owner;
	struct upload *u = x->data;
	struct str type = http_header_get(&r->headers, "Content-Type");
	const char *name = http_query_get(x->arena, r->query, "name");
	struct multipart_file file = {.bytes = body, .name = name ? name : "", .type = ""};
	struct error why = {0};

	if (err || http_reply_has_started(r))
		return;
	if (str_has_prefix(type, STR("multipart/form-data"))) {
		if (multipart_read(x->arena, type, body, &file, &why) < 0) {
			reply_error(x, 400, &why);
			return;
		}
	} else if (type.p) {
		file.type = arena_strndup(x->arena, type.p, type.n);
	}
	u->name = clean_name(x->arena, name && *name ? name : file.name);
	if (media_detect(file.bytes, u->name, file.type, &u->media, &why) < 0) {
		reply_error(x, strcmp(why.code, "document_type") == 0 ? 415 : 422, &why);
		return;
	}
	u->bytes = arena_str(x->arena, file.bytes); /* the client may leave before it is stored */
	id_new(u->id);
	sha256_hex(u->bytes.p, u->bytes.n, u->hash);
	u->answer.job.done = upload_done;
	answer_write(x, &u->answer, upload_run);
}

void documents_create(struct exchange *x)
{
	struct agent *agent = x->self;
	uint64_t max = (uint64_t)option_int(service_options(agent->service), "knowledge_max_document");

	x->data = arena_new_of(x->arena, struct upload);
	if (x->req->content_length > 0 && (uint64_t)x->req->content_length > max + PART_BYTES / 8) {
		reply_problem(x, 413, "body_too_large",
			      "A document has at most %llu bytes here (option knowledge_max_document): divide it.",
			      (unsigned long long)max);
		return;
	}
	http_set_max_body(x->req, max + PART_BYTES / 8); /* and what a multipart body has around it */
	http_read_body(x->req, on_body);
}

/* ---- Reading ---- */

struct list_answer {
	struct answer answer;
	struct page page;
	const char *status;
};

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct list_answer *l = (struct list_answer *)job;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	struct collection_row collection;
	struct document_row row = {0};
	int64_t n = 0;
	int r = collection_find(c, x, path_id(x), &collection);

	if (r <= 0)
		return r < 0 ? r : answer_not_found(&l->answer, "collection");
	struct db_stmt *st =
		db_query(c,
			 "select " COLUMNS TABLES
			 "where d.collection_id = ? and d.id < ? and (? = '' or d.status = ?) order by d.id desc "
			 "limit ?",
			 DB_TEXT(collection.id), DB_TEXT(l->page.after ? l->page.after : ID_LAST), DB_TEXT(l->status),
			 DB_TEXT(l->status), DB_INT(l->page.limit + 1));
	while ((r = db_step(c, st)) == 1 && n++ < l->page.limit) {
		read_row(st, x->arena, &row);
		add_row(doc, yyjson_mut_arr_add_obj(doc, items), &row);
	}
	db_done(st);
	json_add_str(doc, obj, "next", n > l->page.limit ? page_cursor(x->arena, row.id) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void documents_list(struct exchange *x)
{
	struct list_answer *l = arena_new_of(x->arena, struct list_answer);
	const char *status = http_query_get(x->arena, x->req->query, "status");

	l->status = status ? status : "";
	if (page_read(x, &l->page))
		answer_read(x, &l->answer, list_run);
}

static int get_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct document_row row;
	int r = find(c, job->x, SELECT_ONE, path_id(job->x), &row);

	if (r == 0)
		return answer_not_found(a, "document");
	return r < 0 ? r : answer_row(a, 200, &row);
}

void documents_get(struct exchange *x)
{
	answer_read(x, arena_new_of(x->arena, struct answer), get_run);
}

struct content_answer {
	struct answer answer;
	struct buf bytes;
	const char *type, *name;
};

static int content_run(struct db_conn *c, struct exchange_job *job)
{
	struct content_answer *d = (struct content_answer *)job;
	struct document_row row;
	struct db_stmt *st;
	int r = find(c, job->x, SELECT_ONE, path_id(job->x), &row);

	if (r <= 0)
		return r < 0 ? r : answer_not_found(&d->answer, "document");
	d->type = row.media_type;
	d->name = row.name;
	buf_clear(&d->bytes);
	st = db_query(c, "select data from knowledge_contents where document_id = ? order by part", DB_TEXT(row.id));
	while ((r = db_step(c, st)) == 1) {
		struct str part = db_col_str(st, 0);
		buf_add(&d->bytes, part.p, part.n);
	}
	db_done(st);
	return r;
}

static void content_done(struct exchange_job *job, int result)
{
	struct content_answer *d = (struct content_answer *)job;

	if (result < 0 || d->answer.code)
		answer_send(job, result);
	else if (job->x->req)
		reply_download(job->x, d->type, d->name, buf_str(&d->bytes));
	buf_deinit(&d->bytes);
}

void documents_content(struct exchange *x)
{
	struct content_answer *d = arena_new_of(x->arena, struct content_answer);

	d->answer.job.done = content_done;
	answer_read(x, &d->answer, content_run);
}

struct pieces_answer {
	struct answer answer;
	int64_t from, limit;
};

static int pieces_run(struct db_conn *c, struct exchange_job *job)
{
	struct pieces_answer *p = (struct pieces_answer *)job;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items"), *item;
	struct document_row row;
	int r = find(c, x, SELECT_ONE, path_id(x), &row);

	if (r <= 0)
		return r < 0 ? r : answer_not_found(&p->answer, "document");
	struct db_stmt *st =
		db_query(c,
			 "select number, page, heading, start_at, end_at, tokens, text from knowledge_pieces "
			 "where document_id = ? and claim = ? and number >= ? order by number limit ?",
			 DB_TEXT(row.id), DB_INT(row.live), DB_INT(p->from), DB_INT(p->limit));
	while ((r = db_step(c, st)) == 1) {
		item = yyjson_mut_arr_add_obj(doc, items);
		yyjson_mut_obj_add_int(doc, item, "number", db_col_int(st, 0));
		add_count(doc, item, "page", db_col_int(st, 1));
		json_add_str(doc, item, "heading", db_col_dup(st, 2, x->arena));
		yyjson_mut_obj_add_int(doc, item, "start", db_col_int(st, 3));
		yyjson_mut_obj_add_int(doc, item, "end", db_col_int(st, 4));
		yyjson_mut_obj_add_int(doc, item, "tokens", db_col_int(st, 5));
		json_add_str(doc, item, "text", db_col_dup(st, 6, x->arena));
	}
	db_done(st);
	return r < 0 ? r : answer_json(&p->answer, 200, doc);
}

static bool read_number(struct exchange *x, const char *name, int64_t def, int64_t max, int64_t *ret)
{
	const char *text = http_query_get(x->arena, x->req->query, name);
	uint64_t n = 0;

	*ret = def;
	if (!text)
		return true;
	if (str_to_u64(str_of(text), (uint64_t)max, &n) < 0) {
		reply_problem(x, 400, "bad_request", "\"%s\" is a number from 0 to %lld.", name, (long long)max);
		return false;
	}
	*ret = (int64_t)n;
	return true;
}

void documents_pieces(struct exchange *x)
{
	struct pieces_answer *p = arena_new_of(x->arena, struct pieces_answer);

	if (read_number(x, "from", 0, INT32_MAX, &p->from) && read_number(x, "limit", 10, PIECES_MAX, &p->limit))
		answer_read(x, &p->answer, pieces_run);
}

/* ---- Changing ---- */

static int delete_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct document_row row;
	int r = find_to_change(c, a, &row);

	if (r)
		return r;
	a->status = 204;
	r = pieces_delete(c, row.id, 0);
	if (r == 0)
		r = error_only(db_exec(c, "delete from knowledge_documents where id = ?", DB_TEXT(row.id)));
	return r < 0 ? r : collection_changed(c, row.collection_id);
}

void documents_delete(struct exchange *x)
{
	answer_write(x, arena_new_of(x->arena, struct answer), delete_run);
}

/* What is found stays so until it is done. */
static int index_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct document_row row;
	int64_t now = 0, n;
	int r = find_to_change(c, a, &row);

	if (r == 0)
		r = db_clock_us(c, &now);
	if (r)
		return r;
	n = db_exec(
		c,
		"update knowledge_documents set status = 'queued', owner = null, claim = claim + 1, attempts = 0, "
		"run_after = ?, error_code = null, error_message = null, done_pieces = 0, updated_at = ? where id = ?",
		DB_INT(now), DB_INT(clock_now_us()), DB_TEXT(row.id));
	if (n < 0)
		return (int)n;
	r = find(c, job->x, SELECT_ONE, row.id, &row);
	return r < 1 ? MIN(r, -EIO) : answer_row(a, 202, &row);
}

void documents_index(struct exchange *x)
{
	struct answer *a = arena_new_of(x->arena, struct answer);

	a->job.done = upload_done;
	answer_write(x, a, index_run);
}
