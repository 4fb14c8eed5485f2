#include "service/request.h"

#include <ctype.h>
#include <strings.h>

#include "base/id.h"

const char *request_id_of(const struct http_headers *h, int64_t now_us, struct arena *a)
{
	struct str v = http_field_get(h, FIELD_X_REQUEST_ID);
	bool fine = v.n >= 8 && v.n <= 64;

	for (size_t i = 0; fine && i < v.n; i++)
		fine = isalnum((unsigned char)v.p[i]) || v.p[i] == '.' || v.p[i] == '_' || v.p[i] == '-';
	if (fine)
		return arena_strndup(a, v.p, v.n);

	char *id = arena_alloc_raw(a, ID_SIZE);
	id_new_at(id, now_us);
	return id;
}

static bool is_lower_hex(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
			return false;
	return true;
}

static bool is_zero(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != '0')
			return false;
	return true;
}

/* 00-<32 trace id>-<16 parent id>-<2 flags> */
const char *traceparent_of(const struct http_headers *h, struct arena *a)
{
	struct str v = http_field_get(h, FIELD_TRACEPARENT);

	if (v.n != 55 || memcmp(v.p, "00-", 3) || v.p[35] != '-' || v.p[52] != '-')
		return NULL;
	if (!is_lower_hex(v.p + 3, 32) || !is_lower_hex(v.p + 36, 16) || !is_lower_hex(v.p + 53, 2))
		return NULL;
	return is_zero(v.p + 3, 32) || is_zero(v.p + 36, 16) ? NULL : arena_strndup(a, v.p, v.n);
}

enum bearer request_bearer(const struct http_headers *h, struct str *ret)
{
	struct str value = http_field_get(h, FIELD_AUTHORIZATION);

	if (http_field_is_repeated(h, FIELD_AUTHORIZATION))
		return BEARER_REPEATED;
	if (!value.p)
		return BEARER_NONE;
	if (value.n < 8 || strncasecmp(value.p, "Bearer ", 7))
		return BEARER_OTHER;
	*ret = (struct str){value.p + 7, value.n - 7};
	return BEARER_TOKEN;
}
