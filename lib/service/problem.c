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
	buf_add_str(out, "{\"type\":\"about:blank\",\"title\":");
	json_quote(out, str_of(http_status_text(status)));
	buf_add_str(out, ",\"status\":");
	buf_add_number(out, (uint64_t)status);
	buf_add_str(out, ",\"code\":");
	json_quote(out, str_of(code));
	buf_add_str(out, ",\"detail\":");
	json_quote(out, str_of(detail));
	buf_add_str(out, ",\"request_id\":");
	json_quote(out, str_of(request_id ? request_id : ""));
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
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	struct http_headers headers = {.arena = r->arena};
	char long_detail[1024];
	const char *detail = fmt;
	va_list ap;

	if (strchr(fmt, '%')) {
		va_start(ap, fmt);
		vsnprintf(long_detail, sizeof(long_detail), fmt, ap);
		va_end(ap);
		detail = long_detail;
	}
	/* The answer is written before this returns: views are enough. */
	for (size_t i = 0; extra && i < extra->n; i++)
		if (http_field_find(extra->items[i].name) != FIELD_X_REQUEST_ID || !request_id)
			http_header_put(&headers, extra->items[i].name, extra->items[i].value);
	if ((status == 429 || status == 503) && !http_header_get(&headers, "Retry-After").p)
		http_header_put(&headers, STR("Retry-After"), STR("1"));
	if (request_id)
		http_header_put(&headers, STR("X-Request-Id"), str_of(request_id));
	http_header_put(&headers, STR("Cache-Control"), STR("no-store"));
	http_header_put(&headers, STR("X-Content-Type-Options"), STR("nosniff"));
	problem_write(&text, status, code, request_id, detail);
	http_reply(r, status, PROBLEM_TYPE, &headers, text.p, text.n);
}
