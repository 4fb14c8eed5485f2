/* What a user is at providers: /api/auth/identities. Linking begins in start.c. */
#include <errno.h>

#include "audit/audit.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/id.h"
#include "mail/outbox.h"
#include "mfa/notice.h"
#include "sessions.h"
#include "sso/handlers.h"
#include "sso/sso.h"

void identity_hash(const char *issuer, const char *subject, char ret[static 65])
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	buf_printf(&text, "%s\n%s", issuer, subject);
	sha256_hex(text.p, text.n, ret);
}

int identity_find(struct db_conn *c, struct arena *a, const char *issuer, const char *subject, struct identity_at *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st = NULL;
	char hash[SHA256_HEX_SIZE];
	int r;

	identity_hash(issuer, subject, hash);
	st = db_query(c, "select id, user_id from identities where identity_hash = ?" DB_FOR_UPDATE, DB_TEXT(hash));
	r = db_step(c, st);
	if (r == 1)
		*ret = (struct identity_at){db_col_dup(st, 0, a), db_col_dup(st, 1, a)};
	return r;
}

int identity_add(struct db_conn *c, const struct provider *p, const char *user_id, const char *subject,
		 const char *email)
{
	char id[ID_SIZE], hash[SHA256_HEX_SIZE];
	int64_t now = clock_now_us();

	id_new(id);
	identity_hash(p->issuer, subject, hash);
	return error_only(
		db_exec(c,
			"insert into identities (id, user_id, provider_id, identity_hash, subject, email, created_at, "
			"last_used_at) values (?, ?, ?, ?, ?, ?, ?, ?)",
			DB_TEXT(id), DB_TEXT(user_id), DB_TEXT(p->id), DB_TEXT(hash), DB_TEXT(subject),
			DB_TEXT(email && strlen(email) <= 254 ? email : NULL), DB_INT(now), DB_INT(now)));
}

int identities_forget_user(struct db_conn *c, const char *user_id)
{
	return error_only(db_exec(c, "delete from identities where user_id = ?", DB_TEXT(user_id)));
}

/* ---- GET ---- */

struct identity_list {
	struct exchange_job job;
	yyjson_mut_doc *doc;
	yyjson_mut_val *root;
	int actor;
};

static int add_items(struct db_conn *c, struct identity_list *l, const char *user_id)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c,
			 "select i.id, p.name, p.label, p.enabled, i.email, i.created_at, i.last_used_at from "
			 "identities i join identity_providers p on p.id = i.provider_id where i.user_id = ? order by "
			 "i.created_at, i.id",
			 DB_TEXT(user_id));
	yyjson_mut_val *items = yyjson_mut_obj_add_arr(l->doc, l->root, "items"), *item;
	struct arena *a = l->job.x->arena;
	int r;

	while ((r = db_step(c, st)) == 1) {
		item = yyjson_mut_arr_add_obj(l->doc, items);
		json_add_str(l->doc, item, "id", db_col_dup(st, 0, a));
		json_add_str(l->doc, item, "provider", db_col_dup(st, 1, a));
		json_add_str(l->doc, item, "label", db_col_dup(st, 2, a));
		yyjson_mut_obj_add_bool(l->doc, item, "enabled", db_col_int(st, 3) != 0);
		json_add_str(l->doc, item, "email", db_col_dup(st, 4, a));
		json_add_time(l->doc, item, "created_at", db_col_int(st, 5));
		json_add_time(l->doc, item, "last_used_at", db_col_int(st, 6));
	}
	return r;
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct identity_list *l = (struct identity_list *)job;
	struct account account;
	int64_t one;
	int r;

	l->actor = actor_check(c, job->x, &account);
	if (l->actor != ACTOR_OK)
		return MIN(l->actor, 0);
	l->root = json_new_obj(job->x->arena, &l->doc);
	r = db_get_int(c, &one, "select 1 from users where id = ? and password_hash is not null", DB_TEXT(account.id));
	if (r < 0)
		return r;
	yyjson_mut_obj_add_bool(l->doc, l->root, "has_password", r == 1);
	return add_items(c, l, account.id);
}

