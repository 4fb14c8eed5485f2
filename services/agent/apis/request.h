/* The request that a call of an API's operation is: arguments in their places, encoded as the document says (RFC 6570
 * in the forms of OpenAPI's `style` and `explode`), and what proves who asks.
 *
 * An argument cannot change where the request goes: what goes into the path or the query is percent-encoded, a part of
 * the path is never empty, "." or "..", and a field or cookie is one line. */
#pragma once

#include "base/json.h"

#define API_SECRETS_MAX 8

struct api_request {
	const char *method, *url;
	const char *const *headers; /* "Name: value", NULL at the end */
	struct str body;
	bool is_repeatable; /* once more does no harm */
	/* What must not come back in an answer, as it may stand there; NULL at the end. */
	const char *secrets[API_SECRETS_MAX + 1];
};

/* spec: of document.h; schemes: the document's; credentials: {scheme: {value} | {username, password}}, may be NULL;
 * key: of the call. In the arena. Returns 0, or -EINVAL with "argument_invalid" or "credentials_missing". */
int api_request_make(struct arena *a, yyjson_val *spec, const char *base_url, yyjson_val *arguments,
		     yyjson_val *schemes, yyjson_val *credentials, const char *key, struct api_request *ret,
		     struct error *err);
/* The method and the address without anything secret, for people. In the arena. */
const char *api_request_summary(struct arena *a, yyjson_val *spec, const char *base_url, yyjson_val *arguments);
/* Appends the text with every secret replaced by "[secret]". */
void api_request_redact(const struct api_request *r, struct str text, struct buf *out);
