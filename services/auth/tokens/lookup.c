/* POST /token-lookup: what a personal access token is good for. The services ask once a minute for each token in use,
 * and at once when something about it or its user has changed. */
#include "account.h"
#include "auth.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/encode.h"
#include "handlers.h"
#include "service/personal_token.h"

#include <stdlib.h>

#define USED_EACH_US (60 * INT64_C(1000000)) /* last_used_at is no more exact than that */

struct lookup {
	struct exchange_job job;
	char id[ID_SIZE], hash[SHA256_HEX_SIZE];
	bool is_active, is_use_new;
	const char *user_id, *scopes;
	int64_t expires_at;
	struct account account;
	const char **permissions;
};

/* What both allow: of two patterns where one covers the other, the narrower; and all denials. */
static const char **intersect(struct arena *a, const char *const *rights, yyjson_val *scopes)
{
	size_t n_rights = 0, n = 0, i, max;
	yyjson_val *item;

	while (rights[n_rights])
		n_rights++;

	const char **ret = arena_alloc(a, (n_rights * (yyjson_arr_size(scopes) + 1) + 1) * sizeof(*ret));
	for (size_t r = 0; r < n_rights; r++)
		if (rights[r][0] == '!')
			ret[n++] = rights[r];
	for (size_t r = 0; r < n_rights; r++) {
		yyjson_arr_foreach(scopes, i, max, item)
		{
			const char *scope = yyjson_get_str(item);

			if (rights[r][0] == '!' || !scope)
				continue;
			if (!strcmp(scope, rights[r]) || permission_covers(scope, rights[r]))
				ret[n++] = rights[r];
			else if (permission_covers(rights[r], scope))
				ret[n++] = scope;
		}
	}
	ret[n] = NULL;
	return ret;
}

static int find(struct db_conn *c, struct lookup *l)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select user_id, scopes, hash, expires_at, last_used_at from access_tokens where id = ?",
			 DB_TEXT(l->id));
	int64_t now = clock_now_us();
	int r = db_step(c, st);
	struct str stored;

	l->is_active = false;
	if (r != 1)
		return r;
	stored = db_col_str(st, 2);
	if (stored.n != SHA256_HEX_SIZE - 1 || sodium_memcmp(stored.p, l->hash, stored.n) != 0)
		return 0;
	l->user_id = db_col_dup(st, 0, l->job.x->arena);
	l->scopes = db_col_dup(st, 1, l->job.x->arena);
	l->expires_at = db_col_int(st, 3);
	l->is_use_new = db_col_is_null(st, 4) || db_col_int(st, 4) < now - USED_EACH_US;
	l->is_active = l->expires_at > now;
	return l->is_active;
}

static int lookup_run(struct db_conn *c, struct exchange_job *job)
{
	struct lookup *l = (struct lookup *)job;
	struct arena *a = job->x->arena;
	yyjson_doc *doc;
	int r = find(c, l);

	if (r == 1)
		r = account_load(c, a, l->user_id, &l->account);
	if (r != 1 || l->account.disabled) {
		l->is_active = false;
		return MIN(r, 0);
	}
	doc = json_parse(a, l->scopes, strlen(l->scopes), NULL);
	l->permissions = intersect(a, l->account.permissions, doc ? yyjson_doc_get_root(doc) : NULL);
	return 0;
}

/* ---- When it was used ---- */

struct used {
	struct db_job job;
	char id[ID_SIZE];
	int64_t at;
};

static int used_run(struct db_conn *c, struct db_job *job)
{
	struct used *u = container_of(job, struct used, job);

	return error_only(db_exec(c,
				  "update access_tokens set last_used_at = ? where id = ? and "
				  "(last_used_at is null or last_used_at < ?)",
				  DB_INT(u->at), DB_TEXT(u->id), DB_INT(u->at - USED_EACH_US)));
}

static void used_done(struct db_job *job, int result)
{
	if (result < 0)
		log_debug("the use of a token was not written: %s", strerror(-result));
	free(container_of(job, struct used, job));
}

/* Nobody waits for it; writes that come together are committed together. */
static void note_use(const struct auth *auth, const char *id)
{
	struct used *u = xcalloc(1, sizeof(*u));

	strcpy(u->id, id);
	u->at = clock_now_us();
	u->job = (struct db_job){.run = used_run, .done = used_done};
	db_write(auth->db, &u->job);
}

static void lookup_done(struct exchange_job *job)
{
	struct lookup *l = (struct lookup *)job;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	yyjson_mut_obj_add_bool(doc, obj, "active", l->is_active);
	if (l->is_active) {
		json_add_str(doc, obj, "token_id", l->id);
		json_add_str(doc, obj, "user_id", l->account.id);
		json_add_str(doc, obj, "name", l->account.name);
		yyjson_mut_obj_add_int(doc, obj, "rights", l->account.rights);
		yyjson_mut_obj_add_int(doc, obj, "expires_at", l->expires_at / 1000000);
		account_add_names(doc, obj, "permissions", l->permissions);
		account_add_names(doc, obj, "roles", l->account.roles);
		if (l->is_use_new)
			note_use(x->self, l->id);
	}
	reply_header(x, "Cache-Control", "no-store");
	reply_json(x, 200, doc);
}

void tokens_lookup(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct lookup *l = arena_new_of(x->arena, struct lookup);
	struct str token = str_of(json_get_str(x->body, "token", ""));

	l->job = (struct exchange_job){.x = x, .run = lookup_run, .done_ok = lookup_done};
	if (!personal_token_read(token, l->id)) {
		lookup_done(&l->job);
		return;
	}
	sha256_hex(token.p, token.n, l->hash);
	exchange_read(auth->db, &l->job);
}
