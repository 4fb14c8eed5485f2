/* GET and POST /api/tokens, DELETE /api/tokens/{id}: one's own personal access tokens; with tokens.manage everybody's,
 * and new ones for service accounts. */
#include <errno.h>

#include "account.h"
#include "audit/audit.h"
#include "auth.h"
#include "base/clock.h"
#include "base/encode.h"
#include "feed.h"
#include "handlers.h"
#include "rbac/permission_list.h"
#include "service/personal_token.h"

#define DAYS_DEFAULT 90
#define DAYS_MAX 366
#define DAY_US (24 * 3600 * INT64_C(1000000))
#define TOKENS_MAX 100 /* of one user */
#define COLUMNS "id, user_id, name, scopes, created_at, expires_at, last_used_at"

enum token_outcome { PAT_DONE, PAT_REFUSED, PAT_FORBIDDEN, PAT_MISSING, PAT_NOT_GIVEN, PAT_MANY };

struct token_request {
	struct exchange_job job;
	const char *id;      /* the token's */
	const char *user_id; /* whose; NULL: one's own */
	const char *name;
	struct permission_list scopes;
	int64_t days;
	struct audit_event event;
	int actor;
	enum token_outcome outcome;
	enum give_outcome give;
	const char *which;
	char secret[PERSONAL_TOKEN_SIZE];
	yyjson_mut_doc *doc;
	yyjson_mut_val *root;
};

/* The row of a query of COLUMNS. */
static void add_token(struct token_request *q, yyjson_mut_val *obj, struct db_stmt *st)
{
	struct arena *a = q->job.x->arena;

	json_add_str(q->doc, obj, "id", db_col_dup(st, 0, a));
	json_add_str(q->doc, obj, "user_id", db_col_dup(st, 1, a));
	json_add_str(q->doc, obj, "name", db_col_dup(st, 2, a));
	json_add_raw(q->doc, obj, "scopes", db_col_dup(st, 3, a));
	json_add_time(q->doc, obj, "created_at", db_col_int(st, 4));
	json_add_time(q->doc, obj, "expires_at", db_col_int(st, 5));
	json_add_time(q->doc, obj, "last_used_at", db_col_is_null(st, 6) ? 0 : db_col_int(st, 6));
}

/* Returns 1 when he may go on; sets q->user_id. */
static int begin(struct db_conn *c, struct token_request *q, struct account *actor)
{
	q->outcome = PAT_REFUSED;
	q->actor = actor_check(c, q->job.x, actor);
	if (q->actor != ACTOR_OK)
		return MIN(q->actor, 0);
	q->outcome = PAT_FORBIDDEN;
	if (!q->user_id)
		q->user_id = actor->id;
	if (strcmp(q->user_id, actor->id) && !account_may(actor, "tokens.manage"))
		return 0;
	q->outcome = PAT_DONE;
	return 1;
}

/* ---- Many ---- */

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct token_request *q = (struct token_request *)job;
	_cleanup_(db_done_p) struct db_stmt *st = NULL;
	struct account actor;
	yyjson_mut_val *items;
	int r = begin(c, q, &actor);

	if (r != 1)
		return r;
	q->root = json_new_obj(job->x->arena, &q->doc);
	items = yyjson_mut_obj_add_arr(q->doc, q->root, "items");
	yyjson_mut_obj_add_null(q->doc, q->root, "next");
	st = db_query(c, "select " COLUMNS " from access_tokens where user_id = ? order by id desc",
		      DB_TEXT(q->user_id));
	while ((r = db_step(c, st)) == 1)
		add_token(q, yyjson_mut_arr_add_obj(q->doc, items), st);
	return r;
}

/* ---- A new one ---- */

