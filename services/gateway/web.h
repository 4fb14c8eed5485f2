/* The web app's files as scripts/embed.py puts them into the program. */
#pragma once

#include "base/str.h"

struct web_file {
	const char *path; /* "/index.html" */
	const char *type;
	const char *hash; /* of the content, for the ETag */
	bool immutable;   /* the name changes with the content */
	struct str data;
	struct str br, gz; /* p == NULL: there is no such form */
};

/* In order of the path. None: the program was built without the web app. */
extern const struct web_file web_files[];
extern const size_t n_web_files;

/* docs/openapi.yaml as JSON. */
extern const struct str openapi_json;
extern const char openapi_hash[];

enum web_coding { WEB_PLAIN, WEB_GZIP, WEB_BROTLI };
/* The best form that the file has and the Accept-Encoding allows (RFC 9110 section 12.5.3; q=0 refuses). */
enum web_coding web_choose(const struct web_file *f, struct str accept_encoding);
/* The file of a path or, for a page of the app that has its address in the browser only, index.html; NULL = 404. */
const struct web_file *web_find(const struct web_file *files, size_t n, struct str path, struct str accept);
/* Whether an If-None-Match names the hash, in any coding's form. */
bool web_etag_matches(struct str if_none_match, const char *hash);
