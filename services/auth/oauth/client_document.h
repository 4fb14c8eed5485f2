/* Clients whose id is the https address of a document that describes them
 * (draft-ietf-oauth-client-id-metadata-document). The document is read from public addresses only, in bounded size and
 * time, and kept for a few minutes. */
#pragma once

#include "io/outbound.h"
#include "oauth/client.h"

#define DOCUMENT_MAX 16384

struct client_documents;
struct client_documents *client_documents_new(void);
void client_documents_free(struct client_documents *d);

/* One reading; embedded in what lives until `done`, which comes once. */
struct document_reading {
	/* Filled by the caller. */
	struct arena *arena;
	const char *url;
	void (*done)(struct document_reading *d);

	/* For `done`. */
	bool is_good;
	struct client_metadata metadata;
	struct error err;

	/* Its own. */
	struct oauth *oauth;
	struct outbound_call call;
	struct buf body;
};

/* Whether the address may be a client's id: https, a host, a path, no user name, fragment or dot segments. */
bool document_url_is_fine(const char *url);
/* True: it was kept, and is in *ret. */
bool client_document_kept(struct oauth *o, struct arena *a, const char *url, struct client_metadata *ret);
/* Starts. Returns 0, or -EBUSY when too many are read already. */
int client_document_read(struct oauth *o, struct document_reading *d);
/* What the document says. Returns 0 or -EINVAL with err. */
int client_document_parse(struct arena *a, const char *url, struct str text, struct client_metadata *ret,
			  struct error *err);
