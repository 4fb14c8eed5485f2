/* Which hosts a command may reach: names with ports. A name is compared label by label after it was brought into one
 * form; there are no other wildcards than a whole "*." in front and "*" alone. */
#pragma once

#include "base/error.h"
#include "base/str.h"

#define EGRESS_NAME_SIZE 254
#define EGRESS_RULES_MAX 64

struct egress_rule {
	char host[EGRESS_NAME_SIZE]; /* in its one form; "" = every host */
	bool is_below;               /* "*.example.org": names below it, not itself */
	uint16_t port;               /* 0 = 80 and 443 */
};

struct egress_rules {
	struct egress_rule items[EGRESS_RULES_MAX];
	size_t n;
};

/* Lower case, no dot at the end, labels of letters, digits, '-' and '_'; or an IP address as inet_ntop writes it (IPv6
 * with or without brackets). What could be read as an address in another form ("0x7f.1", "2130706433") is none of
 * these. Returns 0 or -EINVAL. */
int egress_name(struct str text, char ret[static EGRESS_NAME_SIZE]);
/* "example.org, *.example.org, files.example.org:8443, *:443", from `what` for errors. Returns 0 or -EINVAL. */
int egress_rules_parse(struct egress_rules *r, const char *text, const char *what, struct error *err);
/* One of them. Returns 0 or -EINVAL. */
int egress_rules_add(struct egress_rules *r, struct str item, const char *what, struct error *err);
/* host: in its one form. An address is allowed only by a rule that names it. */
bool egress_allows(const struct egress_rules *r, const char *host, uint16_t port);
/* Whether `r` allows everything that `asked` allows; the first that it does not in *ret_missing. */
bool egress_covers(const struct egress_rules *r, const struct egress_rules *asked,
		   const struct egress_rule **ret_missing);
/* "*.example.org:8443" */
void egress_rule_format(const struct egress_rule *rule, char *ret, size_t size);
