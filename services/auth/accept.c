/* POST /api/auth/accept: an invitation becomes a user, who is signed in at once. */
#include "audit/audit.h"
#include "handlers.h"
#include "mail/outbox.h"
#include "new_user.h"
#include "role_list.h"
#include "sessions.h"
#include "settings.h"

#include <errno.h>

enum accept_outcome { ACCEPT_DONE, ACCEPT_GONE, ACCEPT_CLOSED };

struct accept {
	struct exchange_job job;
	struct hash_op hash;
	struct exchange *x; /* held while the hash is made */
	struct client client;
	struct new_user user;
	char link_id[ID_SIZE];
	struct link_row link;
	enum accept_outcome outcome;
	struct session_grant grant;
};

/* Those of the invitation that are still there. */
static int give_roles(struct db_conn *c, struct accept *s, const char *user_id)
{
	yyjson_doc *doc = json_parse(s->x->arena, s->link.roles, strlen(s->link.roles), NULL);
	struct role_list roles = {0};
	size_t i, max, n = 0;
	yyjson_val *item;
	int64_t one;
	int r;

	yyjson_arr_foreach(doc ? yyjson_doc_get_root(doc) : NULL, i, max, item)
	{
		r = db_get_int(c, &one, "select 1 from roles where name = ?", DB_TEXT(yyjson_get_str(item)));
		if (r < 0)
			return r;
		if (r == 1 && n < ROLE_LIST_MAX)
			roles.names[n++] = yyjson_get_str(item);
	}
	return user_roles_set(c, user_id, roles.names);
}

static int save_run(struct db_conn *c, struct exchange_job *job)
{
	static const char *const no_roles[] = {NULL};
	struct accept *s = container_of(job, struct accept, job);
	const struct auth *auth = job->x->self;
	char id[ID_SIZE];
	int r = invitations_are_open(c);

	s->outcome = ACCEPT_CLOSED;
	if (r == 1) {
		r = link_use(c, s->link_id);
		s->outcome = r == 1 ? ACCEPT_DONE : ACCEPT_GONE;
	}
	if (r <= 0)
		return r;
	r = new_user_insert(c, &s->user, s->hash.made, no_roles, id);
	if (r == 0)
		r = give_roles(c, s, id);
	if (r == 0 && auth->mail.is_on)
		r = user_email_verified(c, id);
	return r < 0 ? r : session_create(c, auth, job->x->arena, id, &s->client, &s->grant);
}

static void refuse(struct exchange *x, enum accept_outcome outcome)
{
	if (outcome == ACCEPT_CLOSED)
		reply_problem(x, 403, "registration_closed", "Invitations are switched off; ask an administrator.");
	else
		reply_link_gone(x);
}

static void save_done(struct exchange_job *job, int result)
{
	struct accept *s = container_of(job, struct accept, job);

	if (result == -EEXIST) {
		refuse(job->x, ACCEPT_GONE);
	} else if (result < 0) {
		reply_db_failure(job->x, result);
	} else if (s->outcome != ACCEPT_DONE) {
		refuse(job->x, s->outcome);
	} else {
		audit_act(job->x, "user.created", AUDIT_SUCCESS, s->grant.account.id, "user", s->grant.account.id);
		session_reply(job->x, 201, &s->client, &s->grant);
	}
}

static void hash_done(struct hash_op *op)
{
	struct accept *s = container_of(op, struct accept, hash);
	struct exchange *x = s->x;
	const struct auth *auth = x->self;

	if (op->has_failed) {
		reply_hash_busy(x);
	} else {
		s->job = (struct exchange_job){.x = x, .run = save_run, .done = save_done};
		exchange_write(auth->db, &s->job);
	}
	exchange_drop(x);
}

static int find_run(struct db_conn *c, struct exchange_job *job)
{
	struct accept *s = container_of(job, struct accept, job);
	int r = link_find(c, job->x->arena, s->link_id, LINK_INVITE, &s->link);

	s->outcome = r == 1 ? ACCEPT_DONE : ACCEPT_GONE;
	return MIN(r, 0);
}

/* Nobody without a good link makes us hash. */
static void find_done(struct exchange_job *job)
{
	struct accept *s = container_of(job, struct accept, job);

	if (s->outcome != ACCEPT_DONE) {
		refuse(job->x, s->outcome);
		return;
	}
	s->user.email = s->link.email;
	snprintf(s->user.email_key, sizeof(s->user.email_key), "%s", s->link.email_key);
	if (new_password_read(job->x, "password", s->user.email_key, &s->user.password) &&
	    new_user_hash(job->x, &s->user, &s->hash, hash_done))
		exchange_hold(job->x);
}

void auth_accept(struct exchange *x)
{
	static const struct json_field fields[] = {{"token", JSON_STRING, .required = true, .max = 512},
						   {"name", JSON_STRING, .required = true, .max = 400},
						   {"password", JSON_STRING, .required = true, .max = 8192}};
	const struct auth *auth = x->self;
	struct accept *s = arena_new_of(x->arena, struct accept);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0 ||
	    !(s->user.name = account_name_check(x->arena, json_get_str(x->body, "name", ""), &err))) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x) || !link_token_read(x, s->link_id))
		return;
	s->x = x;
	client_read(x, &s->client);
	s->job = (struct exchange_job){.x = x, .run = find_run, .done_ok = find_done};
	exchange_read(auth->db, &s->job);
}
