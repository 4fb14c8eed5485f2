#include "io/http.h"

#include <errno.h>

#include "base/encode.h"
#include "base/log.h"

const struct http_limits http_limits_default = {
	.max_target = 8 * 1024,
	.max_header_bytes = 32 * 1024,
	.max_headers = 100,
	.max_body = 1024 * 1024,
	.header_ms = 10 * 1000,
	.body_idle_ms = 30 * 1000,
	.body_rate_ms = 20 * 1000,
	.idle_ms = 75 * 1000,
	.max_connections = 20000,
};

const char *http_method_name(enum http_method m)
{
	static const char *const names[HTTP_METHODS] = {
		[HTTP_DELETE_] = "DELETE", [HTTP_GET_] = "GET",     [HTTP_HEAD_] = "HEAD",       [HTTP_POST_] = "POST",
		[HTTP_PUT_] = "PUT",       [HTTP_PATCH_] = "PATCH", [HTTP_OPTIONS_] = "OPTIONS",
	};

	return m > 0 && m < HTTP_METHODS ? names[m] : "";
}

/* tchar of RFC 9110 section 5.6.2. */
static bool is_token_char(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

bool http_is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is_token_char((unsigned char)s.p[i]))
			return false;
	}
	return s.n > 0;
}

bool http_value_is_clean(struct str value)
{
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == '\r' || value.p[i] == '\n' || value.p[i] == '\0')
			return false;
	}
	return true;
}

static struct http_header *find(const struct http_headers *h, struct str name)
{
	for (size_t i = 0; i < h->n; i++) {
		if (str_ieq(h->items[i].name, name))
			return &h->items[i];
	}
	return NULL;
}

struct str http_header_get(const struct http_headers *h, const char *name)
{
	const struct http_header *found = find(h, str_of(name));

	return found ? found->value : (struct str){0};
}

static void grow(struct http_headers *h)
{
	size_t cap = h->cap ? h->cap * 2 : 16;
	struct http_header *items = arena_alloc_raw(h->arena, cap * sizeof(*items));

	if (h->n)
		memcpy(items, h->items, h->n * sizeof(*items));
	h->items = items;
	h->cap = cap;
}

void http_header_put_as(struct http_headers *h, struct http_header header)
{
	if (h->n == h->cap)
		grow(h);
	h->items[h->n++] = header;
}

/* The field at place i is known by its kind from now on. */
static void note(struct http_headers *h, size_t i)
{
	enum http_field field = h->items[i].field;

	if (field == FIELD_OTHER)
		return;
	if (h->at[field])
		h->repeated |= FIELD_BIT(field);
	else if (i < UINT8_MAX)
		h->at[field] = (uint8_t)(i + 1);
}

void http_header_put(struct http_headers *h, struct str name, struct str value)
{
	http_header_put_as(h, (struct http_header){name, value, http_field_find(name)});
	note(h, h->n - 1);
}

void http_header_add(struct http_headers *h, const char *name, struct str value)
{
	if (!http_is_token(str_of(name)) || !http_value_is_clean(value))
		fatal("a header that must not be sent: %s", name);
	http_header_put(h, arena_str(h->arena, str_of(name)), arena_str(h->arena, value));
}

void http_header_remove(struct http_headers *h, const char *name)
{
	size_t kept = 0;

	for (size_t i = 0; i < h->n; i++) {
		if (!str_ieq(h->items[i].name, str_of(name)))
			h->items[kept++] = h->items[i];
	}
	h->n = kept;
	h->repeated = 0;
	memset(h->at, 0, sizeof(h->at));
	for (size_t i = 0; i < h->n; i++)
		note(h, i);
}

void http_header_set(struct http_headers *h, const char *name, const char *value)
{
	http_header_remove(h, name);
	http_header_add(h, name, str_of(value));
}

static bool list_has(struct str list, struct str token)
{
	while (list.p) {
		if (str_ieq(str_trim(str_cut(&list, ',')), token))
			return true;
	}
	return false;
}

bool http_has_token(struct str value, const char *token)
{
	return list_has(value, str_of(token));
}

