/* APIs that people have described by OpenAPI documents, for their agents: rows of api_sources and api_operations. They
 * belong to a user and are shared by role as agents are (agent_shares.h). What proves who asks is stored sealed, under
 * the key of the models' keys, and never leaves the process but in requests to the API's own address. */
#pragma once

#include "agent/agent_shares.h"
#include "agent/apis/document.h"
#include "agent/handlers.h"

#define API_PERMISSION "apis.use"
#define API_PERMISSION_ANY "apis.use_any"
#define API_CREDENTIALS_MAX (32 * 1024)

struct api_source {
	const char *id, *owner_id, *slug, *name, *description;
	const char *url; /* of the document, or NULL */
	const char *document_version;
	const char *servers, *schemes; /* of api_document */
	const char *base_url;
	const char *credentials; /* sealed, or NULL */
	const char *credential_ends;
	const char *shares;
	int64_t version, read_at, created_at, updated_at;
};

/* Worker thread. 1 found, 0 none, or -errno; strings are in the arena. */
int api_source_find(struct db_conn *c, struct arena *a, const char *id, bool to_change, struct api_source *ret);
/* A set of enum agent_right. */
unsigned api_source_rights(const struct identity *who, const struct api_source *s);
/* The one of the request's path, with the right. 0, or what run is to return. */
int api_source_find_for(struct db_conn *c, struct answer *a, unsigned right, struct api_source *ret);
/* Answers with it, its operations and its ETag. Returns 0 or -errno. */
int api_source_answer(struct db_conn *c, struct answer *a, int status, const struct api_source *s);
/* Stores all but the id, the owner and when it was made. Returns 0 or -errno. */
int api_source_update(struct db_conn *c, struct api_source *s);
int api_source_insert(struct db_conn *c, const struct api_source *s);
/* Puts the document's operations in place of those that there are. Returns 0 or -errno. */
int api_operations_store(struct db_conn *c, const char *source_id, const struct api_document *doc);
/* Worker thread: all of a user's. Returns 0 or -errno. */
int api_sources_delete_user(struct db_conn *c, const char *user_id);

/* ---- On the loop's thread ---- */

/* Sets or takes away credentials as a client sends them: {scheme: {…} or null}; the others stay. Returns 0 or -EINVAL.
 */
int api_credentials_set(struct exchange *x, struct api_source *s, yyjson_val *credentials, struct error *err);
/* {scheme: …}, wiped with the arena. *ret is NULL when there are none. Returns 0, or -EINVAL: not with this key. */
int api_credentials_open(const struct agent *agent, struct arena *a, const struct api_source *s, yyjson_val **ret);
/* Whether an address may be an API's. Returns 0 or a negative number with err. */
int api_base_url_check(struct exchange *x, const char *url, struct error *err);
