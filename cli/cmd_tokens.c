/* Personal access tokens, and those of service accounts. */
#include <stdlib.h>

#include "admin.h"

static const char *scopes, *days, *user;

static void print_token(struct admin *m, yyjson_val *token)
{
	const char *used = json_get_str(token, "last_used_at", NULL);

	out_printf("%s  %-20s  until %s  %s  %s\n", json_get_str(token, "id", ""),
		   one_line(m->a, json_get_str(token, "name", ""), 40),
		   local_time(m->a, json_get_str(token, "expires_at", "")),
		   used ? arena_printf(m->a, "used %s", local_time(m->a, used)) : "never used",
		   admin_join(m, json_get_arr(token, "scopes"), " "));
}

static int list(struct admin *m)
{
	const char *id = NULL;
	int r = user ? admin_find_user(m, user, &id) : EXIT_OK;

	if (r != EXIT_OK)
		return r;
	return admin_list(m, id ? arena_printf(m->a, "/api/tokens?user_id=%s", id) : "/api/tokens",
			  "There are no tokens; `ogent tokens create NAME --scopes …` makes one.", print_token);
}

/* Only the token goes to stdout, so that a script can take it. */
static int create(struct admin *m)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc);
	const char *id = NULL;
	yyjson_val *answer;
	int r = user ? admin_find_user(m, user, &id) : EXIT_OK;

	if (!scopes)
		return usage_error(m->self, "create needs --scopes, such as agents.read,conversations.*");
	if (r != EXIT_OK)
		return r;
	json_add_str(doc, obj, "name", m->args[0]);
	admin_add_words(m, doc, obj, "scopes", scopes);
	if (days)
		yyjson_mut_obj_add_int(doc, obj, "expires_in_days", atoi(days));
	if (id)
		json_add_str(doc, obj, "user_id", id);
	r = admin_call(m, "POST", "/api/tokens", json_text(m->a, doc), &answer);
	if (r != EXIT_OK)
		return r;
	if (m->is_json) {
		out_json(answer);
		return EXIT_OK;
	}
	note_printf(STYLE_DIM, "Good until %s. It is not shown again.\n",
		    local_time(m->a, json_get_str(answer, "expires_at", "")));
	out_printf("%s\n", json_get_str(answer, "token", ""));
	return EXIT_OK;
}

static int revoke_token(struct admin *m)
{
	return admin_call(m, "DELETE", arena_printf(m->a, "/api/tokens/%s", admin_escape(m, m->args[0])),
			  (struct str){0}, NULL);
}

int cmd_tokens(const struct command *self, int argc, char **argv)
{
	const struct flag flags[] = {{"scopes", &scopes}, {"days", &days}, {"user", &user}};
	static const struct admin_verb verbs[] = {
		{"list", 0, 0, list}, {"create", 1, 1, create}, {"revoke", 1, 1, revoke_token}};

	return admin_run(self, argc, argv, flags, ARRAY_SIZE(flags), verbs, ARRAY_SIZE(verbs));
}