bool http_is_hop_by_hop(const struct http_headers *h, struct str name)
{
	static const struct str fixed[] = {
		STR("connection"),          STR("keep-alive"), STR("proxy-connection"),
		STR("proxy-authenticate"),  STR("te"),         STR("transfer-encoding"),
		STR("proxy-authorization"), STR("trailer"),    STR("upgrade"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
		if (str_ieq(fixed[i], name))
			return true;
	}
	for (size_t i = 0; i < h->n; i++) {
		if (str_ieq(h->items[i].name, STR("connection")) && list_has(h->items[i].value, name))
			return true;
	}
	return false;
}

#define STATUS(number, text) [number] = {text, STR("HTTP/1.1 " #number " " text "\r\n")}

static const struct status {
	const char *text;
	struct str line; /* the first of an answer */
} statuses[] = {
	STATUS(100, "Continue"),
	STATUS(101, "Switching Protocols"),
	STATUS(102, "Processing"),
	STATUS(103, "Early Hints"),
	STATUS(200, "OK"),
	STATUS(201, "Created"),
	STATUS(202, "Accepted"),
	STATUS(204, "No Content"),
	STATUS(206, "Partial Content"),
	STATUS(301, "Moved Permanently"),
	STATUS(302, "Found"),
	STATUS(303, "See Other"),
	STATUS(304, "Not Modified"),
	STATUS(307, "Temporary Redirect"),
	STATUS(308, "Permanent Redirect"),
	STATUS(400, "Bad Request"),
	STATUS(401, "Unauthorized"),
	STATUS(403, "Forbidden"),
	STATUS(404, "Not Found"),
	STATUS(405, "Method Not Allowed"),
	STATUS(406, "Not Acceptable"),
	STATUS(408, "Request Timeout"),
	STATUS(409, "Conflict"),
	STATUS(410, "Gone"),
	STATUS(411, "Length Required"),
	STATUS(412, "Precondition Failed"),
	STATUS(413, "Content Too Large"),
	STATUS(414, "URI Too Long"),
	STATUS(415, "Unsupported Media Type"),
	STATUS(416, "Range Not Satisfiable"),
	STATUS(417, "Expectation Failed"),
	STATUS(421, "Misdirected Request"),
	STATUS(422, "Unprocessable Content"),
	STATUS(425, "Too Early"),
	STATUS(426, "Upgrade Required"),
	STATUS(428, "Precondition Required"),
	STATUS(429, "Too Many Requests"),
	STATUS(431, "Request Header Fields Too Large"),
	STATUS(500, "Internal Server Error"),
	STATUS(501, "Not Implemented"),
	STATUS(502, "Bad Gateway"),
	STATUS(503, "Service Unavailable"),
	STATUS(504, "Gateway Timeout"),
	STATUS(505, "HTTP Version Not Supported"),
	STATUS(507, "Insufficient Storage"),
};

#undef STATUS

static const struct status *status_find(int status)
{
	if (status > 0 && (size_t)status < ARRAY_SIZE(statuses) && statuses[status].text)
		return &statuses[status];
	return NULL;
}

const char *http_status_text(int status)
{
	const struct status *found = status_find(status);

	return found ? found->text : "Unknown";
}

void http_status_write(struct buf *out, int status)
{
	const struct status *found = status_find(status);

	if (found)
		buf_add(out, found->line.p, found->line.n);
	else
		buf_printf(out, "HTTP/1.1 %d Unknown\r\n", status);
}

/* The decoded text in the arena, or NULL. */
static char *decode(struct arena *a, struct str s)
{
	struct buf out = BUF_INIT;
	char *copy = NULL;

	if (percent_decode(s, true, &out) == 0)
		copy = arena_strndup(a, out.p, out.n);
	buf_deinit(&out);
	return copy;
}

bool http_query_is_clean(struct arena *a, struct str query)
{
	return !query.n || !memchr(query.p, '%', query.n) || decode(a, query);
}

const char *http_query_get(struct arena *a, struct str query, const char *name)
{
	while (query.p) {
		struct str value = str_cut(&query, '&');
		struct str key = str_cut(&value, '=');
		const char *decoded = decode(a, key);

		if (decoded && strcmp(decoded, name) == 0)
			return decode(a, value);
	}
	return NULL;
}

/* A position or count; one that is too large to be said is the largest. */
static bool range_number(struct str text, uint64_t *ret)
{
	int r = str_to_u64(text, UINT64_MAX, ret);

	if (r == -ERANGE)
		*ret = UINT64_MAX;
	return r == 0 || r == -ERANGE;
}

enum http_range http_range_parse(struct str value, uint64_t size, uint64_t *ret_first, uint64_t *ret_n)
{
	struct str unit = str_trim(str_cut(&value, '=')), first;
	uint64_t from, to = UINT64_MAX;

	if (!str_ieq(unit, STR("bytes")) || !value.p || !memchr(value.p, '-', value.n))
		return HTTP_RANGE_NONE;
	value = str_trim(value);
	first = str_cut(&value, '-');
	if (!(first.n ? range_number(first, &from) : range_number(value, &to)) ||
	    (first.n && value.n && !range_number(value, &to)))
		return HTTP_RANGE_NONE;
	if (!first.n) { /* "-N": the last N bytes */
		from = size - MIN(to, size);
		to = UINT64_MAX;
	}
	if (to < from)
		return HTTP_RANGE_NONE;
	if (from >= size)
		return HTTP_RANGE_UNSATISFIABLE;
	*ret_first = from;
	*ret_n = MIN(to, size - 1) - from + 1;
	return HTTP_RANGE_OK;
}
