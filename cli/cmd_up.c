#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "args.h"
#include "base/alloc.h"
#include "base/log.h"
#include "data_dir.h"
#include "public_address.h"
#include "session.h"
#include "supervisor.h"

struct up {
	const struct options *options;
	const char *listen;
};

static char *public_url(const struct up *up)
{
	const char *set = option_str(up->options, "public_url");

	if (*set)
		return xstrndup(set, strlen(set) - (set[strlen(set) - 1] == '/'));
	char *address = public_address_reachable(up->listen);
	char *url = strncmp(address, "unix:", 5) == 0 ? xstrdup(address) : xasprintf("http://%s", address);
	free(address);
	return url;
}

/* While nobody has a password, auth keeps the token of the one-time link in secrets/setup.token. */
static void print_setup_link(struct session *s, const char *data, const char *url)
{
	struct arena *a = arena_new();
	char *path = xasprintf("%s/secrets/setup.token", data), token[200] = "";
	yyjson_val *setup;

	if (client_call(s->client, a, "GET", "/api/auth/setup", (struct str){0}, &setup, NULL) == 200 &&
	    json_get_bool(setup, "needed", false)) {
		FILE *f = fopen(path, "re");
		if (f && fgets(token, sizeof(token), f))
			printf("  Set up:  %s/setup#token=%.*s   (once, within 30 minutes)\n", url,
			       (int)strcspn(token, "\r\n"), token);
		if (f)
			fclose(f);
	}
	free(path);
	arena_free(a);
}

static void print_model(struct session *s)
{
	struct arena *a = arena_new();
	yyjson_val *answer;

	if (client_call(s->client, a, "GET", "/api/models", (struct str){0}, &answer, NULL) == 200) {
		yyjson_val *model = json_get_obj(answer, "default");
		const char *reason = json_get_str(model, "reason", "");
		printf("  Model:   %s (%s)\n", json_get_str(model, "name", json_get_str(model, "id", "none")),
		       json_get_str(model, "provider", "unknown"));
		if (json_get_bool(model, "demo", false) && *reason)
			printf("           %s\n", reason);
	}
	arena_free(a);
}

static void on_ready(void *arg)
{
	struct up *up = arg;
	struct session session;
	char *url = public_url(up);

	printf("Ogent is ready.\n\n  Open:    %s\n", url);
	if (session_open(&session, up->options, NULL) == EXIT_OK) {
		print_setup_link(&session, option_str(up->options, "data"), url);
		print_model(&session);
		session_close(&session);
	}
	printf("  Data:    %s\n  Stop:    %s\n\n", option_str(up->options, "data"),
	       isatty(STDIN_FILENO) ? "Ctrl-C" : "send SIGTERM to this process");
	fflush(stdout);
	free(url);
}

/* The roles of a platform that was killed may take a moment to let go of the port. */
static unsigned wait_for_port(const char *data)
{
	char *path = xasprintf("%s/run/up.json", data);
	bool was_killed = access(path, F_OK) == 0;

	free(path);
	return was_killed ? 3000 : 0;
}

static int run(const struct args *args)
{
	const char *data = option_str(args->options, "data");
	struct error err = {0};
	int lock = -1, result = EXIT_FAILED;
	char *listen = NULL;

	if (data_dir_prepare(data, &err) == 0 && (lock = data_dir_lock(data, &err)) >= 0 &&
	    (listen = public_address_settle(option_str(args->options, "listen"), wait_for_port(data), &err))) {
		struct up up = {args->options, listen};
		result = supervisor_run(args, listen, &(struct supervisor_events){on_ready, &up});
	} else {
		fprintf(stderr, "ogent up: %s\n", err.message);
	}
	free(listen);
	if (lock >= 0)
		close(lock);
	return result;
}

int cmd_up(const struct command *self, int argc, char **argv)
{
	struct args args;
	int result;

	if (!args_read(self, argc, argv, NULL, 0, &args, &result))
		return result;
	const char *format = option_str(args.options, "log_format");
	bool json = strcmp(format, "json") == 0 || (strcmp(format, "auto") == 0 && !isatty(STDERR_FILENO));
	int level = log_level_from_name(option_str(args.options, "log_level"));
	log_init("up", level < 0 ? LOG_INFO : (enum log_level)level, json);
	result = args.n_rest ? usage_error(self, "\"%s\" is no option", args.rest[0]) : run(&args);
	args_deinit(&args);
	return result;
}
