#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "session.h"

static char *folder_path(void)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (xdg && xdg[0] == '/')
		return xasprintf("%s/ogent", xdg);
	return xasprintf("%s/.config/ogent", home && *home ? home : "/");
}

static char *copy(yyjson_val *obj, const char *key)
{
	const char *s = json_get_str(obj, key, NULL);

	return s ? xstrdup(s) : NULL;
}

int login_load(struct login *ret)
{
	char *folder = folder_path(), *path = xasprintf("%s/login.json", folder), text[32768];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -ENOENT : 0;

	*ret = (struct login){0};
	ssize_t n = r == 0 ? read(fd, text, sizeof(text)) : 0;
	if (fd >= 0)
		close(fd);
	if (n > 0) {
		struct arena *a = arena_new();
		yyjson_val *obj = yyjson_doc_get_root(json_parse(a, text, (size_t)n, NULL));
		ret->url = copy(obj, "url");
		ret->access_token = copy(obj, "access_token");
		ret->refresh_token = copy(obj, "refresh_token");
		ret->expires_us = json_get_int(obj, "expires_us", 0);
		arena_free(a);
	}
	if (r == 0 && (!ret->url || !ret->access_token))
		r = -EINVAL;
	if (r < 0)
		login_deinit(ret);
	free(path);
	free(folder);
	return r;
}

static int write_file(const char *path, struct str text)
{
	char *temporary = xasprintf("%s.%d", path, (int)getpid());
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), r = 0;

	if (fd < 0 || write(fd, text.p, text.n) != (ssize_t)text.n || fsync(fd) < 0 || rename(temporary, path) < 0) {
		r = -errno;
		unlink(temporary);
	}
	if (fd >= 0)
		close(fd);
	free(temporary);
	return r;
}

int login_save(const struct login *l, struct error *err)
{
	char *folder = folder_path(), *path = xasprintf("%s/login.json", folder), *slash = strrchr(folder, '/');
	struct arena *a = arena_new();
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);

	*slash = '\0';
	mkdir(folder, 0700);
	*slash = '/';
	mkdir(folder, 0700);
	json_add_str(doc, obj, "url", l->url);
	json_add_str(doc, obj, "access_token", l->access_token);
	json_add_str(doc, obj, "refresh_token", l->refresh_token);
	yyjson_mut_obj_add_int(doc, obj, "expires_us", l->expires_us);
	int r = write_file(path, json_text(a, doc));
	if (r < 0)
		error_set(err, "login_file", "the login cannot be stored in %s: %s", path, strerror(-r));
	arena_free(a);
	free(path);
	free(folder);
	return r;
}

static void wipe(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

void login_deinit(struct login *l)
{
	free(l->url);
	wipe(l->access_token);
	wipe(l->refresh_token);
	*l = (struct login){0};
}
