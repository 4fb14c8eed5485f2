/* /api/account/exports: all that is one's own, as a file. Only its person sees it, signed in or by this machine's
 * command line; a token of narrower scope does not. */
#include <errno.h>
#include <stdlib.h>

#include "agent/account/jobs.h"
#include "agent/handlers.h"

#define COLUMNS                                                                                                       \
	"id, status, size, error_code, error_message, created_at, ended_at, expires_at from account_jobs where kind " \
	"= 'export' and user_id = ?"

static bool is_allowed(struct exchange *x)
{
	if (!x->who.is_scoped && !(x->who.client_id && *x->who.client_id))
		return true;
	reply_problem(x, 403, "forbidden", "An access token of a program is not enough: sign in.");
	return false;
}

static void add_export(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct db_stmt *st, struct arena *a)
{
	json_add_str(doc, obj, "id", db_col_dup(st, 0, a));
	json_add_str(doc, obj, "status", db_col_dup(st, 1, a));
	yyjson_mut_obj_add_int(doc, obj, "size", db_col_int(st, 2));
	if (db_col_is_null(st, 3)) {
		yyjson_mut_obj_add_null(doc, obj, "error");
	} else {
		yyjson_mut_val *error = yyjson_mut_obj_add_obj(doc, obj, "error");

		json_add_str(doc, error, "code", db_col_dup(st, 3, a));
		json_add_str(doc, error, "message", db_col_dup(st, 4, a));
	}
	add_time(doc, obj, "created_at", db_col_int(st, 5));
	add_time(doc, obj, "ended_at", db_col_int(st, 6));
	add_time(doc, obj, "expires_at", db_col_int(st, 7));
}

static int answer_one(struct db_conn *c, struct answer *answer, int status, const char *id)
{
	struct exchange *x = answer->job.x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);
	struct db_stmt *st = db_query(c, "select " COLUMNS " and id = ?", DB_TEXT(x->who.user_id), DB_TEXT(id));
	int r = db_step(c, st);

	if (r == 1)
		add_export(doc, obj, st, x->arena);
	db_done(st);
	return r < 0 ? r : r == 0 ? answer_not_found(answer, "export") : answer_json(answer, status, doc);
}

/* ---- One, and all ---- */

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *answer = (struct answer *)job;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	struct db_stmt *st = db_query(c, "select " COLUMNS " order by id desc limit 20", DB_TEXT(x->who.user_id));
	int r;

	while ((r = db_step(c, st)) == 1)
		add_export(doc, yyjson_mut_arr_add_obj(doc, items), st, x->arena);
	db_done(st);
	return r < 0 ? r : answer_json(answer, 200, doc);
}

void exports_list(struct exchange *x)
{
	if (is_allowed(x))
		answer_read(x, arena_new_of(x->arena, struct answer), list_run);
}

static int get_run(struct db_conn *c, struct exchange_job *job)
{
	return answer_one(c, (struct answer *)job, 200, path_id(job->x));
}

void exports_get(struct exchange *x)
{
	if (is_allowed(x))
		answer_read(x, arena_new_of(x->arena, struct answer), get_run);
}

/* ---- Making and removing ---- */

/* One is kept: the new one takes the place of the others. */
static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *answer = (struct answer *)job;
	const char *user_id = job->x->who.user_id;
	char id[ID_SIZE];
	int64_t one;
	int r = db_get_int(c, &one,
			   "select 1 from account_jobs where user_id = ? and kind = 'export' and status in ('queued', "
			   "'running') limit 1",
			   DB_TEXT(user_id));

	if (r == 1)
		return answer_problem(answer, 409, "export_running", "One is being made: wait until it has ended.");
	if (r == 0)
		r = account_exports_erase(c, user_id, "");
	id_new(id);
	if (r >= 0)
		r = account_job_add(c, id, "export", user_id, NULL);
	answer->location = arena_printf(job->x->arena, "/api/account/exports/%s", id);
	return r < 0 ? r : answer_one(c, answer, 202, id);
}

static void create_done(struct exchange_job *job, int result)
{
	struct agent *agent = job->x->self;

	if (result == 0)
		account_jobs_wake(agent->account_jobs);
	answer_send(job, result);
}

void exports_create(struct exchange *x)
{
	struct answer *answer;

	if (!is_allowed(x))
		return;
	answer = arena_new_of(x->arena, struct answer);
	answer->job.done = create_done;
	answer_write(x, answer, create_run);
}

