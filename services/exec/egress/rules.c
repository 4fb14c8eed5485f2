#include "egress/rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_address(const char *host)
{
	uint8_t ip[16];

	return inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1;
}

/* The one form of an address: what inet_ntop writes. */
static int address_name(struct str text, char ret[static EGRESS_NAME_SIZE])
{
	char copy[INET6_ADDRSTRLEN];
	uint8_t ip[16];
	int family;

	if (text.n >= 2 && text.p[0] == '[' && text.p[text.n - 1] == ']')
		text = (struct str){text.p + 1, text.n - 2};
	if (!text.n || text.n >= sizeof(copy) || memchr(text.p, '\0', text.n))
		return -EINVAL;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	family = memchr(text.p, ':', text.n) ? AF_INET6 : AF_INET;
	if (inet_pton(family, copy, ip) != 1)
		return -EINVAL;
	return inet_ntop(family, ip, ret, EGRESS_NAME_SIZE) ? 0 : -EINVAL;
}

static bool label_is_valid(struct str label)
{
	if (!label.n || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
		return false;
	for (size_t i = 0; i < label.n; i++) {
		char c = label.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
			return false;
	}
	return true;
}

int egress_name(struct str text, char ret[static EGRESS_NAME_SIZE])
{
	struct str rest, label = {0};

	if (!address_name(text, ret))
		return 0;
	if (text.n && text.p[text.n - 1] == '.')
		text.n--;
	if (!text.n || text.n >= EGRESS_NAME_SIZE)
		return -EINVAL;
	for (size_t i = 0; i < text.n; i++)
		ret[i] = text.p[i] >= 'A' && text.p[i] <= 'Z' ? (char)(text.p[i] | 0x20) : text.p[i];
	ret[text.n] = '\0';
	rest = (struct str){ret, text.n};
	while (rest.p) {
		label = str_cut(&rest, '.');
		if (!label_is_valid(label))
			return -EINVAL;
	}
	/* No top-level domain begins with a digit, but old forms of addresses end in such a part. */
	return label.p[0] >= '0' && label.p[0] <= '9' ? -EINVAL : 0;
}

/* What stands behind the last colon, unless that is within an IPv6 address. */
static int cut_port(struct str *text, uint16_t *ret)
{
	const char *colon = text->n ? memrchr(text->p, ':', text->n) : NULL;
	struct str port;
	uint64_t n;

	*ret = 0;
	if (!colon || memchr(colon, ']', text->n - (size_t)(colon - text->p)) ||
	    (text->p[0] != '[' && memchr(text->p, ':', (size_t)(colon - text->p))))
		return 0;
	port = (struct str){colon + 1, text->n - (size_t)(colon + 1 - text->p)};
	if (str_to_u64(port, 65535, &n) || n == 0)
		return -EINVAL;
	text->n = (size_t)(colon - text->p);
	*ret = (uint16_t)n;
	return 0;
}

static int parse_rule(struct str text, struct egress_rule *ret)
{
	*ret = (struct egress_rule){0};
	if (cut_port(&text, &ret->port))
		return -EINVAL;
	if (str_is(text, "*"))
		return 0;
	ret->is_below = str_has_prefix(text, STR("*."));
	if (ret->is_below)
		text = (struct str){text.p + 2, text.n - 2};
	if (egress_name(text, ret->host))
		return -EINVAL;
	return ret->is_below && is_address(ret->host) ? -EINVAL : 0;
}

int egress_rules_add(struct egress_rules *r, struct str item, const char *what, struct error *err)
{
	if (r->n == EGRESS_RULES_MAX)
		return error_set(err, "invalid_field", "%s: name at most %d hosts.", what, EGRESS_RULES_MAX);
	if (parse_rule(item, &r->items[r->n]))
		return error_set(err, "invalid_field",
				 "%s: \"%.*s\" is no host; write example.org, *.example.org or example.org:8443.", what,
				 (int)MIN(item.n, 100u), item.p);
	r->n++;
	return 0;
}

int egress_rules_parse(struct egress_rules *r, const char *text, const char *what, struct error *err)
{
	struct str rest = str_of(text);

	r->n = 0;
	while (rest.p) {
		struct str item = str_trim(str_cut(&rest, ','));

		if (item.n && egress_rules_add(r, item, what, err))
			return -EINVAL;
	}
	return 0;
}

static bool host_matches(const struct egress_rule *rule, const char *host)
{
	size_t n = strlen(host), m = strlen(rule->host);

	if (!m)
		return !is_address(host);
	if (!rule->is_below)
		return !strcmp(rule->host, host);
	return n > m + 1 && host[n - m - 1] == '.' && !strcmp(host + n - m, rule->host);
}

static bool port_matches(const struct egress_rule *rule, uint16_t port)
{
	return rule->port ? rule->port == port : port == 80 || port == 443;
}

bool egress_allows(const struct egress_rules *r, const char *host, uint16_t port)
{
	for (size_t i = 0; i < r->n; i++)
		if (host_matches(&r->items[i], host) && port_matches(&r->items[i], port))
			return true;
	return false;
}

/* Every name of `b` is one of `a`. */
static bool host_covers(const struct egress_rule *a, const struct egress_rule *b)
{
	if (!a->host[0])
		return !b->host[0] || !is_address(b->host);
	if (!b->host[0] || (b->is_below && !a->is_below))
		return false;
	return (b->is_below && !strcmp(a->host, b->host)) || host_matches(a, b->host);
}

static bool covers_port(const struct egress_rules *r, const struct egress_rule *asked, uint16_t port)
{
	for (size_t i = 0; i < r->n; i++)
		if (host_covers(&r->items[i], asked) && port_matches(&r->items[i], port))
			return true;
	return false;
}

bool egress_covers(const struct egress_rules *r, const struct egress_rules *asked,
		   const struct egress_rule **ret_missing)
{
	for (size_t i = 0; i < asked->n; i++) {
		const struct egress_rule *a = &asked->items[i];
		bool ok = a->port ? covers_port(r, a, a->port) : covers_port(r, a, 80) && covers_port(r, a, 443);

		*ret_missing = a;
		if (!ok)
			return false;
	}
	return true;
}

void egress_rule_format(const struct egress_rule *rule, char *ret, size_t size)
{
	const char *before = rule->is_below ? "*." : "", *host = rule->host[0] ? rule->host : "*";
	bool is_v6 = strchr(host, ':') != NULL;
	int n = snprintf(ret, size, "%s%s%s%s", before, is_v6 ? "[" : "", host, is_v6 ? "]" : "");

	if (rule->port && n > 0 && (size_t)n < size)
		snprintf(ret + n, size - (size_t)n, ":%u", rule->port);
}
