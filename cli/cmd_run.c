#include "args.h"
#include "talk.h"

int cmd_run(const struct command *self, int argc, char **argv)
{
	const char *agent = NULL, *conversation = NULL, *url = NULL;
	bool is_json = false;
	const struct flag flags[] = {
		{"agent", &agent}, {"conversation", &conversation}, {"url", &url}, {"json", NULL, &is_json}};
	struct args args;
	struct session session;
	struct buf message = BUF_INIT;
	int r;

	if (!args_read(self, argc, argv, flags, ARRAY_SIZE(flags), &args, &r))
		return r;
	if (args.n_rest > 1) {
		r = usage_error(self, "more than one TEXT: put it into quotes");
		goto out;
	}
	if (args.n_rest)
		buf_add_str(&message, args.rest[0]);
	else if (!talk_read_stdin(&message, &r))
		goto out;
	if ((r = session_open(&session, args.options, url)) != EXIT_OK)
		goto out;
	struct talk t = {.session = &session, .mode = is_json ? TALK_EVENTS : TALK_FINAL};
	r = talk_open(&t, agent, conversation);
	if (r == EXIT_OK)
		r = talk_send(&t, buf_str(&message));
	session_close(&session);
out:
	buf_deinit(&message);
	args_deinit(&args);
	return r;
}
