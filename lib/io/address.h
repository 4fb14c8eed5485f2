/* Addresses as options and callers write them: "127.0.0.1:8420", "[::1]:0", "localhost:80", "unix:/path". */
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include "base/str.h"

struct address {
	bool is_unix;
	bool is_numeric;            /* `ip` is filled in, nothing to resolve */
	char host[256];             /* without brackets; the path of a Unix socket */
	char port[6];               /* decimal */
	struct sockaddr_storage ip; /* with is_numeric */
};

/* Returns 0, -EINVAL, or -ENAMETOOLONG for a socket path that the kernel cannot take. */
int address_parse(const char *text, struct address *ret);
/* "127.0.0.1:8420" or "[::1]:8420". */
void address_format(const struct sockaddr_storage *ip, char *ret, size_t size);
