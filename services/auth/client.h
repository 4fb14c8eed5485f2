/* How the caller of a sign-in route is connected: web app or program, its address, its cookie. What the gateway says in
 * X-Forwarded-* is believed, as only the gateway reaches this service. */
#pragma once

#include "service/service.h"

#define CLIENT_ADDRESS_SIZE 64
#define CLIENT_AGENT_SIZE 256

struct client {
	bool is_web;   /* X-Ogent-Client: web: the refresh token travels in a cookie only */
	bool is_oauth; /* an OAuth client that acts for the user; never by client_read */
	bool is_https;
	char address[CLIENT_ADDRESS_SIZE]; /* an IPv6 one stands for its /64 */
	char user_agent[CLIENT_AGENT_SIZE];
};

void client_read(struct exchange *x, struct client *ret);
/* The session cookie's value in the arena, or NULL. */
const char *client_cookie(struct exchange *x, const struct client *client);
/* That of another cookie. */
const char *client_named_cookie(struct exchange *x, const char *cookie_name);
/* value NULL removes the cookie. */
void client_set_cookie(struct exchange *x, const struct client *client, const char *value, int64_t max_age_s);
/* Whether a browser says that another site made this request (Sec-Fetch-Site, Origin). */
bool client_is_cross_site(struct exchange *x);
/* Answers 403 for a request from another site; returns whether it did. */
bool client_refuse_cross_site(struct exchange *x);
