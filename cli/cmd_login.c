#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "args.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "output.h"
#include "session.h"

/* A line from the terminal (or the pipe), without its end; false at the end of the input. */
static bool ask(const char *question, bool is_hidden, char *ret, size_t size)
{
	struct termios old, hidden;
	bool has_terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &old) == 0;

	if (has_terminal)
		note_printf(STYLE_PLAIN, "%s: ", question);
	if (has_terminal && is_hidden) {
		hidden = old;
		hidden.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	}
	bool ok = fgets(ret, (int)size, stdin) != NULL;
	if (has_terminal && is_hidden) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
		note_text(STYLE_PLAIN, STR("\n"));
	}
	if (ok)
		ret[strcspn(ret, "\r\n")] = '\0';
	return ok && *ret;
}

/* With OGENT_TOKEN: checks it and keeps it. */
static int login_with_token(struct client *c, struct arena *a, const char *token, struct login *ret)
{
	struct error err = {0};

	client_set_token(c, token);
	int status = client_call(c, a, "GET", "/api/auth/me", (struct str){0}, NULL, &err);
	if (status != 200)
		return session_fail(status, &err);
	ret->access_token = xstrdup(token);
	return EXIT_OK;
}

/* The second step. A passkey needs a browser. */
static int send_code(struct client *c, struct arena *a, const char *ticket, yyjson_val **ret, struct error *err)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	char code[128];

	if (!ask("Code of your app, or a recovery code", false, code, sizeof(code)))
		return 401;
	json_add_str(doc, obj, "ticket", ticket);
	json_add_str(doc, obj, "code", code);
	return client_call(c, a, "POST", "/api/auth/login/code", json_text(a, doc), ret, err);
}

static int login_with_password(struct client *c, struct arena *a, struct login *ret)
{
	char email[320], password[1024];
	struct error err = {0};
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	yyjson_val *answer;

	if (!ask("E-mail", false, email, sizeof(email)) || !ask("Password", true, password, sizeof(password))) {
		fputs("ogent login: e-mail and password are needed, each on its line of stdin, or OGENT_TOKEN\n",
		      stderr);
		return EXIT_CANCELLED;
	}
	json_add_str(doc, obj, "email", email);
	json_add_str(doc, obj, "password", password);
	explicit_bzero(password, sizeof(password));
	int status = client_call(c, a, "POST", "/api/auth/login", json_text(a, doc), &answer, &err);
	if (status == 401 && !strcmp(err.code, "second_factor_required"))
		status = send_code(c, a, json_get_str(answer, "ticket", ""), &answer, &err);
	if (status != 200)
		return session_fail(status, &err);
	const char *access = json_get_str(answer, "access_token", NULL);
	const char *refresh = json_get_str(answer, "refresh_token", NULL);
	ret->access_token = access ? xstrdup(access) : NULL;
	ret->refresh_token = refresh ? xstrdup(refresh) : NULL;
	ret->expires_us = clock_now_us() + json_get_int(answer, "expires_in", 60) * 1000000;
	return EXIT_OK;
}

static int login(const char *url)
{
	struct error err = {0};
	struct login l = {0};
	const char *token = getenv("OGENT_TOKEN");
	_cleanup_(client_free_p) struct client *c = client_new(url, &err);

	if (!c) {
		fprintf(stderr, "ogent: %s\n", err.message);
		return EXIT_USAGE;
	}
	struct arena *a = arena_new();
	int r = token && *token ? login_with_token(c, a, token, &l) : login_with_password(c, a, &l);
	l.url = xstrdup(client_url(c));
	if (r == EXIT_OK && login_save(&l, &err) < 0) {
		fprintf(stderr, "ogent: %s\n", err.message);
		r = EXIT_FAILED;
	}
	if (r == EXIT_OK)
		note_printf(STYLE_PLAIN, "Signed in to %s.\n", client_url(c));
	login_deinit(&l);
	arena_free(a);
	return r;
}

int cmd_login(const struct command *self, int argc, char **argv)
{
	struct args args;
	int r;

	if (!args_read(self, argc, argv, NULL, 0, &args, &r))
		return r;
	r = args.n_rest == 1 ? login(args.rest[0]) : usage_error(self, "one URL is needed");
	args_deinit(&args);
	return r;
}
