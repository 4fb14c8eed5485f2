#include "service/token_lookup.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/list.h"
#include "service/keyring.h"

#define ASKING_MAX 1024 /* at a time */
#define ANSWER_MAX (256 * 1024)
#define ANSWER_MS 5000
#define FAILED_US 1000000

/* One question. */
struct asking {
	struct list link;    /* in token_lookup.asking until it is answered */
	struct list waiting; /* struct key_wait, link */
	struct token_lookup *lookup;
	struct http_fetch *fetch;
	struct arena *arena;
	struct str token; /* in the arena */
};

struct token_lookup {
	struct http_pool *auth;
	const struct token_key *key;
	const char *role;
	void (*on_found)(void *arg, struct str token, const struct identity *id);
	void *arg;
	struct list asking; /* struct asking, link */
	unsigned n;
	uint64_t failed_us; /* monotonic: the last time that auth did not answer; 0 = never, or it did since */
};

struct token_lookup *token_lookup_new(struct http_pool *auth, const struct token_key *key, const char *role,
				      void (*on_found)(void *arg, struct str token, const struct identity *id),
				      void *arg)
{
	struct token_lookup *l = xcalloc(1, sizeof(*l));

	*l = (struct token_lookup){.auth = auth, .key = key, .role = role, .on_found = on_found, .arg = arg};
	list_init(&l->asking);
	return l;
}

static void asking_free(struct asking *a)
{
	list_remove(&a->link);
	a->lookup->n--;
	arena_free(a->arena);
}

static const char *const *read_names(yyjson_val *list, struct arena *a)
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

static void read_answer(struct asking *a, struct str body)
{
	yyjson_doc *doc = json_parse(a->arena, body.p, body.n, NULL);
	yyjson_val *obj = doc ? yyjson_doc_get_root(doc) : NULL;
	struct identity id = {
		.user_id = json_get_str(obj, "user_id", ""),
		.name = json_get_str(obj, "name", ""),
		.service = "",
		.session_id = "",
		.permissions = read_names(json_get_arr(obj, "permissions"), a->arena),
		.roles = read_names(json_get_arr(obj, "roles"), a->arena),
		.expires_at = json_get_int(obj, "expires_at", 0),
		.issued_at = time(NULL),
		.token_id = json_get_str(obj, "token_id", ""),
		.rights = json_get_int(obj, "rights", 0),
		.client_id = "",
		.audience = TOKEN_AUDIENCE,
		.is_scoped = true,
	};

	if (json_get_bool(obj, "active", false) && *id.user_id && *id.token_id)
		a->lookup->on_found(a->lookup->arg, a->token, &id);
}

static void on_answer(void *arg, int err, int status, struct str body)
{
	struct asking *a = arg;
	struct list woken;

	a->fetch = NULL;
	if (err == -ECANCELED)
		return;
	a->lookup->failed_us = err || status != 200 ? clock_mono_us() : 0;
	if (!a->lookup->failed_us)
		read_answer(a, body);
	list_init(&woken);
	list_splice(&woken, &a->waiting);
	asking_free(a);
	while (!list_is_empty(&woken)) {
		struct key_wait *w = list_first(&woken, struct key_wait, link);

		list_remove(&w->link);
		w->done(w);
	}
}

static void ask(struct asking *a)
{
	struct token_lookup *l = a->lookup;
	struct http_headers *headers = arena_new_of(a->arena, struct http_headers);
	_cleanup_(buf_deinit) struct buf own = BUF_INIT;
	struct buf body = BUF_INIT;

	headers->arena = a->arena;
	token_sign_internal(l->key, l->role, "auth", "", &own);
	http_header_set(headers, "Authorization", arena_printf(a->arena, "Bearer %s", own.p));
	buf_add_str(&body, "{\"token\":");
	json_quote(&body, a->token);
	buf_add_char(&body, '}');
	a->fetch = http_fetch(l->auth, "POST", "/token-lookup", headers, "application/json",
			      arena_str(a->arena, buf_str(&body)), ANSWER_MAX, ANSWER_MS, on_answer, a);
	buf_deinit(&body);
}

bool token_lookup_ask(struct token_lookup *l, struct str token, struct key_wait *w)
{
	struct arena *arena;
	struct asking *a;

	list_foreach (a, &l->asking, struct asking, link) {
		if (str_eq(a->token, token)) {
			list_append(&a->waiting, &w->link);
			return true;
		}
	}
	if (l->n == ASKING_MAX)
		return false;
	arena = arena_new();
	a = arena_new_of(arena, struct asking);
	a->arena = arena;
	a->lookup = l;
	a->token = arena_str(arena, token);
	list_init(&a->waiting);
	list_append(&l->asking, &a->link);
	list_append(&a->waiting, &w->link);
	l->n++;
	ask(a);
	return true;
}

bool token_lookup_failed(const struct token_lookup *l)
{
	return l && l->failed_us && clock_mono_us() - l->failed_us < FAILED_US;
}

void token_lookup_stop(struct token_lookup *l)
{
	struct asking *a;

	if (!l)
		return;
	list_foreach (a, &l->asking, struct asking, link)
		if (a->fetch)
			http_fetch_cancel(a->fetch);
}

void token_lookup_free(struct token_lookup *l)
{
	if (!l)
		return;
	while (!list_is_empty(&l->asking))
		asking_free(list_first(&l->asking, struct asking, link));
	free(l);
}
