/* Invitations: an administrator makes a link for an address, with the roles that come with it; whoever has it chooses a
 * name and a password. */
#include "audit/audit.h"
#include "base/clock.h"
#include "handlers.h"
#include "mail/outbox.h"
#include "new_user.h"
#include "role_list.h"
#include "settings.h"

#include <errno.h>

enum invite_outcome { INVITE_DONE, INVITE_REFUSED, INVITE_CLOSED, INVITE_TAKEN, INVITE_REPLAY, INVITE_KEY_REUSED };

struct invite {
	struct exchange_job job;
	const char *email, *name;
	char email_key[EMAIL_SIZE];
	struct role_list roles;
	enum invite_outcome outcome;
	int actor;
	struct account account; /* who invites */
	struct link_row link;
	int status; /* of the answer: stored with the Idempotency-Key */
	struct str response;
};

static struct str roles_text(struct arena *a, const struct role_list *roles)
{
	yyjson_mut_doc *doc = json_new(a);
	yyjson_mut_val *arr = yyjson_mut_arr(doc);

	for (const char *const *name = roles->names; *name; name++)
		yyjson_mut_arr_add_str(doc, arr, *name);
	yyjson_mut_doc_set_root(doc, arr);
	return json_text(a, doc);
}

/* with_link: for who made it, and for who hands it over when there is no mail. */
static void add_invitation(struct exchange *x, yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct link_row *l,
			   bool with_link)
{
	char created[TIME_TEXT_SIZE], expires[TIME_TEXT_SIZE];

	time_format(l->created_at, created);
	time_format(l->expires_at, expires);
	json_add_str(doc, obj, "id", l->id);
	json_add_str(doc, obj, "email", l->email);
	json_add_str(doc, obj, "name", l->name);
	json_add_raw(doc, obj, "roles", l->roles);
	json_add_str(doc, obj, "created_by", l->created_by);
	json_add_str(doc, obj, "created_at", created);
	json_add_str(doc, obj, "expires_at", expires);
	json_add_str(doc, obj, "link", with_link ? link_url(x->self, x->arena, LINK_INVITE, l->id) : NULL);
}

/* ---- POST /api/auth/invitations ---- */

/* Sets the outcome. Returns 1, 0 or -errno. */
static int may_invite(struct db_conn *c, struct invite *v)
{
	int64_t one;
	int r;

	v->outcome = INVITE_REFUSED;
	v->actor = actor_check(c, v->job.x, &v->account);
	if (v->actor == ACTOR_OK)
		v->actor = roles_may_be_given(c, &v->account, &v->roles);
	if (v->actor != ACTOR_OK)
		return MIN(v->actor, 0);
	r = invitations_are_open(c);
	v->outcome = INVITE_CLOSED;
	if (r <= 0)
		return r;
	r = idempotency_begin(c, v->job.x, &v->status, &v->response);
	if (r < 0)
		return r;
	v->outcome = r == IDEM_REPLAY ? INVITE_REPLAY : r == IDEM_MISMATCH ? INVITE_KEY_REUSED : INVITE_TAKEN;
	if (v->outcome != INVITE_TAKEN)
		return 0;
	r = db_get_int(c, &one, "select 1 from users where email_key = ?", DB_TEXT(v->email_key));
	if (r != 0)
		return MIN(r, 0);
	v->outcome = INVITE_DONE;
	return 1;
}

