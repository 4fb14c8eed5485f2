#include "start.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "audit/audit.h"
#include "auth_schema.h"
#include "base/clock.h"
#include "keys.h"
#include "local.h"
#include "mfa/ticket.h"
#include "seed.h"
#include "service/secret_file.h"
#include "setup.h"

#define READERS 2

const struct migration auth_migrations[] = {
	{"accounts", sql_001_accounts},
	{"keys_and_sessions", sql_002_keys_and_sessions},
	{"idempotency", IDEMPOTENCY_SCHEMA},
	{"revocations", sql_004_revocations},
	{"audit", sql_020_audit},
	{"direct_permissions", sql_021_direct_permissions},
	{"mail", sql_010_mail},
	{"factors", sql_030_factors},
	{"signing_keys", sql_022_signing_keys, .mysql = sql_022_signing_keys_mysql},
	{"access_tokens", sql_023_access_tokens},
	{"oauth", sql_040_oauth},
	{"sso", sql_050_sso},
	{"events", sql_051_events},
	{"confirm_approvals", sql_090_confirm_approvals},
};
const size_t auth_migrations_n = ARRAY_SIZE(auth_migrations);

static int default_url(struct auth *auth, char *ret, size_t size, struct error *err)
{
	const char *data = service_data_dir(auth->service);
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s/db", data);
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return error_set(err, "data_folder", "Cannot make the folder %s: %s.", dir, strerror(errno));
	snprintf(ret, size, "sqlite:%s/ogent_auth.db", dir);
	return 0;
}

int start_database(struct auth *auth, struct error *err)
{
	const char *url = option_str(service_options(auth->service), "auth_db_url");
	char own[PATH_MAX + 64];
	int r = 0;

	if (!*url) {
		r = default_url(auth, own, sizeof(own), err);
		url = own;
	}
	if (r == 0)
		r = db_open(service_loop(auth->service), url, READERS, &auth->db, err);
	if (r == 0)
		r = db_migrate(auth->db, auth_migrations, auth_migrations_n, err);
	return r;
}

struct seed_job {
	struct db_job job;
	struct auth *auth;
	struct buf cli_key;
	struct key_set keys;
	char setup_token[SETUP_TOKEN_SIZE];
	bool is_setup_needed;
	int result;
	bool is_done;
};

static int seed_run(struct db_conn *c, struct db_job *job)
{
	struct seed_job *s = container_of(job, struct seed_job, job);
	char owner[ID_SIZE];
	int64_t one;
	/* Two processes that start together on one database come one after the other. */
	int r = db_get_int(c, &one, "select 1 from schema_migrations where version = 1" DB_FOR_UPDATE);

	if (r >= 0)
		r = seed_rights(c);
	if (r == 0)
		r = seed_owner(c, owner);
	if (r == 0)
		r = local_key_seed(c, buf_str(&s->cli_key), owner);
	if (r == 0)
		r = keys_look(c, s->auth, false, false, &s->keys);
	if (r == 0)
		r = setup_is_needed(c);
	s->is_setup_needed = r == 1;
	if (r == 1)
		r = setup_token_store(c, s->setup_token, clock_now_us() + SETUP_TOKEN_LIFE_US);
	return r;
}

static void seed_done(struct db_job *job, int result)
{
	struct seed_job *s = container_of(job, struct seed_job, job);

	s->result = result;
	s->is_done = true;
}

static int write_setup_token(struct seed_job *s, struct error *err)
{
	if (s->is_setup_needed)
		return secret_file_write(s->auth->secrets_dir, SETUP_TOKEN_FILE, str_of(s->setup_token), err);
	secret_file_remove(s->auth->secrets_dir, SETUP_TOKEN_FILE);
	return 0;
}

static int seed(struct seed_job *s, struct error *err)
{
	int r;

	db_write(s->auth->db, &s->job);
	while (!s->is_done)
		uv_run(service_loop(s->auth->service), UV_RUN_ONCE);
	if (s->result < 0) {
		error_set(err, "seed", "The database could not be filled with roles and keys: %s.",
			  strerror(-s->result));
		return s->result;
	}
	r = keys_publish(s->auth, &s->keys, err);
	return r < 0 ? r : write_setup_token(s, err);
}

int start_seed(struct auth *auth, struct error *err)
{
	struct seed_job s = {.job.run = seed_run, .job.done = seed_done, .auth = auth};
	int r = secret_dir_make(auth->secrets_dir, err);

	if (r == 0)
		r = audit_open(auth, err);
	if (r == 0)
		r = keys_load(auth, err);
	secret_file_remove(auth->secrets_dir, "auth-signing.key"); /* of an earlier version */
	if (r == 0)
		r = ticket_key_load(auth, err);
	if (r == 0)
		r = local_key_load(auth, &s.cli_key, err);
	if (r == 0) {
		setup_token_new(s.setup_token);
		r = seed(&s, err);
	}
	if (s.cli_key.p)
		sodium_memzero(s.cli_key.p, s.cli_key.cap);
	buf_deinit(&s.cli_key);
	arena_free(s.keys.arena);
	auth->is_seeded = r == 0;
	return r;
}
