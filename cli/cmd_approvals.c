#include <string.h>

#include "args.h"
#include "base/encode.h"
#include "decision.h"
#include "output.h"

static void print_row(struct arena *a, yyjson_val *item)
{
	const char *what = json_get_str(item, "summary", NULL);

	if (!what)
		what = json_val_text(a, yyjson_obj_get(item, "arguments")).p;
	out_printf("%s  %-8s  %-16s  %s\n", json_get_str(item, "id", ""), json_get_str(item, "kind", ""),
		   one_line(a, json_get_str(item, "agent_name", ""), 16), one_line(a, what, 100));
}

static int list(struct session *s, struct arena *a, bool is_json)
{
	yyjson_val *answer, *item;
	size_t i, n;
	int r = session_call(s, a, "GET", "/api/approvals?status=pending&limit=200", (struct str){0}, &answer);

	if (r != EXIT_OK)
		return r;
	if (is_json) {
		out_json(json_get_arr(answer, "items"));
		return EXIT_OK;
	}
	if (!yyjson_arr_size(json_get_arr(answer, "items")))
		note_printf(STYLE_PLAIN, "Nothing waits for you.\n");
	yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, item)
	{
		print_row(a, item);
	}
	return EXIT_OK;
}

/* What is decided is what is read now: its hash goes along. */
static int decide(struct session *s, struct arena *a, char **rest, int n_rest)
{
	_cleanup_(buf_deinit) struct buf path = BUF_INIT;
	yyjson_val *approval;
	int r;

	buf_add_str(&path, "/api/approvals/");
	percent_encode(str_of(rest[1]), &path);
	r = session_call(s, a, "GET", path.p, (struct str){0}, &approval);
	return r == EXIT_OK ? decision_send(s, a, approval, rest[1], rest[0], n_rest > 2 ? rest[2] : NULL) : r;
}

static bool is_decision(const char *word)
{
	return strcmp(word, "approve") == 0 || strcmp(word, "reject") == 0 || strcmp(word, "answer") == 0 ||
	       strcmp(word, "edit") == 0;
}

int cmd_approvals(const struct command *self, int argc, char **argv)
{
	const char *url = NULL;
	bool is_json = false;
	const struct flag flags[] = {{"url", &url}, {"json", NULL, &is_json}};
	struct args args;
	struct session session;
	int r;

	if (!args_read(self, argc, argv, flags, ARRAY_SIZE(flags), &args, &r))
		return r;
	struct arena *a = arena_new();
	if (args.n_rest && !is_decision(args.rest[0]))
		r = usage_error(self, "\"%s\" is none of approve, reject, answer, edit", args.rest[0]);
	else if (args.n_rest == 1 || args.n_rest > 3)
		r = usage_error(self,
				args.n_rest == 1 ? "the ID is missing" : "\"%s\" is too much: put the text into quotes",
				args.rest[args.n_rest - 1]);
	else if ((r = session_open(&session, args.options, url)) == EXIT_OK) {
		r = args.n_rest ? decide(&session, a, args.rest, args.n_rest) : list(&session, a, is_json);
		session_close(&session);
	}
	arena_free(a);
	args_deinit(&args);
	return r;
}
