#include <strings.h>

#include "io/http.h"

static const struct {
	struct str name;
	enum http_field field;
} known[] = {
	/* By length; `first` leads to the first of each. */
	{STR("te"), FIELD_TE},
	{STR("date"), FIELD_DATE},
	{STR("host"), FIELD_HOST},
	{STR("accept"), FIELD_ACCEPT},
	{STR("cookie"), FIELD_COOKIE},
	{STR("expect"), FIELD_EXPECT},
	{STR("origin"), FIELD_ORIGIN},
	{STR("server"), FIELD_SERVER},
	{STR("trailer"), FIELD_TRAILER},
	{STR("upgrade"), FIELD_UPGRADE},
	{STR("forwarded"), FIELD_FORWARDED},
	{STR("ratelimit"), FIELD_RATELIMIT},
	{STR("x-real-ip"), FIELD_X_REAL_IP},
	{STR("connection"), FIELD_CONNECTION},
	{STR("keep-alive"), FIELD_KEEP_ALIVE},
	{STR("traceparent"), FIELD_TRACEPARENT},
	{STR("content-type"), FIELD_CONTENT_TYPE},
	{STR("x-powered-by"), FIELD_X_POWERED_BY},
	{STR("x-request-id"), FIELD_X_REQUEST_ID},
	{STR("authorization"), FIELD_AUTHORIZATION},
	{STR("content-length"), FIELD_CONTENT_LENGTH},
	{STR("http2-settings"), FIELD_HTTP2_SETTINGS},
	{STR("x-forwarded-for"), FIELD_X_FORWARDED_FOR},
	{STR("x-ogent-service"), FIELD_X_OGENT_SERVICE},
	{STR("proxy-connection"), FIELD_PROXY_CONNECTION},
	{STR("ratelimit-policy"), FIELD_RATELIMIT_POLICY},
	{STR("transfer-encoding"), FIELD_TRANSFER_ENCODING},
	{STR("proxy-authenticate"), FIELD_PROXY_AUTHENTICATE},
	{STR("proxy-authorization"), FIELD_PROXY_AUTHORIZATION},
};

#define LENGTH_MAX 19

/* Where names of each length begin in `known`; one more for the end. */
static const uint8_t first[LENGTH_MAX + 2] = {0,  0,  0,  1,  1,  3,  3,  8,  10, 10, 13,
					      15, 16, 19, 20, 22, 24, 26, 27, 28, 29};

/* Those from 0x40 to 0x5f as those from 0x60: capitals are small then, and what else changes is in no known name. */
static uint64_t lower_8(const char *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof(x));
	return x | (x & EVERY_BYTE(0x40)) >> 1;
}

static uint32_t lower_4(const char *p)
{
	uint32_t x;

	memcpy(&x, p, sizeof(x));
	return x | (x & (uint32_t)EVERY_BYTE(0x40)) >> 1;
}

/* Every field that comes in is looked at, so this takes eight bytes at a time; some of the last ones twice. */
static bool is_same(const char *name, struct str lower)
{
	size_t i = 0, n = lower.n;

	if (n < 4)
		return strncasecmp(name, lower.p, n) == 0;
	if (n < 8)
		return lower_4(name) == lower_4(lower.p) && lower_4(name + n - 4) == lower_4(lower.p + n - 4);
	for (; i + 8 < n; i += 8)
		if (lower_8(name + i) != lower_8(lower.p + i))
			return false;
	return lower_8(name + n - 8) == lower_8(lower.p + n - 8);
}

enum http_field http_field_find(struct str name)
{
	if (name.n > LENGTH_MAX)
		return FIELD_OTHER;
	for (size_t i = first[name.n]; i < first[name.n + 1]; i++)
		if (is_same(name.p, known[i].name))
			return known[i].field;
	return FIELD_OTHER;
}

void http_field_write(struct buf *out, struct str name, struct str value)
{
	char *at;

	buf_reserve(out, name.n + value.n + 4);
	at = out->p + out->n;
	memcpy(at, name.p, name.n);
	memcpy(at + name.n, ": ", 2);
	if (value.n)
		memcpy(at + name.n + 2, value.p, value.n);
	memcpy(at + name.n + 2 + value.n, "\r\n", 3);
	out->n += name.n + value.n + 4;
}
