/* Signing in by other providers (OpenID Connect): authorization code with PKCE, state and nonce.
 *
 * start.c sends the browser to the provider and keeps what the answer must fit in a sealed cookie (flow.h); callback.c
 * takes the answer, turns its code into an ID token, checks that (id_token.h) and signs the user in, links the identity
 * to who is signed in, or makes that session fresh. providers.c is the administrator's list, identities.c the user's
 * own. What a provider says of itself and its keys are read by site.c. */
#pragma once

#include "auth.h"
#include "base/list.h"

#define PROVIDERS_MAX 32

struct sso;

/* A row of identity_providers. Strings live in the arena. */
struct provider {
	const char *id, *name, *label, *issuer, *client_id;
	const char *secret; /* sealed; NULL: a public client */
	const char *auth_method, *scopes, *default_role;
	const char *domains; /* an array of JSON */
	bool is_enabled, may_sign_up, trusts_second_factor;
	int64_t created_at, updated_at;
};

/* Returns 0, or -EINVAL with err. */
int sso_open(struct auth *auth, struct error *err);
void sso_close(struct auth *auth);

/* Inside a job. 1 found, 0 none, -errno. By its name. */
int provider_load(struct db_conn *c, struct arena *a, const char *name, struct provider *ret);
/* Reads the row of a query over PROVIDER_COLUMNS. */
#define PROVIDER_COLUMNS                                                                                    \
	"id, name, label, issuer, client_id, secret, auth_method, scopes, default_role, domains, enabled, " \
	"sign_up, trusts_second_factor, created_at, updated_at"
void provider_read(struct db_stmt *st, struct arena *a, struct provider *ret);
/* Where its answers go: PUBLIC_URL/sso/NAME/callback, a page of the web app. In the arena. */
const char *provider_redirect_uri(struct arena *a, const char *public_url, const char *name);
/* An issuer or an endpoint of one: https, or http to this machine, without query and fragment when it is an issuer. */
bool provider_url_is_fine(const char *url, bool is_issuer);

/* ---- What a user is at providers (identities.c) ---- */

/* The key: never the e-mail address. */
void identity_hash(const char *issuer, const char *subject, char ret[static 65]);
struct identity_at {
	const char *id, *user_id;
};
/* Inside a job. 1, 0 or -errno. */
int identity_find(struct db_conn *c, struct arena *a, const char *issuer, const char *subject, struct identity_at *ret);
/* Inside a write job. 0, -EEXIST or -errno. */
int identity_add(struct db_conn *c, const struct provider *p, const char *user_id, const char *subject,
		 const char *email);
/* Inside a write job: those of a user who is being deleted. 0 or -errno. */
int identities_forget_user(struct db_conn *c, const char *user_id);
