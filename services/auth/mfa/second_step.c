/* Signing in with more than a password: POST /api/auth/login/code after it, /api/auth/login/passkey after it or alone.
 */
#include <errno.h>
#include <sodium.h>

#include "audit/audit.h"
#include "base/clock.h"
#include "handlers.h"
#include "mail/outbox.h"
#include "mfa/factors.h"
#include "mfa/notice.h"
#include "mfa/passkey.h"
#include "mfa/proof.h"
#include "mfa/second_step.h"
#include "mfa/site.h"
#include "mfa/ticket.h"
#include "sign_in.h"

/* ---- What is asked after a good password ---- */

void second_step_ask(struct exchange *x, const char *user_id, const char *stored, const struct factors *f)
{
	const struct auth *auth = x->self;
	uint8_t data[TICKET_DATA_SIZE];
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	sha256(stored, strlen(stored), data);
	json_add_str(doc, obj, "ticket", ticket_new(auth, x->arena, TICKET_LOGIN, user_id, data));
	yyjson_mut_obj_add_int(doc, obj, "expires_in", TICKET_US / 1000000);
	proof_add_methods(doc, obj, f);
	reply_header(x, "Cache-Control", "no-store");
	reply_problem_with(x, 401, "second_factor_required", json_text(x->arena, doc),
			   "The password is right; now the second factor: send the ticket with a code or a passkey.");
}

/* ---- Common to both steps ---- */

enum step_outcome { STEP_OK, STEP_WRONG, STEP_TICKET, STEP_REFUSED };

struct step {
	struct exchange_job job;
	struct audit_event event; /* of a recovery code */
	struct guard guard;
	struct sign_in sign_in;
	struct ticket first;   /* the password was right */
	struct ticket passkey; /* what the authenticator was asked */
	bool has_first;
	struct str code;
	bool is_recovery;
	struct assertion assertion;
	struct site site;
	enum step_outcome outcome;
	struct error err;
};

/* Loads the user who is about to sign in. Returns 1, 0 (he may not) or -errno. */
static int find_user(struct db_conn *c, struct step *s, const char *user_id)
{
	struct db_stmt *st =
		db_query(c, "select password_hash, email_key, failed_logins, disabled from users where id = ?",
			 DB_TEXT(user_id));
	uint8_t now[TICKET_DATA_SIZE];
	int r = db_step(c, st);

	if (r == 1) {
		struct str stored = db_col_str(st, 0);

		sha256(stored.p, stored.n, now);
		snprintf(s->guard.email_key, sizeof(s->guard.email_key), "%.*s", STR_ARG(db_col_str(st, 1)));
		s->sign_in.failures = db_col_int(st, 2);
		r = db_col_int(st, 3) == 0 && (!s->has_first || (!strcmp(s->first.user_id, user_id) &&
								 sodium_memcmp(now, s->first.data, sizeof(now)) == 0));
	}
	db_done(st);
	s->sign_in.user_id = user_id;
	return r;
}

/* The tickets are used up and the session is made. */
static int finish(struct db_conn *c, struct step *s)
{
	struct exchange *x = s->job.x;
	int64_t r = s->has_first ? ticket_use(c, &s->first) : 1;

	if (r == 1 && s->passkey.hash[0])
		r = ticket_use(c, &s->passkey);
	s->outcome = r == 1 ? STEP_OK : STEP_TICKET;
	if (r != 1)
		return r < 0 ? (int)r : 1; /* rolled back: a ticket that was used does not take the other one along */
	r = db_exec(c, "update users set last_login_at = ?, failed_logins = 0 where id = ?", DB_INT(clock_now_us()),
		    DB_TEXT(s->sign_in.user_id));
	return r < 0 ? (int)r : sign_in_save(c, x, &s->sign_in);
}

static struct step *begin(struct exchange *x)
{
	struct step *s = arena_new_of(x->arena, struct step);

	client_read(x, &s->guard.client);
	s->sign_in.guard = &s->guard;
	s->sign_in.replaced = session_of_cookie(x, &s->guard.client);
	return s;
}

static void refuse(struct step *s)
{
	struct exchange *x = s->job.x;
	const struct auth *auth = x->self;

	metric_add(auth->metrics.logins_refused, 1);
	audit_act(x, "login.refused", AUDIT_FAILURE, NULL, "user", s->sign_in.user_id);
	reply_header(x, "Cache-Control", "no-store");
	if (s->outcome == STEP_TICKET)
		ticket_refuse(x);
	else if (s->outcome == STEP_WRONG)
		reply_problem(x, 401, "code_wrong", "This code is wrong, or was used before; wait for the next one.");
	else
		reply_problem(x, 401, "passkey_refused", "%s",
			      *s->err.message ? s->err.message : "This passkey does not open an account here.");
}

/* ---- POST /api/auth/login/code ---- */

static int code_run(struct db_conn *c, struct exchange_job *job)
{
	struct step *s = (struct step *)job;
	int r = find_user(c, s, s->first.user_id), taken;

	s->outcome = STEP_TICKET;
	if (r <= 0)
		return r;
	taken = factors_take_code(c, job->x->self, s->first.user_id, s->code);
	s->outcome = STEP_WRONG;
	if (taken <= 0)
		return taken;
	r = finish(c, s);
	if (r != 0 || taken != FACTOR_CODE_RECOVERY)
		return r;
	s->is_recovery = true;
	s->event.actor_kind = "user";
	s->event.actor_id = s->sign_in.user_id;
	s->event.actor_name = s->sign_in.grant.account.name;
	r = factor_notice(c, job->x->arena, &s->sign_in.grant.account, &s->guard.client, s->event.event);
	return r < 0 ? r : audit_add(c, job->x->self, &s->event);
}

