#include "service/user_rights.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <uthash.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/list.h"
#include "service/keyring.h"

#define KNOWN_MAX 4096
#define KNOWN_S 60
#define ANSWER_MAX (256 * 1024)
#define ANSWER_MS 5000
#define FAILED_US 1000000

/* One user, as auth said it. */
struct known {
	UT_hash_handle hh; /* in user_rights.known by id; the oldest makes room */
	char id[ID_SIZE];
	struct user_rights *all;
	bool is_told, is_gone;
	int64_t rights, at_s;           /* at_s: when he was asked about */
	struct arena *arena;            /* of the permissions; NULL: none yet */
	const char *const *permissions; /* NULL at the end */
	/* A question under way. */
	struct http_fetch *fetch;
	struct arena *asking;
	int64_t asked_s;
	struct list waiting; /* struct key_wait, link */
};

struct user_rights {
	struct http_pool *auth;
	const struct token_key *key;
	const char *role;
	struct known *known;
	uint64_t failed_us; /* monotonic: the last time that auth did not answer; 0 = never, or it did since */
};

struct user_rights *user_rights_new(struct http_pool *auth, const struct token_key *key, const char *role)
{
	struct user_rights *u = xcalloc(1, sizeof(*u));

	*u = (struct user_rights){.auth = auth, .key = key, .role = role};
	return u;
}

static void known_free(struct known *k)
{
	HASH_DEL(k->all->known, k);
	arena_free(k->arena);
	arena_free(k->asking);
	free(k);
}

void user_rights_stop(struct user_rights *u)
{
	for (struct known *k = u ? u->known : NULL; k; k = k->hh.next)
		if (k->fetch)
			http_fetch_cancel(k->fetch);
}

void user_rights_free(struct user_rights *u)
{
	while (u && u->known)
		known_free(u->known);
	free(u);
}

bool user_rights_failed(const struct user_rights *u)
{
	return u && u->failed_us && clock_mono_us() - u->failed_us < FAILED_US;
}

/* ---- What is known ---- */

static struct known *find(const struct user_rights *u, const char *user_id)
{
	struct known *k;

	HASH_FIND_STR(u->known, user_id, k);
	return k;
}

/* Too old, or the feed says that it is not so any more. */
static bool is_outdated(const struct known *k, struct revocations *r)
{
	const struct identity id = {
		.user_id = k->id,
		.service = "",
		.session_id = "",
		.token_id = "",
		.issued_at = k->at_s,
		.rights = k->rights,
	};

	return time(NULL) >= k->at_s + KNOWN_S || (r && !k->is_gone && revocations_concern(r, &id));
}

enum user_rights_state user_rights_apply(struct user_rights *u, struct revocations *r, struct identity *id,
					 struct arena *a)
{
	struct known *k = find(u, id->user_id);
	const char **copies;

	if (!k || !k->is_told || is_outdated(k, r))
		return USER_RIGHTS_UNKNOWN;
	if (k->is_gone) {
		k->is_told = false; /* he may be let in again: asked about the next time */
		return USER_RIGHTS_GONE;
	}
	/* The texts are replaced with the next answer. */
	copies = (const char **)permissions_intersect(a, k->permissions, id->permissions);
	id->permissions = copies;
	for (; *copies; copies++)
		*copies = arena_strdup(a, *copies);
	id->rights = k->rights;
	id->is_scoped = true;
	return USER_RIGHTS_KNOWN;
}

/* ---- Asking ---- */

static const char *const *read_permissions(yyjson_val *list, struct arena *a)
{
	const char **ret = arena_alloc(a, (yyjson_arr_size(list) + 1) * sizeof(*ret));
	size_t i, n, found = 0;
	yyjson_val *item;

	yyjson_arr_foreach(list, i, n, item)
	{
		if (yyjson_is_str(item))
			ret[found++] = yyjson_get_str(item);
	}
	ret[found] = NULL;
	return ret;
}

static bool read_answer(struct known *k, struct str body)
{
	struct arena *a = arena_new();
	yyjson_doc *doc = json_parse(a, body.p, body.n, NULL);
	yyjson_val *obj = doc ? yyjson_doc_get_root(doc) : NULL;

	if (!yyjson_is_obj(obj)) {
		arena_free(a);
		return false;
	}
	arena_free(k->arena);
	k->arena = a;
	k->is_told = true;
	k->is_gone = !json_get_bool(obj, "active", false);
	k->rights = json_get_int(obj, "rights", 0);
	k->at_s = k->asked_s;
	k->permissions = read_permissions(json_get_arr(obj, "permissions"), a);
	return true;
}

static void on_answer(void *arg, int err, int status, struct str body)
{
	struct known *k = arg;
	struct user_rights *u = k->all;
	struct list woken;

	k->fetch = NULL;
	if (err == -ECANCELED)
		return;
	u->failed_us = !err && status == 200 && read_answer(k, body) ? 0 : clock_mono_us();
	arena_free(k->asking);
	k->asking = NULL;
	list_init(&woken);
	list_splice(&woken, &k->waiting);
	while (!list_is_empty(&woken)) {
		struct key_wait *w = list_first(&woken, struct key_wait, link);

		list_remove(&w->link);
		w->done(w);
	}
}

/* Room for one more: who came first and is not being asked about goes. */
static bool make_room(struct user_rights *u)
{
	struct known *k = u->known;

	if (HASH_COUNT(u->known) < KNOWN_MAX)
		return true;
	while (k && k->fetch)
		k = k->hh.next;
	if (k)
		known_free(k);
	return k != NULL;
}

static void ask(struct known *k)
{
	struct user_rights *u = k->all;
	_cleanup_(buf_deinit) struct buf own = BUF_INIT;
	struct http_headers *headers;

	k->asking = arena_new();
	headers = arena_new_of(k->asking, struct http_headers);
	headers->arena = k->asking;
	token_sign_internal(u->key, u->role, "auth", "", &own);
	http_header_set(headers, "Authorization", arena_printf(k->asking, "Bearer %s", own.p));
	k->asked_s = time(NULL);
	k->fetch = http_fetch(u->auth, "GET", arena_printf(k->asking, "/users/%s/rights", k->id), headers, NULL,
			      (struct str){0}, ANSWER_MAX, ANSWER_MS, on_answer, k);
}

bool user_rights_ask(struct user_rights *u, const char *user_id, struct key_wait *w)
{
	struct known *k = find(u, user_id);

	if (!k) {
		if (!id_is_valid(str_of(user_id)) || !make_room(u))
			return false;
		k = xcalloc(1, sizeof(*k));
		strcpy(k->id, user_id);
		k->all = u;
		list_init(&k->waiting);
		HASH_ADD_STR(u->known, id, k);
	}
	list_append(&k->waiting, &w->link);
	if (!k->fetch)
		ask(k);
	return true;
}
