#include "account.h"

#include <utf8proc.h>

#include "base/clock.h"

#define NAME_MAX_CHARS 100

/* All rows of the first column. */
static int load_names(struct db_conn *c, struct arena *a, const char *sql, const struct db_value *args, size_t n_args,
		      const char ***ret)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query_v(c, sql, args, n_args);
	size_t n = 0, cap = 8;
	const char **names = arena_alloc(a, cap * sizeof(*names)), **more;
	int r;

	while ((r = db_step(c, st)) == 1) {
		if (n + 1 == cap) {
			more = arena_alloc(a, 2 * cap * sizeof(*more));
			memcpy(more, names, n * sizeof(*names));
			names = more;
			cap *= 2;
		}
		names[n++] = db_col_dup(st, 0, a);
	}
	names[n] = NULL;
	if (r == 0)
		*ret = names;
	return r;
}

static int load_roles(struct db_conn *c, struct arena *a, const char *id, const char ***ret)
{
	struct db_value args[] = {DB_TEXT(id)};

	return load_names(c, a,
			  "select r.name from user_roles u join roles r on r.id = u.role_id where u.user_id = ? "
			  "order by r.name",
			  args, ARRAY_SIZE(args), ret);
}

/* What a user is denied, as "!PATTERN". */
static int load_denials(struct db_conn *c, struct arena *a, const char *id, const char ***ret)
{
	struct db_value args[] = {DB_TEXT(id)};
	int r = load_names(c, a,
			   "select permission from user_permissions where user_id = ? and effect = 'deny' "
			   "order by permission",
			   args, ARRAY_SIZE(args), ret);

	for (const char **p = r == 0 ? *ret : NULL; p && *p; p++)
		*p = arena_printf(a, "!%s", *p);
	return r;
}

static size_t count(const char *const *names)
{
	size_t n = 0;

	while (names[n])
		n++;
	return n;
}

/* Denials first: where a list is cut, none of them may be missing. */
static int load_permissions(struct db_conn *c, struct arena *a, const char *id, const char ***ret)
{
	struct db_value args[] = {DB_TEXT(id), DB_TEXT(id)};
	const char **denials, **granted, **all;
	int r = load_names(c, a,
			   "select p.permission from user_roles u join role_permissions p on p.role_id = u.role_id "
			   "where u.user_id = ? "
			   "union select permission from user_permissions where user_id = ? and effect = 'allow' "
			   "order by 1",
			   args, ARRAY_SIZE(args), &granted);

	if (r == 0)
		r = load_denials(c, a, id, &denials);
	if (r < 0)
		return r;
	all = arena_alloc(a, (count(denials) + count(granted) + 1) * sizeof(*all));
	memcpy(all, denials, count(denials) * sizeof(*all));
	memcpy(all + count(denials), granted, (count(granted) + 1) * sizeof(*all));
	*ret = all;
	return 0;
}

static int load_user(struct db_conn *c, struct arena *a, const char *id, struct account *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c, "select id, kind, name, email, disabled, created_at, permission_epoch from users where id = ?",
		DB_TEXT(id));
	int r = db_step(c, st);

	if (r == 1)
		*ret = (struct account){
			.id = db_col_dup(st, 0, a),
			.kind = db_col_dup(st, 1, a),
			.name = db_col_dup(st, 2, a),
			.email = db_col_dup(st, 3, a),
			.disabled = db_col_int(st, 4) != 0,
			.created_at = db_col_int(st, 5),
			.rights = db_col_int(st, 6),
		};
	return r;
}

int account_load(struct db_conn *c, struct arena *a, const char *id, struct account *ret)
{
	struct account account;
	int r = load_user(c, a, id, &account);

	if (r <= 0)
		return r;
	r = load_roles(c, a, id, &account.roles);
	if (r == 0)
		r = load_permissions(c, a, id, &account.permissions);
	if (r < 0)
		return r;
	*ret = account;
	return 1;
}

