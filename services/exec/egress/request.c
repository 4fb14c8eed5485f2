#include "egress/request.h"

#include <errno.h>
#include <string.h>

#include "io/http.h"

/* host[:port] of a target; the port is `fallback` without one, 0 = it must be there. */
static int parse_authority(struct str text, uint16_t fallback, struct egress_request *ret)
{
	const char *colon = text.n ? memrchr(text.p, ':', text.n) : NULL;
	uint64_t port = fallback;

	if (colon && memchr(colon, ']', text.n - (size_t)(colon - text.p)))
		colon = NULL;
	if (colon) {
		struct str digits = {colon + 1, text.n - (size_t)(colon + 1 - text.p)};

		if (str_to_u64(digits, 65535, &port))
			return -EINVAL;
		text.n = (size_t)(colon - text.p);
	}
	if (port == 0 || egress_name(text, ret->host))
		return -EINVAL;
	ret->port = (uint16_t)port;
	return 0;
}

/* Only what may stand in a head: no NUL, no bare CR or LF, no folded lines. */
static bool line_is_clean(struct str line)
{
	for (size_t i = 0; i < line.n; i++) {
		unsigned char c = (unsigned char)line.p[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* The next line without its end; false when the rest has none that is right. */
static bool take_line(struct str *rest, struct str *ret)
{
	const char *lf = memchr(rest->p, '\n', rest->n);

	if (!lf || lf == rest->p || lf[-1] != '\r')
		return false;
	*ret = (struct str){rest->p, (size_t)(lf - 1 - rest->p)};
	*rest = (struct str){lf + 1, rest->n - (size_t)(lf + 1 - rest->p)};
	return line_is_clean(*ret);
}

/* http://authority/path?query → the authority, and what the host is asked for. */
static int split_absolute(struct str target, struct str *authority, struct str *rest)
{
	static const struct str scheme = STR("http://");
	size_t n = 0;

	if (target.n <= scheme.n || !str_ieq((struct str){target.p, scheme.n}, scheme))
		return -EPROTO;
	*rest = (struct str){target.p + scheme.n, target.n - scheme.n};
	while (n < rest->n && !memchr("/?#", rest->p[n], 3))
		n++;
	*authority = (struct str){rest->p, n};
	*rest = (struct str){rest->p + n, rest->n - n};
	return memchr(rest->p, '#', rest->n) || memchr(authority->p, '@', n) ? -EINVAL : 0;
}

static int request_line(struct str line, struct egress_request *ret)
{
	struct str method = str_cut(&line, ' '), target = str_cut(&line, ' '), authority, path;
	int r;

	if (!http_is_token(method) || !target.n || (!str_is(line, "HTTP/1.1") && !str_is(line, "HTTP/1.0")))
		return -EBADMSG;
	ret->is_connect = str_is(method, "CONNECT");
	if (ret->is_connect)
		return parse_authority(target, 0, ret);
	r = split_absolute(target, &authority, &path);
	if (!r)
		r = parse_authority(authority, 80, ret);
	if (r)
		return r;
	buf_printf(&ret->head, "%.*s %s%.*s %.*s\r\nHost: %.*s\r\nConnection: close\r\n", STR_ARG(method),
		   path.n && path.p[0] == '/' ? "" : "/", STR_ARG(path), STR_ARG(line), STR_ARG(authority));
	return 0;
}

/* What is between the client and this proxy, or is said anew. */
static bool is_ours(struct str name)
{
	static const struct str names[] = {STR("Host"),
					   STR("Connection"),
					   STR("Keep-Alive"),
					   STR("Proxy-Connection"),
					   STR("Proxy-Authorization"),
					   STR("Upgrade")};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_ieq(name, names[i]))
			return true;
	return false;
}

/* Two lengths of one body are understood in two ways. */
static bool is_second_length(struct str name, bool *has_length)
{
	bool is_length = str_ieq(name, STR("Content-Length")) || str_ieq(name, STR("Transfer-Encoding"));
	bool is_second = is_length && *has_length;

	*has_length |= is_length;
	return is_second;
}

static int fields(struct str rest, struct egress_request *ret)
{
	bool has_length = false;
	struct str line;

	while (take_line(&rest, &line)) {
		struct str value = line, name = str_cut(&value, ':');

		if (!line.n) {
			if (!ret->is_connect)
				buf_add_str(&ret->head, "\r\n");
			return 0;
		}
		if (!value.p || !http_is_token(name) || is_second_length(name, &has_length))
			return -EBADMSG;
		if (!ret->is_connect && !is_ours(name)) {
			buf_add(&ret->head, line.p, line.n);
			buf_add_str(&ret->head, "\r\n");
		}
	}
	return -EBADMSG;
}

int egress_request_parse(struct str data, struct egress_request *ret)
{
	const char *end = data.n ? memmem(data.p, MIN(data.n, (size_t)EGRESS_HEAD_MAX), "\r\n\r\n", 4) : NULL;
	struct str rest, line;
	int r = -EBADMSG;

	*ret = (struct egress_request){.head = BUF_INIT};
	if (!end)
		return data.n >= EGRESS_HEAD_MAX ? -EMSGSIZE : -EAGAIN;
	ret->head_n = (size_t)(end + 4 - data.p);
	rest = (struct str){data.p, ret->head_n};
	if (take_line(&rest, &line))
		r = request_line(line, ret);
	if (!r)
		r = fields(rest, ret);
	if (r)
		buf_deinit(&ret->head);
	return r;
}
