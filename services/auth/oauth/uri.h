/* URIs of OAuth clients (RFC 3986), read strictly: printable ASCII, a scheme in lower case, whole escapes. */
#pragma once

#include "base/error.h"
#include "base/str.h"

#define URI_MAX 1000

struct uri {
	struct str scheme, userinfo, host, port; /* p is NULL where the URI has none; an IPv6 host with its brackets */
	struct str path;                         /* with the query */
	bool has_fragment;
};

/* The views point into `s`. Returns 0 or -EINVAL. */
int uri_parse(struct str s, struct uri *ret);
/* 127.0.0.1, [::1] or localhost. */
bool uri_is_loopback(const struct uri *u);
/* https, or http to this machine; with a host, without user name and fragment. */
bool uri_is_web(const struct uri *u);

/* Whether a client may have its answers sent there: https; http on the user's own machine; or a scheme of a program's
 * own (RFC 8252 section 7.1). Returns 0 or -EINVAL with err. */
int redirect_uri_check(struct str s, struct error *err);
/* Equal byte by byte; on the user's own machine the port is free (RFC 8252 section 7.3). */
bool redirect_uri_matches(struct str registered, struct str given);
