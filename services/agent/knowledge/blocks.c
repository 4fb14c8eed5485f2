#include "agent/knowledge/blocks.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

#include "agent/knowledge/vector.h"
#include "base/alloc.h"

#define KEY_SIZE 64
#define ROWS_MAX 1000000

struct entry {
	struct block block; /* first */
	UT_hash_handle hh;  /* in blocks.entries, the one used longest ago first */
	char key[KEY_SIZE];
	size_t bytes;
	unsigned users;
	bool is_kept; /* it is in blocks.entries */
};

struct blocks {
	pthread_mutex_t lock;
	struct entry *entries;
	size_t bytes, max_bytes;
};

struct blocks *blocks_new(size_t max_bytes)
{
	struct blocks *b = xcalloc(1, sizeof(*b));

	pthread_mutex_init(&b->lock, NULL);
	b->max_bytes = max_bytes;
	return b;
}

static void entry_free(struct entry *e)
{
	free(e->block.scales);
	free(e->block.rows);
	free(e);
}

static void drop(struct blocks *b, struct entry *e)
{
	HASH_DEL(b->entries, e);
	b->bytes -= e->bytes;
	e->is_kept = false;
	if (e->users == 0)
		entry_free(e);
}

void blocks_free(struct blocks *b)
{
	struct entry *e, *next;

	if (!b)
		return;
	HASH_ITER(hh, b->entries, e, next)
	drop(b, e);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

/* One row of the table holds up to some dozens of pieces. */
static int append(struct entry *e, struct db_stmt *st)
{
	size_t n = (size_t)db_col_int(st, 0), dimension = (size_t)db_col_int(st, 1), stride = vector_stride(dimension);
	struct str data = db_col_str(st, 2);
	struct block *k = &e->block;

	if (dimension == 0 || dimension > VECTOR_MAX || n > ROWS_MAX || k->n + n > ROWS_MAX ||
	    data.n != n * (sizeof(float) + stride) || (k->n && k->dimension != dimension))
		return -EBADMSG;
	k->scales = xrealloc(k->scales, (k->n + n) * sizeof(float));
	k->rows = xrealloc(k->rows, (k->n + n) * stride);
	memcpy(k->scales + k->n, data.p, n * sizeof(float));
	memcpy(k->rows + k->n * stride, data.p + n * sizeof(float), n * stride);
	k->dimension = dimension;
	k->n += n;
	return 0;
}

static int load(struct db_conn *c, struct entry *e, const char *document_id, int64_t claim)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c,
		"select n, dimension, data from knowledge_vectors where document_id = ? and claim = ? order by first",
		DB_TEXT(document_id), DB_INT(claim));
	int r;

	while ((r = db_step(c, st)) == 1)
		if ((r = append(e, st)) < 0)
			return r;
	e->bytes = sizeof(*e) + e->block.n * (sizeof(float) + vector_stride(e->block.dimension));
	return r;
}

/* Puts it at the end of the line. */
static void renew(struct blocks *b, struct entry *e)
{
	HASH_DEL(b->entries, e);
	HASH_ADD_STR(b->entries, key, e);
}

static struct entry *find(struct blocks *b, const char *key)
{
	struct entry *e;

	pthread_mutex_lock(&b->lock);
	HASH_FIND_STR(b->entries, key, e);
	if (e) {
		e->users++;
		renew(b, e);
	}
	pthread_mutex_unlock(&b->lock);
	return e;
}

/* What is used now stays. */
static void make_room(struct blocks *b, size_t bytes)
{
	struct entry *e, *next;

	HASH_ITER(hh, b->entries, e, next)
	{
		if (b->bytes + bytes <= b->max_bytes)
			return;
		if (e->users == 0)
			drop(b, e);
	}
}

static void keep(struct blocks *b, struct entry *e)
{
	struct entry *other;

	pthread_mutex_lock(&b->lock);
	HASH_FIND_STR(b->entries, e->key, other);
	if (!other)
		make_room(b, e->bytes);
	if (!other && b->bytes + e->bytes <= b->max_bytes) {
		HASH_ADD_STR(b->entries, key, e);
		b->bytes += e->bytes;
		e->is_kept = true;
	}
	pthread_mutex_unlock(&b->lock);
}

int blocks_get(struct blocks *b, struct db_conn *c, const char *document_id, int64_t claim, const struct block **ret)
{
	char key[KEY_SIZE];
	struct entry *e;
	int r;

	snprintf(key, sizeof(key), "%s:%lld", document_id, (long long)claim);
	e = find(b, key);
	if (!e) {
		e = xcalloc(1, sizeof(*e));
		memcpy(e->key, key, sizeof(key));
		e->users = 1;
		r = load(c, e, document_id, claim);
		if (r < 0) {
			entry_free(e);
			return r;
		}
		keep(b, e);
	}
	*ret = &e->block;
	return 0;
}

void blocks_release(struct blocks *b, const struct block *block)
{
	struct entry *e = container_of(block, struct entry, block);

	pthread_mutex_lock(&b->lock);
	if (--e->users == 0 && !e->is_kept)
		entry_free(e);
	pthread_mutex_unlock(&b->lock);
}

size_t blocks_bytes(struct blocks *b)
{
	pthread_mutex_lock(&b->lock);
	size_t n = b->bytes;
	pthread_mutex_unlock(&b->lock);
	return n;
}
