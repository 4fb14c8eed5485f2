/* One's own second factors: GET /api/auth/factors, one-time codes by time and recovery codes. */
#include <errno.h>
#include <sodium.h>

#include "audit/audit.h"
#include "base/clock.h"
#include "handlers.h"
#include "mail/outbox.h"
#include "mfa/factors.h"
#include "mfa/notice.h"
#include "mfa/ticket.h"
#include "sessions.h"

/* ---- GET /api/auth/factors ---- */

struct factors_get {
	struct exchange_job job;
	struct factors factors;
	int actor;
	yyjson_mut_doc *doc;
	yyjson_mut_val *root;
};

static int add_passkeys(struct db_conn *c, struct factors_get *g, const char *user_id)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c,
			 "select id, name, backed_up, created_at, last_used_at from passkeys where user_id = ? "
			 "order by created_at, id",
			 DB_TEXT(user_id));
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(g->doc, g->root, "passkeys"), *one;
	struct arena *a = g->job.x->arena;
	int r;

	while ((r = db_step(c, st)) == 1) {
		one = yyjson_mut_arr_add_obj(g->doc, list);
		json_add_str(g->doc, one, "id", db_col_dup(st, 0, a));
		json_add_str(g->doc, one, "name", db_col_dup(st, 1, a));
		yyjson_mut_obj_add_bool(g->doc, one, "backed_up", db_col_int(st, 2) != 0);
		json_add_time(g->doc, one, "created_at", db_col_int(st, 3));
		json_add_time(g->doc, one, "last_used_at", db_col_int(st, 4));
	}
	return r;
}

static int get_run(struct db_conn *c, struct exchange_job *job)
{
	struct factors_get *g = (struct factors_get *)job;
	struct account account;
	int r;

	g->actor = actor_check(c, job->x, &account);
	if (g->actor != ACTOR_OK)
		return MIN(g->actor, 0);
	r = factors_load(c, job->x->self, account.id, &g->factors);
	if (r < 0)
		return r;
	sodium_memzero(g->factors.secret, sizeof(g->factors.secret));
	g->root = json_new_obj(job->x->arena, &g->doc);
	yyjson_mut_obj_add_bool(g->doc, g->root, "totp", g->factors.has_totp);
	yyjson_mut_obj_add_bool(g->doc, g->root, "confirm_approvals", g->factors.confirms_approvals);
	yyjson_mut_obj_add_int(g->doc, g->root, "recovery_codes_left", g->factors.n_recovery);
	return add_passkeys(c, g, account.id);
}

static void get_done(struct exchange_job *job)
{
	struct factors_get *g = (struct factors_get *)job;

	if (g->actor != ACTOR_OK) {
		actor_refuse(job->x, g->actor);
		return;
	}
	reply_header(job->x, "Cache-Control", "no-store");
	reply_json(job->x, 200, g->doc);
}

void factors_get(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct factors_get *g = arena_new_of(x->arena, struct factors_get);

	g->job = (struct exchange_job){.x = x, .run = get_run, .done_ok = get_done};
	exchange_read(auth->db, &g->job);
}

/* ---- POST /api/auth/factors/totp: a secret to be put into an app; nothing is stored yet ---- */

void factors_totp_new(struct exchange *x)
{
	const struct auth *auth = x->self;
	uint8_t data[TICKET_DATA_SIZE] = {0};
	_cleanup_(buf_wipe) struct buf secret = BUF_INIT, uri = BUF_INIT;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	if (client_refuse_cross_site(x))
		return;
	randombytes_buf(data, TOTP_SECRET_SIZE);
	base32_encode(&secret, data, TOTP_SECRET_SIZE);
	totp_uri(data, str_of(*auth->mail.org ? auth->mail.org : "Ogent"), str_of(x->who.name ? x->who.name : ""),
		 &uri);
	json_add_str(doc, obj, "ticket", ticket_new(auth, x->arena, TICKET_TOTP, x->who.user_id, data));
	json_add_str(doc, obj, "secret", secret.p);
	json_add_str(doc, obj, "uri", uri.p);
	sodium_memzero(data, sizeof(data));
	reply_header(x, "Cache-Control", "no-store");
	reply_json(x, 200, doc);
}

