#include "keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "account.h"
#include "audit/audit.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/seal.h"
#include "handlers.h"
#include "mail/link.h"
#include "service/secret_file.h"
#include "setup.h"

#define SKEW_US (60 * INT64_C(1000000))
#define LOOK_MS 30000 /* other auth processes on the same database make keys too */
#define RETRY_MS 1000

struct keys {
	struct auth *auth;
	struct seal_key seal;
	struct key_policy policy;
	const char *ed_name; /* what Ed25519 is called */
	struct deadline next;
	struct key_set set; /* as published */
	struct db_job job;  /* looking */
	struct key_set fresh;
	bool is_looking;
};

static const struct {
	const char *name; /* in the database */
	const char *option;
	enum signature_alg alg;
} algorithms[] = {{"Ed25519", "ed25519", SIGNATURE_EDDSA},
		  {"ES256", "es256", SIGNATURE_ES256},
		  {"RS256", "rs256", SIGNATURE_RS256}};

static enum signature_alg alg_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
		if (!strcmp(algorithms[i].name, name))
			return algorithms[i].alg;
	return SIGNATURE_EDDSA;
}

static const char *alg_name(const struct keys *k, const char *name)
{
	return alg_of(name) == SIGNATURE_EDDSA ? k->ed_name : name;
}

int keys_load(struct auth *auth, struct error *err)
{
	const struct options *o = service_options(auth->service);
	struct keys *k = xcalloc(1, sizeof(*k));
	int r;

	auth->keys = k;
	k->auth = auth;
	k->ed_name = option_str(o, "token_alg_name");
	k->policy = (struct key_policy){
		.lead_us = option_int(o, "signing_key_lead") * 1000,
		.keep_us = auth->access_s * 1000000 + SKEW_US,
		.rotate_us = option_int(o, "signing_key_life") * 1000,
	};
	for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
		if (!strcmp(algorithms[i].option, option_str(o, "token_algorithm")))
			k->policy.algorithm = algorithms[i].name;
	r = secret_file_key(auth->secrets_dir, "auth-keys.key", k->seal.bytes, sizeof(k->seal.bytes), err);
	if (r < 0)
		return r;
	r = secret_file_key(auth->secrets_dir, "auth-refresh.key", auth->refresh_key.bytes,
			    sizeof(auth->refresh_key.bytes), err);
	if (r == 0)
		link_key_derive(&auth->refresh_key, &auth->link_key);
	return r;
}

/* ---- In the database ---- */

static void context_of(const char *kid, char *ret, size_t size)
{
	snprintf(ret, size, "signing_keys.secret:%s", kid);
}

static int make(struct db_conn *c, const struct keys *k, int64_t active_from)
{
	struct buf public_key = BUF_INIT, secret = BUF_INIT, sealed = BUF_INIT;
	struct error err = {0};
	_cleanup_(signature_key_free_p) struct signature_key *pair =
		signature_key_generate(alg_of(k->policy.algorithm), &err);
	char kid[32], context[96];
	int64_t r;

	if (!pair) {
		log_error("no signing key could be made: %s", err.message);
		return -EIO;
	}
	secret_new(kid, sizeof(kid), "", 12);
	context_of(kid, context, sizeof(context));
	signature_key_add_jwk(pair, &public_key);
	signature_key_export(pair, &secret);
	seal(&k->seal, str_of(context), buf_str(&secret), &sealed);
	r = db_exec(c,
		    "insert into signing_keys (kid, algorithm, public_key, created_at, secret, active_from) "
		    "values (?, ?, ?, ?, ?, ?)",
		    DB_TEXT(kid), DB_TEXT(k->policy.algorithm), DB_STR(buf_str(&public_key)), DB_INT(clock_now_us()),
		    DB_STR(buf_str(&sealed)), DB_INT(active_from));
	buf_wipe(&secret);
	buf_deinit(&public_key);
	buf_deinit(&sealed);
	return (int)MIN(r, 0);
}