/* Of somebody else only what cannot sign in by itself may get one. */
static int find_owner(struct db_conn *c, struct token_request *q, const struct account *actor)
{
	struct account owner;
	int64_t n;
	int r = account_load(c, q->job.x->arena, q->user_id, &owner);

	if (r < 0)
		return r;
	if (r == 0 || (strcmp(owner.id, actor->id) && strcmp(owner.kind, "service"))) {
		q->outcome = PAT_MISSING;
		return PAT_MISSING;
	}
	r = db_get_int(c, &n, "select count(*) from access_tokens where user_id = ?", DB_TEXT(q->user_id));
	if (r < 0)
		return r;
	if (n >= TOKENS_MAX)
		q->outcome = PAT_MANY;
	return q->outcome;
}

static int insert(struct db_conn *c, struct token_request *q, const char *id)
{
	struct arena *a = q->job.x->arena;
	yyjson_mut_doc *doc = json_new(a);
	yyjson_mut_val *arr = yyjson_mut_arr(doc);
	char hash[SHA256_HEX_SIZE];
	int64_t now = clock_now_us();

	yyjson_mut_doc_set_root(doc, arr);
	for (size_t i = 0; i < q->scopes.n; i++)
		yyjson_mut_arr_add_str(doc, arr, q->scopes.items[i]);
	sha256_hex(q->secret, PERSONAL_TOKEN_LEN, hash);
	return error_only(db_exec(c,
				  "insert into access_tokens (id, user_id, name, scopes, hash, created_at, created_by, "
				  "expires_at) values (?, ?, ?, ?, ?, ?, ?, ?)",
				  DB_TEXT(id), DB_TEXT(q->user_id), DB_TEXT(q->name), DB_STR(json_text(a, doc)),
				  DB_TEXT(hash), DB_INT(now), DB_TEXT(q->job.x->who.user_id),
				  DB_INT(now + q->days * DAY_US)));
}

static int load_one(struct db_conn *c, struct token_request *q, const char *id)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select " COLUMNS " from access_tokens where id = ?", DB_TEXT(id));
	int r = db_step(c, st);

	if (r != 1)
		return r < 0 ? r : -ENOENT;
	q->root = json_new_obj(q->job.x->arena, &q->doc);
	add_token(q, q->root, st);
	json_add_str(q->doc, q->root, "token", q->secret);
	return 0;
}

static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct token_request *q = (struct token_request *)job;
	struct arena *a = job->x->arena;
	struct audit_event e = q->event;
	struct account actor;
	char id[ID_SIZE];
	int r = begin(c, q, &actor);

	if (r == 1)
		r = find_owner(c, q, &actor);
	if (r < 0 || q->outcome != PAT_DONE)
		return MIN(r, 0);
	r = permissions_may_be_given(c, &actor, &q->scopes, &q->which);
	if (r < 0)
		return r;
	q->give = r;
	if (r != GIVE_OK) {
		q->outcome = PAT_NOT_GIVEN;
		return 0;
	}
	id_new(id);
	personal_token_new(id, q->secret);
	r = insert(c, q, id);
	if (r == 0)
		r = load_one(c, q, id);
	e.target = arena_printf(a, "token:%s", id);
	e.detail = audit_detail(a, "user_id", q->user_id, "name", q->name, "scopes",
				permission_list_join(a, &q->scopes), NULL);
	return r < 0 ? r : audit_add(c, job->x->self, &e);
}

/* ---- The end of one ---- */

static int find_user(struct db_conn *c, struct token_request *q)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select user_id from access_tokens where id = ?" DB_FOR_UPDATE, DB_TEXT(q->id));
	int r = db_step(c, st);

	q->user_id = r == 1 ? db_col_dup(st, 0, q->job.x->arena) : NULL;
	return r;
}

static int revoke_run(struct db_conn *c, struct exchange_job *job)
{
	struct token_request *q = (struct token_request *)job;
	struct audit_event e = q->event;
	struct account actor;
	int found = find_user(c, q), r;

	if (found < 0)
		return found;
	r = begin(c, q, &actor);
	if (r != 1)
		return r;
	q->outcome = found ? PAT_DONE : PAT_MISSING;
	if (!found)
		return 0;
	r = error_only(db_exec(c, "delete from access_tokens where id = ?", DB_TEXT(q->id)));
	if (r == 0)
		r = feed_add_token(c, q->id, "token_revoked");
	e.target = arena_printf(job->x->arena, "token:%s", q->id);
	e.detail = audit_detail(job->x->arena, "user_id", q->user_id, NULL);
	return r < 0 ? r : audit_add(c, job->x->self, &e);
}

