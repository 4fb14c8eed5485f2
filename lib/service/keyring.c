#include "service/keyring.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "service/personal_token.h"
#include "service/token_cache.h"
#include "service/token_lookup.h"
#include "service/user_rights.h"

#define JWKS_PATH "/.well-known/jwks.json"
#define JWKS_MAX (64 * 1024)
#define REFRESH_MS (300 * 1000)
#define FETCH_MS (5 * 1000)
#define RETRY_MIN_MS 10
#define RETRY_MAX_MS 2000
#define RELOAD_MIN_US 1000000
#define LOOKUP_S 60          /* a personal token counts so long before auth is asked again */
#define FOLDER_TICK_US 20000 /* the exactness of a folder's time */

struct keyring {
	struct wheel *wheel;
	char *data_dir;
	const char *audiences[5];
	char *resources[2]; /* audiences that are good at some paths only */
	struct token_keys *keys;
	struct token_cache *cache;
	struct revocations *revocations; /* NULL: none */

	struct token_lookup *lookup; /* NULL: personal access tokens are not known here */
	struct user_rights *rights;  /* NULL: nobody acts for users here */

	struct http_pool *auth;
	struct http_fetch *fetch; /* under way, or NULL */
	struct deadline next;     /* the next fetch without anybody asking */
	uint64_t retry_ms;
	uint64_t fetched_us, read_us; /* monotonic, of the last start; 0 = never */
	int64_t read_wall_us;         /* the key files', by the clock of their folder */
	_Atomic bool loaded;          /* people's keys were there once */
	struct list waiting;          /* struct key_wait, link: for the fetch under way */
};

static void fetch_start(struct keyring *k);

/* "agent.jwk" → the issuer "ogent:agent". Own name and path are ours; the content is checked like any key. */
static void read_key_file(struct keyring *k, const char *dir, const char *name)
{
	char path[4096], text[4096], issuer[48];
	struct token_key key;
	struct error err = {0};
	size_t n = strlen(name);

	if (n < 5 || strcmp(name + n - 4, ".jwk") || name[0] == '.' ||
	    snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) ||
	    snprintf(issuer, sizeof(issuer), TOKEN_ISSUER ":%.*s", (int)n - 4, name) >= (int)sizeof(issuer))
		return;

	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text));
	if (fd >= 0)
		close(fd);
	if (length <= 0)
		return;
	if (token_key_from_jwk((struct str){text, (size_t)length}, false, &key, &err)) {
		log_warn("key file %s is not used: %s", path, err.message);
		return;
	}
	token_keys_clear(k->keys, issuer);
	token_keys_add(k->keys, issuer, &key);
}

static void read_key_files(struct keyring *k)
{
	char dir[4096];
	struct dirent *e;

	k->read_us = clock_mono_us();
	k->read_wall_us = clock_now_us();
	if (snprintf(dir, sizeof(dir), "%s/keys", k->data_dir) >= (int)sizeof(dir))
		return;

	DIR *d = opendir(dir);
	while (d && (e = readdir(d)))
		read_key_file(k, dir, e->d_name);
	if (d)
		closedir(d);
	token_cache_clear(k->cache);
}

static void wake_all(struct keyring *k)
{
	struct list woken;

	list_init(&woken);
	list_splice(&woken, &k->waiting);
	while (!list_is_empty(&woken)) {
		struct key_wait *w = list_first(&woken, struct key_wait, link);

		list_remove(&w->link);
		w->done(w);
	}
}

