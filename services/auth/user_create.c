/* POST /api/users: an administrator adds a user. */
#include "audit/audit.h"
#include "handlers.h"
#include "new_user.h"
#include "role_list.h"
#include "setup.h"
#include "users.h"

#include <errno.h>

enum create_outcome { CREATE_DONE, CREATE_REFUSED, CREATE_SETUP_FIRST, CREATE_REPLAY, CREATE_KEY_REUSED };

struct create {
	struct exchange_job job;
	struct hash_op hash;
	struct audit_event event;
	struct exchange *x; /* held while the hash is made */
	struct new_user user;
	struct role_list roles;
	enum create_outcome outcome;
	int actor;
	struct account account;
	int status; /* of the answer: stored with the Idempotency-Key */
	struct str response;
};

static struct str user_text(struct arena *a, const struct account *account)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);

	user_add(doc, obj, account);
	return json_text(a, doc);
}

/* Whether the request may be carried out; sets the outcome. Returns 1, 0 or -errno. */
static int may_go_on(struct db_conn *c, struct create *k)
{
	struct account actor;
	int r;

	k->outcome = CREATE_REFUSED;
	k->actor = actor_check(c, k->x, &actor);
	if (k->actor == ACTOR_OK)
		k->actor = roles_may_be_given(c, &actor, &k->roles);
	if (k->actor != ACTOR_OK)
		return MIN(k->actor, 0);
	r = setup_is_needed(c);
	if (r != 0) {
		k->outcome = CREATE_SETUP_FIRST;
		return MIN(r, 0);
	}
	r = idempotency_begin(c, k->x, &k->status, &k->response);
	if (r < 0)
		return r;
	k->outcome = r == IDEM_REPLAY ? CREATE_REPLAY : r == IDEM_MISMATCH ? CREATE_KEY_REUSED : CREATE_DONE;
	return k->outcome == CREATE_DONE;
}

static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct create *k = container_of(job, struct create, job);
	char id[ID_SIZE];
	int r = may_go_on(c, k);

	if (r != 1)
		return r;
	r = new_user_insert(c, &k->user, k->hash.made, k->roles.names, id);
	if (r == 0)
		r = account_load(c, job->x->arena, id, &k->account);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	k->status = 201;
	k->response = user_text(job->x->arena, &k->account);
	r = idempotency_store(c, job->x, k->status, k->response);
	k->event.target = arena_printf(job->x->arena, "user:%s", k->account.id);
	return r < 0 ? r : audit_add(c, job->x->self, &k->event);
}

static void reply_created(struct create *k)
{
	if (k->outcome == CREATE_DONE)
		reply_header(k->x, "Location", arena_printf(k->x->arena, "/api/users/%s", k->account.id));
	reply_raw_json(k->x, k->status, k->response);
}

static void create_done(struct exchange_job *job, int result)
{
	struct create *k = container_of(job, struct create, job);
	struct exchange *x = job->x;

	if (result == -EEXIST) {
		reply_email_taken(x);
		return;
	}
	if (result < 0) {
		reply_db_failure(x, result);
		return;
	}
	switch (k->outcome) {
	case CREATE_REFUSED: roles_refuse(x, k->actor); return;
	case CREATE_SETUP_FIRST:
		reply_problem(x, 409, "setup_required",
			      "Finish the set-up first: open the link that `ogent up` prints.");
		return;
	case CREATE_KEY_REUSED:
		reply_problem(x, 422, "idempotency_key_reused",
			      "This Idempotency-Key was used for another request; make a new one.");
		return;
	case CREATE_REPLAY:
	case CREATE_DONE: reply_created(k); return;
	}
}

static void hash_done(struct hash_op *op)
{
	struct create *k = container_of(op, struct create, hash);
	struct exchange *x = k->x;
	const struct auth *auth = x->self;

	if (op->has_failed) {
		reply_hash_busy(x);
	} else {
		k->job = (struct exchange_job){.x = x, .run = create_run, .done = create_done};
		exchange_write(auth->db, &k->job);
	}
	exchange_drop(x);
}

void users_create(struct exchange *x)
{
	static const struct json_field fields[] = {NEW_USER_FIELDS, {"roles", JSON_ARRAY, .max = ROLE_LIST_MAX}};
	struct create *k = arena_new_of(x->arena, struct create);

	k->x = x;
	audit_event_of(x, "user.created", &k->event);
	if (!new_user_read(x, fields, ARRAY_SIZE(fields), &k->user))
		return;
	if (!json_get_arr(x->body, "roles"))
		role_list_one(&k->roles, "member");
	else if (!role_list_read(x, json_get_arr(x->body, "roles"), &k->roles))
		return;
	if (new_user_hash(x, &k->user, &k->hash, hash_done))
		exchange_hold(x);
}