/* ---- Changes: all need a sign-in of a short while ago ---- */

enum change_kind { CHANGE_TOTP_ON, CHANGE_TOTP_OFF, CHANGE_CODES, CHANGE_CONFIRM };

struct factor_change {
	struct exchange_job job;
	struct audit_event event;
	struct client client;
	struct ticket ticket; /* of CHANGE_TOTP_ON */
	struct str code;
	enum change_kind kind;
	int actor;
	enum { CHANGED, CODE_WRONG, NOT_THERE } outcome;
	bool confirms; /* of CHANGE_CONFIRM */
	bool has_codes;
	const char *codes[RECOVERY_CODES];
};

static int switch_on(struct db_conn *c, struct factor_change *p, const char *user_id)
{
	const struct auth *auth = p->job.x->self;
	struct factors before;
	uint64_t step;
	int r;

	p->outcome = CODE_WRONG;
	if (strcmp(p->ticket.user_id, user_id) != 0 || !totp_matches(p->ticket.data, p->code, clock_now_us(), 0, &step))
		return 0;
	r = ticket_use(c, &p->ticket);
	if (r <= 0)
		return r;
	r = factors_load(c, auth, user_id, &before);
	sodium_memzero(before.secret, sizeof(before.secret));
	if (r == 0)
		r = factors_set_totp(c, auth, user_id, p->ticket.data, step);
	p->has_codes = r == 0 && before.n_recovery == 0;
	p->outcome = CHANGED;
	return p->has_codes ? factors_new_codes(c, p->job.x->arena, user_id, p->codes) : r;
}

static int switch_off(struct db_conn *c, struct factor_change *p, const char *user_id)
{
	int64_t r = db_exec(c, "delete from totp where user_id = ?", DB_TEXT(user_id));

	p->outcome = r == 0 ? NOT_THERE : CHANGED;
	return r <= 0 ? (int)r : factors_tidy(c, p->job.x->self, user_id);
}

static int renew_codes(struct db_conn *c, struct factor_change *p, const char *user_id)
{
	struct factors f;
	int r = factors_load(c, p->job.x->self, user_id, &f);

	sodium_memzero(f.secret, sizeof(f.secret));
	p->outcome = r == 0 && !factors_are_on(&f) ? NOT_THERE : CHANGED;
	p->has_codes = r == 0 && p->outcome == CHANGED;
	return p->has_codes ? factors_new_codes(c, p->job.x->arena, user_id, p->codes) : r;
}

/* Without a factor there is nothing to confirm with. */
static int choose(struct db_conn *c, struct factor_change *p, const char *user_id)
{
	struct factors f;
	int64_t r = factors_load(c, p->job.x->self, user_id, &f);

	sodium_memzero(f.secret, sizeof(f.secret));
	p->outcome = r == 0 && p->confirms && !factors_are_on(&f) ? NOT_THERE : CHANGED;
	if (r < 0 || p->outcome != CHANGED)
		return (int)r;
	r = db_exec(c, "update users set confirm_approvals = ? where id = ?", DB_INT(p->confirms), DB_TEXT(user_id));
	return (int)MIN(r, 0);
}

static int change_run(struct db_conn *c, struct exchange_job *job)
{
	static int (*const changes[])(struct db_conn *, struct factor_change *,
				      const char *) = {[CHANGE_TOTP_ON] = switch_on,
						       [CHANGE_TOTP_OFF] = switch_off,
						       [CHANGE_CODES] = renew_codes,
						       [CHANGE_CONFIRM] = choose};
	struct factor_change *p = (struct factor_change *)job;
	struct account account;
	int r;

	p->actor = actor_check_fresh(c, job->x, &account);
	if (p->actor != ACTOR_OK)
		return MIN(p->actor, 0);
	r = changes[p->kind](c, p, account.id);
	if (r < 0 || p->outcome != CHANGED)
		return r;
	r = factor_notice(c, job->x->arena, &account, &p->client, p->event.event);
	return r < 0 ? r : audit_add(c, job->x->self, &p->event);
}

