/* One's own passkeys: made, renamed, removed. */
#include <errno.h>
#include <sodium.h>

#include "audit/audit.h"
#include "base/clock.h"
#include "handlers.h"
#include "mail/outbox.h"
#include "mfa/factors.h"
#include "mfa/notice.h"
#include "mfa/site.h"
#include "mfa/ticket.h"
#include "sessions.h"

/* ---- POST /api/auth/factors/passkeys/options: what navigator.credentials.create() is to be asked ---- */

struct passkey_options {
	struct exchange_job job;
	struct account account;
	int actor;
	yyjson_mut_doc *doc;
	yyjson_mut_val *root, *options;
};

static void add_kinds(yyjson_mut_doc *doc, yyjson_mut_val *options)
{
	static const int kinds[] = {-8, -7, -257}; /* EdDSA, ES256, RS256 */
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, options, "pubKeyCredParams"), *one;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		one = yyjson_mut_arr_add_obj(doc, list);
		yyjson_mut_obj_add_str(doc, one, "type", "public-key");
		yyjson_mut_obj_add_int(doc, one, "alg", kinds[i]);
	}
}

static int add_excluded(struct db_conn *c, struct passkey_options *o)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select credential_id from passkeys where user_id = ?", DB_TEXT(o->account.id));
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(o->doc, o->options, "excludeCredentials"), *one;
	int r;

	while ((r = db_step(c, st)) == 1) {
		one = yyjson_mut_arr_add_obj(o->doc, list);
		yyjson_mut_obj_add_str(o->doc, one, "type", "public-key");
		json_add_str(o->doc, one, "id", db_col_dup(st, 0, o->job.x->arena));
	}
	return r;
}

static int options_run(struct db_conn *c, struct exchange_job *job)
{
	struct passkey_options *o = (struct passkey_options *)job;

	o->actor = actor_check_fresh(c, job->x, &o->account);
	if (o->actor != ACTOR_OK)
		return MIN(o->actor, 0);
	o->root = json_new_obj(job->x->arena, &o->doc);
	o->options = yyjson_mut_obj_add_obj(o->doc, o->root, "public_key");
	return add_excluded(c, o);
}

/* The handle by which an authenticator knows the user; it tells nothing of him. */
static const char *handle_of(struct arena *a, const char *user_id)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	base64url_encode(&text, user_id, strlen(user_id));
	return arena_strndup(a, text.p, text.n);
}

static void options_done(struct exchange_job *job)
{
	struct passkey_options *o = (struct passkey_options *)job;
	struct exchange *x = job->x;
	uint8_t challenge[WEBAUTHN_CHALLENGE_SIZE];
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	yyjson_mut_val *one;
	struct site site;

	if (o->actor != ACTOR_OK) {
		actor_refuse(x, o->actor);
		return;
	}
	site_of(x, &site);
	randombytes_buf(challenge, sizeof(challenge));
	base64url_encode(&text, challenge, sizeof(challenge));
	json_add_str(o->doc, o->root, "ticket",
		     ticket_new(x->self, x->arena, TICKET_PASSKEY, o->account.id, challenge));
	json_add_str(o->doc, o->options, "challenge", text.p);
	one = yyjson_mut_obj_add_obj(o->doc, o->options, "rp");
	json_add_str(o->doc, one, "id", site.rp_id);
	yyjson_mut_obj_add_str(o->doc, one, "name", "Ogent");
	one = yyjson_mut_obj_add_obj(o->doc, o->options, "user");
	json_add_str(o->doc, one, "id", handle_of(x->arena, o->account.id));
	json_add_str(o->doc, one, "name", o->account.email ? o->account.email : o->account.name);
	json_add_str(o->doc, one, "displayName", o->account.name);
	add_kinds(o->doc, o->options);
	yyjson_mut_obj_add_int(o->doc, o->options, "timeout", 300000);
	yyjson_mut_obj_add_str(o->doc, o->options, "attestation", "none");
	one = yyjson_mut_obj_add_obj(o->doc, o->options, "authenticatorSelection");
	yyjson_mut_obj_add_str(o->doc, one, "residentKey", "preferred");
	yyjson_mut_obj_add_str(o->doc, one, "userVerification", "preferred");
	reply_header(x, "Cache-Control", "no-store");
	reply_json(x, 200, o->doc);
}

void passkeys_options(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct passkey_options *o = arena_new_of(x->arena, struct passkey_options);

	if (client_refuse_cross_site(x))
		return;
	o->job = (struct exchange_job){.x = x, .run = options_run, .done_ok = options_done};
	exchange_read(auth->db, &o->job);
}

/* ---- POST /api/auth/factors/passkeys; PATCH and DELETE …/{id} ---- */

