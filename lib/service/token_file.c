/* A service's own key: the secret part in secrets/<role>.key (0600), the public one in keys/<role>.jwk. Both are JWK.
 * Files appear whole or not at all, and of two processes that make the same key at once, one wins and both use it. */
#include "service/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/id.h"

#define KEY_FILE_MAX 4096

static int fail(struct error *err, int e, const char *what, const char *path)
{
	error_set(err, "key_file", "Cannot %s %s: %s.", what, path, strerror(e));
	return -e;
}

static int make_dir(const char *path, mode_t mode, struct error *err)
{
	return mkdir(path, mode) == 0 || errno == EEXIST ? 0 : fail(err, errno, "make", path);
}

/* Reads a small file. `ret` is NUL-terminated. -ENOENT leaves err alone. */
static int read_file(const char *path, bool secret, char ret[static KEY_FILE_MAX], struct error *err)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), result = 0;

	if (fd < 0)
		return errno == ENOENT ? -ENOENT : fail(err, errno, "open", path);
	if (fstat(fd, &st) == 0 && secret && (st.st_mode & 077)) {
		error_set(err, "key_file",
			  "%s can be read by others: run chmod 600 on it, or delete it to get a new key.", path);
		close(fd);
		return -EPERM;
	}

	ssize_t n = read(fd, ret, KEY_FILE_MAX - 1);
	if (n < 0)
		result = fail(err, errno, "read", path);
	else
		ret[n] = '\0';
	close(fd);
	return result;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		p += w;
		n -= w;
	}
	return fsync(fd) ? -errno : 0;
}

/* Writes a temporary file beside `path` and puts it in its place: by link, which never replaces, or by rename. */
static int put_file(const char *path, struct str text, mode_t mode, bool replace, struct error *err)
{
	char temporary[4200], suffix[32];

	secret_new(suffix, sizeof(suffix), ".", 9);
	if (snprintf(temporary, sizeof(temporary), "%s%s", path, suffix) >= (int)sizeof(temporary))
		return fail(err, ENAMETOOLONG, "write", path);

	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return fail(err, errno, "write", path);

	int result = fchmod(fd, mode) ? -errno : write_all(fd, text.p, text.n);
	close(fd);
	if (!result && (replace ? rename(temporary, path) : link(temporary, path)))
		result = -errno;
	if (result || !replace)
		unlink(temporary);
	if (result && result != -EEXIST)
		fail(err, -result, "write", path);
	return result;
}

static int make_key(const char *path, struct error *err)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	struct token_key key;

	token_key_new(&key);
	token_key_to_jwk(&key, &text);
	text.n--; /* the closing brace */
	buf_add_str(&text, ",\"d\":\"");
	base64url_encode(&text, key.secret_key, crypto_sign_SEEDBYTES); /* libsodium: seed, then public key */
	buf_add_str(&text, "\"}\n");

	int result = put_file(path, buf_str(&text), 0600, false, err);
	sodium_memzero(&key, sizeof(key));
	sodium_memzero(text.p, text.n);
	return result == -EEXIST ? 0 : result;
}

static int publish(const char *path, const struct token_key *key, struct error *err)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	char old[KEY_FILE_MAX];

	token_key_to_jwk(key, &text);
	buf_add_char(&text, '\n');
	if (read_file(path, false, old, NULL) == 0 && str_is(buf_str(&text), old))
		return 0;
	return put_file(path, buf_str(&text), 0644, true, err);
}

int token_key_load(const char *data_dir, const char *role, struct token_key *ret, struct error *err)
{
	char path[4096], text[KEY_FILE_MAX];
	int result;

	if (snprintf(path, sizeof(path), "%s/secrets/%s.key", data_dir, role) >= (int)sizeof(path))
		return fail(err, ENAMETOOLONG, "use", data_dir);

	snprintf(path, sizeof(path), "%s/secrets", data_dir);
	if ((result = make_dir(path, 0700, err)))
		return result;
	snprintf(path, sizeof(path), "%s/secrets/%s.key", data_dir, role);
	result = read_file(path, true, text, err);
	if (result == -ENOENT && (result = make_key(path, err)) == 0)
		result = read_file(path, true, text, err);
	if (result)
		return result;
	result = token_key_from_jwk(str_of(text), true, ret, err);
	sodium_memzero(text, sizeof(text));
	if (result) {
		error_prefix(err, "%s", path);
		return result;
	}

	snprintf(path, sizeof(path), "%s/keys", data_dir);
	if ((result = make_dir(path, 0755, err)))
		return result;
	snprintf(path, sizeof(path), "%s/keys/%s.jwk", data_dir, role);
	return publish(path, ret, err);
}
