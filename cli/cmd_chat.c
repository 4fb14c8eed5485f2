#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "args.h"
#include "output.h"
#include "talk.h"

static void on_interrupt(int number)
{
	/* Nothing: it only ends the waiting for a line. */
}

/* Returns the line's length, 0 at the end of the input, or -EINTR after Ctrl-C. */
static ssize_t read_line(char **line, size_t *size)
{
	struct sigaction act = {.sa_handler = on_interrupt}, old;

	note_text(STYLE_BOLD, STR("> "));
	sigaction(SIGINT, &act, &old);
	errno = 0;
	ssize_t n = getline(line, size, stdin);
	int failure = errno;
	clearerr(stdin);
	sigaction(SIGINT, &old, NULL);
	if (n > 0)
		return n;
	note_text(STYLE_PLAIN, STR("\n"));
	return failure == EINTR ? -EINTR : 0;
}

/* A conversation line by line. A run that fails or is cancelled does not end it. */
static int converse(struct talk *t)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	int r = EXIT_OK;

	while ((n = read_line(&line, &size)) > 0) {
		struct str message = str_trim((struct str){line, (size_t)n});
		if (!message.n)
			continue;
		r = talk_send(t, message);
		if (r == EXIT_NOT_RUNNING || r == EXIT_AUTH)
			break;
		r = EXIT_OK;
	}
	free(line);
	return n == -EINTR ? EXIT_CANCELLED : r;
}

static int send_stdin(struct talk *t)
{
	struct buf message = BUF_INIT;
	int r;

	if (talk_read_stdin(&message, &r))
		r = talk_send(t, buf_str(&message));
	buf_deinit(&message);
	return r;
}

int cmd_chat(const struct command *self, int argc, char **argv)
{
	const char *agent = NULL, *conversation = NULL, *url = NULL, *attach = NULL;
	const struct flag flags[] = {
		{"agent", &agent}, {"conversation", &conversation}, {"url", &url}, {"attach", &attach}};
	struct args args;
	struct session session;
	int r;

	if (!args_read(self, argc, argv, flags, ARRAY_SIZE(flags), &args, &r))
		return r;
	if (args.n_rest > 1)
		r = usage_error(self, "more than one TEXT: put it into quotes");
	else if ((r = session_open(&session, args.options, url)) == EXIT_OK) {
		struct talk t = {.session = &session, .mode = TALK_STREAM, .attach = attach};
		r = talk_open(&t, agent, conversation);
		if (r == EXIT_OK && args.n_rest)
			r = talk_send(&t, str_of(args.rest[0]));
		else if (r == EXIT_OK)
			r = isatty(STDIN_FILENO) ? converse(&t) : send_stdin(&t);
		session_close(&session);
	}
	args_deinit(&args);
	return r;
}
