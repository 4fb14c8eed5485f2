/* Acts that are confirmed by a second factor, such as the approval of a risky call. The service that does the act gives
 * it a name (64 hex digits, SHA-256 of all that matters about it) and asks here (POST /confirmations/check) whether its
 * user must confirm; he does at POST /api/auth/confirmations and takes what he gets back to that service. It is good
 * for this act and this user, for as long as a ticket is. It is not used up: the act's name has all that makes it one
 * act.
 */
#include <sodium.h>

#include "handlers.h"
#include "mfa/confirmations.h"
#include "mfa/proof.h"

#define ACT_CHARS 64
#define NONCE_SIZE 16

static const char *const policy_names[] = {"chosen", "factor", "always"};

enum confirm_policy confirm_policy_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(policy_names); i++)
		if (!strcmp(name, policy_names[i]))
			return (enum confirm_policy)i;
	return CONFIRM_ALWAYS;
}

static bool read_act(struct exchange *x, const struct json_field *fields, size_t n, const char **ret)
{
	struct error err = {0};

	if (json_check(x->body, fields, n, &err) == 0) {
		*ret = json_get_str(x->body, "act", "");
		if (strlen(*ret) == ACT_CHARS && strspn(*ret, "0123456789abcdef") == ACT_CHARS)
			return true;
		error_set(&err, "invalid_field", "`act` must be the %d hex digits that the refusal named.", ACT_CHARS);
	}
	reply_error(x, 422, &err);
	return false;
}

/* ---- POST /api/auth/confirmations/options ---- */

struct confirm_options {
	struct exchange_job job;
	struct passkey_ids ids;
	const char *act;
	int actor;
};

static int options_run(struct db_conn *c, struct exchange_job *job)
{
	struct confirm_options *o = (struct confirm_options *)job;

	o->actor = actor_check(c, job->x, NULL);
	return o->actor == ACTOR_OK ? passkey_list(c, job->x->arena, job->x->who.user_id, &o->ids) : MIN(o->actor, 0);
}

/* The authenticator signs the act: half of the challenge is random, the other half is the act's. */
static void make_challenge(const char *act, uint8_t ret[static WEBAUTHN_CHALLENGE_SIZE])
{
	uint8_t hash[32];

	randombytes_buf(ret, NONCE_SIZE);
	sha256(act, strlen(act), hash);
	memcpy(ret + NONCE_SIZE, hash, WEBAUTHN_CHALLENGE_SIZE - NONCE_SIZE);
}

static bool is_challenge_of(const uint8_t challenge[static WEBAUTHN_CHALLENGE_SIZE], const char *act)
{
	uint8_t hash[32];

	sha256(act, strlen(act), hash);
	return sodium_memcmp(challenge + NONCE_SIZE, hash, WEBAUTHN_CHALLENGE_SIZE - NONCE_SIZE) == 0;
}

static void options_done(struct exchange_job *job)
{
	struct confirm_options *o = (struct confirm_options *)job;
	uint8_t challenge[WEBAUTHN_CHALLENGE_SIZE];

	if (o->actor != ACTOR_OK) {
		actor_refuse(job->x, o->actor);
		return;
	}
	if (o->ids.n == 0) {
		reply_problem(job->x, 409, "no_passkey", "You have no passkey; confirm with a code.");
		return;
	}
	make_challenge(o->act, challenge);
	passkey_reply_options(job->x, TICKET_CONFIRM, job->x->who.user_id, challenge, &o->ids, false);
}

void confirmations_options(struct exchange *x)
{
	static const struct json_field fields[] = {{"act", JSON_STRING, .required = true, .max = ACT_CHARS}};
	const struct auth *auth = x->self;
	struct confirm_options *o = arena_new_of(x->arena, struct confirm_options);

	if (!read_act(x, fields, ARRAY_SIZE(fields), &o->act) || client_refuse_cross_site(x))
		return;
	o->job = (struct exchange_job){.x = x, .run = options_run, .done_ok = options_done};
	exchange_read(auth->db, &o->job);
}

/* ---- POST /api/auth/confirmations ---- */

struct confirmation {
	struct exchange_job job;
	struct proof proof;
	struct audit_event event;
	const char *act;
	int actor;
};

static int confirm_run(struct db_conn *c, struct exchange_job *job)
{
	struct confirmation *p = (struct confirmation *)job;
	struct account account;
	int r;

	p->proof.outcome = PROOF_REFUSED;
	p->actor = actor_check(c, job->x, &account);
	if (p->actor != ACTOR_OK)
		return MIN(p->actor, 0);
	r = proof_check(c, job->x, &p->proof);
	if (r < 0 || p->proof.outcome != PROOF_OK)
		return r;
	r = proof_tell(c, job->x, &account, &p->proof);
	return r < 0 ? r : audit_add(c, job->x->self, &p->event);
}

static void reply_confirmation(struct exchange *x, const char *act)
{
	uint8_t data[TICKET_DATA_SIZE];
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	sha256(act, strlen(act), data);
	json_add_str(doc, obj, "confirmation", ticket_new(x->self, x->arena, TICKET_CONFIRMED, x->who.user_id, data));
	yyjson_mut_obj_add_int(doc, obj, "expires_in", TICKET_US / 1000000);
	reply_header(x, "Cache-Control", "no-store");
	reply_json(x, 201, doc);
}

