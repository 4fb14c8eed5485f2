#include "data/sqlite_log.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define HELD_MAX 65536 /* a commit of 15 pages; and no page is larger */

/* Stands behind SQLite's own part of each file. */
struct held {
	const sqlite3_io_methods *base;
	sqlite3_io_methods methods; /* the same but for those below */
	char *p;                    /* HELD_MAX, written but for the file */
	size_t n;
	sqlite3_int64 at; /* where in the file they belong */
};

static sqlite3_vfs *base, vfs;

static struct held *held_of(sqlite3_file *f)
{
	return (struct held *)((char *)f + base->szOsFile);
}

/* What cannot be written is dropped: the transaction fails, and the next one writes at the same place. */
static int write_held(sqlite3_file *f)
{
	struct held *h = held_of(f);
	int n = (int)h->n;

	h->n = 0;
	return n ? h->base->xWrite(f, h->p, n, h->at) : SQLITE_OK;
}

static int log_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	struct held *h = held_of(f);
	int r = SQLITE_OK;

	if (at != h->at + (sqlite3_int64)h->n || h->n + (size_t)n > HELD_MAX)
		r = write_held(f);
	if (r != SQLITE_OK)
		return r;
	if (h->n == 0)
		h->at = at;
	memcpy(h->p + h->n, p, (size_t)n);
	h->n += (size_t)n;
	return SQLITE_OK;
}

static int log_sync(sqlite3_file *f, int flags)
{
	int r = write_held(f);

	return r == SQLITE_OK ? held_of(f)->base->xSync(f, flags) : r;
}

static int log_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	int r = write_held(f);

	return r == SQLITE_OK ? held_of(f)->base->xRead(f, p, n, at) : r;
}

static int log_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	int r = write_held(f);

	return r == SQLITE_OK ? held_of(f)->base->xTruncate(f, size) : r;
}

static int log_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	int r = write_held(f);

	return r == SQLITE_OK ? held_of(f)->base->xFileSize(f, ret) : r;
}

static int log_close(sqlite3_file *f)
{
	struct held *h = held_of(f);

	write_held(f);
	free(h->p);
	h->p = NULL;
	return h->base->xClose(f);
}

/* Files other than the log are SQLite's own entirely. */
static int open_file(sqlite3_vfs *self, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	int r = base->xOpen(base, name, f, flags, ret_flags);
	struct held *h = held_of(f);

	if (r != SQLITE_OK || !(flags & SQLITE_OPEN_WAL))
		return r;
	*h = (struct held){.base = f->pMethods, .methods = *f->pMethods, .p = xmalloc(HELD_MAX)};
	h->methods.xWrite = log_write;
	h->methods.xSync = log_sync;
	h->methods.xRead = log_read;
	h->methods.xTruncate = log_truncate;
	h->methods.xFileSize = log_size;
	h->methods.xClose = log_close;
	f->pMethods = &h->methods;
	return SQLITE_OK;
}

static void make_vfs(void)
{
	base = sqlite3_vfs_find(NULL);
	vfs = *base;
	vfs.pNext = NULL;
	vfs.zName = "ogent-log";
	vfs.szOsFile += (int)sizeof(struct held);
	vfs.xOpen = open_file;
	if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
		vfs.zName = NULL;
}

const char *sqlite_log_vfs(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_vfs);
	return vfs.zName;
}
