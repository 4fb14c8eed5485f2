/* Problem documents (RFC 9457). */
#include "service/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

#define PROBLEM_TYPE "application/problem+json"

static void add_member(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, ",\"%s\":", name);
	json_quote(out, str_of(value));
}

void problem_write(struct buf *out, int status, const char *code, const char *request_id, const char *detail)
{
	buf_add_str(out, "{\"type\":\"about:blank\"");
	add_member(out, "title", http_status_text(status));
	buf_printf(out, ",\"status\":%d", status);
	add_member(out, "code", code);
	add_member(out, "detail", detail);
	add_member(out, "request_id", request_id ? request_id : "");
	buf_add_char(out, '}');
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

void reply_error(struct exchange *x, int status, const struct error *err)
{
	reply_detail(x, status, err->code, err->message);
}

void problem_reply(struct http_request *r, int status, const char *code, const char *request_id,
		   const struct http_headers *extra, const char *fmt, ...)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	struct http_headers headers = {.arena = r->arena};
	char detail[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	for (size_t i = 0; extra && i < extra->n; i++)
		http_header_set(&headers, arena_strndup(r->arena, extra->items[i].name.p, extra->items[i].name.n),
				arena_strndup(r->arena, extra->items[i].value.p, extra->items[i].value.n));
	if ((status == 429 || status == 503) && !http_header_get(&headers, "Retry-After").p)
		http_header_set(&headers, "Retry-After", "1");
	if (request_id)
		http_header_set(&headers, "X-Request-Id", request_id);
	http_header_set(&headers, "Cache-Control", "no-store");
	http_header_set(&headers, "X-Content-Type-Options", "nosniff");
	problem_write(&text, status, code, request_id, detail);
	http_reply(r, status, PROBLEM_TYPE, &headers, text.p, text.n);
}
