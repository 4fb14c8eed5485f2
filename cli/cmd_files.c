/* `ogent files`: the files of a workspace, on whatever target it is. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin.h"
#include "base/alloc.h"
#include "base/encode.h"
#include "local_file.h"

#define INPUT_MAX (512u << 20) /* as local_file_read */

/* Of the line. */
static const char *target, *mode, *below;
static bool recursive, gzip;

/* ---- Paths ---- */

/* "/api/workspaces/W/WHAT?target=T" and more behind it. */
static const char *path_of(struct admin *m, const char *what, const char *more)
{
	return arena_printf(m->a, "/api/workspaces/%s%s?target=%s%s", admin_escape(m, m->args[0]), what,
			    target ? admin_escape(m, target) : "local", more);
}

/* ".." and what else is no path the platform refuses. */
static const char *file_path(struct admin *m, const char *path, const char *more)
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;
	struct str rest = str_of(path);

	buf_add_str(&b, "/files");
	while (rest.n > 0) {
		struct str part = str_cut(&rest, '/');

		if (part.n == 0)
			continue;
		buf_add_char(&b, '/');
		percent_encode(part, &b);
	}
	return path_of(m, arena_strndup(m->a, b.p, b.n), more);
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* ---- What comes down ---- */

struct sink {
	int fd;
	int err;
};

static bool keep(void *arg, const char *data, size_t n)
{
	struct sink *s = arg;

	while (n > 0) {
		ssize_t k = write(s->fd, data, n);

		if (k < 0 && errno != EINTR) {
			s->err = errno;
			return false;
		}
		data += MAX(k, 0);
		n -= (size_t)MAX(k, 0);
	}
	return true;
}

static int fetch(struct admin *m, const char *path, struct sink *s)
{
	struct request r = {.on_body = keep, .arg = s};
	struct error err = {0};
	int code = session_refresh(&m->session), status;

	if (code != EXIT_OK)
		return code;
	status = client_exchange(m->session.client, m->a, &r, "GET", path, (struct str){0}, NULL, &err);
	if (s->err == EPIPE && s->fd == STDOUT_FILENO)
		return EXIT_OK; /* the reader has gone */
	if (s->err)
		fprintf(stderr, "ogent: what came could not be written: %s\n", strerror(s->err));
	else if (status < 0 || status >= 300)
		return session_fail(status, &err);
	return s->err ? EXIT_FAILED : EXIT_OK;
}

/* Into a file that appears when it is whole. */
static int fetch_file(struct admin *m, const char *path, const char *name)
{
	char *temporary = xasprintf("%s.part-%d", name, (int)getpid());
	struct sink s = {.fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666)};
	int code = EXIT_FAILED;

	if (s.fd >= 0) {
		code = fetch(m, path, &s);
		if (close(s.fd) < 0 || (code == EXIT_OK && rename(temporary, name) < 0)) {
			fprintf(stderr, "ogent: %s: %s\n", name, strerror(errno));
			code = EXIT_FAILED;
		}
		if (code != EXIT_OK)
			unlink(temporary);
	} else {
		fprintf(stderr, "ogent: %s: %s\n", name, strerror(errno));
	}
	free(temporary);
	return code;
}

/* place: a file, a folder for one of that name, "-" for stdout, or NULL: here. */
static int fetch_to(struct admin *m, const char *path, const char *place, const char *name)
{
	struct stat st;

	if (place && strcmp(place, "-") == 0)
		return fetch(m, path, &(struct sink){.fd = STDOUT_FILENO});
	if (place && stat(place, &st) == 0 && S_ISDIR(st.st_mode))
		return fetch_file(m, path, arena_printf(m->a, "%s/%s", place, name));
	return fetch_file(m, path, place ? place : name);
}

/* ---- What goes up ---- */

static int read_stdin(struct buf *ret)
{
	ssize_t n;

	do {
		buf_reserve(ret, 1 << 16);
		n = read(STDIN_FILENO, ret->p + ret->n, 1 << 16);
		ret->n += n > 0 ? (size_t)n : 0;
	} while ((n > 0 || (n < 0 && errno == EINTR)) && ret->n <= INPUT_MAX);
	if (n == 0)
		return EXIT_OK;
	fprintf(stderr, "ogent: stdin: %s\n", n < 0 ? strerror(errno) : "has more than can be sent");
	return EXIT_FAILED;
}

static int send_file(struct admin *m, const char *method, const char *path, const char *file, yyjson_val **ret)
{
	_cleanup_(buf_deinit) struct buf bytes = BUF_INIT;
	struct request r = {.type = "application/octet-stream"};
	int code = strcmp(file, "-") == 0 ? read_stdin(&bytes) : local_file_read(file, &bytes), status;
	struct error err = {0};

	if (code == EXIT_OK)
		code = session_refresh(&m->session);
	if (code != EXIT_OK)
		return code;
	status = client_exchange(m->session.client, m->a, &r, method, path, buf_str(&bytes), ret, &err);
	return status < 0 || status >= 300 ? session_fail(status, &err) : EXIT_OK;
}

/* ---- Verbs ---- */

static void print_workspace(struct admin *m, yyjson_val *w)
{
	out_printf("%-36s  %s  %s\n", json_get_str(w, "id", ""), local_time(m->a, json_get_str(w, "created_at", "")),
		   json_get_int(w, "running_commands", 0) > 0 ? "commands run" : "");
}

