/* The address of a Redis server:
 *
 *	redis://[[USER:]PASSWORD@]HOST[:PORT][/DATABASE]
 *	unix:/PATH[?db=DATABASE&user=USER&password=PASSWORD]
 *
 * User and password are percent-decoded; [::1] is an IPv6 host; "redis://:PASSWORD@HOST" is the password alone, as in
 * other clients. The port is 6379 unless told. There is no TLS ("rediss:"): what goes over a foreign network needs a
 * tunnel. */
#pragma once

#include "base/error.h"
#include "base/str.h"

struct redis_url {
	char *address;         /* HOST:PORT or unix:PATH, as stream_connect wants it */
	char *user, *password; /* NULL when not given */
	unsigned database;
};

/* Returns 0 or -EINVAL; no message holds a part of the address that may be secret. */
int redis_url_parse(const char *url, struct redis_url *ret, struct error *err);
/* Overwrites the password. */
void redis_url_deinit(struct redis_url *u);
