#include "service/revocation.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <uthash.h>
#include <uv.h>

#include "base/alloc.h"

#define SKEW_S 60 /* between auth's clock and ours, and a token's own grace */

struct entry {
	UT_hash_handle hh;
	int64_t at_us, until_us;
	/* Of a user: tokens with a smaller epoch than `dead` are revoked, those from there up to `rights` have
	 * these permissions: one text after the other, each with its NUL. */
	int64_t dead, rights;
	struct buf permissions;
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
	buf_deinit(&e->permissions);
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

static bool is_service(const struct identity *id)
{
	return !id->user_id || !id->user_id[0];
}

static bool covers(const struct revocations *r, const struct identity *id, const struct entry *user)
{
	return id->issued_at <= r->floor_s || (user && id->rights < user->dead) ||
	       find(r, REVOKED_SESSION, id->session_id) || find(r, REVOKED_TOKEN, id->token_id);
}

bool revocations_cover(struct revocations *r, const struct identity *id)
{
	if (is_service(id))
		return false;
	uv_mutex_lock(&r->lock);
	bool is_covered = covers(r, id, find(r, REVOKED_USER, id->user_id));
	uv_mutex_unlock(&r->lock);
	return is_covered;
}

bool revocations_concern(struct revocations *r, const struct identity *id)
{
	if (is_service(id))
		return false;
	uv_mutex_lock(&r->lock);
	const struct entry *user = find(r, REVOKED_USER, id->user_id);
	bool is_concerned = (user && id->rights < user->rights) || covers(r, id, user);
	uv_mutex_unlock(&r->lock);
	return is_concerned;
}

static const char *const *copy_permissions(const struct entry *user, struct arena *a)
{
	size_t n = 0;

	for (size_t at = 0; at < user->permissions.n; at += strlen(user->permissions.p + at) + 1)
		n++;

	const char **list = arena_alloc(a, (n + 1) * sizeof(*list));
	const char *text =
		n ? memcpy(arena_alloc(a, user->permissions.n), user->permissions.p, user->permissions.n) : "";
	for (size_t i = 0; i < n; i++, text += strlen(text) + 1)
		list[i] = text;
	list[n] = NULL;
	return list;
}

/* An OAuth client has what was granted to it and its user still has, never more, and is denied what he is. */
static const char *const *narrow(const char *const *granted, const char *const *now, struct arena *a)
{
	const struct identity user = {.permissions = now};
	size_t n = 0, kept = 0;

	while (granted[n])
		n++;
	for (const char *const *p = now; *p; p++)
		n++;

	const char **list = arena_alloc(a, (n + 1) * sizeof(*list));
	for (; *granted; granted++)
		if (**granted != '!' && identity_may(&user, *granted))
			list[kept++] = *granted;
	for (; *now; now++)
		if (**now == '!')
			list[kept++] = *now;
	return list;
}

bool revocations_apply(struct revocations *r, struct identity *id, struct arena *a)
{
	const struct entry *user;
	bool is_covered;

	if (is_service(id))
		return true;
	uv_mutex_lock(&r->lock);
	user = find(r, REVOKED_USER, id->user_id);
	is_covered = covers(r, id, user);
	if (!is_covered && user && id->rights < user->rights && id->is_scoped) {
		is_covered = true; /* what is left of them is for who issued it to say */
	} else if (!is_covered && user && id->rights < user->rights) {
		const char *const *now = copy_permissions(user, a);

		id->permissions = id->client_id && id->client_id[0] ? narrow(id->permissions, now, a) : now;
		id->rights = user->rights;
	}
	uv_mutex_unlock(&r->lock);
	return !is_covered;
}

static void make_room(struct revocations *r)
{
	while (HASH_COUNT(r->entries) >= REVOCATIONS_MAX) {
		r->floor_s = MAX(r->floor_s, r->entries->at_us / 1000000 + SKEW_S);
		drop(r, r->entries);
	}
}

/* News that are older than what is known change nothing. */
static void take_rights(struct entry *e, const struct revocation *what)
{
	if (!what->permissions)
		e->dead = MAX(e->dead, what->rights);
	if (what->rights <= e->rights)
		return;
	e->rights = what->rights;
	buf_clear(&e->permissions);
	for (const char *const *p = what->permissions; p && *p; p++)
		buf_add(&e->permissions, *p, strlen(*p) + 1);
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
	if (what->kind == REVOKED_USER)
		take_rights(e, what);
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
