#include "data/mysql_url.h"

#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/encode.h"

#define DEFAULT_PORT 3306

static int refuse(struct error *err, const char *what)
{
	return error_set(err, "db_url",
			 "the database address is not of the form "
			 "mysql://user:password@host:3306/database?ssl=verify-full&ssl_ca=/path: %s",
			 what);
}

static int decode(struct str s, char **ret)
{
	struct buf text = BUF_INIT;
	int r = percent_decode(s, false, &text);

	if (r == 0)
		*ret = s.n ? buf_steal(&text, NULL) : NULL;
	if (text.p)
		explicit_bzero(text.p, text.cap);
	buf_deinit(&text);
	return r;
}

static int take_number(struct str s, unsigned *ret)
{
	uint64_t n;
	int r = str_to_u64(s, 86400, &n);

	if (r == 0 && n == 0)
		r = -EINVAL;
	if (r == 0)
		*ret = (unsigned)n;
	return r;
}

static int take_tls(struct str s, enum mysql_tls *ret)
{
	static const char *const names[] = {"prefer", "disable", "require", "verify-ca", "verify-full"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (str_is(s, names[i])) {
			*ret = (enum mysql_tls)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int take_path(struct str s, char **ret)
{
	free(*ret);
	*ret = NULL;
	return decode(s, ret) < 0 || !*ret || **ret != '/' ? -EINVAL : 0;
}

static int take_parameter(struct mysql_url *u, struct str name, struct str value, struct error *err)
{
	if (str_is(name, "ssl"))
		return take_tls(value, &u->tls) < 0
			       ? refuse(err, "ssl is one of disable, prefer, require, verify-ca and verify-full")
			       : 0;
	if (str_is(name, "ssl_ca"))
		return take_path(value, &u->ssl_ca) < 0 ? refuse(err, "ssl_ca is the absolute path of a file") : 0;
	if (str_is(name, "socket"))
		return take_path(value, &u->socket) < 0 ? refuse(err, "socket is the absolute path of a socket") : 0;
	if (str_is(name, "connect_timeout"))
		return take_number(value, &u->connect_s) < 0 ? refuse(err, "connect_timeout is in seconds") : 0;
	if (str_is(name, "statement_timeout"))
		return take_number(value, &u->statement_s) < 0 ? refuse(err, "statement_timeout is in seconds") : 0;
	return refuse(err, "the parameters are ssl, ssl_ca, socket, connect_timeout and statement_timeout");
}

/* "host", "host:3306", "[::1]:3306" or nothing. */
static int take_host(struct mysql_url *u, struct str s, struct error *err)
{
	struct str port = {0};
	uint64_t n = DEFAULT_PORT;

	if (s.n && s.p[0] == '[') {
		s.p++;
		s.n--;
		port = s;
		s = str_cut(&port, ']');
		if (!port.p || (port.n && port.p[0] != ':'))
			return refuse(err, "an IPv6 address stands in [ ]");
		port = port.n ? (struct str){port.p + 1, port.n - 1} : (struct str){0};
	} else {
		port = s;
		s = str_cut(&port, ':');
	}
	if (port.p && (str_to_u64(port, 65535, &n) < 0 || n == 0))
		return refuse(err, "the port is a number up to 65535 (a / @ : or ? in the password is written %2F "
				   "%40 %3A %3F)");
	u->port = (unsigned)n;
	return decode(s, &u->host) < 0 ? refuse(err, "the host is not readable") : 0;
}

/* "user:password" in front of the last @. */
static int take_user(struct mysql_url *u, struct str s, struct error *err)
{
	struct str rest = s, user = str_cut(&rest, ':');

	if (decode(user, &u->user) < 0 || !u->user || decode(rest, &u->password) < 0)
		return refuse(err, "user and password are percent-encoded UTF-8, and the user is not empty");
	return 0;
}

static int take_authority(struct mysql_url *u, struct str s, struct error *err)
{
	const char *at = memrchr(s.p, '@', s.n);

	if (!at)
		return refuse(err, "the user is missing");
	int r = take_user(u, (struct str){s.p, (size_t)(at - s.p)}, err);
	return r < 0 ? r : take_host(u, (struct str){at + 1, s.n - (size_t)(at + 1 - s.p)}, err);
}

static int parse(struct mysql_url *u, const char *url, struct error *err)
{
	const char *start = strstr(url, "://");

	if (!start)
		return refuse(err, "it begins with mysql://");
	struct str query = str_of(start + 3), rest = str_cut(&query, '?'), authority = str_cut(&rest, '/');
	int r = take_authority(u, authority, err);

	/* A password with a reserved character in it would end up in the name. */
	if (r == 0 && rest.n && memchr(rest.p, '@', rest.n))
		r = refuse(err, "a / or @ in the password is written %2F or %40");
	if (r == 0 && (decode(rest, &u->database) < 0 || !u->database || strchr(u->database, '/')))
		r = refuse(err, "the name of the database stands behind the host");
	while (r == 0 && query.n) {
		struct str value = str_cut(&query, '&'), name = str_cut(&value, '=');

		r = take_parameter(u, name, value, err);
	}
	if (r == 0 && !u->host && !u->socket)
		r = refuse(err, "the host is missing");
	if (r == 0 && u->tls == MYSQL_TLS_VERIFY_CA && !u->ssl_ca)
		r = refuse(err, "ssl=verify-ca needs ssl_ca");
	return r;
}

int mysql_url_parse(const char *url, struct mysql_url *ret, struct error *err)
{
	struct mysql_url u = {.connect_s = 10, .statement_s = 30};
	int r = parse(&u, url, err);

	if (r < 0)
		mysql_url_deinit(&u);
	else
		*ret = u;
	return r;
}

void mysql_url_deinit(struct mysql_url *u)
{
	if (u->password)
		explicit_bzero(u->password, strlen(u->password));
	free(u->user);
	free(u->password);
	free(u->host);
	free(u->database);
	free(u->socket);
	free(u->ssl_ca);
	*u = (struct mysql_url){0};
}