static void code_done(struct exchange_job *job, int result)
{
	struct step *s = (struct step *)job;
	struct auth *auth = job->x->self;
	enum throttle_outcome outcome = result < 0                 ? THROTTLE_UNKNOWN
					: s->outcome == STEP_OK    ? THROTTLE_PASSED
					: s->outcome == STEP_WRONG ? THROTTLE_FAILED
								   : THROTTLE_UNKNOWN;

	throttle_end(auth->by_code, str_of(s->first.user_id), outcome, clock_mono_ms());
	if (result < 0) {
		reply_db_failure(job->x, result);
	} else if (s->outcome != STEP_OK) {
		refuse(s);
	} else {
		if (s->is_recovery)
			outbox_wake(auth);
		sign_in_reply(job->x, &s->sign_in);
	}
}

void login_code(struct exchange *x)
{
	static const struct json_field fields[] = {{"ticket", JSON_STRING, .required = true, .max = TICKET_TEXT_MAX},
						   {"code", JSON_STRING, .required = true, .max = 64}};
	const struct auth *auth = x->self;
	struct error err = {0};
	struct step *s;
	uint64_t wait;

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x))
		return;
	s = begin(x);
	s->has_first = true;
	if (!ticket_read(x, "ticket", TICKET_LOGIN, &s->first))
		return;
	wait = throttle_begin(auth->by_code, str_of(s->first.user_id), clock_mono_ms());
	if (wait > 0) {
		reply_throttled(x, wait, "Too many wrong codes; wait and try again.");
		return;
	}
	s->code = str_of(json_get_str(x->body, "code", ""));
	audit_event_of(x, "factor.recovery_code_used", &s->event);
	s->job = (struct exchange_job){.x = x, .run = code_run, .done = code_done};
	exchange_write(auth->db, &s->job);
}

/* ---- POST /api/auth/login/passkey/options ---- */

struct passkey_ask {
	struct exchange_job job;
	struct ticket first;
	struct passkey_ids ids;
};

static void reply_options(struct exchange *x, const char *user_id, const struct passkey_ids *ids)
{
	uint8_t challenge[WEBAUTHN_CHALLENGE_SIZE];

	randombytes_buf(challenge, sizeof(challenge));
	passkey_reply_options(x, TICKET_PASSKEY_LOGIN, user_id, challenge, ids, !*user_id);
}

static int ask_run(struct db_conn *c, struct exchange_job *job)
{
	struct passkey_ask *p = (struct passkey_ask *)job;

	return passkey_list(c, job->x->arena, p->first.user_id, &p->ids);
}

static void ask_done(struct exchange_job *job)
{
	struct passkey_ask *p = (struct passkey_ask *)job;

	reply_options(job->x, p->first.user_id, &p->ids);
}

void login_passkey_options(struct exchange *x)
{
	static const struct json_field fields[] = {{"login_ticket", JSON_STRING, .max = TICKET_TEXT_MAX}};
	const struct auth *auth = x->self;
	struct passkey_ask *p = arena_new_of(x->arena, struct passkey_ask);
	struct error err = {0};

	if (x->body && json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x))
		return;
	if (!x->body || !yyjson_obj_get(x->body, "login_ticket")) {
		reply_options(x, "", NULL);
		return;
	}
	if (!ticket_read(x, "login_ticket", TICKET_LOGIN, &p->first))
		return;
	p->job = (struct exchange_job){.x = x, .run = ask_run, .done_ok = ask_done};
	exchange_read(auth->db, &p->job);
}

/* ---- POST /api/auth/login/passkey ---- */

static int passkey_run(struct db_conn *c, struct exchange_job *job)
{
	struct step *s = (struct step *)job;
	const struct webauthn_request q = {s->site.rp_id, s->site.origin, s->passkey.data, !s->has_first};
	struct stored_passkey k;
	int r = passkey_find(c, job->x->arena, &s->assertion, &k);

	s->outcome = STEP_REFUSED;
	s->err = (struct error){0};
	if (r == 1 && *s->passkey.user_id && strcmp(s->passkey.user_id, k.user_id) != 0)
		return 0;
	if (r == 1)
		r = find_user(c, s, k.user_id);
	if (r == 1)
		r = passkey_check(c, &q, &k, &s->assertion, &s->err);
	return r == 1 ? finish(c, s) : r;
}

static void passkey_done(struct exchange_job *job, int result)
{
	struct step *s = (struct step *)job;

	if (result < 0)
		reply_db_failure(job->x, result);
	else if (s->outcome != STEP_OK)
		refuse(s);
	else
		sign_in_reply(job->x, &s->sign_in);
}

void login_passkey(struct exchange *x)
{
	static const struct json_field fields[] = {{"ticket", JSON_STRING, .required = true, .max = TICKET_TEXT_MAX},
						   {"login_ticket", JSON_STRING, .max = TICKET_TEXT_MAX},
						   {"credential", JSON_OBJECT, .required = true}};
	const struct auth *auth = x->self;
	struct error err = {0};
	struct step *s;

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x))
		return;
	s = begin(x);
	s->has_first = yyjson_obj_get(x->body, "login_ticket") != NULL;
	if (!ticket_read(x, "ticket", TICKET_PASSKEY_LOGIN, &s->passkey) || !assertion_read(x, &s->assertion) ||
	    (s->has_first && !ticket_read(x, "login_ticket", TICKET_LOGIN, &s->first)))
		return;
	/* What was asked for a second step is not good as the only one. */
	if (*s->passkey.user_id && !s->has_first) {
		ticket_refuse(x);
		return;
	}
	site_of(x, &s->site);
	s->job = (struct exchange_job){.x = x, .run = passkey_run, .done = passkey_done};
	exchange_write(auth->db, &s->job);
}
