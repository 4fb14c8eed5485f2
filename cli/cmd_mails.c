#include "args.h"
#include "output.h"
#include "session.h"

static void print_mail(struct arena *a, yyjson_val *mail)
{
	const char *link = json_get_str(mail, "link", NULL), *error = json_get_str(mail, "error", NULL);

	out_printf("%s  %-16s  %-8s  %s\n", local_time(a, json_get_str(mail, "created_at", "")),
		   json_get_str(mail, "kind", ""), json_get_str(mail, "state", ""),
		   one_line(a, json_get_str(mail, "to", ""), 254));
	if (link)
		out_printf("    %s\n", link);
	if (error)
		out_printf("    %s\n", one_line(a, error, 300));
}

int cmd_mails(const struct command *self, int argc, char **argv)
{
	const char *url = NULL;
	bool is_json = false;
	const struct flag flags[] = {{"url", &url}, {"json", NULL, &is_json}};
	struct args args;
	struct session session;
	yyjson_val *answer, *mail;
	size_t i, n;
	int r;

	if (!args_read(self, argc, argv, flags, ARRAY_SIZE(flags), &args, &r))
		return r;
	struct arena *a = arena_new();
	if (args.n_rest)
		r = usage_error(self, "\"%s\" is too much", args.rest[0]);
	else if ((r = session_open(&session, args.options, url)) == EXIT_OK) {
		r = session_call(&session, a, "GET", "/api/auth/mails?limit=200", (struct str){0}, &answer);
		if (r == EXIT_OK && is_json)
			out_json(json_get_arr(answer, "items"));
		else if (r == EXIT_OK && !yyjson_arr_size(json_get_arr(answer, "items")))
			note_printf(STYLE_DIM, "There are no mails.\n");
		else if (r == EXIT_OK)
			yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, mail)
			{
				print_mail(a, mail);
			}
		session_close(&session);
	}
	arena_free(a);
	args_deinit(&args);
	return r;
}
