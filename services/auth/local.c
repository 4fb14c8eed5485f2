/* POST /api/auth/local: the command line on this machine turns its key (secrets/cli.token) into an access token. */
#include "local.h"
#include "audit/audit.h"

#include <errno.h>

#include "base/clock.h"
#include "base/encode.h"
#include "handlers.h"
#include "service/secret_file.h"
#include "sessions.h"

struct local {
	struct exchange_job job;
	char key_hash[SHA256_HEX_SIZE];
	bool is_good;
	struct account account;
};

/* Compares with every local key (there is one), each in constant time. Returns 1 with the user, 0 or -errno. */
static int find_key(struct db_conn *c, struct local *l, struct arena *a, const char **ret_user_id)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select user_id, key_hash from api_keys where kind = 'local' and revoked_at is null");
	int r;

	while ((r = db_step(c, st)) == 1) {
		struct str stored = db_col_str(st, 1);

		if (stored.n != SHA256_HEX_SIZE - 1 || sodium_memcmp(stored.p, l->key_hash, stored.n) != 0)
			continue;
		*ret_user_id = db_col_dup(st, 0, a);
		return 1;
	}
	return r;
}

static int local_run(struct db_conn *c, struct exchange_job *job)
{
	struct local *l = (struct local *)job;
	const char *user_id = NULL;
	int r = find_key(c, l, job->x->arena, &user_id);

	l->is_good = false;
	if (r == 1)
		r = account_load(c, job->x->arena, user_id, &l->account);
	if (r == 1)
		l->is_good = !l->account.disabled;
	return MIN(r, 0);
}

static void local_done(struct exchange_job *job)
{
	struct local *l = (struct local *)job;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;

	reply_header(x, "Cache-Control", "no-store");
	if (!l->is_good) {
		audit_act(x, "login.refused", AUDIT_FAILURE, NULL, "key", "local");
		reply_problem(x, 401, "invalid_key", "The key is not the one in secrets/cli.token of the data folder.");
		return;
	}
	obj = json_new_obj(x->arena, &doc);
	session_add_access_token(doc, obj, x->self, x->arena, &l->account, "",
				 ((const struct auth *)x->self)->access_s);
	reply_json(x, 200, doc);
}

void auth_local(struct exchange *x)
{
	static const struct json_field fields[] = {{"key", JSON_STRING, .required = true, .max = 512}};
	const struct auth *auth = x->self;
	struct local *l;
	struct error err = {0};
	const char *key;

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x))
		return;
	l = arena_new_of(x->arena, struct local);
	key = json_get_str(x->body, "key", "");
	sha256_hex(key, strlen(key), l->key_hash);
	l->job = (struct exchange_job){.x = x, .run = local_run, .done_ok = local_done};
	exchange_read(auth->db, &l->job);
}

int local_key_load(struct auth *auth, struct buf *ret_key, struct error *err)
{
	char key[64];
	int r = secret_file_read(auth->secrets_dir, "cli.token", ret_key, err);

	if (r != -ENOENT)
		return r;
	secret_new(key, sizeof(key), "ogl_", 32);
	buf_add_str(ret_key, key);
	sodium_memzero(key, sizeof(key));
	return secret_file_write(auth->secrets_dir, "cli.token", buf_str(ret_key), err);
}

int local_key_seed(struct db_conn *c, struct str key, const char *owner_id)
{
	char hash[SHA256_HEX_SIZE], id[ID_SIZE];
	int64_t r;

	sha256_hex(key.p, key.n, hash);
	r = db_exec(c, "delete from api_keys where kind = 'local' and (key_hash <> ? or user_id <> ?)", DB_TEXT(hash),
		    DB_TEXT(owner_id));
	if (r >= 0)
		r = db_get_int(c, &(int64_t){0}, "select 1 from api_keys where key_hash = ?", DB_TEXT(hash));
	if (r != 0)
		return MIN(r, 0);
	id_new(id);
	r = db_exec(c,
		    "insert into api_keys (id, user_id, kind, name, key_hash, created_at) "
		    "values (?, ?, 'local', 'Command line of this machine', ?, ?)",
		    DB_TEXT(id), DB_TEXT(owner_id), DB_TEXT(hash), DB_INT(clock_now_us()));
	return MIN(r, 0);
}
