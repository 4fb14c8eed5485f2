#include "data/redis_url.h"

#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/encode.h"

#define DEFAULT_PORT "6379"
#define DATABASE_MAX 65535

static int refuse(struct error *err, const char *what)
{
	return error_set(err, "redis_url",
			 "the address of Redis is not of the form redis://user:password@host:6379/0 or "
			 "unix:/path?db=0: %s",
			 what);
}

/* An empty part is one that is not given. */
static int decode(struct str s, char **ret)
{
	struct buf text = BUF_INIT;
	int r = percent_decode(s, false, &text);

	if (r == 0 && s.n) {
		free(*ret);
		*ret = buf_steal(&text, NULL);
	}
	if (text.p)
		explicit_bzero(text.p, text.cap);
	buf_deinit(&text);
	return r;
}

static int take_database(struct str s, unsigned *ret)
{
	uint64_t n = 0;

	if (s.n && str_to_u64(s, DATABASE_MAX, &n) < 0)
		return -EINVAL;
	*ret = (unsigned)n;
	return 0;
}

/* "password", ":password" or "user:password". */
static int take_user(struct redis_url *u, struct str s, struct error *err)
{
	struct str rest = s, first = str_cut(&rest, ':');
	int r = rest.p ? decode(first, &u->user) : decode(first, &u->password);

	if (r == 0 && rest.p)
		r = decode(rest, &u->password);
	if (r < 0)
		return refuse(err, "user and password are percent-encoded UTF-8");
	return u->user && !u->password ? refuse(err, "the password is missing") : 0;
}

static bool is_host(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || memchr("/?#@[]\\", s.p[i], 7))
			return false;
	return s.n && s.n < 254;
}

/* "host", "host:6379" or "[::1]:6379". */
static int take_host(struct redis_url *u, struct str s, struct error *err)
{
	bool has_brackets = s.n && s.p[0] == '[';
	struct str host = s, port = STR(DEFAULT_PORT);
	const char *end = has_brackets ? memchr(s.p, ']', s.n) : memchr(s.p, ':', s.n);
	uint64_t n;

	if (has_brackets && !end)
		return refuse(err, "an IPv6 address stands in [ ]");
	if (has_brackets) {
		host = (struct str){s.p + 1, (size_t)(end - s.p) - 1};
		end++;
	} else if (end) {
		host.n = (size_t)(end - s.p);
	}
	if (end && end < s.p + s.n) {
		port = (struct str){end + 1, (size_t)(s.p + s.n - end) - 1};
		if (*end != ':' || str_to_u64(port, 65535, &n) < 0 || n == 0)
			return refuse(err, "the port is a number up to 65535 (a / @ : or ? in the password is written "
					   "%2F %40 %3A %3F)");
	}
	if (!is_host(host))
		return refuse(err, "the host is missing or not readable");
	u->address = xasprintf(has_brackets ? "[%.*s]:%.*s" : "%.*s:%.*s", STR_ARG(host), STR_ARG(port));
	return 0;
}

static int parse_tcp(struct redis_url *u, struct str rest, struct error *err)
{
	struct str authority = str_cut(&rest, '/');
	const char *at = authority.n ? memrchr(authority.p, '@', authority.n) : NULL;
	int r = 0;

	if (at)
		r = take_user(u, (struct str){authority.p, (size_t)(at - authority.p)}, err);
	if (r == 0 && at)
		authority = (struct str){at + 1, authority.n - (size_t)(at + 1 - authority.p)};
	/* A password with a reserved character in it would end up there. */
	if (r == 0 && rest.n && memchr(rest.p, '@', rest.n))
		r = refuse(err, "a / or @ in the password is written %2F or %40");
	if (r == 0)
		r = take_host(u, authority, err);
	if (r == 0 && take_database(rest, &u->database) < 0)
		r = refuse(err, "behind the host stands the number of a database, and nothing else");
	return r;
}

static int take_parameter(struct redis_url *u, struct str name, struct str value, struct error *err)
{
	int r = -EINVAL;

	if (str_is(name, "db"))
		r = take_database(value, &u->database);
	else if (str_is(name, "user"))
		r = decode(value, &u->user);
	else if (str_is(name, "password"))
		r = decode(value, &u->password);
	return r < 0 ? refuse(err, "the parameters of unix: are db, user and password") : 0;
}

static int parse_unix(struct redis_url *u, struct str rest, struct error *err)
{
	char *path = NULL;
	int r = 0;

	if (str_has_prefix(rest, STR("//")))
		rest = (struct str){rest.p + 2, rest.n - 2};

	struct str query = rest, file = str_cut(&query, '?');
	if (decode(file, &path) < 0 || !path || *path != '/')
		r = refuse(err, "behind unix: stands the absolute path of a socket");
	else
		u->address = xasprintf("unix:%s", path);
	free(path);
	while (r == 0 && query.n) {
		struct str value = str_cut(&query, '&'), name = str_cut(&value, '=');

		r = take_parameter(u, name, value, err);
	}
	return r == 0 && u->user && !u->password ? refuse(err, "the password is missing") : r;
}

static int parse(struct redis_url *u, struct str url, struct error *err)
{
	const struct str tcp = STR("redis://"), socket = STR("unix:"), tls = STR("rediss:");

	if (str_has_prefix(url, tls))
		return refuse(err, "there is no TLS (rediss:); use a private network, or a tunnel such as stunnel");
	if (str_has_prefix(url, tcp))
		return parse_tcp(u, (struct str){url.p + tcp.n, url.n - tcp.n}, err);
	if (str_has_prefix(url, socket))
		return parse_unix(u, (struct str){url.p + socket.n, url.n - socket.n}, err);
	return refuse(err, "it begins with redis:// or unix:/");
}

int redis_url_parse(const char *url, struct redis_url *ret, struct error *err)
{
	struct redis_url u = {0};
	int r = parse(&u, str_of(url), err);

	if (r < 0)
		redis_url_deinit(&u);
	else
		*ret = u;
	return r;
}

void redis_url_deinit(struct redis_url *u)
{
	if (u->password)
		explicit_bzero(u->password, strlen(u->password));
	free(u->address);
	free(u->user);
	free(u->password);
	*u = (struct redis_url){0};
}
