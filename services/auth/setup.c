#include "setup.h"
#include "audit/audit.h"

#include <errno.h>

#include "base/clock.h"
#include "base/encode.h"
#include "handlers.h"
#include "new_user.h"
#include "service/secret_file.h"
#include "sessions.h"
#include "settings.h"

int setup_is_needed(struct db_conn *c)
{
	int64_t one;
	int r = db_get_int(c, &one, "select 1 from users where password_hash is not null limit 1");

	return r < 0 ? r : r == 0;
}

int setup_lock(struct db_conn *c)
{
	int64_t one;

	return error_only(db_get_int(c, &one, "select 1 from setup where id = 1" DB_FOR_UPDATE));
}

void setup_token_new(char ret[static SETUP_TOKEN_SIZE])
{
	secret_new(ret, SETUP_TOKEN_SIZE, "", 32);
}

int setup_token_store(struct db_conn *c, const char *token, int64_t expires_at)
{
	char hash[SHA256_HEX_SIZE];
	int64_t r;

	sha256_hex(token, strlen(token), hash);
	r = db_exec(c, "update setup set token_hash = ?, expires_at = ? where id = 1", DB_TEXT(hash),
		    DB_INT(expires_at));
	return MIN(r, 0);
}

/* ---- GET /api/auth/setup ---- */

struct setup_state {
	struct exchange_job job;
	bool is_needed;
	int registration; /* enum registration */
};

static int state_run(struct db_conn *c, struct exchange_job *job)
{
	struct setup_state *s = (struct setup_state *)job;
	int needed = setup_is_needed(c);

	s->registration = registration_get(c);
	s->is_needed = needed == 1;
	return needed < 0 ? needed : MIN(s->registration, 0);
}

static void state_done(struct exchange_job *job)
{
	struct setup_state *s = (struct setup_state *)job;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(job->x->arena, &doc);

	yyjson_mut_obj_add_bool(doc, obj, "needed", s->is_needed);
	yyjson_mut_obj_add_str(doc, obj, "registration", registration_name(s->registration));
	reply_json(job->x, 200, doc);
}

void auth_setup_get(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct setup_state *s = arena_new_of(x->arena, struct setup_state);

	s->job = (struct exchange_job){.x = x, .run = state_run, .done_ok = state_done};
	exchange_read(auth->db, &s->job);
}

/* ---- POST /api/auth/setup: checking, hashing, saving ---- */

enum setup_outcome { SETUP_OK, SETUP_DONE_BEFORE, SETUP_TOKEN_INVALID };

struct setup {
	struct exchange_job job;
	struct hash_op hash;
	struct exchange *x; /* held while the hash is made */
	struct client client;
	char token_hash[SHA256_HEX_SIZE];
	struct new_user user;
	enum setup_outcome outcome;
	struct session_grant grant;
};

static void refuse(struct exchange *x, enum setup_outcome outcome)
{
	if (outcome == SETUP_DONE_BEFORE)
		reply_problem(x, 410, "setup_done", "This installation has an administrator already; sign in.");
	else
		reply_problem(x, 403, "setup_token_invalid",
			      "The set-up link is wrong, used or older than 30 minutes; `ogent up` prints a new one.");
}

/* Returns 1 when the token is the stored one (then *ret_owner is set), 0 or -errno. */
static int token_matches(struct db_conn *c, struct setup *s, const char **ret_owner)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c, "select owner_id, token_hash from setup where id = 1 and expires_at > ?", DB_INT(clock_now_us()));
	int r = db_step(c, st);
	struct str stored;

	if (r != 1)
		return r;
	stored = db_col_str(st, 1);
	if (stored.n != SHA256_HEX_SIZE - 1 || sodium_memcmp(stored.p, s->token_hash, stored.n) != 0)
		return 0;
	*ret_owner = db_col_dup(st, 0, s->x->arena);
	return 1;
}

