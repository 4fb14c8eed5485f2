/* Problem documents (RFC 9457). */
#include "service/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

#define PROBLEM_TYPE "application/problem+json"

void problem_write(struct buf *out, int status, const char *code, const char *request_id, const char *detail)
{
	buf_reserve(out, 400);
	/* A code may come from another machine, as the detail may; the others need no escapes. */
	buf_add_str(out, "{\"type\":\"about:blank\",\"title\":\"");
	buf_add_str(out, http_status_text(status));
	buf_add_str(out, "\",\"status\":");
	buf_add_number(out, (uint64_t)status);
	buf_add_str(out, ",\"code\":");
	json_quote(out, str_of(code));
	buf_add_str(out, ",\"detail\":");
	json_quote(out, str_of(detail));
	buf_add_str(out, ",\"request_id\":\"");
	buf_add_str(out, request_id ? request_id : "");
	buf_add(out, "\"}", 2);
}

static void reply_detail(struct exchange *x, int status, const char *code, const char *detail)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	if ((status == 429 || status == 503) && !http_header_get(&exchange_full(x)->headers, "Retry-After").p)
		reply_header(x, "Retry-After", "1");
	problem_write(&text, status, code, x->request_id, detail);
	reply_text(x, status, PROBLEM_TYPE, buf_str(&text));
}

void reply_problem(struct exchange *x, int status, const char *code, const char *fmt, ...)
{
	char detail[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	reply_detail(x, status, code, detail);
}

void reply_problem_with(struct exchange *x, int status, const char *code, struct str members, const char *fmt, ...)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	char detail[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	problem_write(&text, status, code, x->request_id, detail);
	if (members.n > 2) {
		text.n--;
		buf_add_char(&text, ',');
		buf_add(&text, members.p + 1, members.n - 1);
	}
	reply_text(x, status, PROBLEM_TYPE, buf_str(&text));
}

void reply_error(struct exchange *x, int status, const struct error *err)
{
	reply_detail(x, status, err->code, err->message);
}

void problem_reply(struct http_request *r, int status, const char *code, const char *request_id,
		   const struct http_headers *extra, const char *fmt, ...)
{
	char detail[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	problem_reply_text(r, status, code, request_id, extra, detail);
}

/* The answer is written before this returns: views are enough. The gateway answers whole floods with problems. */
void problem_reply_text(struct http_request *r, int status, const char *code, const char *request_id,
			const struct http_headers *extra, const char *detail)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	size_t n = 0, n_extra = extra ? extra->n : 0;
	struct http_header *items = arena_alloc_raw(r->arena, (n_extra + 4) * sizeof(*items));
	bool says_when = status != 429 && status != 503;

	for (size_t i = 0; i < n_extra; i++) {
		struct str name = extra->items[i].name;

		if (request_id && name.n == 12 && str_ieq(name, STR("X-Request-Id")))
			continue;
		says_when |= name.n == 11 && str_ieq(name, STR("Retry-After"));
		items[n++] = extra->items[i];
	}
	if (!says_when)
		items[n++] = (struct http_header){STR("Retry-After"), STR("1"), FIELD_OTHER};
	if (request_id)
		items[n++] = (struct http_header){STR("X-Request-Id"), str_of(request_id), FIELD_X_REQUEST_ID};
	items[n++] = (struct http_header){STR("Cache-Control"), STR("no-store"), FIELD_OTHER};
	items[n++] = (struct http_header){STR("X-Content-Type-Options"), STR("nosniff"), FIELD_OTHER};
	problem_write(&text, status, code, request_id, detail);
	http_reply(r, status, PROBLEM_TYPE, &(struct http_headers){.items = items, .n = n, .arena = r->arena}, text.p,
		   text.n);
}