static void on_fetched(void *arg, int result, int status, struct str body)
{
	struct keyring *k = arg;
	struct error err = {0};

	k->fetch = NULL;
	if (result == -ECANCELED)
		return;
	if (!result && status == 200 && !token_keys_load_jwks(k->keys, TOKEN_ISSUER, body, &err)) {
		k->loaded = true;
		k->retry_ms = RETRY_MIN_MS;
		token_cache_clear(k->cache);
		deadline_set(k->wheel, &k->next, REFRESH_MS);
	} else {
		log_debug("keys of auth: %s", result        ? strerror(-result)
					      : err.code[0] ? err.message
							    : "not answered with 200");
		deadline_set(k->wheel, &k->next, k->retry_ms);
		k->retry_ms = MIN(k->retry_ms * 2, RETRY_MAX_MS);
	}
	wake_all(k);
}

static void fetch_start(struct keyring *k)
{
	deadline_clear(&k->next);
	k->fetched_us = clock_mono_us();
	k->fetch =
		http_fetch(k->auth, "GET", JWKS_PATH, NULL, NULL, (struct str){0}, JWKS_MAX, FETCH_MS, on_fetched, k);
}

static void on_next(struct deadline *d)
{
	struct keyring *k = container_of(d, struct keyring, next);

	if (!k->fetch)
		fetch_start(k);
}

struct keyring *keyring_new(struct wheel *wheel, const char *data_dir, const char *role, struct http_pool *auth)
{
	struct keyring *k = xcalloc(1, sizeof(*k));

	k->wheel = wheel;
	k->data_dir = xstrdup(data_dir);
	k->audiences[0] = TOKEN_AUDIENCE;
	k->audiences[1] = role;
	k->keys = token_keys_new();
	k->cache = token_cache_new();
	k->auth = auth;
	k->retry_ms = RETRY_MIN_MS;
	list_init(&k->waiting);
	deadline_init(&k->next, on_next);
	read_key_files(k);
	if (auth)
		fetch_start(k);
	return k;
}

void keyring_stop(struct keyring *k)
{
	deadline_clear(&k->next);
	token_lookup_stop(k->lookup);
	user_rights_stop(k->rights);
	if (k->fetch)
		http_fetch_cancel(k->fetch);
}

void keyring_free(struct keyring *k)
{
	if (!k)
		return;
	token_lookup_free(k->lookup);
	user_rights_free(k->rights);
	token_cache_free(k->cache);
	token_keys_free(k->keys);
	for (size_t i = 0; i < ARRAY_SIZE(k->resources); i++)
		free(k->resources[i]);
	free(k->data_dir);
	free(k);
}

void keyring_set_public_url(struct keyring *k, const char *url)
{
	static const char *const resources[] = {"mcp", "api"};

	for (size_t i = 0; i < ARRAY_SIZE(k->resources); i++) {
		_cleanup_(buf_deinit) struct buf text = BUF_INIT;

		buf_printf(&text, "%s/%s", url, resources[i]);
		free(k->resources[i]);
		k->audiences[2 + i] = k->resources[i] = buf_steal(&text, &(size_t){0});
	}
}

static void on_found(void *arg, struct str token, const struct identity *id)
{
	struct keyring *k = arg;

	if (!k->revocations || !revocations_concern(k->revocations, id))
		token_cache_put(k->cache, token, id, MIN(id->expires_at, id->issued_at + LOOKUP_S));
}

void keyring_set_lookup(struct keyring *k, struct http_pool *auth, const struct token_key *key, const char *role)
{
	k->lookup = token_lookup_new(auth, key, role, on_found, k);
	k->rights = user_rights_new(auth, key, role);
}

bool keyring_cannot_tell(struct keyring *k)
{
	return keyring_missing(k) || token_lookup_failed(k->lookup) || user_rights_failed(k->rights);
}

/* What is no token of ours by its form is not asked for. */
static enum token_result check_personal(struct keyring *k, struct str token)
{
	char id[ID_SIZE];

	return k->lookup && personal_token_read(token, id) ? TOKEN_UNKNOWN_KEY : TOKEN_MALFORMED;
}

void keyring_set_revocations(struct keyring *k, struct revocations *r)
{
	k->revocations = r;
	token_cache_set_revocations(k->cache, r);
}