struct passkey_change {
	struct exchange_job job;
	struct audit_event event;
	struct client client;
	struct ticket ticket;
	struct webauthn_credential made;
	const char *id, *name; /* name NULL: it is to be removed */
	char new_id[ID_SIZE];
	int actor;
	enum { PASSKEY_DONE, PASSKEY_USED_TICKET, PASSKEY_DOUBLE, PASSKEY_TOO_MANY, PASSKEY_MISSING } outcome;
	bool has_codes;
	const char *codes[RECOVERY_CODES];
};

static const char *aaguid_text(struct arena *a, const uint8_t id[static 16])
{
	char hex[33];

	hex_encode(id, 16, hex);
	return arena_printf(a, "%.8s-%.4s-%.4s-%.4s-%s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

static int insert(struct db_conn *c, struct passkey_change *p, const char *user_id)
{
	_cleanup_(buf_deinit) struct buf id = BUF_INIT, key = BUF_INIT;
	struct arena *a = p->job.x->arena;
	char hash[SHA256_HEX_SIZE];
	int64_t r;

	sha256_hex(p->made.id.p, p->made.id.n, hash);
	base64url_encode(&id, p->made.id.p, p->made.id.n);
	base64url_encode(&key, p->made.key.p, p->made.key.n);
	r = db_exec(
		c,
		"insert into passkeys (id, user_id, credential_hash, credential_id, public_key, counter, aaguid, name, "
		"backed_up, created_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		DB_TEXT(p->new_id), DB_TEXT(user_id), DB_TEXT(hash), DB_STR(buf_str(&id)), DB_STR(buf_str(&key)),
		DB_INT(p->made.count), DB_TEXT(aaguid_text(a, p->made.aaguid)), DB_TEXT(p->name),
		DB_INT(p->made.is_backed_up), DB_INT(clock_now_us()));
	return (int)MIN(r, 0);
}

/* PASSKEY_DONE when it may be stored. */
static int check_new(struct db_conn *c, struct passkey_change *p, const struct factors *before)
{
	char hash[SHA256_HEX_SIZE];
	int64_t one;
	int r;

	sha256_hex(p->made.id.p, p->made.id.n, hash);
	r = db_get_int(c, &one, "select 1 from passkeys where credential_hash = ?", DB_TEXT(hash));
	if (r < 0)
		return r;
	p->outcome = r == 1 ? PASSKEY_DOUBLE : before->n_passkeys >= PASSKEYS_MAX ? PASSKEY_TOO_MANY : PASSKEY_DONE;
	if (p->outcome != PASSKEY_DONE)
		return 0;
	r = ticket_use(c, &p->ticket);
	if (r == 0)
		p->outcome = PASSKEY_USED_TICKET;
	return MIN(r, 0);
}

static int add_run(struct db_conn *c, struct passkey_change *p, const char *user_id)
{
	struct factors before;
	int r = factors_load(c, p->job.x->self, user_id, &before);

	sodium_memzero(before.secret, sizeof(before.secret));
	if (r == 0)
		r = check_new(c, p, &before);
	if (r < 0 || p->outcome != PASSKEY_DONE)
		return r;
	r = insert(c, p, user_id);
	p->has_codes = r == 0 && before.n_recovery == 0;
	return p->has_codes ? factors_new_codes(c, p->job.x->arena, user_id, p->codes) : r;
}

static int rename_run(struct db_conn *c, struct passkey_change *p, const char *user_id)
{
	int64_t r = db_exec(c, "update passkeys set name = ? where id = ? and user_id = ?", DB_TEXT(p->name),
			    DB_TEXT(p->id), DB_TEXT(user_id)),
		one;

	/* MySQL counts only rows that became different. */
	if (r == 0)
		r = db_get_int(c, &one, "select 1 from passkeys where id = ? and user_id = ?", DB_TEXT(p->id),
			       DB_TEXT(user_id));
	p->outcome = r == 0 ? PASSKEY_MISSING : PASSKEY_DONE;
	return (int)MIN(r, 0);
}

static int remove_run(struct db_conn *c, struct passkey_change *p, const char *user_id)
{
	int64_t r = db_exec(c, "delete from passkeys where id = ? and user_id = ?", DB_TEXT(p->id), DB_TEXT(user_id));

	p->outcome = r == 0 ? PASSKEY_MISSING : PASSKEY_DONE;
	return r <= 0 ? (int)r : factors_tidy(c, p->job.x->self, user_id);
}

static int change_run(struct db_conn *c, struct exchange_job *job)
{
	struct passkey_change *p = (struct passkey_change *)job;
	bool is_rename = p->id && p->name;
	struct account account;
	int r;

	p->actor = is_rename ? actor_check(c, job->x, &account) : actor_check_fresh(c, job->x, &account);
	if (p->actor != ACTOR_OK)
		return MIN(p->actor, 0);
	p->outcome = PASSKEY_DONE;
	r = is_rename ? rename_run(c, p, account.id) : p->id ? remove_run(c, p, account.id) : add_run(c, p, account.id);
	if (r < 0 || p->outcome != PASSKEY_DONE || is_rename)
		return r;
	r = factor_notice(c, job->x->arena, &account, &p->client, p->event.event);
	return r < 0 ? r : audit_add(c, job->x->self, &p->event);
}

static void reply_new(struct exchange *x, const struct passkey_change *p)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *list;

	json_add_str(doc, obj, "id", p->new_id);
	json_add_str(doc, obj, "name", p->name);
	list = yyjson_mut_obj_add_arr(doc, obj, "recovery_codes");
	for (int i = 0; p->has_codes && i < RECOVERY_CODES; i++)
		yyjson_mut_arr_add_str(doc, list, p->codes[i]);
	reply_header(x, "Cache-Control", "no-store");
	reply_json(x, 201, doc);
}

static void change_done(struct exchange_job *job)
{
	struct passkey_change *p = (struct passkey_change *)job;
	struct exchange *x = job->x;

	if (p->actor != ACTOR_OK) {
		actor_refuse(x, p->actor);
		return;
	}
	switch (p->outcome) {
	case PASSKEY_USED_TICKET: ticket_refuse(x); break;
	case PASSKEY_DOUBLE: reply_problem(x, 409, "passkey_exists", "This passkey is registered already."); break;
	case PASSKEY_TOO_MANY:
		reply_problem(x, 409, "too_many_passkeys", "An account has at most %d passkeys; remove one first.",
			      PASSKEYS_MAX);
		break;
	case PASSKEY_MISSING: reply_problem(x, 404, "not_found", "There is no such passkey."); break;
	case PASSKEY_DONE:
		outbox_wake(x->self);
		if (p->id)
			reply_empty(x, 204);
		else
			reply_new(x, p);
		break;
	}
}

static void start(struct exchange *x, struct passkey_change *p, const char *event)
{
	const struct auth *auth = x->self;

	client_read(x, &p->client);
	audit_event_of(x, event, &p->event);
	p->job = (struct exchange_job){.x = x, .run = change_run, .done_ok = change_done};
	exchange_write(auth->db, &p->job);
}

/* Whether what the browser sends is a new passkey as we asked for it. */
static bool read_new(struct exchange *x, struct passkey_change *p)
{
	yyjson_val *response = json_get_obj(json_get_obj(x->body, "credential"), "response");
	struct str client_data = site_decode(x->arena, yyjson_obj_get(response, "clientDataJSON")),
		   attestation = site_decode(x->arena, yyjson_obj_get(response, "attestationObject"));
	struct error err = {0};
	struct site site;

	if (!client_data.p || !attestation.p) {
		reply_problem(x, 422, "invalid_field",
			      "credential must be what navigator.credentials.create() gave, as JSON.");
		return false;
	}
	site_of(x, &site);

	struct webauthn_request q = {site.rp_id, site.origin, p->ticket.data, false};

	if (webauthn_read_new(&q, client_data, attestation, &p->made, &err) == 0)
		return true;
	reply_error(x, 422, &err);
	return false;
}

void passkeys_create(struct exchange *x)
{
	static const struct json_field fields[] = {{"ticket", JSON_STRING, .required = true, .max = TICKET_TEXT_MAX},
						   {"name", JSON_STRING, .required = true, .max = 200},
						   {"credential", JSON_OBJECT, .required = true}};
	struct passkey_change *p = arena_new_of(x->arena, struct passkey_change);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0 ||
	    !(p->name = account_name_check(x->arena, json_get_str(x->body, "name", ""), &err))) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x) || !ticket_read(x, "ticket", TICKET_PASSKEY, &p->ticket))
		return;
	if (!x->who.user_id || strcmp(p->ticket.user_id, x->who.user_id) != 0) {
		ticket_refuse(x);
		return;
	}
	id_new(p->new_id);
	if (read_new(x, p))
		start(x, p, "factor.passkey_added");
}

void passkeys_rename(struct exchange *x)
{
	static const struct json_field fields[] = {{"name", JSON_STRING, .required = true, .max = 200}};
	struct passkey_change *p = arena_new_of(x->arena, struct passkey_change);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0 ||
	    !(p->name = account_name_check(x->arena, json_get_str(x->body, "name", ""), &err))) {
		reply_error(x, 422, &err);
		return;
	}
	p->id = x->params[0].p;
	if (!client_refuse_cross_site(x))
		start(x, p, "factor.passkey_renamed");
}

void passkeys_delete(struct exchange *x)
{
	struct passkey_change *p = arena_new_of(x->arena, struct passkey_change);

	p->id = x->params[0].p;
	if (!client_refuse_cross_site(x))
		start(x, p, "factor.passkey_removed");
}