static int load(struct db_conn *c, struct key_set *set)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select kid, algorithm, created_at, active_from, public_key, secret from signing_keys "
			    "where secret is not null order by active_from desc, kid");
	int r;

	set->n = 0;
	while ((r = db_step(c, st)) == 1 && set->n < KEYS_MAX) {
		struct key_entry *e = &set->items[set->n++];

		*e = (struct key_entry){.row.created_at = db_col_int(st, 2), .row.active_from = db_col_int(st, 3)};
		snprintf(e->row.kid, sizeof(e->row.kid), "%.*s", STR_ARG(db_col_str(st, 0)));
		snprintf(e->row.algorithm, sizeof(e->row.algorithm), "%.*s", STR_ARG(db_col_str(st, 1)));
		e->public_key = db_col_dup(st, 4, set->arena);
		e->secret = db_col_dup(st, 5, set->arena);
	}
	return MIN(r, 0);
}

static int load_plan(struct db_conn *c, const struct keys *k, int64_t now, struct key_set *set)
{
	int r = load(c, set);

	for (size_t i = 0; i < set->n; i++)
		set->rows[i] = set->items[i].row;
	key_plan(set->rows, set->n, &k->policy, now, &set->plan);
	for (size_t i = 0; i < set->n; i++)
		set->items[i].row = set->rows[i];
	return r;
}

static int remove_gone(struct db_conn *c, const struct key_set *set, bool all)
{
	int64_t r = db_exec(c, "delete from signing_keys where secret is null");

	for (size_t i = 0; r >= 0 && i < set->n; i++)
		if (all || set->rows[i].state == KEY_GONE)
			r = db_exec(c, "delete from signing_keys where kid = ?", DB_TEXT(set->rows[i].kid));
	return (int)MIN(r, 0);
}

static bool has_next(const struct key_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->rows[i].state == KEY_NEXT)
			return true;
	return false;
}

int keys_look(struct db_conn *c, struct auth *auth, bool force, bool at_once, struct key_set *ret)
{
	const struct keys *k = auth->keys;
	int64_t now = clock_now_us();
	int r = setup_lock(c);

	if (!ret->arena)
		ret->arena = arena_new();
	if (r == 0)
		r = load_plan(c, k, now, ret);
	if (r == 0 && force && !at_once && has_next(ret))
		return -EBUSY;
	if (r == 0)
		r = remove_gone(c, ret, at_once);
	if (r == 0 && (ret->plan.make_key || force))
		r = make(c, k, at_once || ret->plan.active < 0 ? now : now + k->policy.lead_us);
	return r < 0 ? r : load_plan(c, k, now, ret);
}

/* ---- Published ---- */

static void add_jwk(const struct keys *k, const struct key_entry *e, struct buf *out)
{
	buf_printf(out, "%s{%s,\"use\":\"sig\",\"alg\":\"%s\",\"kid\":\"%s\"}", out->p[out->n - 1] == '[' ? "" : ",",
		   e->public_key, alg_name(k, e->row.algorithm), e->row.kid);
}

static void set_jwks(struct auth *auth, struct buf *jwks)
{
	char hash[SHA256_HEX_SIZE];

	sha256_hex(jwks->p, jwks->n, hash);
	snprintf(auth->jwks_etag, sizeof(auth->jwks_etag), "\"%.16s\"", hash);
	free((char *)auth->jwks.p);
	auth->jwks.p = buf_steal(jwks, &auth->jwks.n);
}

static int open_pair(const struct keys *k, const struct key_entry *e, struct token_key *ret, struct error *err)
{
	_cleanup_(buf_wipe) struct buf secret = BUF_INIT;
	char context[96];

	context_of(e->row.kid, context, sizeof(context));
	if (unseal(&k->seal, str_of(context), str_of(e->secret), &secret) < 0)
		return error_set(err, "signing_key",
				 "The signing key %s cannot be opened with secrets/auth-keys.key; restore that file "
				 "from a backup, or remove the rows of the table signing_keys.",
				 e->row.kid);
	*ret = (struct token_key){.other = signature_key_import(alg_of(e->row.algorithm), buf_str(&secret), err),
				  .alg = k->ed_name};
	snprintf(ret->kid, sizeof(ret->kid), "%s", e->row.kid);
	return ret->other ? 0 : -EINVAL;
}

