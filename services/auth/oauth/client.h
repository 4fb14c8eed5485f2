/* OAuth clients: who they are, and how they prove it. */
#pragma once

#include "data/db.h"
#include "oauth/oauth.h"

#define CLIENT_ID_MAX 500
#define CLIENT_REDIRECTS_MAX 20
#define CLIENT_NAME_CHARS 100

struct oauth_client {
	const char *id, *name, *uri; /* uri may be NULL */
	const char *auth_method;     /* "none", "client_secret_basic", "client_secret_post" */
	const char *secret_hash;     /* NULL without a secret */
	const char *redirect_uris;   /* an array of JSON */
	bool is_managed;             /* made by an administrator */
};

/* Whether the id is the address of a document that describes the client. */
bool client_is_document(const char *id);
/* 1 found, 0 none, -errno. Strings live in the arena. */
int client_load(struct db_conn *c, struct arena *a, const char *id, struct oauth_client *ret);
/* Whether the client may have its answers sent there. */
bool client_has_redirect(const struct oauth_client *client, struct arena *a, const char *uri);
/* Whether nobody else can pose as this client: it has a secret, or its answers go to an address of its own (RFC 8252
 * section 8.6). Only then may a consent be remembered. */
bool client_is_proven(const struct oauth_client *client, const char *redirect_uri);

/* What a request to the token, revocation or introspection endpoint says about who makes it. */
struct client_claim {
	const char *id, *secret; /* secret NULL: there is none */
	const char *method;      /* as auth_method */
};

/* Reads Authorization: Basic, or client_id and client_secret of the form. Returns false after answering. */
bool client_claim_read(struct exchange *x, const struct form *form, struct client_claim *ret);
/* Inside a job: 1 and *ret is that client, 0 it is not who it says, -errno. A document client has no row, no name and
 * no secret. */
int client_claim_check(struct db_conn *c, struct arena *a, const struct client_claim *claim, struct oauth_client *ret);
/* 401 invalid_client. */
void client_refuse(struct exchange *x);

/* What clients say of themselves, in a registration, in a document or through an administrator (RFC 7591 section 2). */
struct client_metadata {
	const char *name, *uri, *auth_method;
	const char *redirect_uris; /* an array of JSON */
};
/* Returns 0, or -EINVAL with err, whose code is that of RFC 7591 section 3.2.2. In the arena. */
int client_metadata_read(struct arena *a, yyjson_val *obj, struct client_metadata *ret, struct error *err);
/* Adds the members of RFC 7591 section 3.2.1 that are known of a client. */
void client_metadata_add(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct client_metadata *m);