struct token_keys *keyring_keys(struct keyring *k)
{
	return k->keys;
}

const char *keyring_missing(void *keyring)
{
	struct keyring *k = keyring;

	return k->auth && !k->loaded ? "the keys of the auth service were not read yet" : NULL;
}

static bool is_due(uint64_t last_us)
{
	return !last_us || clock_mono_us() - last_us >= RELOAD_MIN_US;
}

/* A service that starts for the first time has put its key there just now. */
static bool has_new_files(const struct keyring *k)
{
	char dir[4096];
	struct stat st;

	if (snprintf(dir, sizeof(dir), "%s/keys", k->data_dir) >= (int)sizeof(dir) || stat(dir, &st))
		return false;
	return (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000 + FOLDER_TICK_US >= k->read_wall_us;
}

static bool is_for_user(const struct identity *id)
{
	return id->service[0] && id->user_id[0];
}

/* What a service's token for a user is worth now. */
static enum token_result apply_rights(struct keyring *k, struct identity *id, struct arena *a)
{
	if (!k->rights)
		return TOKEN_NOT_FOR_US;
	switch (user_rights_apply(k->rights, k->revocations, id, a)) {
	case USER_RIGHTS_KNOWN: return TOKEN_OK;
	case USER_RIGHTS_GONE: return TOKEN_REVOKED;
	case USER_RIGHTS_UNKNOWN: break;
	}
	return TOKEN_UNKNOWN_KEY;
}

static enum token_result check(struct keyring *k, struct str token, struct arena *a, struct identity *ret)
{
	int64_t now = time(NULL);

	if (token.n <= TOKEN_MAX && token_cache_get(k->cache, token, now, a, ret))
		return TOKEN_OK;
	if (personal_token_is(token))
		return check_personal(k, token);

	enum token_result r = token_check(k->keys, token, k->audiences, now, a, ret);
	if (r == TOKEN_UNKNOWN_KEY && (is_due(k->read_us) || has_new_files(k))) {
		read_key_files(k);
		r = token_check(k->keys, token, k->audiences, now, a, ret);
	}
	if (r == TOKEN_OK && is_for_user(ret))
		r = apply_rights(k, ret, a);
	if (r == TOKEN_OK && k->revocations && !revocations_apply(k->revocations, ret, a))
		return TOKEN_REVOKED;
	if (r == TOKEN_OK)
		token_cache_put(k->cache, token, ret, ret->expires_at);
	return r;
}

enum token_result keyring_check_at(struct keyring *k, struct str token, struct str path, struct arena *a,
				   struct identity *ret)
{
	enum token_result r = check(k, token, a, ret);

	return r == TOKEN_OK && !audience_allows(ret->audience, path) ? TOKEN_NOT_FOR_US : r;
}

enum token_result keyring_check(struct keyring *k, struct str token, struct arena *a, struct identity *ret)
{
	return keyring_check_at(k, token, (struct str){0}, a, ret);
}

/* Whether the token is good but for the rights of its user, which are asked for now. */
static bool wants_rights(struct keyring *k, struct str token, struct key_wait *w)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct identity id;

	return token_check(k->keys, token, k->audiences, time(NULL), a, &id) == TOKEN_OK && is_for_user(&id) &&
	       user_rights_ask(k->rights, id.user_id, w);
}

bool keyring_wait(struct keyring *k, struct str token, struct key_wait *w)
{
	if (k->lookup && personal_token_is(token))
		return token_lookup_ask(k->lookup, token, w);
	if (k->rights && wants_rights(k, token, w))
		return true;
	if (!k->auth || (!k->fetch && !is_due(k->fetched_us)))
		return false;
	if (!k->fetch)
		fetch_start(k);
	list_append(&k->waiting, &w->link);
	return true;
}

void key_wait_cancel(struct key_wait *w)
{
	if (w->link.next)
		list_remove(&w->link);
}
