/* What agents remember of whoever asks. */
#include "admin.h"

static void print_note(struct admin *m, yyjson_val *note)
{
	out_printf("%s  %-6s  %s: %s\n", json_get_str(note, "id", ""), json_get_str(note, "scope", ""),
		   one_line(m->a, json_get_str(note, "name", ""), 60),
		   one_line(m->a, json_get_str(note, "value", ""), 80));
}

static int list(struct admin *m)
{
	return admin_list(m, "/api/memory", "Nothing is remembered.", print_note);
}

static int search(struct admin *m)
{
	return admin_list(m, arena_printf(m->a, "/api/memory?q=%s", admin_escape(m, m->args[0])), "Nothing was found.",
			  print_note);
}

static int delete_note(struct admin *m)
{
	return admin_call(m, "DELETE", arena_printf(m->a, "/api/memory/%s", admin_escape(m, m->args[0])),
			  (struct str){0}, NULL);
}

static int clear(struct admin *m)
{
	return admin_call(m, "DELETE", "/api/memory", (struct str){0}, NULL);
}

int cmd_memory(const struct command *self, int argc, char **argv)
{
	static const struct admin_verb verbs[] = {
		{"list", 0, 0, list}, {"search", 1, 1, search}, {"delete", 1, 1, delete_note}, {"clear", 0, 0, clear}};

	return admin_run(self, argc, argv, NULL, 0, verbs, ARRAY_SIZE(verbs));
}
