/* An OpenAPI document (3.0 or 3.1, JSON or YAML) as operations that can be tools. Each is read for itself: one that
 * cannot be called says why, and the others can. */
#pragma once

#include "base/json.h"

/* Bytes of a document. */
#define API_DOCUMENT_MAX (5 * 1024 * 1024)
#define API_OPERATIONS_MAX 1000
/* Bytes of an operation's name; with a source's slug in front of it it is a tool's. */
#define API_NAME_MAX 43
#define API_SLUG_MAX 20

struct api_operation {
	const char *name; /* letters, digits, _ and -; its own in the document */
	const char *method, *path, *summary;
	const char *problem; /* why it cannot be called, or NULL */
	/* Without a problem an object, which request.h makes requests of:
	 *   method, path, description
	 *   parameters   the tool's JSON Schema: one object of all that can be said
	 *   params       [{arg, name, in, style, explode, reserved, json}]: which of it goes where
	 *   body         {type, kind: json|form|text, required, arg or members: [{arg, name, style, explode}]}, or
	 * absent security     [[names of schemes]]: alternatives, each a list of those needed together key_header   the
	 * field that makes a repeated request harmless, or absent */
	struct str spec;
};

/* In the arena. */
struct api_document {
	const char *title, *description, *version;
	const char *servers; /* JSON: [{url, description, variables: {name: {default, enum, description}}}] */
	const char *schemes; /* JSON: {name: {type: api_key|bearer|basic, in, parameter, description}} */
	struct api_operation *operations;
	size_t n_operations;
};

/* Returns 0, or -EINVAL with what is wrong. Bounded work. Any thread. */
int api_document_read(struct arena *a, struct str text, struct api_document *ret, struct error *err);

/* The address that a server's URL with {variables} means; `values` (may be NULL) has those that are not the default.
 * `from` (may be NULL) is where the document was read, for one that is relative. Without slashes at its end. In the
 * arena, or NULL with err. */
const char *api_server_url(struct arena *a, yyjson_val *server, yyjson_val *values, const char *from,
			   struct error *err);
/* "https://host:port" of an address. */
struct str api_origin(const char *url);

/* operation.c: one operation of a path, whose name, method and path are set; sets problem or spec. */
struct schema_reader;
void api_operation_read(struct arena *a, struct schema_reader *r, yyjson_val *path_item, yyjson_val *operation,
			yyjson_val *schemes, struct api_operation *ret);