static int list(struct admin *m)
{
	return admin_list(m,
			  arena_printf(m->a, "/api/workspaces?target=%s", target ? admin_escape(m, target) : "local"),
			  "There is no workspace.", print_workspace);
}

static void print_item(struct admin *m, yyjson_val *item)
{
	const char *type = json_get_str(item, "type", ""), *link = json_get_str(item, "link", NULL);
	bool is_folder = strcmp(type, "folder") == 0;

	out_printf("%s  %12lld  %s  %s%s%s%s\n", json_get_str(item, "mode", ""),
		   (long long)json_get_int(item, "size", 0), local_time(m->a, json_get_str(item, "modified_at", "")),
		   one_line(m->a, json_get_str(item, "name", ""), 1000), is_folder ? "/" : "", link ? " -> " : "",
		   link ? one_line(m->a, link, 1000) : "");
}

static int ls(struct admin *m)
{
	return admin_list(m, file_path(m, m->n_args > 1 ? m->args[1] : "", ""), "Nothing is there.", print_item);
}

static int get(struct admin *m)
{
	const char *path = m->args[1], *name = last_part(path);

	if (!*name || strcmp(name, "..") == 0 || strcmp(name, ".") == 0)
		return usage_error(m->self, "\"%s\" names no file", path);
	return fetch_to(m, file_path(m, path, ""), m->n_args > 2 ? m->args[2] : NULL, name);
}

static int print_sent(struct admin *m, int code, yyjson_val *answer)
{
	if (code == EXIT_OK && m->is_json)
		out_json(answer);
	return code;
}

/* Behind a slash the file keeps its name. */
static int put(struct admin *m)
{
	const char *file = m->args[1], *path = m->n_args > 2 ? m->args[2] : "";
	size_t n = strlen(path);
	yyjson_val *answer = NULL;

	if (n == 0 || path[n - 1] == '/')
		path = arena_printf(m->a, "%s%s", path, last_part(file));
	if (strcmp(file, "-") == 0 && (n == 0 || path[n - 1] == '/'))
		return usage_error(m->self, "stdin has no name: say which file it becomes");
	path = file_path(m, path,
			 arena_printf(m->a, "&parents=1%s%s", mode ? "&mode=" : "", mode ? admin_escape(m, mode) : ""));
	return print_sent(m, send_file(m, "PUT", path, file, &answer), answer);
}

static int rm(struct admin *m)
{
	return admin_call(m, "DELETE", file_path(m, m->args[1], recursive ? "&recursive=1" : ""), (struct str){0},
			  NULL);
}

static int mkdir_verb(struct admin *m)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc);
	yyjson_val *answer = NULL;

	yyjson_mut_obj_add_str(doc, obj, "path", m->args[1]);
	yyjson_mut_obj_add_bool(doc, obj, "parents", true);
	return print_sent(m, admin_call(m, "POST", path_of(m, "/folders", ""), json_text(m->a, doc), &answer), answer);
}

static int mv(struct admin *m)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc);
	yyjson_val *answer = NULL;

	yyjson_mut_obj_add_str(doc, obj, "from", m->args[1]);
	yyjson_mut_obj_add_str(doc, obj, "to", m->args[2]);
	return print_sent(m, admin_call(m, "POST", path_of(m, "/move", ""), json_text(m->a, doc), &answer), answer);
}

static const char *below_query(struct admin *m)
{
	return below ? arena_printf(m->a, "&path=%s", admin_escape(m, below)) : "";
}

static int archive(struct admin *m)
{
	const char *end = gzip ? "tar.gz" : "tar", *place = m->n_args > 1 ? m->args[1] : NULL;
	const char *more = arena_printf(m->a, "&format=%s%s", end, below_query(m));

	return fetch_to(m, path_of(m, "/archive", more), place, arena_printf(m->a, "%s.%s", m->args[0], end));
}

static int unpack(struct admin *m)
{
	yyjson_val *answer = NULL;
	int code = send_file(m, "POST", path_of(m, "/archive", below_query(m)), m->args[1], &answer);

	if (code == EXIT_OK && !m->is_json)
		note_printf(STYLE_PLAIN, "%lld files and folders, %lld bytes.\n",
			    (long long)json_get_int(answer, "files", 0), (long long)json_get_int(answer, "bytes", 0));
	return print_sent(m, code, answer);
}

int cmd_files(const struct command *self, int argc, char **argv)
{
	static const struct admin_verb verbs[] = {
		{"list", 0, 0, list}, {"ls", 1, 2, ls},           {"get", 2, 3, get},
		{"put", 2, 3, put},   {"rm", 2, 2, rm},           {"mkdir", 2, 2, mkdir_verb},
		{"mv", 3, 3, mv},     {"archive", 1, 2, archive}, {"unpack", 2, 2, unpack},
	};
	const struct flag flags[] = {{"target", &target},
				     {"mode", &mode},
				     {"path", &below},
				     {"recursive", NULL, &recursive},
				     {"gzip", NULL, &gzip}};

	return admin_run(self, argc, argv, flags, ARRAY_SIZE(flags), verbs, ARRAY_SIZE(verbs));
}
