#include "oauth/uri.h"

#include <errno.h>

#include "base/util.h"

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool has_only_fine_bytes(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("\"<>\\^`{|}", s.p[i]))
			return false;
		if (s.p[i] == '%' && (s.n - i < 3 || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2])))
			return false;
	}
	return true;
}

/* Moves `s` behind the colon. */
static bool cut_scheme(struct str *s, struct str *ret)
{
	size_t n = 0;

	while (n < s->n && (is_lower(s->p[n]) || (n && (is_digit(s->p[n]) || strchr("+-.", s->p[n])))))
		n++;
	if (n == 0 || n == s->n || s->p[n] != ':')
		return false;
	*ret = (struct str){s->p, n};
	*s = (struct str){s->p + n + 1, s->n - n - 1};
	return true;
}

static bool is_port(struct str s)
{
	uint64_t n;

	return s.n <= 5 && str_to_u64(s, 65535, &n) == 0 && n > 0;
}

static bool read_authority(struct str s, struct uri *ret)
{
	const char *at = s.n ? memrchr(s.p, '@', s.n) : NULL, *end, *colon;

	if (at) {
		ret->userinfo = (struct str){s.p, (size_t)(at - s.p)};
		s = (struct str){at + 1, s.n - ret->userinfo.n - 1};
	}
	end = s.n && s.p[0] == '[' ? memchr(s.p, ']', s.n) : NULL;
	if (s.n && s.p[0] == '[' && !end)
		return false;
	colon = s.n == 0 ? NULL : end ? memchr(end, ':', s.n - (size_t)(end - s.p)) : memchr(s.p, ':', s.n);
	ret->host = (struct str){s.p, colon ? (size_t)(colon - s.p) : s.n};
	if (end && ret->host.p + ret->host.n != end + 1)
		return false;
	if (!colon)
		return true;
	ret->port = (struct str){colon + 1, s.n - ret->host.n - 1};
	return is_port(ret->port);
}

static size_t authority_length(struct str s)
{
	size_t n = 0;

	while (n < s.n && !strchr("/?#", s.p[n]))
		n++;
	return n;
}

int uri_parse(struct str s, struct uri *ret)
{
	struct uri u = {0};
	size_t n;

	if (s.n == 0 || s.n > URI_MAX || !has_only_fine_bytes(s) || !cut_scheme(&s, &u.scheme))
		return -EINVAL;
	if (str_has_prefix(s, STR("//"))) {
		s = (struct str){s.p + 2, s.n - 2};
		n = authority_length(s);
		if (!read_authority((struct str){s.p, n}, &u))
			return -EINVAL;
		s = (struct str){s.p + n, s.n - n};
	}
	u.has_fragment = s.n && memchr(s.p, '#', s.n);
	u.path = s;
	*ret = u;
	return 0;
}

bool uri_is_loopback(const struct uri *u)
{
	return str_is(u->host, "127.0.0.1") || str_is(u->host, "[::1]") || str_is(u->host, "localhost");
}

bool uri_is_web(const struct uri *u)
{
	if (u->host.n == 0 || u->userinfo.p || u->has_fragment)
		return false;
	return str_is(u->scheme, "https") || (str_is(u->scheme, "http") && uri_is_loopback(u));
}

/* Those that browsers give a meaning of their own. */
static bool is_dangerous(struct str scheme)
{
	static const char *const names[] = {"javascript", "data", "vbscript",    "file", "blob",       "about",
					    "ws",         "wss",  "ftp",         "http", "filesystem", "intent",
					    "mailto",     "tel",  "view-source", "sms",  "chrome"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_is(scheme, names[i]))
			return true;
	return false;
}

/* Dot segments would lead elsewhere than they say. */
static bool has_dots(struct str path)
{
	struct str rest = {path.p, path.n}, segment;
	const char *query = path.n ? memchr(path.p, '?', path.n) : NULL;

	if (query)
		rest.n = (size_t)(query - path.p);
	while (rest.n > 0) {
		segment = str_cut(&rest, '/');
		if (str_is(segment, ".") || str_is(segment, ".."))
			return true;
	}
	return false;
}

int redirect_uri_check(struct str s, struct error *err)
{
	struct uri u;

	if (uri_parse(s, &u) < 0)
		return error_set(err, "invalid_redirect_uri",
				 "A redirect URI is an absolute URI of at most %d printable characters.", URI_MAX);
	if (u.has_fragment || u.userinfo.p || has_dots(u.path))
		return error_set(err, "invalid_redirect_uri",
				 "A redirect URI has no fragment, no user name and no dot segments.");
	if (uri_is_web(&u))
		return 0;
	if (str_is(u.scheme, "https") || is_dangerous(u.scheme))
		return error_set(err, "invalid_redirect_uri",
				 "A redirect URI is https, or http to 127.0.0.1, [::1] or localhost, or has a "
				 "scheme of the program's own.");
	if (u.host.p == NULL && (u.path.n == 0 || u.path.p[0] != '/'))
		return error_set(err, "invalid_redirect_uri", "Behind the scheme of a program's own comes a slash.");
	return 0;
}

bool redirect_uri_matches(struct str registered, struct str given)
{
	struct uri r, g;

	if (str_eq(registered, given))
		return true;
	if (uri_parse(registered, &r) < 0 || uri_parse(given, &g) < 0)
		return false;
	return str_is(r.scheme, "http") && str_is(g.scheme, "http") && uri_is_loopback(&r) && !g.userinfo.p &&
	       !r.userinfo.p && str_eq(r.host, g.host) && str_eq(r.path, g.path);
}
