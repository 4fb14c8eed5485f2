/* POST /api/auth/reauth: who is signed in shows himself again, for acts that need that a short while ago; the session
 * gets a new id. The password, and behind it a code or a passkey if he has one; or a passkey that has seen him (by PIN,
 * finger or face) alone. POST /api/auth/reauth/options: what the browser is to ask the authenticator. */
#include <sodium.h>

#include "audit/audit.h"
#include "confirm.h"
#include "feed.h"
#include "handlers.h"
#include "mfa/proof.h"
#include "sessions.h"

struct reauth {
	struct exchange_job job;
	struct confirm confirm;
	struct client client;
	struct proof proof;
	struct factors factors;
	bool has_password, is_late, needs_factor;
	int actor;
	const char *old; /* the session until now */
	struct session_grant grant;
};

/* Only while the password that was checked is still the one. 1, 0 or -errno. */
static int is_still_right(struct db_conn *c, const struct reauth *r)
{
	int64_t one;

	return r->has_password ? db_get_int(c, &one, "select 1 from users where id = ? and password_hash = ?",
					    DB_TEXT(r->confirm.account.id), DB_TEXT(r->confirm.stored))
			       : 1;
}

static int look_for_factors(struct db_conn *c, struct reauth *r)
{
	struct exchange *x = r->job.x;
	int err = factors_load(c, x->self, x->who.user_id, &r->factors);

	sodium_memzero(r->factors.secret, sizeof(r->factors.secret));
	r->proof.outcome = r->has_password && !factors_are_on(&r->factors) ? PROOF_OK : PROOF_REFUSED;
	r->needs_factor = r->proof.outcome != PROOF_OK && !r->proof.is_given;
	if (err < 0 || r->proof.outcome == PROOF_OK || r->needs_factor)
		return err;
	return proof_check(c, x, &r->proof);
}

static int reauth_run(struct db_conn *c, struct exchange_job *job)
{
	struct reauth *r = container_of(job, struct reauth, job);
	struct exchange *x = job->x;
	struct account account;
	int err;

	r->needs_factor = false;
	r->proof.outcome = PROOF_REFUSED;
	r->actor = actor_check(c, x, &account);
	if (r->actor != ACTOR_OK)
		return MIN(r->actor, 0);
	err = is_still_right(c, r);
	r->is_late = err == 0;
	if (err <= 0)
		return err;
	err = look_for_factors(c, r);
	if (err < 0 || r->proof.outcome != PROOF_OK)
		return err;
	err = session_create(c, x->self, x->arena, account.id, &r->client, &r->grant);
	if (err == 0 && *r->old)
		err = session_revoke(c, r->old, "replaced");
	return err < 0 ? err : proof_tell(c, x, &account, &r->proof);
}

static void ask_for_factor(struct exchange *x, const struct factors *f)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	proof_add_methods(doc, obj, f);
	reply_header(x, "Cache-Control", "no-store");
	reply_problem_with(x, 401, "second_factor_required", json_text(x->arena, doc),
			   "The password is right; send it again with `code`, or with `ticket` and `credential`.");
}

static void reauth_done(struct exchange_job *job, int result)
{
	struct reauth *r = container_of(job, struct reauth, job);
	struct exchange *x = job->x;

	if (r->proof.is_given)
		proof_end(x, &r->proof, result);
	if (result < 0) {
		reply_db_failure(x, result);
	} else if (r->actor != ACTOR_OK || r->is_late) {
		actor_refuse(x, r->is_late ? ACTOR_GONE : (enum actor_state)r->actor);
	} else if (r->needs_factor) {
		ask_for_factor(x, &r->factors);
	} else if (r->proof.outcome != PROOF_OK) {
		proof_refuse(x, &r->proof);
	} else {
		audit_act(x, "session.confirmed", AUDIT_SUCCESS, NULL, "session", r->grant.token.session_id);
		feed_wake(x->self);
		session_reply(x, 200, &r->client, &r->grant);
	}
}

static void start(struct exchange *x, struct reauth *r)
{
	const struct auth *auth = x->self;

	if (r->proof.is_given && !proof_begin(x, &r->proof))
		return;
	r->old = x->who.session_id ? x->who.session_id : "";
	r->job = (struct exchange_job){.x = x, .run = reauth_run, .done = reauth_done};
	exchange_write(auth->db, &r->job);
}

static void confirmed(struct confirm *cf)
{
	start(cf->x, container_of(cf, struct reauth, confirm));
}

void auth_reauth(struct exchange *x)
{
	static const struct json_field fields[] = {{"password", JSON_STRING, .max = 8192},
						   {"code", JSON_STRING, .max = 64},
						   {"ticket", JSON_STRING, .max = TICKET_TEXT_MAX},
						   {"credential", JSON_OBJECT}};
	struct reauth *r = arena_new_of(x->arena, struct reauth);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x) || !proof_read(x, TICKET_REAUTH, &r->proof))
		return;
	client_read(x, &r->client);
	r->has_password = yyjson_obj_get(x->body, "password") != NULL;
	r->proof.needs_verified_user = !r->has_password;
	if (r->has_password)
		confirm_password(x, &r->confirm, json_get_str(x->body, "password", ""), confirmed);
	else if (r->proof.is_given && !r->proof.code.p)
		start(x, r);
	else
		reply_problem(x, 422, "invalid_field",
			      "`password` is missing; or send `ticket` and `credential` of a passkey alone.");
}

/* ---- POST /api/auth/reauth/options ---- */

struct reauth_options {
	struct exchange_job job;
	struct passkey_ids ids;
	int actor;
};

static int options_run(struct db_conn *c, struct exchange_job *job)
{
	struct reauth_options *o = (struct reauth_options *)job;

	o->actor = actor_check(c, job->x, NULL);
	return o->actor == ACTOR_OK ? passkey_list(c, job->x->arena, job->x->who.user_id, &o->ids) : MIN(o->actor, 0);
}

static void options_done(struct exchange_job *job)
{
	struct reauth_options *o = (struct reauth_options *)job;
	uint8_t challenge[WEBAUTHN_CHALLENGE_SIZE];

	if (o->actor != ACTOR_OK) {
		actor_refuse(job->x, o->actor);
		return;
	}
	if (o->ids.n == 0) {
		reply_problem(job->x, 409, "no_passkey", "You have no passkey.");
		return;
	}
	randombytes_buf(challenge, sizeof(challenge));
	passkey_reply_options(job->x, TICKET_REAUTH, job->x->who.user_id, challenge, &o->ids, false);
}

void auth_reauth_options(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct reauth_options *o = arena_new_of(x->arena, struct reauth_options);

	if (client_refuse_cross_site(x))
		return;
	o->job = (struct exchange_job){.x = x, .run = options_run, .done_ok = options_done};
	exchange_read(auth->db, &o->job);
}
