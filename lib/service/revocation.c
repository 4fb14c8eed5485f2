#include "service/revocation.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <uthash.h>
#include <uv.h>

#include "base/alloc.h"

#define SKEW_S 60 /* between auth's clock and ours, and a token's own grace */

struct entry {
	UT_hash_handle hh;
	int64_t rights, at_us, until_us;
	char key[]; /* the kind's letter, then the subject */
};

struct revocations {
	uv_mutex_t lock;
	struct entry *entries; /* uthash by key, in the order of their coming */
	int64_t floor_s;       /* tokens issued up to then are refused: entries were dropped */
	_Atomic uint64_t generation;
};

struct revocations *revocations_new(void)
{
	struct revocations *r = xcalloc(1, sizeof(*r));

	if (uv_mutex_init(&r->lock))
		abort();
	atomic_init(&r->generation, 1);
	return r;
}

static void drop(struct revocations *r, struct entry *e)
{
	HASH_DEL(r->entries, e);
	free(e);
}

void revocations_free(struct revocations *r)
{
	if (!r)
		return;
	while (r->entries)
		drop(r, r->entries);
	uv_mutex_destroy(&r->lock);
	free(r);
}

uint64_t revocations_generation(const struct revocations *r)
{
	return atomic_load_explicit(&r->generation, memory_order_acquire);
}

size_t revocations_count(const struct revocations *r)
{
	struct revocations *whole = (struct revocations *)r;

	uv_mutex_lock(&whole->lock);
	size_t n = HASH_COUNT(r->entries);
	uv_mutex_unlock(&whole->lock);
	return n;
}

static struct entry *find(const struct revocations *r, enum revocation_kind kind, const char *subject)
{
	char key[80];
	size_t n = subject ? strlen(subject) : 0;
	struct entry *e;

	if (!n || n > sizeof(key) - 2)
		return NULL;
	key[0] = (char)('a' + kind);
	memcpy(key + 1, subject, n);
	HASH_FIND(hh, r->entries, key, n + 1, e);
	return e;
}

bool revocations_cover(struct revocations *r, const struct identity *id)
{
	const struct entry *user;
	bool is_covered;

	if (!id->user_id || (id->service && id->service[0]))
		return false;
	uv_mutex_lock(&r->lock);
	user = find(r, REVOKED_USER, id->user_id);
	is_covered = id->issued_at <= r->floor_s || (user && id->rights < user->rights) ||
		     find(r, REVOKED_SESSION, id->session_id) || find(r, REVOKED_TOKEN, id->token_id);
	uv_mutex_unlock(&r->lock);
	return is_covered;
}

static void make_room(struct revocations *r)
{
	while (HASH_COUNT(r->entries) >= REVOCATIONS_MAX) {
		r->floor_s = MAX(r->floor_s, r->entries->at_us / 1000000 + SKEW_S);
		drop(r, r->entries);
	}
}

static void add(struct revocations *r, const struct revocation *what, int64_t window_s)
{
	size_t n = strlen(what->subject);
	struct entry *e = find(r, what->kind, what->subject);

	if (!e) {
		if (!n || n > 78)
			return;
		make_room(r);
		e = xcalloc(1, sizeof(*e) + n + 2);
		e->key[0] = (char)('a' + what->kind);
		memcpy(e->key + 1, what->subject, n);
		HASH_ADD(hh, r->entries, key, n + 1, e);
	}
	e->rights = MAX(e->rights, what->rights);
	e->at_us = MAX(e->at_us, what->at_us);
	e->until_us = e->at_us + (window_s + SKEW_S) * 1000000;
}

void revocations_add(struct revocations *r, const struct revocation *list, size_t n, int64_t window_s)
{
	uv_mutex_lock(&r->lock);
	for (size_t i = 0; i < n; i++)
		add(r, &list[i], window_s);
	uv_mutex_unlock(&r->lock);
	atomic_fetch_add_explicit(&r->generation, 1, memory_order_release);
}

void revocations_sweep(struct revocations *r, int64_t now_us)
{
	struct entry *e, *next;

	uv_mutex_lock(&r->lock);
	HASH_ITER(hh, r->entries, e, next)
	if (e->until_us < now_us)
		drop(r, e);
	uv_mutex_unlock(&r->lock);
}
