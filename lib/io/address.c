#include "io/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <uv.h>

static int parse_unix(const char *path, struct address *ret)
{
	struct sockaddr_un un;

	if (!*path)
		return -EINVAL;
	if (strlen(path) >= sizeof(un.sun_path))
		return -ENAMETOOLONG;
	ret->is_unix = true;
	strcpy(ret->host, path);
	return 0;
}

int address_parse(const char *text, struct address *ret)
{
	const char *host = text, *colon = strrchr(text, ':');
	uint64_t port;
	size_t n;

	*ret = (struct address){0};
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, ret);
	if (!colon || str_to_u64(str_of(colon + 1), 65535, &port) != 0)
		return -EINVAL;
	n = (size_t)(colon - text);
	if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	} else if (memchr(host, ':', n)) {
		return -EINVAL; /* an IPv6 address without brackets */
	}
	if (n == 0 || n >= sizeof(ret->host))
		return -EINVAL;
	memcpy(ret->host, host, n);
	snprintf(ret->port, sizeof(ret->port), "%u", (unsigned)port);
	ret->is_numeric = uv_ip4_addr(ret->host, (int)port, (struct sockaddr_in *)&ret->ip) == 0 ||
			  uv_ip6_addr(ret->host, (int)port, (struct sockaddr_in6 *)&ret->ip) == 0;
	return 0;
}

void address_format(const struct sockaddr_storage *ip, char *ret, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "";

	if (ip->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ip;

		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(ret, size, "[%s]:%u", host, ntohs(in6->sin6_port));
	} else {
		const struct sockaddr_in *in = (const struct sockaddr_in *)ip;

		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(ret, size, "%s:%u", host, ntohs(in->sin_port));
	}
}
