#include "admin.h"

#include <string.h>
#include <strings.h>

#include "base/encode.h"

#define FLAGS_MAX 10

static int run_verb(struct admin *m, const struct args *args, const struct admin_verb *verbs, size_t n_verbs,
		    const char *url)
{
	const struct admin_verb *verb = &verbs[0];
	int r;

	if (args->n_rest) {
		verb = NULL;
		for (size_t i = 0; i < n_verbs; i++)
			if (!strcmp(verbs[i].name, args->rest[0]))
				verb = &verbs[i];
	}
	if (!verb)
		return usage_error(m->self, "there is no \"%s\"", args->rest[0]);
	m->args = args->rest + (args->n_rest > 0);
	m->n_args = MAX(args->n_rest - 1, 0);
	if (m->n_args < verb->min)
		return usage_error_of_verb(m->self, verb->name, "needs more");
	if (m->n_args > verb->max)
		return usage_error_of_verb(m->self, verb->name, "takes no more than that");
	r = session_open(&m->session, args->options, url);
	if (r != EXIT_OK)
		return r;
	r = verb->run(m);
	session_close(&m->session);
	return r;
}

int admin_run(const struct command *self, int argc, char **argv, const struct flag *own, size_t n_own,
	      const struct admin_verb *verbs, size_t n_verbs)
{
	struct admin m = {.self = self};
	const char *url = NULL;
	struct flag flags[FLAGS_MAX] = {{"url", &url}, {"json", NULL, &m.is_json}};
	struct args args;
	int r;

	for (size_t i = 0; i < n_own; i++)
		flags[2 + i] = own[i];
	if (!args_read(self, argc, argv, flags, 2 + n_own, &args, &r))
		return r;
	m.a = arena_new();
	r = run_verb(&m, &args, verbs, n_verbs, url);
	arena_free(m.a);
	args_deinit(&args);
	return r;
}

int admin_call(struct admin *m, const char *method, const char *path, struct str json, yyjson_val **ret)
{
	return session_call(&m->session, m->a, method, path, json, ret);
}

const char *admin_escape(struct admin *m, const char *text)
{
	struct buf b = BUF_INIT;
	const char *ret;

	percent_encode(str_of(text), &b);
	ret = arena_strndup(m->a, b.p ? b.p : "", b.n);
	buf_deinit(&b);
	return ret;
}

int admin_list(struct admin *m, const char *path, const char *empty, void (*visit)(struct admin *m, yyjson_val *item))
{
	yyjson_mut_doc *doc = json_new(m->a);
	yyjson_mut_val *all = yyjson_mut_arr(doc);
	const char *at = path, *next;
	yyjson_val *page, *item;
	size_t i, n, total = 0;
	int r;

	yyjson_mut_doc_set_root(doc, all);
	do {
		r = admin_call(m, "GET", at, (struct str){0}, &page);
		if (r != EXIT_OK)
			return r;
		yyjson_arr_foreach(json_get_arr(page, "items"), i, n, item)
		{
			if (m->is_json)
				yyjson_mut_arr_append(all, yyjson_val_mut_copy(doc, item));
			else
				visit(m, item);
			total++;
		}
		next = json_get_str(page, "next", NULL);
		if (next)
			at = arena_printf(m->a, "%s%cafter=%s", path, strchr(path, '?') ? '&' : '?',
					  admin_escape(m, next));
	} while (next);
	if (m->is_json) {
		struct str text = json_text(m->a, doc);

		out_json(yyjson_doc_get_root(json_parse(m->a, text.p, text.n, NULL)));
	} else if (!total) {
		note_printf(STYLE_DIM, "%s\n", empty);
	}
	return EXIT_OK;
}

const char *admin_join(struct admin *m, yyjson_val *list, const char *separator)
{
	const char *text = "";
	yyjson_val *item;
	size_t i, n;

	yyjson_arr_foreach(list, i, n, item)
	{
		text = arena_printf(m->a, "%s%s%s", text, i ? separator : "", yyjson_get_str(item) ?: "");
	}
	return text;
}

void admin_add_args(struct admin *m, yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, int from)
{
	yyjson_mut_val *arr = yyjson_mut_obj_add_arr(doc, obj, key);

	for (int i = from; i < m->n_args; i++)
		yyjson_mut_arr_add_strcpy(doc, arr, m->args[i]);
}

void admin_add_words(struct admin *m, yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, const char *words)
{
	yyjson_mut_val *arr = yyjson_mut_obj_add_arr(doc, obj, key);
	struct str rest = str_of(words), word;

	while (rest.p) {
		word = str_trim(str_cut(&rest, ','));
		if (word.n)
			yyjson_mut_arr_add_strncpy(doc, arr, word.p, word.n);
	}
}

/* 2: the id itself, 1: address or name. */
static int matches(yyjson_val *user, const char *who)
{
	if (!strcmp(json_get_str(user, "id", ""), who))
		return 2;
	return !strcasecmp(json_get_str(user, "email", ""), who) || !strcmp(json_get_str(user, "name", ""), who);
}

int admin_find_user(struct admin *m, const char *who, const char **ret_id)
{
	const char *path = "/api/users?limit=200", *at = path, *next;
	unsigned found = 0;
	yyjson_val *page, *item;
	size_t i, n;
	int r;

	do {
		r = admin_call(m, "GET", at, (struct str){0}, &page);
		if (r != EXIT_OK)
			return r;
		yyjson_arr_foreach(json_get_arr(page, "items"), i, n, item)
		{
			int how = matches(item, who);

			if (how)
				*ret_id = arena_strdup(m->a, json_get_str(item, "id", ""));
			if (how == 2)
				return EXIT_OK;
			found += how;
		}
		next = json_get_str(page, "next", NULL);
		if (next)
			at = arena_printf(m->a, "%s&after=%s", path, admin_escape(m, next));
	} while (next);
	if (found == 1)
		return EXIT_OK;
	note_printf(STYLE_RED,
		    found ? "ogent: several users are called %s; use the e-mail address or the id\n"
			  : "ogent: there is no user %s; `ogent users` lists them\n",
		    who);
	return EXIT_FAILED;
}
