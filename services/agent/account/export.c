/* All that is a person's into one file (export_file.h): his account from auth, rows and files from the database,
 * commands and their recordings from exec; then the file goes into the database, so that every process can give it out.
 * After a crash it is begun anew. */
#include <errno.h>
#include <stdlib.h>

#include "agent/account/export_kinds.h"
#include "agent/account/jobs.h"
#include "agent/agent.h"
#include "base/alloc.h"
#include "base/clock.h"

#define ANSWER_MS 30000
#define ACCOUNT_MAX (16 * 1024 * 1024)
#define RECORDING_MAX (8 * 1024 * 1024)
#define COMMANDS "50"
#define COMMANDS_N 50
#define PARTS 8 /* in one transaction */
#define HOUR_US (3600 * 1000000ll)

/* What it waits for. */
enum export_state {
	ASKING,  /* auth, for the account */
	READING, /* rows and files of the database */
	LISTING, /* exec, for commands */
	PLAYING, /* exec, for a recording */
	ADDING,  /* what came to be in the file */
	CLOSING, /* the file's end */
	STORING, /* the file to be in the database */
	ENDED,
};

struct exporting {
	struct account_job *job;
	enum export_state state;
	bool is_stopped;
	struct db_job db;
	struct http_fetch *fetch;
	struct arena *arena; /* of an answer */
	struct export_file *file;
	struct export_place place;

	/* What came, and where it goes. */
	struct buf came, lines;
	char path[80];
	int status;

	/* Of the page of commands. */
	char ids[COMMANDS_N][ID_SIZE];
	size_t n_ids, at_id;
	char *cursor; /* of the next page; NULL: there is none */

	int64_t stored; /* bytes */
	char part[ACCOUNT_PART_BYTES];
};

/* ---- On the worker threads ---- */

static int read_rows(struct db_conn *c, struct db_job *db)
{
	struct exporting *e = container_of(db, struct exporting, db);

	return export_rows(c, e->file, e->job->user_id, &e->place);
}

/* Not in the database, but off the loop. */
static int add(struct db_conn *c, struct db_job *db)
{
	struct exporting *e = container_of(db, struct exporting, db);
	int r = 0;

	if (e->lines.n)
		r = export_file_line(e->file, (struct str){e->lines.p, e->lines.n - 1});
	if (r == 0 && *e->path)
		r = export_file_add(e->file, e->path, buf_str(&e->came));
	return r;
}

static int close_file(struct db_conn *c, struct db_job *db)
{
	struct exporting *e = container_of(db, struct exporting, db);
	int r = export_file_end_lines(e->file, "commands.jsonl");

	return r < 0 ? r : export_file_close(e->file);
}

static int store_part(struct db_conn *c, struct exporting *e, int64_t from)
{
	ssize_t n = export_file_read(e->file, from, e->part, ACCOUNT_PART_BYTES);

	return n < 0 ? (int)n
		     : error_only(db_exec(c, "insert into account_job_parts (job_id, part, data) values (?, ?, ?)",
					  DB_TEXT(e->job->id), DB_INT(from / ACCOUNT_PART_BYTES),
					  DB_BLOB(e->part, (size_t)n)));
}

static int finish(struct db_conn *c, struct exporting *e)
{
	const struct options *o = service_options(e->job->agent->service);
	int64_t until = clock_now_us() + option_int(o, "account_export_hours") * HOUR_US;

	return error_only(db_exec(c, "update account_jobs set size = ?, expires_at = ? where id = ?",
				  DB_INT(export_file_size(e->file)), DB_INT(until), DB_TEXT(e->job->id)));
}

static int store(struct db_conn *c, struct db_job *db)
{
	struct exporting *e = container_of(db, struct exporting, db);
	int64_t size = export_file_size(e->file), at = e->stored;
	int64_t r = account_job_check(c, e->job);

	if (r == 0 && at == 0)
		r = error_only(db_exec(c, "delete from account_job_parts where job_id = ?", DB_TEXT(e->job->id)));
	for (int i = 0; r == 0 && i < PARTS && at < size; i++, at += ACCOUNT_PART_BYTES)
		r = store_part(c, e, at);
	return r ? (int)r : at < size ? 0 : finish(c, e);
}

/* ---- The flow ---- */

static enum export_state next(struct exporting *e, int result);

/* Behind its end it may be gone. */
static void advance(struct exporting *e, int result)
{
	enum export_state state = next(e, result);

	if (state != ENDED)
		e->state = state;
}

static void on_db(struct db_job *db, int result)
{
	advance(container_of(db, struct exporting, db), result);
}

static enum export_state submit(struct exporting *e, enum export_state state)
{
	static int (*const runs[])(struct db_conn * c, struct db_job * db) = {
		[READING] = read_rows, [ADDING] = add, [CLOSING] = close_file, [STORING] = store};

	e->db.run = runs[state];
	if (state == STORING)
		db_write(e->job->agent->db, &e->db);
	else
		db_read(e->job->agent->db, &e->db);
	return state;
}

static void on_answer(void *arg, int err, int status, struct str body)
{
	struct exporting *e = arg;

	e->fetch = NULL;
	e->status = status;
	buf_clear(&e->came);
	if (!err)
		buf_add(&e->came, body.p, body.n);
	advance(e, err);
}

/* as_user: what the person may see himself. */
static enum export_state ask(struct exporting *e, enum export_state state, const char *role, bool as_user,
			     const char *path, size_t max)
{
	struct service *s = e->job->agent->service;

	e->fetch = http_fetch(service_peer(s, role), "GET", path,
			      service_peer_headers(s, role, as_user ? e->job->user_id : "", NULL, NULL, e->arena), NULL,
			      (struct str){0}, max, ANSWER_MS, on_answer, e);
	return state;
}