static int delete_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *answer = (struct answer *)job;
	const char *id = path_id(job->x);
	int r = *id ? account_exports_erase(c, job->x->who.user_id, id) : 0;

	answer->status = 204;
	return r < 0 ? r : r == 0 ? answer_not_found(answer, "export") : 0;
}

void exports_delete(struct exchange *x)
{
	if (is_allowed(x))
		answer_write(x, arena_new_of(x->arena, struct answer), delete_run);
}

/* ---- The file ---- */

#define PARTS 4 /* in memory at a time */

struct download {
	struct exchange_job job;
	char id[ID_SIZE];
	int64_t size, sent, part;
	bool is_found;
	struct buf bytes;
};

static int download_run(struct db_conn *c, struct exchange_job *job)
{
	struct download *d = (struct download *)job;
	struct db_stmt *st;
	int r = db_get_int(
		c, &d->size,
		"select size from account_jobs where id = ? and user_id = ? and kind = 'export' and status = "
		"'succeeded' and expires_at > ?",
		DB_TEXT(d->id), DB_TEXT(job->x->who.user_id), DB_INT(clock_now_us()));

	d->is_found = r == 1;
	buf_clear(&d->bytes);
	if (r != 1)
		return MIN(r, 0);
	st = db_query(c, "select data from account_job_parts where job_id = ? and part >= ? order by part limit ?",
		      DB_TEXT(d->id), DB_INT(d->part), DB_INT(PARTS));
	while ((r = db_step(c, st)) == 1)
		buf_add(&d->bytes, db_col_str(st, 0).p, db_col_str(st, 0).n);
	db_done(st);
	return r;
}

static void send_head(struct download *d)
{
	struct exchange *x = d->job.x;
	struct http_headers headers = {.arena = x->arena};

	http_header_set(&headers, "Content-Type", "application/gzip");
	http_header_set(&headers, "Content-Disposition", "attachment; filename=\"ogent-account.tar.gz\"");
	http_header_set(&headers, "Cache-Control", "no-store");
	http_header_set(&headers, "X-Content-Type-Options", "nosniff");
	http_reply_head(x->req, 200, &headers, d->size);
}

static void download_done(struct exchange_job *job, int result);

static void read_more(struct download *d)
{
	const struct agent *agent = d->job.x->self;
	struct exchange *x = d->job.x;

	x->req->on_drain = NULL;
	d->job = (struct exchange_job){.x = x, .run = download_run, .done = download_done};
	exchange_read(agent->db, &d->job);
}

static void on_drain(struct http_request *req)
{
	struct exchange *x = req->owner;

	read_more(x->data);
}

static void send_more(struct download *d)
{
	struct exchange *x = d->job.x;
	bool is_drained = http_reply_write(x->req, d->bytes.p, d->bytes.n);

	d->sent += (int64_t)d->bytes.n;
	d->part += PARTS;
	buf_deinit(&d->bytes);
	d->bytes = (struct buf)BUF_INIT;
	if (d->sent == d->size)
		http_reply_end(x->req);
	else if (is_drained)
		read_more(d);
	else
		x->req->on_drain = on_drain;
}

static void download_done(struct exchange_job *job, int result)
{
	struct download *d = (struct download *)job;
	struct exchange *x = job->x;
	bool has_begun = d->part > 0;

	if (!x->req)
		; /* the client has left */
	else if (!has_begun && result < 0)
		reply_db_failure(x, result);
	else if (!has_begun && !d->is_found)
		reply_problem(x, 404, "not_found", "There is no such file, or it is not kept any longer.");
	else if (result < 0 || d->bytes.n == 0)
		http_reply_abort(x->req);
	if (!x->req || result < 0 || !d->is_found || d->bytes.n == 0) {
		buf_deinit(&d->bytes);
		return;
	}
	if (!has_begun)
		send_head(d);
	send_more(d);
}

void exports_content(struct exchange *x)
{
	struct download *d;

	if (!is_allowed(x))
		return;
	d = arena_new_of(x->arena, struct download);
	*d = (struct download){.bytes = BUF_INIT, .job = {.x = x}};
	snprintf(d->id, sizeof(d->id), "%s", path_id(x));
	x->data = d;
	read_more(d);
}