static void set_signer(struct auth *auth, struct token_key *key)
{
	signature_key_free(auth->key.other);
	auth->key = *key;
}

int keys_publish(struct auth *auth, struct key_set *set, struct error *err)
{
	struct keys *k = auth->keys;
	struct buf jwks = BUF_INIT;
	struct token_key key;
	int r;

	buf_add_str(&jwks, "{\"keys\":[");
	for (size_t i = 0; i < set->n; i++)
		if (set->items[i].row.state != KEY_GONE)
			add_jwk(k, &set->items[i], &jwks);
	buf_add_str(&jwks, "]}");
	r = set->plan.active < 0 ? error_set(err, "signing_key", "There is no signing key.")
				 : open_pair(k, &set->items[set->plan.active], &key, err);
	if (r == 0)
		r = token_keys_load_jwks(service_keys(auth->service), TOKEN_ISSUER, buf_str(&jwks), err);
	if (r == 0) {
		if (strcmp(auth->key.kid, key.kid))
			log_event(LOG_INFO, "signing key in use", "event", "signing_key", "kid", key.kid, "alg",
				  token_key_alg(&key), NULL);
		set_signer(auth, &key);
		set_jwks(auth, &jwks);
		arena_free(k->set.arena);
		k->set = *set;
		set->arena = NULL;
	}
	buf_deinit(&jwks);
	return r;
}

void auth_jwks(struct exchange *x)
{
	const struct auth *auth = x->self;

	reply_header(x, "Cache-Control", "public, max-age=300");
	reply_header(x, "ETag", auth->jwks_etag);
	if (str_is(http_header_get(&x->req->headers, "if-none-match"), auth->jwks_etag))
		reply_empty(x, 304);
	else
		reply_raw_json(x, 200, auth->jwks);
}

/* ---- Looking after them ---- */

static void look_later(struct keys *k, uint64_t ms)
{
	int64_t due_ms = (k->set.plan.again_at - clock_now_us()) / 1000 + 1;

	if (k->set.plan.again_at != INT64_MAX)
		ms = MIN(ms, (uint64_t)MAX(due_ms, 1));
	deadline_set(service_wheel(k->auth->service), &k->next, ms);
}

static int look_run(struct db_conn *c, struct db_job *job)
{
	struct keys *k = container_of(job, struct keys, job);

	return keys_look(c, k->auth, false, false, &k->fresh);
}

static void look_done(struct db_job *job, int result)
{
	struct keys *k = container_of(job, struct keys, job);
	struct error err = {0};

	k->is_looking = false;
	if (result == 0)
		result = keys_publish(k->auth, &k->fresh, &err);
	if (result < 0)
		log_warn("the signing keys could not be looked after: %s",
			 err.code[0] ? err.message : strerror(-result));
	arena_free(k->fresh.arena);
	k->fresh = (struct key_set){0};
	if (!service_is_draining(k->auth->service))
		look_later(k, result < 0 ? RETRY_MS : LOOK_MS);
}

static void on_next(struct deadline *d)
{
	struct keys *k = container_of(d, struct keys, next);

	if (k->is_looking)
		return;
	k->is_looking = true;
	k->job = (struct db_job){.run = look_run, .done = look_done};
	db_write(k->auth->db, &k->job);
}

void keys_start(struct auth *auth)
{
	deadline_init(&auth->keys->next, on_next);
	look_later(auth->keys, LOOK_MS);
}

void keys_stop(struct auth *auth)
{
	if (auth->keys && auth->keys->auth)
		deadline_clear(&auth->keys->next);
}

void keys_free(struct keys *k)
{
	if (!k)
		return;
	signature_key_free(k->auth->key.other);
	k->auth->key.other = NULL;
	arena_free(k->set.arena);
	arena_free(k->fresh.arena);
	sodium_memzero(k, sizeof(*k));
	free(k);
}