bool account_may(const struct account *account, const char *permission)
{
	const struct identity *via = account->via;
	bool is_narrow = via && (via->is_scoped || (via->client_id && *via->client_id));

	return permissions_allow(account->permissions, permission) && (!is_narrow || identity_may(via, permission));
}

bool account_covers(const struct account *a, const struct account *b)
{
	for (const char **p = b->permissions; *p; p++)
		if (**p != '!' && !account_may(a, *p))
			return false;
	return true;
}

void account_add_names(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, const char *const *names)
{
	yyjson_mut_val *arr = yyjson_mut_obj_add_arr(doc, obj, key);

	for (; *names; names++)
		yyjson_mut_arr_add_str(doc, arr, *names);
}

void account_add_common(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct account *account)
{
	char created[TIME_TEXT_SIZE];

	time_format(account->created_at, created);
	json_add_str(doc, obj, "id", account->id);
	json_add_str(doc, obj, "name", account->name);
	json_add_str(doc, obj, "email", account->email);
	json_add_str(doc, obj, "kind", account->kind);
	account_add_names(doc, obj, "roles", account->roles);
	json_add_str(doc, obj, "created_at", created);
}

void account_add_me(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct account *account)
{
	account_add_common(doc, obj, account);
	account_add_names(doc, obj, "permissions", account->permissions);
}

static int session_is_alive(struct db_conn *c, const char *session_id, const char *user_id)
{
	int64_t one, now = clock_now_us();

	return db_get_int(
		c, &one,
		"select 1 from sessions where id = ? and user_id = ? and revoked_at is null and ends_at > ? and "
		"idle_ends_at > ?",
		DB_TEXT(session_id), DB_TEXT(user_id), DB_INT(now), DB_INT(now));
}

int actor_check(struct db_conn *c, struct exchange *x, struct account *ret)
{
	const struct identity *who = &x->who;
	struct account account;
	int r = account_load(c, x->arena, who->user_id, &account);

	if (r < 0)
		return r;
	if (r == 0 || account.disabled)
		return ACTOR_GONE;
	if (who->session_id && *who->session_id) {
		r = session_is_alive(c, who->session_id, who->user_id);
		if (r <= 0)
			return r < 0 ? r : ACTOR_GONE;
	}
	account.via = who;
	if (x->route->permission && !account_may(&account, x->route->permission))
		return ACTOR_FORBIDDEN;
	if (ret)
		*ret = account;
	return ACTOR_OK;
}

void actor_refuse(struct exchange *x, enum actor_state state)
{
	if (state == ACTOR_FORBIDDEN) {
		reply_problem(x, 403, "forbidden", "This needs the permission %s.", x->route->permission);
		return;
	}
	if (state == ACTOR_STALE) {
		reply_problem(
			x, 403, "reauth_required",
			"Give your password again (POST /api/auth/reauth), then repeat this within five minutes.");
		return;
	}
	reply_header(x, "WWW-Authenticate", "Bearer error=\"invalid_token\"");
	reply_problem(x, 401, "unauthorized", "The access token is not valid (any more). Sign in again.");
}

const char *account_name_check(struct arena *a, const char *given, struct error *err)
{
	struct str name = str_trim(str_of(given));
	utf8proc_int32_t c;
	size_t chars = 0;

	for (size_t at = 0; at < name.n; chars++) {
		at += utf8proc_iterate((const utf8proc_uint8_t *)name.p + at, name.n - at, &c);
		if (utf8proc_category(c) == UTF8PROC_CATEGORY_CC)
			chars = NAME_MAX_CHARS;
	}
	if (chars == 0 || chars > NAME_MAX_CHARS) {
		error_set(err, "invalid_field", "`name` must be 1 to %d characters of text without control characters.",
			  NAME_MAX_CHARS);
		return NULL;
	}
	return arena_strndup(a, name.p, name.n);
}
