/* `ogent account export`: all that is one's own, as a file. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "admin.h"

#define EVERY_US 500000

static const char *out;

/* Never over a file that is there. */
static int save(struct admin *m, struct str bytes)
{
	const char *path = out ?: "ogent-account.tar.gz";
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	size_t at = 0;
	ssize_t n = fd < 0 ? -1 : 0;

	for (; n >= 0 && at < bytes.n; at += (size_t)n)
		n = write(fd, bytes.p + at, bytes.n - at);
	if (n < 0 || close(fd) < 0) {
		struct error err = {0};

		error_set(&err, "file", "Cannot write %s: %s.", path, strerror(errno));
		return session_fail(-EIO, &err);
	}
	if (!m->is_json)
		note_printf(STYLE_DIM, "%s, %zu bytes\n", path, bytes.n);
	return EXIT_OK;
}

static int fetch(struct admin *m, const char *id)
{
	struct request r = {0};
	int code = session_refresh(&m->session);

	if (code != EXIT_OK)
		return code;
	request_start(m->session.client, &r, "GET", arena_printf(m->a, "/api/account/exports/%s/content", id),
		      (struct str){0});
	request_wait(&r);
	if (r.err == 0 && r.status != 200)
		error_set(&r.error, "failed", "The file cannot be fetched: status %d.", r.status);
	code = r.err < 0 || r.status != 200 ? session_fail(r.err < 0 ? r.err : r.status, &r.error)
					    : save(m, buf_str(&r.body));
	request_deinit(&r);
	return code;
}

/* The one that is being made, or a new one. */
static int begin(struct admin *m, yyjson_val **ret)
{
	yyjson_val *list, *first;
	int r = admin_call(m, "GET", "/api/account/exports", (struct str){0}, &list);

	if (r != EXIT_OK)
		return r;
	first = yyjson_arr_get_first(json_get_arr(list, "items"));
	if (first && !json_get_str(first, "ended_at", NULL)) {
		*ret = first;
		return EXIT_OK;
	}
	return admin_call(m, "POST", "/api/account/exports", (struct str){0}, ret);
}

static int export_all(struct admin *m)
{
	yyjson_val *item;
	int r = begin(m, &item);

	while (r == EXIT_OK && !json_get_str(item, "ended_at", NULL)) {
		usleep(EVERY_US);
		r = admin_call(m, "GET", arena_printf(m->a, "/api/account/exports/%s", json_get_str(item, "id", "")),
			       (struct str){0}, &item);
	}
	if (r != EXIT_OK)
		return r;
	if (strcmp(json_get_str(item, "status", ""), "succeeded") != 0) {
		struct error err = {0};

		error_set(&err, "failed", "%s", json_get_str(json_get_obj(item, "error"), "message", ""));
		return session_fail(-EIO, &err);
	}
	if (m->is_json)
		out_json(item);
	return fetch(m, json_get_str(item, "id", ""));
}

int cmd_account(const struct command *self, int argc, char **argv)
{
	static const struct admin_verb verbs[] = {{"export", 0, 0, export_all}};
	const struct flag flags[] = {{"out", &out}};

	return admin_run(self, argc, argv, flags, ARRAY_SIZE(flags), verbs, ARRAY_SIZE(verbs));
}