static void confirm_done(struct exchange_job *job, int result)
{
	struct confirmation *p = (struct confirmation *)job;

	proof_end(job->x, &p->proof, result);
	if (result < 0)
		reply_db_failure(job->x, result);
	else if (p->actor != ACTOR_OK)
		actor_refuse(job->x, p->actor);
	else if (p->proof.outcome != PROOF_OK)
		proof_refuse(job->x, &p->proof);
	else
		reply_confirmation(job->x, p->act);
}

void confirmations_create(struct exchange *x)
{
	static const struct json_field fields[] = {{"act", JSON_STRING, .required = true, .max = ACT_CHARS},
						   {"code", JSON_STRING, .max = 64},
						   {"ticket", JSON_STRING, .max = TICKET_TEXT_MAX},
						   {"credential", JSON_OBJECT}};
	const struct auth *auth = x->self;
	struct confirmation *p = arena_new_of(x->arena, struct confirmation);

	if (!read_act(x, fields, ARRAY_SIZE(fields), &p->act) || client_refuse_cross_site(x) ||
	    !proof_read(x, TICKET_CONFIRM, &p->proof))
		return;
	if (!p->proof.is_given) {
		reply_problem(x, 422, "invalid_field", "Send `code`, or `ticket` and `credential`.");
		return;
	}
	if (!p->proof.code.p && !is_challenge_of(p->proof.ticket.data, p->act)) {
		ticket_refuse(x);
		return;
	}
	if (!proof_begin(x, &p->proof))
		return;
	audit_event_of(x, "act.confirmed", &p->event);
	p->event.detail = audit_detail(x->arena, "act", p->act, "by", p->proof.code.p ? "code" : "passkey", NULL);
	p->job = (struct exchange_job){.x = x, .run = confirm_run, .done = confirm_done};
	exchange_write(auth->db, &p->job);
}

/* ---- POST /confirmations/check, by other services ---- */

struct confirm_check {
	struct exchange_job job;
	const char *user_id, *act, *given;
	struct factors factors;
	bool is_active;
};

static int check_run(struct db_conn *c, struct exchange_job *job)
{
	struct confirm_check *q = (struct confirm_check *)job;
	int64_t one;
	int r = db_get_int(c, &one, "select 1 from users where id = ? and disabled = 0", DB_TEXT(q->user_id));

	q->is_active = r == 1;
	if (r == 1)
		r = factors_load(c, job->x->self, q->user_id, &q->factors);
	sodium_memzero(q->factors.secret, sizeof(q->factors.secret));
	return MIN(r, 0);
}

static bool is_needed(const struct auth *auth, const struct confirm_check *q)
{
	switch (auth->confirm_policy) {
	case CONFIRM_CHOSEN: return q->factors.confirms_approvals && factors_are_on(&q->factors);
	case CONFIRM_WITH_FACTOR: return factors_are_on(&q->factors);
	case CONFIRM_ALWAYS: break;
	}
	return true;
}

static bool is_good(const struct auth *auth, const struct confirm_check *q)
{
	uint8_t hash[TICKET_DATA_SIZE];
	struct ticket t;

	sha256(q->act, strlen(q->act), hash);
	return ticket_open(auth, q->job.x->arena, TICKET_CONFIRMED, str_of(q->given), &t) &&
	       !strcmp(t.user_id, q->user_id) && sodium_memcmp(t.data, hash, sizeof(hash)) == 0;
}

static void check_done(struct exchange_job *job)
{
	struct confirm_check *q = (struct confirm_check *)job;
	const struct auth *auth = job->x->self;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(job->x->arena, &doc);
	const char *outcome = !q->is_active                   ? "gone"
			      : !is_needed(auth, q)           ? "ok"
			      : *q->given && is_good(auth, q) ? "ok"
			      : *q->given                     ? "invalid"
			      : !factors_are_on(&q->factors)  ? "impossible"
							      : "needed";

	json_add_str(doc, obj, "outcome", outcome);
	proof_add_methods(doc, obj, &q->factors);
	reply_header(job->x, "Cache-Control", "no-store");
	reply_json(job->x, 200, doc);
}

void confirmations_check(struct exchange *x)
{
	static const struct json_field fields[] = {{"user_id", JSON_STRING, .required = true, .max = 36},
						   {"act", JSON_STRING, .required = true, .max = ACT_CHARS},
						   {"confirmation", JSON_STRING, .max = TICKET_TEXT_MAX}};
	const struct auth *auth = x->self;
	struct confirm_check *q = arena_new_of(x->arena, struct confirm_check);

	if (!read_act(x, fields, ARRAY_SIZE(fields), &q->act))
		return;
	q->user_id = json_get_str(x->body, "user_id", "");
	q->given = json_get_str(x->body, "confirmation", "");
	q->job = (struct exchange_job){.x = x, .run = check_run, .done_ok = check_done};
	exchange_read(auth->db, &q->job);
}
