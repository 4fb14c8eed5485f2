/* `ogent fork`: a conversation that begins where a run was at a step. */
#include <stdlib.h>

#include "admin.h"

static const char *step;
static bool is_same;

static int fork_run(struct admin *m)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc);
	yyjson_val *made = NULL;
	int r;

	if (step)
		yyjson_mut_obj_add_int(doc, obj, "step", strtoll(step, NULL, 10));
	if (is_same)
		yyjson_mut_obj_add_bool(doc, obj, "same_version", true);
	r = admin_call(m, "POST", arena_printf(m->a, "/api/executions/%s/fork", admin_escape(m, m->args[0])),
		       json_text(m->a, doc), &made);
	if (r == EXIT_OK && m->is_json)
		out_json(made);
	else if (r == EXIT_OK)
		out_printf("%s\n", json_get_str(made, "id", ""));
	return r;
}

int cmd_fork(const struct command *self, int argc, char **argv)
{
	const struct flag flags[] = {{"step", &step}, {"same-version", NULL, &is_same}};
	static const struct admin_verb verbs[] = {{"run", 1, 1, fork_run}};

	return admin_run(self, argc, argv, flags, ARRAY_SIZE(flags), verbs, ARRAY_SIZE(verbs));
}
