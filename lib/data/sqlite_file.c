#include "data/sqlite_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

#define BUSY_MS 10000

static int fail(sqlite3 *db, const char *what, const char *path, struct error *err)
{
	error_set(err, "database_file", "the database %s cannot be %s: %s", path, what,
		  db ? sqlite3_errmsg(db) : "no memory");
	return -EIO;
}

static int open_file(const char *path, sqlite3 **ret, struct error *err)
{
	if (sqlite3_open_v2(path, ret, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		return fail(*ret, "opened", path, err);
	sqlite3_busy_timeout(*ret, BUSY_MS);
	return 0;
}

/* All pages in one step, in one read transaction of the source. */
static int copy_pages(sqlite3 *from, sqlite3 *to, const char *path, struct error *err)
{
	sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
	int r = b ? sqlite3_backup_step(b, -1) : SQLITE_ERROR;

	if (b)
		sqlite3_backup_finish(b);
	return r == SQLITE_DONE ? 0 : fail(to, "copied", path, err);
}

static int check(sqlite3 *db, const char *path, struct error *err)
{
	sqlite3_stmt *st = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(db, "pragma quick_check(1)", -1, &st, NULL) != SQLITE_OK ||
	    sqlite3_step(st) != SQLITE_ROW)
		r = fail(db, "checked", path, err);
	else if (strcmp((const char *)sqlite3_column_text(st, 0), "ok") != 0)
		r = error_set(err, "database_file", "the database %s is damaged: %.200s", path,
			      (const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	return r;
}

/* One file without a write-ahead log beside it, on disk. */
static int settle(sqlite3 *db, const char *path, struct error *err)
{
	if (sqlite3_exec(db, "pragma journal_mode=delete", NULL, NULL, NULL) != SQLITE_OK)
		return fail(db, "written", path, err);
	return 0;
}

static int make_file(const char *path, struct error *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), r = -errno;

	if (fd < 0) {
		error_set(err, "database_file", "the file %s cannot be made: %s", path, strerror(-r));
		return r;
	}
	close(fd);
	return 0;
}

int sqlite_file_copy(const char *from, const char *to, struct error *err)
{
	sqlite3 *source = NULL, *copy = NULL;
	int r = open_file(from, &source, err);

	if (r < 0)
		goto out;
	r = make_file(to, err);
	if (r < 0)
		goto out;
	r = open_file(to, &copy, err);
	if (r == 0)
		r = copy_pages(source, copy, from, err);
	if (r == 0)
		r = settle(copy, to, err);
	if (r == 0)
		r = check(copy, to, err);
	if (r < 0)
		unlink(to);
out:
	sqlite3_close(source);
	sqlite3_close(copy);
	return r;
}

int sqlite_file_check(const char *path, struct error *err)
{
	sqlite3 *db = NULL;
	int r = open_file(path, &db, err);

	if (r == 0)
		r = check(db, path, err);
	sqlite3_close(db);
	return r;
}
