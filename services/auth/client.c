#include "client.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/networks.h"
#include "base/utf8.h"

static struct str header(struct exchange *x, const char *name)
{
	return http_header_get(&x->req->headers, name);
}

/* The last element: what the gateway itself saw. */
static struct str last_of_list(struct str list)
{
	struct str item = {0};

	while (list.p)
		item = str_cut(&list, ',');
	return str_trim(item);
}

static void read_address(struct exchange *x, char ret[static CLIENT_ADDRESS_SIZE])
{
	struct str forwarded = last_of_list(header(x, "x-forwarded-for"));
	struct in6_addr v6;
	char text[CLIENT_ADDRESS_SIZE] = "unix";

	if (forwarded.n)
		snprintf(text, sizeof(text), "%.*s", STR_ARG(forwarded));
	else if (x->req->peer)
		ip_write(x->req->peer, text);
	if (inet_pton(AF_INET6, text, &v6) == 1 && !IN6_IS_ADDR_V4MAPPED(&v6)) {
		memset(&v6.s6_addr[8], 0, 8);
		inet_ntop(AF_INET6, &v6, text, sizeof(text));
	}
	snprintf(ret, CLIENT_ADDRESS_SIZE, "%s", text);
}

void client_read(struct exchange *x, struct client *ret)
{
	struct str agent = header(x, "user-agent");
	struct utf8_carry carry = {0};
	struct buf clean = BUF_INIT;

	*ret = (struct client){
		.is_web = str_is(header(x, "x-ogent-client"), "web"),
		.is_https = str_is(last_of_list(header(x, "x-forwarded-proto")), "https"),
	};
	read_address(x, ret->address);
	agent.n = MIN(agent.n, 80u); /* each byte may become the three of U+FFFD */
	utf8_clean(&carry, agent.p, agent.n, true, &clean);
	snprintf(ret->user_agent, sizeof(ret->user_agent), "%.*s", STR_ARG(buf_str(&clean)));
	buf_deinit(&clean);
}

static const char *cookie_name(const struct client *client)
{
	return client->is_https ? "__Host-ogent_session" : "ogent_session";
}

const char *client_named_cookie(struct exchange *x, const char *wanted)
{
	struct str rest = header(x, "cookie"), item, name;

	while (rest.p) {
		item = str_cut(&rest, ';');
		name = str_trim(str_cut(&item, '='));
		if (item.p && str_is(name, wanted))
			return arena_strndup(x->arena, str_trim(item).p, str_trim(item).n);
	}
	return NULL;
}

const char *client_cookie(struct exchange *x, const struct client *client)
{
	return client_named_cookie(x, cookie_name(client));
}

void client_set_cookie(struct exchange *x, const struct client *client, const char *value, int64_t max_age_s)
{
	reply_header_add(x, "Set-Cookie",
			 arena_printf(x->arena, "%s=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%" PRId64 "%s",
				      cookie_name(client), value ? value : "", value ? max_age_s : 0,
				      client->is_https ? "; Secure" : ""));
}

/* "https://host:port" has the authority behind "://". */
static struct str origin_authority(struct str origin)
{
	const char *p = origin.n > 3 ? memmem(origin.p, origin.n, "://", 3) : NULL;

	if (!p)
		return (struct str){0};
	p += 3;
	return (struct str){p, origin.n - (p - origin.p)};
}

bool client_is_cross_site(struct exchange *x)
{
	struct str site = header(x, "sec-fetch-site"), origin = header(x, "origin"),
		   host = last_of_list(header(x, "x-forwarded-host"));

	if (str_is(site, "cross-site"))
		return true;
	if (!origin.p)
		return false;
	if (host.n == 0)
		host = header(x, "host");
	return host.n == 0 || !str_ieq(origin_authority(origin), host);
}

bool client_refuse_cross_site(struct exchange *x)
{
	if (!client_is_cross_site(x))
		return false;
	reply_problem(x, 403, "cross_site", "This request comes from another site; open Ogent's own address.");
	return true;
}
