#include "data/sqlite_packed.h"

#include <errno.h>

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

/* Puts the text of a packed value into `out`; false when it is none. */
static bool unpack(sqlite3_context *x, sqlite3_value *value, struct buf *out)
{
	struct str blob;

	if (sqlite3_value_type(value) != SQLITE_BLOB)
		return false;
	blob.p = sqlite3_value_blob(value);
	blob.n = (size_t)sqlite3_value_bytes(value);
	return sqlite_packed_read(sqlite3_user_data(x), blob, out) == 0;
}

static void text_of(sqlite3_context *x, int n, sqlite3_value **args)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	if (unpack(x, args[0], &text))
		sqlite3_result_text64(x, text.p, text.n, SQLITE_TRANSIENT, SQLITE_UTF8);
	else
		sqlite3_result_value(x, args[0]);
}

static void text_has(sqlite3_context *x, int n, sqlite3_value **args)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT, part = BUF_INIT;
	const char *in, *what;

	in = unpack(x, args[0], &text) ? text.p : (const char *)sqlite3_value_text(args[0]);
	what = unpack(x, args[1], &part) ? part.p : (const char *)sqlite3_value_text(args[1]);
	sqlite3_result_int(x, in && what && strcasestr(in, what));
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
	int r = sqlite3_create_function(db, "text_of", 1, flags, k, text_of, NULL, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_create_function(db, "text_has", 2, flags, k, text_has, NULL, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_create_function(db, "pack_id", 1, flags, NULL, pack_id, NULL, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_create_function(db, "pack_ids", 0, SQLITE_UTF8 | SQLITE_DIRECTONLY, NULL, pack_ids, NULL,
					    NULL);
	return r;
}