static int invite_run(struct db_conn *c, struct exchange_job *job)
{
	struct invite *v = (struct invite *)job;
	struct exchange *x = job->x;
	const struct auth *auth = x->self;
	struct outbox_mail mail = {.kind = MAIL_INVITE, .to = v->email, .facts.name = v->name};
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;
	int r = may_invite(c, v);

	if (r != 1)
		return r;
	v->link = (struct link_row){
		.kind = LINK_INVITE,
		.email = v->email,
		.email_key = v->email_key,
		.name = v->name,
		.roles = roles_text(x->arena, &v->roles).p,
		.created_by = v->account.id,
	};
	/* The last invitation of an address is the one that counts. */
	r = error_only(
		db_exec(c,
			"update links set withdrawn_at = ? where kind = 'invite' and email_key = ? and used_at is "
			"null and withdrawn_at is null",
			DB_INT(clock_now_us()), DB_TEXT(v->email_key)));
	if (r == 0)
		r = link_add(c, x->arena, &v->link, auth->mail.invite_us);
	if (r < 0)
		return r;
	mail.link_id = v->link.id;
	mail.facts.by = v->account.name;
	r = outbox_add(c, x->arena, &mail);
	if (r < 0)
		return r;
	obj = json_new_obj(x->arena, &doc);
	add_invitation(x, doc, obj, &v->link, true);
	v->status = 201;
	v->response = json_text(x->arena, doc);
	/* The link is not kept with the key: who asks again gets it from the list. */
	yyjson_mut_obj_remove_key(obj, "link");
	yyjson_mut_obj_add_null(doc, obj, "link");
	return idempotency_store(c, x, v->status, json_text(x->arena, doc));
}

static void invite_done(struct exchange_job *job)
{
	struct invite *v = (struct invite *)job;
	struct exchange *x = job->x;

	switch (v->outcome) {
	case INVITE_REFUSED: roles_refuse(x, v->actor); return;
	case INVITE_CLOSED:
		reply_problem(x, 409, "registration_closed",
			      "Invitations are switched off; set `registration` to \"invite\" or \"open\" first.");
		return;
	case INVITE_TAKEN: reply_email_taken(x); return;
	case INVITE_KEY_REUSED:
		reply_problem(x, 422, "idempotency_key_reused",
			      "This Idempotency-Key was used for another request; make a new one.");
		return;
	case INVITE_DONE:
		audit_act(x, "invitation.created", AUDIT_SUCCESS, NULL, "invitation", v->link.id);
		outbox_wake(x->self);
		break;
	case INVITE_REPLAY: break;
	}
	reply_header(x, "Cache-Control", "no-store");
	reply_raw_json(x, v->status, v->response);
}

void invitations_create(struct exchange *x)
{
	static const struct json_field fields[] = {{"email", JSON_STRING, .required = true, .max = 1024},
						   {"name", JSON_STRING, .max = 400},
						   {"roles", JSON_ARRAY, .max = ROLE_LIST_MAX}};
	const struct auth *auth = x->self;
	struct invite *v = arena_new_of(x->arena, struct invite);
	struct str email = str_trim(str_of(json_get_str(x->body, "email", "")));
	const char *name = json_get_str(x->body, "name", NULL);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0 ||
	    (name && !(v->name = account_name_check(x->arena, name, &err)))) {
		reply_error(x, 422, &err);
		return;
	}
	if (email_canonical(email, v->email_key) < 0) {
		reply_invalid_email(x);
		return;
	}
	v->email = arena_strndup(x->arena, email.p, email.n);
	if (!json_get_arr(x->body, "roles"))
		role_list_one(&v->roles, "member");
	else if (!role_list_read(x, json_get_arr(x->body, "roles"), &v->roles))
		return;
	v->job = (struct exchange_job){.x = x, .run = invite_run, .done_ok = invite_done};
	exchange_write(auth->db, &v->job);
}

/* ---- GET and DELETE ---- */

struct invitation_list {
	struct exchange_job job;
	struct page page;
	int actor;
	const char *removed; /* DELETE: its id */
	bool is_found;
	struct account account;
	struct link_row *links; /* up to limit + 1 */
	bool *is_coverable;     /* whether who asks has all the rights of its roles */
	int64_t n;
};

static int may_see_link(struct db_conn *c, struct invitation_list *l, const struct link_row *link)
{
	struct arena *a = l->job.x->arena;
	yyjson_doc *doc = json_parse(a, link->roles, strlen(link->roles), NULL);
	struct role_list roles = {0};
	size_t i, n;
	yyjson_val *item;
	int r;

	yyjson_arr_foreach(doc ? yyjson_doc_get_root(doc) : NULL, i, n, item)
	{
		if (i < ROLE_LIST_MAX)
			roles.names[i] = yyjson_get_str(item);
	}
	r = roles_may_be_given(c, &l->account, &roles);
	return r < 0 ? r : r == ACTOR_OK;
}