static void list_done(struct exchange_job *job)
{
	struct identity_list *l = (struct identity_list *)job;

	if (l->actor != ACTOR_OK) {
		actor_refuse(job->x, l->actor);
		return;
	}
	reply_header(job->x, "Cache-Control", "no-store");
	reply_json(job->x, 200, l->doc);
}

void identities_list(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct identity_list *l = arena_new_of(x->arena, struct identity_list);

	l->job = (struct exchange_job){.x = x, .run = list_run, .done_ok = list_done};
	exchange_read(auth->db, &l->job);
}

/* ---- DELETE ---- */

struct unlinking {
	struct exchange_job job;
	struct audit_event event;
	struct client client;
	int actor;
	enum { UNLINKED, UNLINK_LAST } outcome;
};

/* Whether the user can sign in without this one. 1, 0 or -errno. */
static int has_other_way(struct db_conn *c, const char *user_id, const char *but)
{
	int64_t has_password, one;
	int r = db_get_int(
		c, &has_password,
		"select case when password_hash is null then 0 else 1 end from users where id = ?" DB_FOR_UPDATE,
		DB_TEXT(user_id));

	if (r == 1)
		r = has_password ? 1 : 0;

	if (r == 0)
		r = db_get_int(c, &one, "select 1 from passkeys where user_id = ? limit 1", DB_TEXT(user_id));
	if (r == 0)
		r = db_get_int(c, &one,
			       "select 1 from identities i join identity_providers p on p.id = i.provider_id where "
			       "i.user_id = ? and i.id <> ? and p.enabled = 1 limit 1",
			       DB_TEXT(user_id), DB_TEXT(but));
	return r;
}

static int unlink_run(struct db_conn *c, struct exchange_job *job)
{
	struct unlinking *u = (struct unlinking *)job;
	const char *id = job->x->params[0].p;
	struct account account;
	int64_t one, r;

	u->actor = actor_check_fresh(c, job->x, &account);
	if (u->actor != ACTOR_OK)
		return MIN(u->actor, 0);
	r = db_get_int(c, &one, "select 1 from identities where id = ? and user_id = ?", DB_TEXT(id),
		       DB_TEXT(account.id));
	if (r <= 0)
		return r < 0 ? (int)r : -ENOENT;
	r = has_other_way(c, account.id, id);
	u->outcome = r == 1 ? UNLINKED : UNLINK_LAST;
	if (r <= 0)
		return (int)r;
	r = db_exec(c, "delete from identities where id = ? and user_id = ?", DB_TEXT(id), DB_TEXT(account.id));
	if (r <= 0)
		return r < 0 ? (int)r : -ENOENT;
	r = factor_notice(c, job->x->arena, &account, &u->client, u->event.event);
	return r < 0 ? (int)r : audit_add(c, job->x->self, &u->event);
}

static void unlink_done(struct exchange_job *job)
{
	struct unlinking *u = (struct unlinking *)job;

	if (u->actor != ACTOR_OK) {
		actor_refuse(job->x, u->actor);
	} else if (u->outcome == UNLINK_LAST) {
		reply_problem(job->x, 409, "last_way_in",
			      "This is the only way into your account; set a password or add a passkey first.");
	} else {
		outbox_wake(job->x->self);
		reply_empty(job->x, 204);
	}
}

void identities_unlink(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct unlinking *u = arena_new_of(x->arena, struct unlinking);

	if (client_refuse_cross_site(x))
		return;
	client_read(x, &u->client);
	audit_event_of(x, "identity.unlinked", &u->event);
	u->event.target = arena_printf(x->arena, "identity:%.36s", x->params[0].p);
	u->job = (struct exchange_job){.x = x, .run = unlink_run, .done_ok = unlink_done};
	exchange_write(auth->db, &u->job);
}
