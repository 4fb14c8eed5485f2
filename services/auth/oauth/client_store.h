/* A new row of oauth_clients, whoever makes it. */
#pragma once

#include "base/encode.h"
#include "base/id.h"
#include "oauth/client.h"

struct new_client {
	struct client_metadata metadata;
	const char *kind, *address, *created_by; /* created_by may be NULL */
	char id[ID_SIZE];
	char secret[64]; /* "" for a client without one */
	char secret_hash[SHA256_HEX_SIZE];
	int64_t created_at; /* us */
};

/* Fills in what the metadata, which is there, leave open: id, secret, auth_method. */
void new_client_init(struct new_client *n, const char *kind, const char *address, const char *created_by);
/* Inside a write job. 0 or -errno. */
int new_client_insert(struct db_conn *c, const struct new_client *n);
/* 201 with the client and, this once, its secret (RFC 7591 section 3.2.1). */
void new_client_reply(struct exchange *x, const struct new_client *n);
