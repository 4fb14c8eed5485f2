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

void problem_reply(struct http_request *r, int status, const char *code, const char *fmt, ...)
{
	struct http_headers headers = {.arena = r->arena};
	char detail[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	problem_reply_with(r, status, code, NULL, &headers, detail);
}

static bool has_retry_after(const struct http_headers *h)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->items[i].name.n == 11 && str_ieq(h->items[i].name, STR("Retry-After")))
			return true;
	return false;
}

/* Nothing is copied or allocated: the gateway answers whole floods with problems. */
void problem_reply_with(struct http_request *r, int status, const char *code, const char *request_id,
			struct http_headers *headers, const char *detail)
{
	struct buf *text = http_scratch(r);

	if ((status == 429 || status == 503) && !has_retry_after(headers))
		http_header_put_as(headers, (struct http_header){STR("Retry-After"), STR("1"), FIELD_OTHER});
	http_header_put_as(headers, (struct http_header){STR("Cache-Control"), STR("no-store"), FIELD_OTHER});
	http_header_put_as(headers, (struct http_header){STR("X-Content-Type-Options"), STR("nosniff"), FIELD_OTHER});
	problem_write(text, status, code, request_id, detail);
	http_reply(r, status, PROBLEM_TYPE, headers, text->p, text->n);
}
