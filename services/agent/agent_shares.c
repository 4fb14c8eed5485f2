#include "agent/agent_shares.h"

#include <string.h>

#include "agent/agents.h"

#define SHARES_MAX 50

static const struct {
	const char *name;
	enum agent_right right;
} right_names[] = {{"use", AGENT_USE}, {"edit", AGENT_EDIT}, {"share", AGENT_SHARE}};

/* 0 = no such right. */
static unsigned right_of(yyjson_val *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(right_names); i++)
		if (yyjson_equals_str(name, right_names[i].name))
			return right_names[i].right;
	return 0;
}

static unsigned rights_of(yyjson_val *share)
{
	unsigned rights = AGENT_USE;
	yyjson_val *name;
	size_t i, n;

	yyjson_arr_foreach(json_get_arr(share, "rights"), i, n, name) rights |= right_of(name);
	return rights;
}

static bool has_role(const struct identity *who, const char *role)
{
	if (strcmp(role, "*") == 0)
		return true;
	for (const char *const *r = who->roles; r && *r; r++)
		if (strcmp(*r, role) == 0)
			return true;
	return false;
}

unsigned agent_rights(const struct identity *who, const char *owner_id, const char *shares)
{
	return shares_rights(who, owner_id, shares, "agents.write_any");
}

unsigned shares_rights(const struct identity *who, const char *owner_id, const char *shares, const char *permission)
{
	const unsigned all = AGENT_USE | AGENT_EDIT | AGENT_SHARE | AGENT_OWN;
	unsigned rights = 0;
	yyjson_val *share;
	size_t i, n;

	if ((owner_id && strcmp(owner_id, who->user_id) == 0) || identity_may(who, permission))
		return all;
	if (!shares || strcmp(shares, "[]") == 0)
		return 0;
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_arr_foreach(yyjson_doc_get_root(json_parse(a, shares, strlen(shares), NULL)), i, n, share)
	{
		if (has_role(who, json_get_str(share, "role", "")))
			rights |= rights_of(share);
	}
	return rights;
}

void agent_shares_add(struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *shares, unsigned rights)
{
	yyjson_val *list = yyjson_doc_get_root(json_parse(a, shares, strlen(shares), NULL)), *share;
	const char *shared = yyjson_arr_size(list) > 0 ? "roles" : "private";
	yyjson_mut_val *own;
	size_t i, n;

	yyjson_arr_foreach(list, i, n, share)
	{
		if (strcmp(json_get_str(share, "role", ""), "*") == 0)
			shared = "everyone";
	}
	yyjson_mut_obj_add_str(doc, obj, "shared", shared);
	yyjson_mut_obj_add_val(doc, obj, "shares", yyjson_val_mut_copy(doc, list));
	own = yyjson_mut_obj_add_arr(doc, obj, "rights");
	for (i = 0; i < ARRAY_SIZE(right_names); i++)
		if (rights & right_names[i].right)
			yyjson_mut_arr_add_str(doc, own, right_names[i].name);
}

/* ---- PUT /api/agents/{id}/shares ---- */

static const struct json_field fields[] = {{"shares", JSON_ARRAY, true, 0, SHARES_MAX}};
static const struct json_field share_fields[] = {
	{"role", JSON_STRING, true, 1, 100},
	{"rights", JSON_ARRAY, true, 1, ARRAY_SIZE(right_names)},
};

static int check_share(yyjson_val *list, size_t at, struct error *err)
{
	yyjson_val *share = yyjson_arr_get(list, at), *name;
	size_t i, n;

	if (json_check(share, share_fields, ARRAY_SIZE(share_fields), err) < 0) {
		error_prefix(err, "In \"shares\"");
		return -1;
	}
	yyjson_arr_foreach(json_get_arr(share, "rights"), i, n, name)
	{
		if (!right_of(name))
			return error_set(err, "invalid_field", "In \"shares\": a right is use, edit or share");
	}
	for (i = 0; i < at; i++)
		if (yyjson_equals(yyjson_obj_get(share, "role"), yyjson_obj_get(yyjson_arr_get(list, i), "role")))
			return error_set(err, "invalid_field", "In \"shares\": the role \"%.100s\" stands there twice",
					 json_get_str(share, "role", ""));
	return 0;
}

int shares_check(yyjson_val *body, struct error *err)
{
	yyjson_val *list = json_get_arr(body, "shares");

	if (json_check(body, fields, ARRAY_SIZE(fields), err) < 0)
		return -1;
	for (size_t i = 0; i < yyjson_arr_size(list); i++)
		if (check_share(list, i, err) < 0)
			return -1;
	return 0;
}

unsigned shares_given(yyjson_val *shares)
{
	unsigned rights = 0;
	yyjson_val *share;
	size_t i, n;

	yyjson_arr_foreach(shares, i, n, share) rights |= rights_of(share);
	return rights;
}

static int put_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct exchange *x = job->x;
	yyjson_val *shares = json_get_arr(x->body, "shares");
	struct agent_row row = {0};
	int r = agent_find_to_change(c, a, AGENT_SHARE, &row);

	if (r)
		return r;
	/* What stands there already may stay, whoever sends it. */
	yyjson_val *old = yyjson_doc_get_root(json_parse(x->arena, row.shares, strlen(row.shares), NULL));
	if (shares_given(shares) & ~(agent_rights(&x->who, row.owner_id, row.shares) | shares_given(old)))
		return answer_problem(a, 403, "forbidden", "Nobody gives rights that he does not have himself.");
	row.shares = json_val_text(x->arena, shares).p;
	int64_t n = db_exec(c, "update agents set shares = ? where id = ?", DB_TEXT(row.shares), DB_TEXT(row.id));
	return n < 0 ? (int)n : agent_row_answer(a, 200, &row);
}

void agents_share(struct exchange *x)
{
	struct error err = {0};

	if (shares_check(x->body, &err) < 0)
		reply_error(x, 422, &err);
	else
		answer_write(x, arena_new_of(x->arena, struct answer), put_run);
}
