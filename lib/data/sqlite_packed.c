#include "data/sqlite_packed.h"

#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"

/* Kept in the database's header, so that it changes with the transaction that packs. */
#define PACKED_VERSION 1

bool sqlite_packed_is_on(sqlite3 *db)
{
	sqlite3_stmt *st;
	bool is_on = false;

	if (sqlite3_prepare_v2(db, "pragma user_version", -1, &st, NULL) == SQLITE_OK)
		is_on = sqlite3_step(st) == SQLITE_ROW && sqlite3_column_int(st, 0) == PACKED_VERSION;
	sqlite3_finalize(st);
	return is_on;
}

int sqlite_packed_read(struct packer *k, struct str blob, struct buf *out)
{
	char id[ID_SIZE];

	if (blob.n != PACKED_ID_SIZE)
		return packed_text_read(k, blob, out);
	packed_id_read((const uint8_t *)blob.p, id);
	buf_add(out, id, ID_SIZE - 1);
	return 0;
}

/* What a connection's functions need, kept so that nothing is allocated for each row. */
struct workspace {
	struct packer *packer;
	struct buf texts[2];
};

static void free_workspace(void *arg)
{
	struct workspace *w = arg;

	buf_deinit(&w->texts[0]);
	buf_deinit(&w->texts[1]);
	free(w);
}

/* A buffer that a large text went through is not kept. */
#define KEPT_MAX (64 * 1024)

static struct buf *clear_buffer(struct buf *b)
{
	if (b->n > KEPT_MAX)
		buf_deinit(b);
	buf_clear(b);
	return b;
}

/* The text of a value: of a packed one until the buffer is used again; p NULL for SQL's null. */
static struct str read_value(struct workspace *w, sqlite3_value *value, struct buf *own)
{
	if (sqlite3_value_type(value) == SQLITE_BLOB) {
		struct str blob = {sqlite3_value_blob(value), (size_t)sqlite3_value_bytes(value)};
		if (sqlite_packed_read(w->packer, blob, clear_buffer(own)) == 0)
			return buf_str(own);
	}
	const char *text = (const char *)sqlite3_value_text(value);

	return (struct str){text, text ? (size_t)sqlite3_value_bytes(value) : 0};
}

static void text_of(sqlite3_context *x, int n, sqlite3_value **args)
{
	struct workspace *w = sqlite3_user_data(x);

	if (sqlite3_value_type(args[0]) != SQLITE_BLOB) {
		sqlite3_result_value(x, args[0]);
		return;
	}
	struct str text = read_value(w, args[0], &w->texts[0]);
	if (text.p == w->texts[0].p)
		sqlite3_result_text64(x, text.p, text.n, SQLITE_TRANSIENT, SQLITE_UTF8);
	else
		sqlite3_result_value(x, args[0]);
}

static void text_has(sqlite3_context *x, int n, sqlite3_value **args)
{
	struct workspace *w = sqlite3_user_data(x);
	struct str part = read_value(w, args[1], &w->texts[1]);
	struct str in = part.p ? read_value(w, args[0], &w->texts[0]) : (struct str){0};

	sqlite3_result_int(x, in.p && str_ihas(in, part));
}

static void pack_id(sqlite3_context *x, int n, sqlite3_value **args)
{
	struct str text = {NULL, 0};
	uint8_t id[PACKED_ID_SIZE];

	if (sqlite3_value_type(args[0]) == SQLITE_TEXT) {
		text.p = (const char *)sqlite3_value_text(args[0]);
		text.n = (size_t)sqlite3_value_bytes(args[0]);
	}
	if (packed_id_make(text, id))
		sqlite3_result_blob(x, id, sizeof(id), SQLITE_TRANSIENT);
	else
		sqlite3_result_value(x, args[0]);
}

/* Each of them is an update of one column of a table. */
static const char list_updates[] =
	"select printf('update \"%w\" set \"%w\" = pack_id(\"%w\") where typeof(\"%w\") = ''text'' and "
	"length(\"%w\") = 36', t.name, c.name, c.name, c.name, c.name) from pragma_table_list t, "
	"pragma_table_info(t.name) c where t.schema = 'main' and t.type = 'table' and t.name not like 'sqlite!_%' "
	"escape '!' and t.name <> 'schema_migrations' and (c.type like 'varchar%' or c.type = 'text')";

static int run_updates(sqlite3 *db)
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(db, list_updates, -1, &st, NULL), step = SQLITE_DONE;

	while (r == SQLITE_OK && (step = sqlite3_step(st)) == SQLITE_ROW)
		r = sqlite3_exec(db, (const char *)sqlite3_column_text(st, 0), NULL, NULL, NULL);
	sqlite3_finalize(st);
	return r == SQLITE_OK && step != SQLITE_DONE ? SQLITE_ERROR : r;
}

static void pack_ids(sqlite3_context *x, int n, sqlite3_value **args)
{
	sqlite3 *db = sqlite3_context_db_handle(x);
	/* What refers to an id is packed after or before it. */
	int r = sqlite3_exec(db, "pragma defer_foreign_keys = on", NULL, NULL, NULL);

	if (r == SQLITE_OK)
		r = run_updates(db);
	if (r == SQLITE_OK)
		r = sqlite3_exec(db, "pragma user_version = 1", NULL, NULL, NULL);
	if (r != SQLITE_OK)
		sqlite3_result_error(x, sqlite3_errmsg(db), -1);
}

int sqlite_packed_add(sqlite3 *db, struct packer *k)
{
	const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC;
	struct workspace *w = xcalloc(1, sizeof(*w));

	w->packer = k;
	int r = sqlite3_create_function_v2(db, "text_of", 1, flags, w, text_of, NULL, NULL, free_workspace);
	/* It goes with the first of them: both live as long as the connection. */
	if (r == SQLITE_OK)
		r = sqlite3_create_function(db, "text_has", 2, flags, w, text_has, NULL, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_create_function(db, "pack_id", 1, flags, NULL, pack_id, NULL, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_create_function(db, "pack_ids", 0, SQLITE_UTF8 | SQLITE_DIRECTONLY, NULL, pack_ids, NULL,
					    NULL);
	return r;
}
