/* What the HTTP/1.1 server and client share (RFC 9110, RFC 9112). */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

enum http_method {
	HTTP_DELETE_ = 1,
	HTTP_GET_,
	HTTP_HEAD_,
	HTTP_POST_,
	HTTP_PUT_,
	HTTP_PATCH_,
	HTTP_OPTIONS_,
};
#define HTTP_METHODS 8
const char *http_method_name(enum http_method m);

/* Fields that framing, proxying and the gate look for: recognised once, when they are added. To look for another one,
 * add it here and in http_field.c. */
enum http_field {
	FIELD_OTHER,
	FIELD_ACCEPT,
	FIELD_AUTHORIZATION,
	FIELD_CONNECTION,
	FIELD_CONTENT_LENGTH,
	FIELD_CONTENT_TYPE,
	FIELD_COOKIE,
	FIELD_DATE,
	FIELD_EXPECT,
	FIELD_FORWARDED,
	FIELD_HOST,
	FIELD_HTTP2_SETTINGS,
	FIELD_KEEP_ALIVE,
	FIELD_ORIGIN,
	FIELD_PROXY_AUTHENTICATE,
	FIELD_PROXY_AUTHORIZATION,
	FIELD_PROXY_CONNECTION,
	FIELD_RATELIMIT,
	FIELD_RATELIMIT_POLICY,
	FIELD_SERVER,
	FIELD_TE,
	FIELD_TRACEPARENT,
	FIELD_TRAILER,
	FIELD_TRANSFER_ENCODING,
	FIELD_UPGRADE,
	FIELD_X_FORWARDED_FOR,
	FIELD_X_OGENT_SERVICE,
	FIELD_X_POWERED_BY,
	FIELD_X_REAL_IP,
	FIELD_X_REQUEST_ID,
	HTTP_FIELDS
};
#define FIELD_BIT(field) (UINT64_C(1) << (field))

enum http_field http_field_find(struct str name);
/* The line of a head: name, colon, value and CRLF, as they are. */
void http_field_write(struct buf *out, struct str name, struct str value);

struct http_header {
	struct str name, value;
	enum http_field field; /* filled in by http_header_put and _add */
};

struct http_headers {
	struct http_header *items;
	size_t n, cap;
	struct arena *arena;
	uint64_t repeated;       /* FIELD_BIT of each known field that is there more than once */
	uint8_t at[HTTP_FIELDS]; /* the place of the first one, counted from 1; 0 = not there, or behind the 255th */
};

/* The first value of a known field, or p == NULL. Only where all fields came by http_header_put or _add, as in every
 * head that was received. */
static inline struct str http_field_get(const struct http_headers *h, enum http_field field)
{
	return h->at[field] ? h->items[h->at[field] - 1].value : (struct str){0};
}

static inline bool http_field_is_repeated(const struct http_headers *h, enum http_field field)
{
	return h->repeated & FIELD_BIT(field);
}

/* Adds views without a copy or a check: they must live as long as the headers. */
void http_header_put(struct http_headers *h, struct str name, struct str value);
/* The same with its kind, if that is wanted at all: http_field_get does not find it. For heads that are only written.
 */
void http_header_put_as(struct http_headers *h, struct http_header header);
/* The first value, or p == NULL. Case of the name is ignored. */
struct str http_header_get(const struct http_headers *h, const char *name);
/* Copies both into the headers' arena. A value with CR, LF or NUL, or a bad name, is a programming error and fatal:
 * check what came from outside with http_value_is_clean first. */
void http_header_add(struct http_headers *h, const char *name, struct str value);
void http_header_set(struct http_headers *h, const char *name, const char *value);
void http_header_remove(struct http_headers *h, const char *name);
bool http_value_is_clean(struct str value);
/* A token, as methods and names of fields are (RFC 9110 section 5.6.2). */
bool http_is_token(struct str s);
/* Whether the comma-separated list in `value` has the token, ignoring case. */
bool http_has_token(struct str value, const char *token);
/* Fields that must not pass a proxy: the fixed set, and those that Connection names (RFC 9110 section 7.6.1). */
bool http_is_hop_by_hop(const struct http_headers *h, struct str name);

const char *http_status_text(int status);
/* The first line of an answer. */
void http_status_write(struct buf *out, int status);
/* Whether the query can be decoded: every escape is one, there is no NUL, and it is UTF-8. */
bool http_query_is_clean(struct arena *a, struct str query);
/* The decoded value of a parameter in a query string, in the arena, or NULL. Bad escapes count as absent: services
 * refuse a request that has one (gate.c). */
const char *http_query_get(struct arena *a, struct str query, const char *name);

/* One range of bytes of a Range field (RFC 9110 section 14.2) in a representation of `size` bytes. Several ranges,
 * other units and malformed values are ignored, as the RFC allows: the whole is sent then. */
enum http_range { HTTP_RANGE_NONE, HTTP_RANGE_OK, HTTP_RANGE_UNSATISFIABLE };
enum http_range http_range_parse(struct str value, uint64_t size, uint64_t *ret_first, uint64_t *ret_n);

struct networks;

/* Limits of one listener. */
struct http_limits {
	size_t max_target;        /* request line's target, bytes; default 8 KiB */
	size_t max_header_bytes;  /* all fields; default 32 KiB */
	unsigned max_headers;     /* default 100 */
	uint64_t max_body;        /* default 1 MiB; a route may set another */
	uint64_t header_ms;       /* from the first byte to the end of the head; default 10 s */
	uint64_t body_idle_ms;    /* without a byte of the body, or of our answer being taken; default 30 s */
	uint64_t body_min_rate;   /* bytes a second of a body, over each body_rate_ms; 0 = none, the default */
	uint64_t body_rate_ms;    /* default 20 s; time in which the handler pauses the body does not count */
	uint64_t idle_ms;         /* keep-alive; default 75 s */
	size_t max_queue;         /* bytes of answers that a connection's client has not taken; 0 = STREAM_HIGH_WATER */
	unsigned max_connections; /* default 20,000; above it a connection is closed at once */
	/* Whose connections begin with a PROXY header (proxy_header.h); NULL: nobody's. Outlives the listener. */
	const struct networks *proxies;
};
extern const struct http_limits http_limits_default;