static enum export_state end(struct exporting *e, int result)
{
	e->job->on_ended(e->job, result);
	return ENDED;
}

static enum export_state later(struct exporting *e, const char *why)
{
	error_set(&e->job->error, "unreachable", "%s", why);
	return end(e, e->job->attempts < EXPORT_ATTEMPTS ? -EAGAIN : -ECANCELED);
}

static enum export_state fail(struct exporting *e, int result)
{
	if (result != -EFBIG)
		return later(e, "The file could not be written; there may be no room on the disk.");
	error_set(&e->job->error, "too_large", "It would be larger than the option account_export_max allows.");
	return end(e, -ECANCELED);
}

/* What came becomes an entry; path "" = there is none. */
static enum export_state keep(struct exporting *e, const char *path)
{
	snprintf(e->path, sizeof(e->path), "%s", path);
	return submit(e, ADDING);
}

static enum export_state list_commands(struct exporting *e)
{
	arena_reset(e->arena);
	return ask(e, LISTING, "exec", true,
		   arena_printf(e->arena, "/api/commands?limit=" COMMANDS "%s%s", e->cursor ? "&after=" : "",
				e->cursor ?: ""),
		   ACCOUNT_MAX);
}

/* Who may not see his commands has none in the file. */
static enum export_state listed(struct exporting *e)
{
	yyjson_val *root, *item;
	size_t i, n;

	if (e->status == 403 || e->status == 404)
		return submit(e, CLOSING);
	root = yyjson_doc_get_root(json_parse(e->arena, e->came.p ?: "", e->came.n, NULL));
	if (e->status != 200 || !root)
		return later(e, "The exec service did not answer.");
	e->n_ids = e->at_id = 0;
	yyjson_arr_foreach(json_get_arr(root, "items"), i, n, item)
	{
		struct str line = json_val_text(e->arena, item);

		if (e->n_ids == COMMANDS_N || strcmp(json_get_str(item, "user_id", ""), e->job->user_id) != 0)
			continue;
		snprintf(e->ids[e->n_ids++], ID_SIZE, "%s", json_get_str(item, "id", ""));
		buf_add(&e->lines, line.p, line.n);
		buf_add_char(&e->lines, '\n');
	}
	free(e->cursor);
	e->cursor = json_get_str(root, "next", NULL) ? xstrdup(json_get_str(root, "next", "")) : NULL;
	return keep(e, "");
}

static enum export_state play_next(struct exporting *e)
{
	if (e->at_id == e->n_ids)
		return e->cursor ? list_commands(e) : submit(e, CLOSING);
	arena_reset(e->arena);
	return ask(e, PLAYING, "exec", true, arena_printf(e->arena, "/api/commands/%s/recording", e->ids[e->at_id]),
		   RECORDING_MAX);
}

/* One that is too long, or gone meanwhile, is left out. */
static enum export_state played(struct exporting *e, int err)
{
	char path[80];

	snprintf(path, sizeof(path), "recordings/%s.cast", e->ids[e->at_id++]);
	return !err && e->status == 200 ? keep(e, path) : play_next(e);
}

static enum export_state added(struct exporting *e)
{
	bool is_account = e->place.kind == 0 && !e->place.has_ended;

	buf_clear(&e->lines);
	return is_account ? submit(e, READING) : play_next(e);
}

static enum export_state stored(struct exporting *e)
{
	e->stored += (int64_t)PARTS * ACCOUNT_PART_BYTES;
	return e->stored < export_file_size(e->file) ? submit(e, STORING) : end(e, 0);
}

static enum export_state next(struct exporting *e, int result)
{
	if (e->is_stopped)
		return ENDED;
	if (result == ACCOUNT_LOST)
		return end(e, ACCOUNT_LOST);
	switch (e->state) {
	case ASKING:
		return result < 0 || e->status != 200 ? later(e, "The auth service did not answer.")
						      : keep(e, "account.json");
	case READING: return result < 0 ? fail(e, result) : e->place.has_ended ? list_commands(e) : submit(e, READING);
	case LISTING: return result < 0 ? later(e, "The exec service did not answer.") : listed(e);
	case PLAYING: return played(e, result);
	case ADDING: return result < 0 ? fail(e, result) : added(e);
	case CLOSING: return result < 0 ? fail(e, result) : submit(e, STORING);
	case STORING: return result < 0 ? later(e, "The database did not take it.") : stored(e);
	case ENDED: break;
	}
	abort();
}

struct exporting *exporting_start(struct account_job *job)
{
	struct service *s = job->agent->service;
	struct exporting *e = xcalloc(1, sizeof(*e));

	e->job = job;
	e->arena = arena_new();
	e->db.done = on_db;
	e->came = e->lines = (struct buf)BUF_INIT;
	e->file =
		export_file_new(service_data_dir(s), option_int(service_options(s), "account_export_max"), &job->error);
	if (!e->file) {
		exporting_free(e);
		return NULL;
	}
	e->state = ask(e, ASKING, "auth", false, arena_printf(e->arena, "/users/%s/data", job->user_id), ACCOUNT_MAX);
	return e;
}

void exporting_stop(struct exporting *e)
{
	e->is_stopped = true;
	if (e->fetch)
		http_fetch_cancel(e->fetch);
}

void exporting_free(struct exporting *e)
{
	if (!e)
		return;
	export_file_free(e->file);
	buf_deinit(&e->came);
	buf_deinit(&e->lines);
	arena_free(e->arena);
	free(e->cursor);
	free(e);
}
