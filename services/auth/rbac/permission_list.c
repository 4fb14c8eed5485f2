#include "rbac/permission_list.h"

#include <stdio.h>

static bool is_segment_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Segments with dots between them; the last one may be a star. */
static bool has_form(struct str s)
{
	struct str rest = s, segment;

	if (!s.n || s.n > PERMISSION_MAX)
		return false;
	while (rest.p) {
		segment = str_cut(&rest, '.');
		if (!rest.p && str_is(segment, "*"))
			return true;
		for (size_t i = 0; i < segment.n; i++)
			if (!is_segment_char(segment.p[i]))
				return false;
		if (!segment.n)
			return false;
	}
	return true;
}

bool permission_list_has(const struct permission_list *list, const char *permission)
{
	for (size_t i = 0; i < list->n; i++)
		if (!strcmp(list->items[i], permission))
			return true;
	return false;
}

const char *permission_list_join(struct arena *a, const struct permission_list *list)
{
	const char *text = "";

	for (size_t i = 0; i < list->n; i++)
		text = arena_printf(a, "%s%s%s", text, i ? " " : "", list->items[i]);
	return text;
}

bool permission_list_read(struct exchange *x, yyjson_val *arr, const char *field, struct permission_list *ret)
{
	size_t i, max, bytes = 0;
	yyjson_val *item;

	*ret = (struct permission_list){0};
	yyjson_arr_foreach(arr, i, max, item)
	{
		const char *text = yyjson_is_str(item) ? yyjson_get_str(item) : "";

		bytes += strlen(text);
		if (!has_form(str_of(text)) || permission_list_has(ret, text)) {
			reply_problem(x, 422, "invalid_field",
				      "`%s` must be a list of permissions such as agents.read or agents.*, none twice.",
				      field);
			return false;
		}
		if (ret->n == PERMISSION_LIST_MAX || bytes > PERMISSION_BYTES_MAX) {
			reply_problem(x, 422, "invalid_field",
				      "`%s` has at most %d permissions with %d characters in all; use patterns such as "
				      "agents.*.",
				      field, PERMISSION_LIST_MAX, PERMISSION_BYTES_MAX);
			return false;
		}
		ret->items[ret->n++] = text;
	}
	return true;
}

/* What is below these is named by those who use it. */
static bool is_below_open(const char *permission)
{
	static const char *const open[] = {"channels.read.", "channels.publish."};

	for (size_t i = 0; i < ARRAY_SIZE(open); i++)
		if (!strncmp(permission, open[i], strlen(open[i])))
			return true;
	return false;
}

int permission_is_known(struct db_conn *c, const char *permission)
{
	size_t n = strlen(permission);
	int64_t one;
	char to[PERMISSION_MAX + 1];

	if (!has_form(str_of(permission)))
		return 0;
	if (!strcmp(permission, "*") || is_below_open(permission))
		return 1;
	if (permission[n - 1] != '*')
		return db_get_int(c, &one, "select 1 from permissions where name = ?", DB_TEXT(permission));
	snprintf(to, sizeof(to), "%.*s/", (int)n - 2, permission); /* behind the dot in ASCII */
	return db_get_int(c, &one, "select 1 from permissions where name >= ? and name < ? limit 1",
			  db_text_n(permission, n - 1), DB_TEXT(to));
}

int permissions_may_be_given(struct db_conn *c, const struct account *giver, const struct permission_list *list,
			     const char **ret_which)
{
	for (size_t i = 0; i < list->n; i++) {
		int r = permission_is_known(c, list->items[i]);

		*ret_which = list->items[i];
		if (r <= 0)
			return r < 0 ? r : GIVE_UNKNOWN;
		if (!account_may(giver, list->items[i]))
			return GIVE_LACKING;
	}
	return GIVE_OK;
}

void permissions_refuse(struct exchange *x, int outcome, const char *which)
{
	if (outcome == GIVE_UNKNOWN)
		reply_problem(x, 422, "unknown_permission",
			      "There is no permission \"%s\"; GET /api/permissions lists them.", which);
	else
		reply_problem(x, 403, "forbidden", "You cannot give \"%s\": you do not have it yourself.", which);
}