static void reply_codes(struct exchange *x, const struct factor_change *p)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *list = yyjson_mut_obj_add_arr(doc, obj, "recovery_codes");

	for (int i = 0; p->has_codes && i < RECOVERY_CODES; i++)
		yyjson_mut_arr_add_str(doc, list, p->codes[i]);
	reply_header(x, "Cache-Control", "no-store");
	reply_json(x, 200, doc);
}

static void change_done(struct exchange_job *job)
{
	struct factor_change *p = (struct factor_change *)job;
	struct exchange *x = job->x;

	sodium_memzero(p->ticket.data, sizeof(p->ticket.data));
	if (p->actor != ACTOR_OK) {
		actor_refuse(x, p->actor);
	} else if (p->outcome == CODE_WRONG) {
		reply_problem(x, 422, "code_wrong",
			      "This is not the app's present code; look again, and at this machine's clock.");
	} else if (p->outcome == NOT_THERE) {
		reply_problem(x, p->kind == CHANGE_CONFIRM ? 409 : 404,
			      p->kind == CHANGE_CONFIRM ? "no_factor" : "not_found", "%s",
			      p->kind == CHANGE_CONFIRM ? "Set up a second factor first."
							: "There is no such second factor.");
	} else {
		outbox_wake(x->self);
		if (p->kind == CHANGE_TOTP_OFF || p->kind == CHANGE_CONFIRM)
			reply_empty(x, 204);
		else
			reply_codes(x, p);
	}
}

static void change(struct exchange *x, struct factor_change *p, enum change_kind kind, const char *event)
{
	const struct auth *auth = x->self;

	p->kind = kind;
	client_read(x, &p->client);
	audit_event_of(x, event, &p->event);
	p->job = (struct exchange_job){.x = x, .run = change_run, .done_ok = change_done};
	exchange_write(auth->db, &p->job);
}

void factors_totp_on(struct exchange *x)
{
	static const struct json_field fields[] = {{"ticket", JSON_STRING, .required = true, .max = TICKET_TEXT_MAX},
						   {"code", JSON_STRING, .required = true, .max = 64}};
	struct factor_change *p = arena_new_of(x->arena, struct factor_change);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x) || !ticket_read(x, "ticket", TICKET_TOTP, &p->ticket))
		return;
	p->code = str_trim(str_of(json_get_str(x->body, "code", "")));
	change(x, p, CHANGE_TOTP_ON, "factor.totp_added");
}

void factors_totp_off(struct exchange *x)
{
	if (!client_refuse_cross_site(x))
		change(x, arena_new_of(x->arena, struct factor_change), CHANGE_TOTP_OFF, "factor.totp_removed");
}

void factors_codes(struct exchange *x)
{
	if (!client_refuse_cross_site(x))
		change(x, arena_new_of(x->arena, struct factor_change), CHANGE_CODES, "factor.recovery_codes_made");
}

/* PATCH /api/auth/factors: what the factors are asked for besides signing in. */
void factors_patch(struct exchange *x)
{
	static const struct json_field fields[] = {{"confirm_approvals", JSON_BOOL, .required = true}};
	struct factor_change *p = arena_new_of(x->arena, struct factor_change);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	p->confirms = json_get_bool(x->body, "confirm_approvals", false);
	if (!client_refuse_cross_site(x))
		change(x, p, CHANGE_CONFIRM,
		       p->confirms ? "factor.confirm_switched_on" : "factor.confirm_switched_off");
}
