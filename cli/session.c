#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "command.h"

/* A token is renewed when it has less life than this. */
#define RENEW_US (120 * 1000000LL)

int session_fail(int status, const struct error *err)
{
	fprintf(stderr, "ogent: %s\n", err->message);
	if (status == 401 || status == 403)
		return EXIT_AUTH;
	return status < 0 ? EXIT_NOT_RUNNING : EXIT_FAILED;
}

static char *read_line(const char *folder, const char *name)
{
	char *path = xasprintf("%s/%s", folder, name), text[1024];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	free(path);
	if (fd < 0)
		return NULL;
	ssize_t n = read(fd, text, sizeof(text));
	close(fd);
	struct str line = str_trim((struct str){text, n > 0 ? (size_t)n : 0});
	return line.n ? xstrndup(line.p, line.n) : NULL;
}

char *session_local_address(const struct options *options)
{
	return read_line(option_str(options, "data"), "run/address");
}

static void take_token(struct session *s, yyjson_val *answer)
{
	client_set_token(s->client, json_get_str(answer, "access_token", ""));
	s->expires_us = clock_now_us() + json_get_int(answer, "expires_in", 60) * 1000000;
}

/* POST {name: value} to a path that answers with a token. */
static int fetch_token(struct session *s, struct arena *a, const char *path, const char *name, const char *value,
		       yyjson_val **ret)
{
	struct error err = {0};
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);

	json_add_str(doc, obj, name, value);
	client_set_token(s->client, NULL);
	int status = client_call(s->client, a, "POST", path, json_text(a, doc), ret, &err);
	if (status != 200)
		return session_fail(status, &err);
	take_token(s, *ret);
	return EXIT_OK;
}

static int renew_local(struct session *s, struct arena *a)
{
	const char *data = option_str(s->options, "data");
	char *key = read_line(data, "secrets/cli.token");
	yyjson_val *answer;

	if (!key) {
		fprintf(stderr,
			"ogent: %s/secrets/cli.token cannot be read: run this as the user of `ogent up`, or set "
			"OGENT_TOKEN\n",
			data);
		return EXIT_AUTH;
	}
	int r = fetch_token(s, a, "/api/auth/local", "key", key, &answer);
	explicit_bzero(key, strlen(key));
	free(key);
	return r;
}

static int fail_signed_out(const char *url)
{
	fprintf(stderr, "ogent: not signed in to %s: run `ogent login %s`, or set OGENT_TOKEN\n", url, url);
	return EXIT_AUTH;
}

/* A slash at the end makes no difference; `url` has none. */
static bool same_url(const char *url, const char *stored)
{
	size_t n = strlen(url);

	return strncmp(url, stored, n) == 0 && stored[n + strspn(stored + n, "/")] == '\0';
}

/* The stored login's token if it still lives, otherwise a new one; the refresh token changes with each use. */
static int renew_stored(struct session *s, struct arena *a)
{
	struct login l;
	struct error err = {0};
	yyjson_val *answer;

	if (login_load(&l) < 0 || !same_url(client_url(s->client), l.url)) {
		login_deinit(&l);
		return fail_signed_out(client_url(s->client));
	}
	s->is_fixed = !l.refresh_token;
	if (!l.refresh_token || l.expires_us - RENEW_US > clock_now_us()) {
		client_set_token(s->client, l.access_token);
		s->expires_us = l.expires_us;
		login_deinit(&l);
		return EXIT_OK;
	}
	int r = fetch_token(s, a, "/api/auth/refresh", "refresh_token", l.refresh_token, &answer);
	if (r == EXIT_AUTH)
		fail_signed_out(l.url);
	if (r == EXIT_OK) {
		struct login renewed = {
			.url = l.url,
			.access_token = (char *)(uintptr_t)json_get_str(answer, "access_token", ""),
			.refresh_token = (char *)(uintptr_t)json_get_str(answer, "refresh_token", l.refresh_token),
			.expires_us = s->expires_us};
		if (login_save(&renewed, &err) < 0)
			fprintf(stderr, "ogent: %s\n", err.message);
	}
	login_deinit(&l);
	return r;
}

int session_refresh(struct session *s)
{
	if (s->is_fixed || s->expires_us - RENEW_US > clock_now_us())
		return EXIT_OK;
	struct arena *a = arena_new();
	int r = s->is_local ? renew_local(s, a) : renew_stored(s, a);
	arena_free(a);
	return r;
}

static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* The URL to talk to, to be freed, or NULL. */
static char *find_url(struct session *s, const char *given)
{
	struct login l;
	char *url;

	if (!given)
		given = env("OGENT_URL");
	if (given)
		return xstrdup(given);
	url = session_local_address(s->options);
	if (url) {
		s->is_local = true;
		return url;
	}
	if (login_load(&l) == 0)
		url = xstrdup(l.url);
	login_deinit(&l);
	return url;
}

int session_open(struct session *s, const struct options *options, const char *given)
{
	struct error err = {0};

	*s = (struct session){.options = options};
	char *url = find_url(s, given);
	if (!url) {
		fprintf(stderr,
			"ogent: nothing runs in %s: start it with `ogent up`, or sign in elsewhere with `ogent login "
			"URL`\n",
			option_str(options, "data"));
		return EXIT_NOT_RUNNING;
	}
	s->client = client_new(url, &err);
	free(url);
	if (!s->client) {
		fprintf(stderr, "ogent: %s\n", err.message);
		return EXIT_USAGE;
	}
	s->is_fixed = env("OGENT_TOKEN") != NULL;
	if (s->is_fixed)
		client_set_token(s->client, env("OGENT_TOKEN"));
	int r = session_refresh(s);
	if (r == EXIT_NOT_RUNNING && s->is_local)
		fputs("ogent: is it stopped? `ogent up` starts it\n", stderr);
	if (r != EXIT_OK)
		session_close(s);
	return r;
}

int session_open_local(struct session *s, const struct options *options, const char *address)
{
	struct error err = {0};

	*s = (struct session){.options = options, .is_local = true, .client = client_new(address, &err)};
	if (!s->client) {
		fprintf(stderr, "ogent: %s\n", err.message);
		return EXIT_USAGE;
	}
	int r = session_refresh(s);
	if (r != EXIT_OK)
		session_close(s);
	return r;
}

void session_close(struct session *s)
{
	client_free(s->client);
	s->client = NULL;
}

int session_call(struct session *s, struct arena *a, const char *method, const char *path, struct str json,
		 yyjson_val **ret)
{
	struct error err = {0};
	int r = session_refresh(s);

	if (r != EXIT_OK)
		return r;
	int status = client_call(s->client, a, method, path, json, ret, &err);
	if (status >= 200 && status < 300)
		return EXIT_OK;
	if (status >= 300 && status < 400)
		error_set(&err, "redirect", "%s sent a redirect: use the address it points to", client_url(s->client));
	return session_fail(status, &err);
}