/* ---- Answers ---- */

static void answer(struct exchange_job *job)
{
	struct token_request *q = (struct token_request *)job;
	struct exchange *x = job->x;
	bool is_post = x->route->method == HTTP_POST_, is_delete = x->route->method == HTTP_DELETE_;

	switch (q->outcome) {
	case PAT_DONE: break;
	case PAT_REFUSED: actor_refuse(x, q->actor); return;
	case PAT_FORBIDDEN:
		if (is_delete)
			reply_problem(x, 404, "not_found", "There is no such token.");
		else
			reply_problem(x, 403, "forbidden", "This needs the permission tokens.manage.");
		return;
	case PAT_MISSING:
		reply_problem(x, 404, "not_found",
			      is_delete ? "There is no such token."
					: "There is no such service account; people make their tokens themselves.");
		return;
	case PAT_NOT_GIVEN: permissions_refuse(x, q->give, q->which); return;
	case PAT_MANY:
		reply_problem(x, 409, "too_many_tokens", "This user has %d tokens; revoke one first.", TOKENS_MAX);
		return;
	}
	if (is_post || is_delete)
		log_event(LOG_INFO, "access token", "event", q->event.event, "by", x->who.user_id, "user_id",
			  q->user_id, "address", q->event.address, "request_id", x->request_id, NULL);
	reply_header(x, "Cache-Control", "no-store");
	if (is_delete) {
		feed_wake(x->self);
		reply_empty(x, 204);
	} else {
		reply_json(x, is_post ? 201 : 200, q->doc);
	}
}

static struct token_request *request_new(struct exchange *x, int (*run)(struct db_conn *c, struct exchange_job *job))
{
	struct token_request *q = arena_new_of(x->arena, struct token_request);

	q->job = (struct exchange_job){.x = x, .run = run, .done_ok = answer};
	return q;
}

void tokens_list(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct token_request *q = request_new(x, list_run);
	const char *user = http_query_get(x->arena, x->req->query, "user_id");

	q->user_id = user && *user ? user : NULL;
	exchange_read(auth->db, &q->job);
}

void tokens_create(struct exchange *x)
{
	static const struct json_field fields[] = {
		{"name", JSON_STRING, .required = true, .max = 400},
		{"scopes", JSON_ARRAY, .required = true, .min = 1, .max = PERMISSION_LIST_MAX},
		{"expires_in_days", JSON_INT, .min = 1, .max = DAYS_MAX},
		{"user_id", JSON_STRING, .max = 36}};
	const struct auth *auth = x->self;
	struct token_request *q = request_new(x, create_run);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) == 0)
		q->name = account_name_check(x->arena, json_get_str(x->body, "name", ""), &err);
	if (!q->name) {
		reply_error(x, 422, &err);
		return;
	}
	if (x->who.is_scoped || *x->who.client_id) {
		/* What leaked must not live on in another one. */
		reply_problem(x, 403, "forbidden", "A token is made by who has signed in, not by another token.");
		return;
	}
	if (!permission_list_read(x, json_get_arr(x->body, "scopes"), "scopes", &q->scopes))
		return;
	q->days = json_get_int(x->body, "expires_in_days", DAYS_DEFAULT);
	q->user_id = json_get_str(x->body, "user_id", NULL);
	audit_event_of(x, "token.created", &q->event);
	exchange_write(auth->db, &q->job);
}

void tokens_revoke(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct token_request *q = request_new(x, revoke_run);

	q->id = x->params[0].p;
	audit_event_of(x, "token.revoked", &q->event);
	exchange_write(auth->db, &q->job);
}
