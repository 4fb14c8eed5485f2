#include "base/option_value.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/un.h>

#include "base/networks.h"

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit ms_units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
static const struct unit byte_units[] = {
	{"", 1},         {"B", 1},         {"K", 1 << 10}, {"KB", 1 << 10}, {"KiB", 1 << 10}, {"M", 1 << 20},
	{"MB", 1 << 20}, {"MiB", 1 << 20}, {"G", 1 << 30}, {"GB", 1 << 30}, {"GiB", 1 << 30},
};

static int parse_scaled(const char *text, const struct unit *units, size_t n_units, int64_t *ret)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t n;

	if (str_to_u64((struct str){text, digits}, INT64_MAX, &n) < 0)
		return -EINVAL;
	for (size_t i = 0; i < n_units; i++)
		if (strcmp(text + digits, units[i].name) == 0)
			return __builtin_mul_overflow((int64_t)n, units[i].factor, ret) ? -ERANGE : 0;
	return -EINVAL;
}

static int parse_bool(const char *text, int64_t *ret)
{
	static const char *const words[] = {"0", "1", "false", "true", "no", "yes", "off", "on"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(text, words[i]) == 0) {
			*ret = i % 2;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_int(const char *text, int64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoll(text, &end, 10);
	return errno || end == text || *end || isspace((unsigned char)*text) ? -EINVAL : 0;
}

static bool is_one_of(struct str text, const char *choices)
{
	struct str rest = str_of(choices);

	while (rest.p)
		if (str_eq(str_cut(&rest, '|'), text))
			return true;
	return false;
}

static bool has_blanks(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
			return true;
	return false;
}

/* A name, an IPv4 address or an IPv6 address in brackets. */
static bool is_host(struct str host)
{
	char copy[INET6_ADDRSTRLEN];
	struct in6_addr v6;

	if (host.n && host.p[0] == '[') {
		if (host.n < 4 || host.p[host.n - 1] != ']' || host.n - 2 >= sizeof(copy))
			return false;
		memcpy(copy, host.p + 1, host.n - 2);
		copy[host.n - 2] = '\0';
		return inet_pton(AF_INET6, copy, &v6) == 1;
	}
	for (size_t i = 0; i < host.n; i++)
		if (!isalnum((unsigned char)host.p[i]) && !strchr("-._", host.p[i]))
			return false;
	return host.n > 0 && host.n <= 253;
}

/* HOST:PORT, and HOST alone when the port is not needed. */
static bool is_host_port(struct str s, bool needs_port)
{
	const char *colon = s.p ? memrchr(s.p, ':', s.n) : NULL;
	const char *bracket = s.p ? memrchr(s.p, ']', s.n) : NULL;
	uint64_t port;

	if (!colon || (bracket && bracket > colon))
		return !needs_port && is_host(s);
	size_t n = (size_t)(colon - s.p);
	return is_host((struct str){s.p, n}) && str_to_u64((struct str){colon + 1, s.n - n - 1}, 65535, &port) == 0;
}

/* unix:PATH or HOST:PORT. */
static bool is_address(struct str s)
{
	if (str_has_prefix(s, STR("unix:")))
		return s.n > 5 && s.n - 5 < sizeof(((struct sockaddr_un *)0)->sun_path);
	return is_host_port(s, true);
}

/* Behind the scheme. A name and a password have no place in an address of the web. */
static bool is_authority(struct str rest)
{
	size_t n = 0;

	while (n < rest.n && !strchr("/?#", rest.p[n]))
		n++;
	return is_host_port((struct str){rest.p, n}, false);
}

/* With one of the schemes, or, where there are none to choose from, also without, or a Unix socket. */
static bool is_url(struct str s, const char *schemes)
{
	const char *mark = s.p ? memmem(s.p, s.n, "://", 3) : NULL;

	if (has_blanks(s))
		return false;
	if (!schemes && str_has_prefix(s, STR("unix:")))
		return s.n > 5;
	if (!mark)
		return !schemes && is_authority(s);
	size_t n = (size_t)(mark - s.p);
	return is_one_of((struct str){s.p, n}, schemes ? schemes : "http|https") &&
	       is_authority((struct str){mark + 3, s.n - n - 3});
}

/* ssh://USER@HOST or ssh://USER@HOST:PORT; no password: targets are reached by key. */
static bool is_ssh(struct str s)
{
	struct str rest = s, user;

	if (!str_has_prefix(s, STR("ssh://")))
		return false;
	rest = (struct str){s.p + 6, s.n - 6};
	user = str_cut(&rest, '@');
	return rest.p && user.n && !has_blanks(user) && !memchr(user.p, ':', user.n) && is_host_port(rest, false);
}

/* One of them, or several with commas between; each may have NAME= in front. The names are the exec role's to judge. */
static bool are_ssh(struct str s)
{
	while (s.p) {
		struct str item = str_trim(str_cut(&s, ',')), url = item, name = str_cut(&url, '=');

		if (item.n && !is_ssh(url.p && name.n && !has_blanks(name) ? url : item))
			return false;
	}
	return true;
}

/* sqlite:PATH, or the scheme of a server and something behind it, which its driver reads. */
static bool is_database(struct str s, const char *schemes)
{
	struct str rest = s, scheme = str_cut(&rest, ':');

	if (!rest.p || !rest.n || !is_one_of(scheme, schemes))
		return false;
	if (str_is(scheme, "unix"))
		return rest.p[0] == '/';
	return str_is(scheme, "sqlite") || (str_has_prefix(rest, STR("//")) && rest.n > 2 && !has_blanks(rest));
}

static int yes_or_no(bool ok)
{
	return ok ? 0 : -EINVAL;
}

/* An option of text that is empty is unset. */
static int parse(const struct option_def *def, const char *text, int64_t *ret)
{
	struct str s = str_of(text);

	*ret = 0;
	switch (def->type) {
	case OPTION_INT: return parse_int(text, ret);
	case OPTION_BOOL: return parse_bool(text, ret);
	case OPTION_MS: return parse_scaled(text, ms_units, ARRAY_SIZE(ms_units), ret);
	case OPTION_BYTES: return parse_scaled(text, byte_units, ARRAY_SIZE(byte_units), ret);
	case OPTION_ADDRESS: return yes_or_no(!s.n || is_address(s));
	case OPTION_PEER:
		if (str_has_prefix(s, STR("http://")))
			return yes_or_no(is_host_port((struct str){s.p + 7, s.n - 7}, true));
		return yes_or_no(!s.n || is_address(s));
	case OPTION_URL: return yes_or_no(!s.n || is_url(s, def->one_of));
	case OPTION_SSH: return yes_or_no(!s.n || are_ssh(s));
	case OPTION_DATABASE: return yes_or_no(!s.n || is_database(s, def->one_of));
	case OPTION_NETWORKS: break; /* read whole, with its own words for what is wrong */
	case OPTION_STRING: return yes_or_no(!def->one_of || is_one_of(s, def->one_of));
	case OPTION_SECRET: break;
	}
	return 0;
}

static int say_wanted(const struct option_def *def, const char *place, const char *text, struct error *err)
{
	const char *wanted = "a text";

	if (strchr(text, '@'))
		text = "(not shown)"; /* somebody's password may stand before it */
	switch (def->type) {
	case OPTION_INT: wanted = "a whole number"; break;
	case OPTION_BOOL: wanted = "true or false"; break;
	case OPTION_MS: wanted = "a time with its unit, such as 500ms, 30s, 10m, 2h or 7d"; break;
	case OPTION_BYTES: wanted = "a size, such as 4096, 512K, 64M or 2G"; break;
	case OPTION_ADDRESS: wanted = "an address: HOST:PORT or unix:PATH"; break;
	case OPTION_PEER: wanted = "an address: HOST:PORT, http://HOST:PORT or unix:PATH"; break;
	case OPTION_URL: wanted = "a URL such as https://ogent.example.org, without name and password in it"; break;
	case OPTION_SSH:
		wanted = "a host such as ssh://USER@HOST or NAME=ssh://USER@HOST:PORT, or several with commas";
		break;
	case OPTION_DATABASE:
		return error_set(err, "option_invalid",
				 "%s: this is no address of a database: it begins with one of %s, such as "
				 "sqlite:/var/lib/ogent/db/ogent.db, SCHEME://USER:PASSWORD@HOST/DATABASE or "
				 "unix:/run/redis.sock",
				 place, def->one_of);
	case OPTION_NETWORKS:
	case OPTION_STRING:
	case OPTION_SECRET:
		return error_set(err, "option_invalid", "%s: \"%.80s\" is not one of %s", place, text, def->one_of);
	}
	return error_set(err, "option_invalid", "%s: \"%.80s\" is not %s", place, text, wanted);
}

int option_value_read(const struct option_def *def, const char *text, const char *place, int64_t *ret_number,
		      struct error *err)
{
	bool is_number = def->type == OPTION_INT || def->type == OPTION_MS || def->type == OPTION_BYTES;
	const char *unit = def->type == OPTION_MS ? " ms" : def->type == OPTION_BYTES ? " bytes" : "";
	struct networks networks;

	if (def->type == OPTION_NETWORKS) {
		*ret_number = 0;
		return networks_parse(&networks, text, place, err);
	}
	if (parse(def, text, ret_number) < 0)
		return say_wanted(def, place, text, err);
	if (is_number && *ret_number < def->min)
		return error_set(err, "option_invalid", "%s: %s is less than the least allowed, %lld%s", place, text,
				 (long long)def->min, unit);
	if (is_number && def->max && *ret_number > def->max)
		return error_set(err, "option_invalid", "%s: %s is more than the most allowed, %lld%s", place, text,
				 (long long)def->max, unit);
	return 0;
}

bool option_type_is_secret(enum option_type type)
{
	return type == OPTION_SECRET || type == OPTION_DATABASE;
}

const char *option_type_name(enum option_type type)
{
	static const char *const names[] = {"text",    "number", "yes or no", "time",     "size",     "secret",
					    "address", "peer",   "URL",       "database", "networks", "SSH host"};

	return names[type];
}
