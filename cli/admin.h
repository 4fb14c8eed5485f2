/* The frame of the commands for administrators: `ogent users|roles|tokens|audit|keys VERB ARGUMENT...`. */
#pragma once

#include "args.h"
#include "output.h"
#include "session.h"

struct admin {
	const struct command *self;
	struct session session;
	struct arena *a;
	bool is_json;
	char **args; /* behind the verb */
	int n_args;
};

struct admin_verb {
	const char *name;
	int min, max; /* arguments behind it */
	int (*run)(struct admin *m);
};

/* Reads the line, opens the session and runs the verb; the first one is meant when the line has none. `flags` are those
 * of the command besides --url and --json; at most 8. */
int admin_run(const struct command *self, int argc, char **argv, const struct flag *flags, size_t n_flags,
	      const struct admin_verb *verbs, size_t n_verbs);
int admin_call(struct admin *m, const char *method, const char *path, struct str json, yyjson_val **ret);
/* The items of all pages of a list: `visit` for each, or with --json one array of all. `empty` is said on stderr where
 * there are none. */
int admin_list(struct admin *m, const char *path, const char *empty, void (*visit)(struct admin *m, yyjson_val *item));
/* `text` as a part of a path, in the arena. */
const char *admin_escape(struct admin *m, const char *text);
/* "agents.read agents.write": the texts of a list with `separator` between them, in the arena. */
const char *admin_join(struct admin *m, yyjson_val *list, const char *separator);
/* An array member of the texts from..to-1 of the arguments, or of a text with commas between them. */
void admin_add_args(struct admin *m, yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, int from);
void admin_add_words(struct admin *m, yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, const char *words);
/* The id of the user that an id, an e-mail address or a name means. Returns EXIT_OK, or another code after saying why.
 */
int admin_find_user(struct admin *m, const char *who, const char **ret_id);
