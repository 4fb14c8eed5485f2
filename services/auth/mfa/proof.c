#include "mfa/proof.h"

#include "base/clock.h"
#include "guard.h"
#include "mail/outbox.h"
#include "mfa/notice.h"

bool proof_read(struct exchange *x, enum ticket_kind kind, struct proof *ret)
{
	bool has_code = yyjson_obj_get(x->body, "code") != NULL,
	     has_passkey = yyjson_obj_get(x->body, "credential") != NULL;

	if (has_code && has_passkey) {
		reply_problem(x, 422, "invalid_field", "Send either `code`, or `ticket` and `credential`.");
		return false;
	}
	ret->is_given = has_code || has_passkey;
	client_read(x, &ret->client);
	audit_event_of(x, "factor.recovery_code_used", &ret->event);
	if (has_code)
		ret->code = str_of(json_get_str(x->body, "code", ""));
	if (!has_passkey)
		return true;
	if (!ticket_read(x, "ticket", kind, &ret->ticket) || !assertion_read(x, &ret->assertion))
		return false;
	if (strcmp(ret->ticket.user_id, x->who.user_id) != 0) {
		ticket_refuse(x);
		return false;
	}
	site_of(x, &ret->site);
	return true;
}

bool proof_begin(struct exchange *x, const struct proof *p)
{
	const struct auth *auth = x->self;
	uint64_t wait = p->code.p ? throttle_begin(auth->by_code, str_of(x->who.user_id), clock_mono_ms()) : 0;

	if (wait > 0)
		reply_throttled(x, wait, "Too many wrong codes; wait and try again.");
	return wait == 0;
}

static int check_code(struct db_conn *c, struct exchange *x, struct proof *p)
{
	int taken = factors_take_code(c, x->self, x->who.user_id, p->code);

	p->is_recovery = taken == FACTOR_CODE_RECOVERY;
	p->outcome = taken > 0 ? PROOF_OK : PROOF_WRONG;
	return MIN(taken, 0);
}

static int check_passkey(struct db_conn *c, struct exchange *x, struct proof *p)
{
	const struct webauthn_request q = {p->site.rp_id, p->site.origin, p->ticket.data, p->needs_verified_user};
	struct stored_passkey k;
	int r = passkey_find(c, x->arena, &p->assertion, &k);

	p->outcome = PROOF_REFUSED;
	p->err = (struct error){0};
	if (r == 1 && strcmp(k.user_id, x->who.user_id) != 0)
		return 0;
	if (r == 1)
		r = passkey_check(c, &q, &k, &p->assertion, &p->err);
	if (r <= 0)
		return r;
	r = ticket_use(c, &p->ticket);
	p->outcome = r == 1 ? PROOF_OK : PROOF_TICKET;
	return MIN(r, 0);
}

int proof_check(struct db_conn *c, struct exchange *x, struct proof *p)
{
	p->is_recovery = false;
	return p->code.p ? check_code(c, x, p) : check_passkey(c, x, p);
}

int proof_tell(struct db_conn *c, struct exchange *x, const struct account *account, struct proof *p)
{
	int r;

	if (!p->is_recovery)
		return 0;
	r = factor_notice(c, x->arena, account, &p->client, p->event.event);
	return r < 0 ? r : audit_add(c, x->self, &p->event);
}

void proof_end(struct exchange *x, const struct proof *p, int result)
{
	struct auth *auth = x->self;
	enum throttle_outcome outcome = result < 0                  ? THROTTLE_UNKNOWN
					: p->outcome == PROOF_OK    ? THROTTLE_PASSED
					: p->outcome == PROOF_WRONG ? THROTTLE_FAILED
								    : THROTTLE_UNKNOWN;

	if (p->code.p)
		throttle_end(auth->by_code, str_of(x->who.user_id), outcome, clock_mono_ms());
	if (result >= 0 && p->outcome == PROOF_OK && p->is_recovery)
		outbox_wake(auth);
}

void proof_refuse(struct exchange *x, const struct proof *p)
{
	audit_act(x, "factor.refused", AUDIT_FAILURE, NULL, "user", x->who.user_id);
	reply_header(x, "Cache-Control", "no-store");
	if (p->outcome == PROOF_TICKET)
		ticket_refuse(x);
	else if (p->outcome == PROOF_WRONG)
		reply_problem(x, 401, "code_wrong", "This code is wrong, or was used before; wait for the next one.");
	else
		reply_problem(x, 401, "passkey_refused", "%s",
			      *p->err.message ? p->err.message : "This passkey is none of yours.");
}

void proof_add_methods(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct factors *f)
{
	yyjson_mut_val *methods = yyjson_mut_obj_add_arr(doc, obj, "methods");

	if (f->n_passkeys > 0)
		yyjson_mut_arr_add_str(doc, methods, "passkey");
	if (f->has_totp)
		yyjson_mut_arr_add_str(doc, methods, "totp");
	if (f->n_recovery > 0 && factors_are_on(f))
		yyjson_mut_arr_add_str(doc, methods, "recovery_code");
}