static int load_invitations(struct db_conn *c, struct invitation_list *l)
{
	struct arena *a = l->job.x->arena;
	struct db_stmt *st = db_query(
		c,
		"select id, email, name, roles, created_by, created_at, expires_at from links where kind = 'invite' "
		"and "
		"used_at is null and withdrawn_at is null and expires_at > ? and id < ? order by id desc limit ?",
		DB_INT(clock_now_us()), DB_TEXT(l->page.after ? l->page.after : "~"), DB_INT(l->page.limit + 1));
	int r;

	for (l->n = 0; (r = db_step(c, st)) == 1; l->n++)
		l->links[l->n] = (struct link_row){
			.id = db_col_dup(st, 0, a),
			.email = db_col_dup(st, 1, a),
			.name = db_col_dup(st, 2, a),
			.roles = db_col_dup(st, 3, a),
			.created_by = db_col_dup(st, 4, a),
			.created_at = db_col_int(st, 5),
			.expires_at = db_col_int(st, 6),
		};
	db_done(st);
	return r;
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct invitation_list *l = (struct invitation_list *)job;
	int r;

	l->actor = actor_check(c, job->x, &l->account);
	if (l->actor != ACTOR_OK)
		return MIN(l->actor, 0);
	l->links = arena_alloc(job->x->arena, (size_t)(l->page.limit + 1) * sizeof(*l->links));
	l->is_coverable = arena_alloc(job->x->arena, (size_t)(l->page.limit + 1) * sizeof(*l->is_coverable));
	r = load_invitations(c, l);
	for (int64_t i = 0; r >= 0 && i < l->n; i++) {
		r = may_see_link(c, l, &l->links[i]);
		l->is_coverable[i] = r == 1;
	}
	return MIN(r, 0);
}

static void list_done(struct exchange_job *job)
{
	struct invitation_list *l = (struct invitation_list *)job;
	struct exchange *x = job->x;
	int64_t n = MIN(l->n, l->page.limit);
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj, *items;

	if (l->actor != ACTOR_OK) {
		actor_refuse(x, l->actor);
		return;
	}
	obj = json_new_obj(x->arena, &doc);
	items = yyjson_mut_obj_add_arr(doc, obj, "items");
	for (int64_t i = 0; i < n; i++)
		add_invitation(x, doc, yyjson_mut_arr_add_obj(doc, items), &l->links[i], l->is_coverable[i]);
	json_add_str(doc, obj, "next", l->n > n ? page_cursor(x->arena, l->links[n - 1].id) : NULL);
	reply_header(x, "Cache-Control", "no-store");
	reply_json(x, 200, doc);
}

void invitations_list(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct invitation_list *l = arena_new_of(x->arena, struct invitation_list);

	if (!page_read(x, &l->page))
		return;
	l->job = (struct exchange_job){.x = x, .run = list_run, .done_ok = list_done};
	exchange_read(auth->db, &l->job);
}

static int remove_run(struct db_conn *c, struct exchange_job *job)
{
	struct invitation_list *l = (struct invitation_list *)job;
	struct link_row link;
	int r;

	l->actor = actor_check(c, job->x, NULL);
	if (l->actor != ACTOR_OK)
		return MIN(l->actor, 0);
	r = link_find(c, job->x->arena, l->removed, LINK_INVITE, &link);
	if (r == 1)
		r = link_withdraw(c, l->removed);
	l->is_found = r == 1;
	return MIN(r, 0);
}

static void remove_done(struct exchange_job *job)
{
	struct invitation_list *l = (struct invitation_list *)job;

	if (l->actor != ACTOR_OK) {
		actor_refuse(job->x, l->actor);
	} else if (!l->is_found) {
		reply_problem(job->x, 404, "not_found", "There is no such invitation, or it was used or withdrawn.");
	} else {
		audit_act(job->x, "invitation.withdrawn", AUDIT_SUCCESS, NULL, "invitation", l->removed);
		reply_empty(job->x, 204);
	}
}

void invitations_delete(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct invitation_list *l = arena_new_of(x->arena, struct invitation_list);

	l->removed = x->params[0].p;
	l->job = (struct exchange_job){.x = x, .run = remove_run, .done_ok = remove_done};
	exchange_write(auth->db, &l->job);
}