/* Sets the outcome and, when it is SETUP_OK, the owner. Returns 0 or -errno. */
static int check(struct db_conn *c, struct setup *s, const char **ret_owner)
{
	int r = setup_is_needed(c);

	s->outcome = SETUP_DONE_BEFORE;
	if (r <= 0)
		return r;
	r = token_matches(c, s, ret_owner);
	s->outcome = r == 1 ? SETUP_OK : SETUP_TOKEN_INVALID;
	return MIN(r, 0);
}

static int save_owner(struct db_conn *c, struct setup *s, const char *owner)
{
	int64_t now = clock_now_us(), r;

	r = db_exec(c,
		    "update users set kind = 'user', name = ?, email = ?, email_key = ?, password_hash = ?, "
		    "password_changed_at = ?, permission_epoch = permission_epoch + 1, updated_at = ? where id = ?",
		    DB_TEXT(s->user.name), DB_TEXT(s->user.email), DB_TEXT(s->user.email_key), DB_TEXT(s->hash.made),
		    DB_INT(now), DB_INT(now), DB_TEXT(owner));
	if (r == 0)
		return -ENOENT;
	if (r > 0)
		r = db_exec(c, "update setup set token_hash = null, done_at = ? where id = 1", DB_INT(now));
	return MIN(r, 0);
}

static int save_run(struct db_conn *c, struct exchange_job *job)
{
	struct setup *s = container_of(job, struct setup, job);
	const char *owner = NULL;
	int r = setup_lock(c);

	if (r == 0)
		r = check(c, s, &owner);
	if (r < 0 || s->outcome != SETUP_OK)
		return r;
	r = save_owner(c, s, owner);
	return r < 0 ? r : session_create(c, job->x->self, job->x->arena, owner, &s->client, &s->grant);
}

static void save_done(struct exchange_job *job)
{
	struct setup *s = container_of(job, struct setup, job);
	const struct auth *auth = job->x->self;

	if (s->outcome != SETUP_OK) {
		refuse(job->x, s->outcome);
		return;
	}
	secret_file_remove(auth->secrets_dir, SETUP_TOKEN_FILE);
	log_event(LOG_INFO, "set up: the first administrator exists", "event", "setup", "user_id", s->grant.account.id,
		  "address", s->client.address, "request_id", job->x->request_id, NULL);
	audit_act(job->x, "user.set_up", AUDIT_SUCCESS, s->grant.account.id, "user", s->grant.account.id);
	session_reply(job->x, 201, &s->client, &s->grant);
}

static void hash_done(struct hash_op *op)
{
	struct setup *s = container_of(op, struct setup, hash);
	struct exchange *x = s->x;
	const struct auth *auth = x->self;

	if (op->has_failed) {
		reply_hash_busy(x);
	} else {
		s->job = (struct exchange_job){.x = x, .run = save_run, .done_ok = save_done};
		exchange_write(auth->db, &s->job);
	}
	exchange_drop(x);
}

static int check_run(struct db_conn *c, struct exchange_job *job)
{
	const char *owner;

	return check(c, container_of(job, struct setup, job), &owner);
}

/* Nobody without the token makes us hash. */
static void check_done(struct exchange_job *job)
{
	struct setup *s = container_of(job, struct setup, job);

	if (s->outcome != SETUP_OK)
		refuse(job->x, s->outcome);
	else if (new_user_hash(job->x, &s->user, &s->hash, hash_done))
		exchange_hold(job->x);
}

void auth_setup_post(struct exchange *x)
{
	static const struct json_field fields[] = {{"token", JSON_STRING, .required = true, .max = 512},
						   NEW_USER_FIELDS};
	const struct auth *auth = x->self;
	struct setup *s;
	const char *token;

	if (client_refuse_cross_site(x))
		return;
	s = arena_new_of(x->arena, struct setup);
	s->x = x;
	if (!new_user_read(x, fields, ARRAY_SIZE(fields), &s->user))
		return;
	client_read(x, &s->client);
	token = json_get_str(x->body, "token", "");
	sha256_hex(token, strlen(token), s->token_hash);
	s->job = (struct exchange_job){.x = x, .run = check_run, .done_ok = check_done};
	exchange_read(auth->db, &s->job);
}
