#include "service/token_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define SETS 1024
#define WAYS 4

/* One block: the struct, the pointers to permissions and roles, the token, the strings. */
struct verdict {
	unsigned refs;       /* the cache's and one for each arena that reads the identity */
	uint64_t used;       /* value of the cache's clock at the last use */
	int64_t until;       /* s since 1970 */
	uint64_t generation; /* of the revocations among which it was looked for last */
	struct identity id;
	struct str token;
};

struct token_cache {
	uint64_t key[2]; /* secret, so that nobody can aim at one set */
	uint64_t clock;
	struct revocations *revocations; /* NULL: none */
	struct verdict *sets[SETS][WAYS];
};

struct token_cache *token_cache_new(void)
{
	struct token_cache *c = xcalloc(1, sizeof(*c));

	randombytes_buf(c->key, sizeof(c->key));
	return c;
}

static void verdict_unref(void *arg)
{
	struct verdict *v = arg;

	if (v && --v->refs == 0)
		free(v);
}

void token_cache_clear(struct token_cache *c)
{
	for (size_t i = 0; i < SETS; i++) {
		for (size_t j = 0; j < WAYS; j++) {
			verdict_unref(c->sets[i][j]);
			c->sets[i][j] = NULL;
		}
	}
}

void token_cache_free(struct token_cache *c)
{
	if (!c)
		return;
	token_cache_clear(c);
	free(c);
}

/* The end of a token is its signature, which is as good as random in every token that is kept: hashing all of it would
 * cost more than the rest of the look-up. */
static struct verdict **set_of(struct token_cache *c, struct str token)
{
	uint64_t end[2] = {0};
	size_t n = MIN(token.n, sizeof(end));
	unsigned __int128 product;

	memcpy(end, token.p + token.n - n, n);
	product = (unsigned __int128)(end[0] ^ c->key[0]) * (end[1] ^ c->key[1]);
	return c->sets[((uint64_t)(product >> 64) ^ (uint64_t)product) % SETS];
}

void token_cache_set_revocations(struct token_cache *c, struct revocations *r)
{
	c->revocations = r;
}

/* Revoked, or with other rights by now. Looks once after each change: usually this is one comparison. */
static bool is_outdated(const struct token_cache *c, struct verdict *v)
{
	uint64_t generation = c->revocations ? revocations_generation(c->revocations) : 0;

	if (v->generation == generation)
		return false;
	if (revocations_concern(c->revocations, &v->id))
		return true;
	v->generation = generation;
	return false;
}

bool token_cache_get(struct token_cache *c, struct str token, int64_t now, struct arena *a, struct identity *ret)
{
	struct verdict **set = set_of(c, token);

	for (size_t i = 0; i < WAYS; i++) {
		struct verdict *v = set[i];

		if (!v || !str_eq(v->token, token))
			continue;
		if (now >= v->until || is_outdated(c, v)) {
			verdict_unref(v);
			set[i] = NULL;
			return false;
		}
		v->used = ++c->clock;
		v->refs++;
		arena_defer(a, verdict_unref, v);
		*ret = v->id;
		return true;
	}
	return false;
}

static const char *put_string(char **at, const char *s)
{
	size_t n = strlen(s) + 1;
	char *to = memcpy(*at, s, n);

	*at += n;
	return to;
}

static struct verdict *verdict_new(struct str token, const struct identity *id)
{
	static const char *const none[] = {NULL};
	const char *const *from = id->roles ? id->roles : none;
	const char *actor = id->actor ? id->actor : "";
	size_t n_permissions = 0, n_roles = 0, bytes = token.n;

	while (id->permissions[n_permissions])
		bytes += strlen(id->permissions[n_permissions++]) + 1;
	while (from[n_roles])
		bytes += strlen(from[n_roles++]) + 1;
	bytes += strlen(id->user_id) + strlen(id->name) + strlen(id->service) + strlen(id->session_id) +
		 strlen(id->token_id) + strlen(id->client_id) + strlen(id->audience) + strlen(actor) + 8;

	struct verdict *v = xmalloc(sizeof(*v) + (n_permissions + n_roles + 2) * sizeof(char *) + bytes);
	const char **permissions = (const char **)(v + 1);
	const char **roles = permissions + n_permissions + 1;
	char *at = (char *)(roles + n_roles + 1);

	for (size_t i = 0; i < n_permissions; i++)
		permissions[i] = put_string(&at, id->permissions[i]);
	permissions[n_permissions] = NULL;
	for (size_t i = 0; i < n_roles; i++)
		roles[i] = put_string(&at, from[i]);
	roles[n_roles] = NULL;
	*v = (struct verdict){.refs = 1,
			      .id = {.permissions = permissions,
				     .roles = roles,
				     .expires_at = id->expires_at,
				     .issued_at = id->issued_at,
				     .rights = id->rights,
				     .is_scoped = id->is_scoped}};
	v->id.user_id = put_string(&at, id->user_id);
	v->id.name = put_string(&at, id->name);
	v->id.service = put_string(&at, id->service);
	v->id.session_id = put_string(&at, id->session_id);
	v->id.token_id = put_string(&at, id->token_id);
	v->id.client_id = put_string(&at, id->client_id);
	v->id.audience = put_string(&at, id->audience);
	v->id.actor = put_string(&at, actor);
	v->token = (struct str){memcpy(at, token.p, token.n), token.n};
	return v;
}

void token_cache_put(struct token_cache *c, struct str token, const struct identity *id, int64_t until)
{
	struct verdict **set = set_of(c, token), **oldest = set;

	for (size_t i = 0; i < WAYS && *oldest; i++)
		if (!set[i] || set[i]->used < (*oldest)->used)
			oldest = &set[i];
	verdict_unref(*oldest);
	*oldest = verdict_new(token, id);
	(*oldest)->used = ++c->clock;
	(*oldest)->until = until;
}
