#include "public_address.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "io/address.h"

static int try_to_bind(struct sockaddr_storage *ip)
{
	socklen_t size = sizeof(*ip);
	int fd = socket(ip->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	int r = 0;
	socklen_t length = ip->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	if (bind(fd, (struct sockaddr *)ip, length) < 0 || listen(fd, 1) < 0 ||
	    getsockname(fd, (struct sockaddr *)ip, &size) < 0)
		r = -errno;
	close(fd);
	return r;
}

static void explain(const char *listen, int failure, struct error *err)
{
	switch (failure) {
	case -EADDRINUSE:
		error_set(err, "address_in_use",
			  "another program listens on %s: stop it, or choose another port with --listen, "
			  "such as --listen 127.0.0.1:0 for any free one",
			  listen);
		break;
	case -EADDRNOTAVAIL:
		error_set(err, "address_unknown", "this machine has no address %s: choose another with --listen",
			  listen);
		break;
	case -EACCES:
		error_set(err, "address_denied",
			  "listening on %s is not allowed: choose a port of 1024 or more with --listen", listen);
		break;
	default: error_set(err, "address_invalid", "listening on %s fails: %s", listen, strerror(-failure));
	}
}

char *public_address_settle(const char *listen, unsigned wait_ms, struct error *err)
{
	struct address address;
	char text[80];

	if (address_parse(listen, &address) < 0) {
		error_set(err, "address_invalid",
			  "\"%s\" is not an address to listen on: write ADDRESS:PORT, such as "
			  "127.0.0.1:8420",
			  listen);
		return NULL;
	}
	if (address.is_unix || !address.is_numeric)
		return xstrdup(listen);
	int r = try_to_bind(&address.ip);
	for (unsigned waited = 0; r == -EADDRINUSE && waited < wait_ms; waited += 10) {
		usleep(10000);
		r = try_to_bind(&address.ip);
	}
	if (r < 0) {
		explain(listen, r, err);
		return NULL;
	}
	address_format(&address.ip, text, sizeof(text));
	return xstrdup(text);
}

char *public_address_reachable(const char *listen)
{
	struct str s = str_of(listen);

	if (str_has_prefix(s, STR("0.0.0.0:")))
		return xasprintf("127.0.0.1:%s", listen + 8);
	if (str_has_prefix(s, STR("[::]:")))
		return xasprintf("[::1]:%s", listen + 5);
	return xstrdup(listen);
}