/* ---- GET /api/auth/keys, POST /api/auth/keys/rotate ---- */

struct key_request {
	struct exchange_job job;
	bool is_rotation, at_once;
	int actor;
	struct audit_event event;
	struct key_set set;
};

static void reply_keys(struct exchange *x, int status, const struct key_set *set)
{
	static const char *const states[] = {"next", "active", "old"};
	const struct auth *auth = x->self;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items"), *item;

	for (size_t i = 0; i < set->n; i++) {
		const struct key_row *row = &set->items[i].row;

		if (row->state == KEY_GONE)
			continue;
		item = yyjson_mut_arr_add_obj(doc, items);
		json_add_str(doc, item, "kid", row->kid);
		json_add_str(doc, item, "algorithm", alg_name(auth->keys, row->algorithm));
		yyjson_mut_obj_add_str(doc, item, "state", states[row->state]);
		json_add_time(doc, item, "created_at", row->created_at);
		json_add_time(doc, item, "active_from", row->active_from);
		json_add_time(doc, item, "gone_at", row->gone_at);
	}
	reply_header(x, "Cache-Control", "no-store");
	reply_json(x, status, doc);
}

static int request_run(struct db_conn *c, struct exchange_job *job)
{
	struct key_request *q = (struct key_request *)job;
	struct auth *auth = job->x->self;
	int r;

	q->actor = actor_check(c, job->x, NULL);
	if (q->actor != ACTOR_OK)
		return MIN(q->actor, 0);
	if (!q->is_rotation) {
		q->set.arena = job->x->arena;
		return load_plan(c, auth->keys, clock_now_us(), &q->set);
	}
	r = keys_look(c, auth, true, q->at_once, &q->set);
	return r < 0 ? r : audit_add(c, auth, &q->event);
}

static void rotated(struct key_request *q)
{
	struct exchange *x = q->job.x;
	struct auth *auth = x->self;
	struct error err = {0};

	if (keys_publish(auth, &q->set, &err) < 0) {
		reply_problem(x, 500, "signing_key", "%s", err.message);
		return;
	}
	look_later(auth->keys, LOOK_MS);
	log_event(LOG_WARN, "security event: signing keys rotated", "event", q->event.event, "by", x->who.user_id,
		  "address", q->event.address, "request_id", x->request_id, NULL);
	reply_keys(x, 200, &auth->keys->set);
}

static void request_done(struct exchange_job *job, int result)
{
	struct key_request *q = (struct key_request *)job;

	if (result == -EBUSY)
		reply_problem(job->x, 409, "rotation_under_way",
			      "The next key is published already and signs soon; GET /api/auth/keys tells when.");
	else if (result < 0)
		reply_db_failure(job->x, result);
	else if (q->actor != ACTOR_OK)
		actor_refuse(job->x, q->actor);
	else if (q->is_rotation)
		rotated(q);
	else
		reply_keys(job->x, 200, &q->set);
	if (q->is_rotation)
		arena_free(q->set.arena);
}

void keys_list(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct key_request *q = arena_new_of(x->arena, struct key_request);

	q->job = (struct exchange_job){.x = x, .run = request_run, .done = request_done};
	exchange_read(auth->db, &q->job);
}

void keys_rotate(struct exchange *x)
{
	static const struct json_field fields[] = {{"compromised", JSON_BOOL}};
	const struct auth *auth = x->self;
	struct key_request *q = arena_new_of(x->arena, struct key_request);
	struct error err = {0};

	if (x->body && json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	q->is_rotation = true;
	q->at_once = x->body && json_get_bool(x->body, "compromised", false);
	audit_event_of(x, "key.rotated", &q->event);
	q->event.detail = audit_detail(x->arena, "algorithm", auth->keys->policy.algorithm, "compromised",
				       q->at_once ? "yes" : "no", NULL);
	q->job = (struct exchange_job){.x = x, .run = request_run, .done = request_done};
	exchange_write(auth->db, &q->job);
}
