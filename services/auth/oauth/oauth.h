/* What the OAuth 2.1 and OpenID Connect side of auth shares: the provider for clients such as MCP programs (RFC 6749
 * with its successors: RFC 7636, 8707, 9207, 9728), and the client of other providers.
 *
 * authorize.c reads a client's request and seals it into the address of the consent page; consent.c shows it to the
 * user and makes a code of it; token.c turns codes and refresh tokens into tokens. A client's tokens belong to a
 * session of their own (oauth_grants), so that whatever ends sessions ends them too. */
#pragma once

#include "auth.h"
#include "base/networks.h"
#include "base/seal.h"
#include "oauth/form.h"
#include "oauth/scope.h"

#define OAUTH_BODY_MAX 16384
#define OAUTH_CODE_LIFE_S 60

struct outbound;

struct oauth {
	struct outbound *outbound;
	struct networks inner; /* addresses that documents of clients may come from although they are not public */
	bool may_register;     /* clients may register themselves */
	int64_t clients_max;
	struct throttle *registrations;     /* by address */
	struct seal_key key;                /* seals requests and the secrets of providers */
	struct client_documents *documents; /* client_document.c: those read a short time ago */
	unsigned n_fetching;                /* under way */
};

/* Loads secrets/auth-sso.key (made when missing). Returns 0, or -EINVAL with err. */
int oauth_open(struct auth *auth, struct error *err);
/* Cancels what is under way. */
void oauth_close(struct auth *auth);

/* The issuer's URL without a last slash; NULL after answering 404 that the platform has no address. */
const char *oauth_issuer(struct exchange *x);

/* An error as RFC 6749 section 5.2 has it: {error, error_description}. */
void oauth_error(struct exchange *x, int status, const char *error, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* Reads a form from the body, then calls `then` once with it; a body that is none is answered. A form with a repeated
 * name is refused. */
void oauth_read_form(struct exchange *x, void (*then)(struct exchange *x, const struct form *form));

/* `text` encrypted and authenticated (base/seal.h). In the arena. `purpose` is bound to it: what was sealed for one is
 * nothing for another. */
const char *oauth_seal(const struct oauth *o, struct arena *a, const char *purpose, struct str text);
/* Returns NULL for what was not sealed so. NUL-terminated; wiped with the arena. */
const char *oauth_unseal(const struct oauth *o, struct arena *a, const char *purpose, const char *sealed);

/* "http://host/mcp" or "…/api" for a resource that is asked for, also with one slash at its end; the platform's own
 * address stands for its API. NULL: not one of ours. In the arena. */
const char *oauth_resource(struct arena *a, const char *issuer, const char *asked);

/* Adds name=value to the query of a URI that is being written. */
void oauth_add_param(struct buf *uri, const char *name, const char *value);
