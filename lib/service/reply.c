#include "service/internal.h"

#include <errno.h>
#include <string.h>

#include "io/sse.h"

/* The headers that every answer carries, unless the handler set them otherwise. */
static void add_common(struct exchange_full *f, const char *cache_control)
{
	if (!http_header_get(&f->headers, "Cache-Control").p)
		http_header_set(&f->headers, "Cache-Control", cache_control);
	http_header_set(&f->headers, "X-Request-Id", f->x.request_id);
	http_header_set(&f->headers, "X-Content-Type-Options", "nosniff");
}

void reply_header(struct exchange *x, const char *name, const char *value)
{
	http_header_set(&exchange_full(x)->headers, name, value);
}

void reply_header_add(struct exchange *x, const char *name, const char *value)
{
	http_header_add(&exchange_full(x)->headers, name, str_of(value));
}

void reply_text(struct exchange *x, int status, const char *type, struct str text)
{
	struct exchange_full *f = exchange_full(x);

	if (!x->req || http_reply_has_started(x->req))
		return;
	add_common(f, "no-store");
	http_reply(x->req, status, type, &f->headers, text.p, text.n);
}

void reply_raw_json(struct exchange *x, int status, struct str json)
{
	reply_text(x, status, "application/json", json);
}

void reply_json(struct exchange *x, int status, yyjson_mut_doc *doc)
{
	reply_raw_json(x, status, json_text(x->arena, doc));
}

void reply_page(struct exchange *x, int status, struct str page)
{
	reply_text(x, status, "text/html; charset=utf-8", page);
}

void reply_empty(struct exchange *x, int status)
{
	reply_text(x, status, NULL, (struct str){0});
}

void reply_db_failure(struct exchange *x, int result)
{
	if (result != -ENOENT && result != -EEXIST)
		log_event(LOG_ERROR, "database job failed", "request_id", x->request_id, "route", x->route->pattern,
			  "error", result < 0 ? strerror(-result) : "unexpected outcome", NULL);
	switch (result) {
	case -ENOENT: reply_problem(x, 404, "not_found", "There is no such thing, or it is not yours."); break;
	case -EEXIST: reply_problem(x, 409, "already_exists", "There is one with this name already."); break;
	case -ENOSPC: reply_problem(x, 507, "storage_full", "The disk is full. Make room, then try again."); break;
	case -ENOTCONN:
	case -ECONNRESET:
		reply_problem(x, 503, "unavailable",
			      "The database cannot be reached at the moment. Try again; repeat a POST with the same "
			      "Idempotency-Key, so that nothing is done twice.");
		break;
	case -EAGAIN:
	case -EBUSY:
	case -ETIMEDOUT:
		reply_problem(x, 503, "unavailable", "The database has too much to do. Try again in a moment.");
		break;
	default: reply_problem(x, 500, "internal", "This failed inside Ogent; the log has the request id."); break;
	}
}

/* ---- Server-sent events ---- */

#define SSE_COMMENT_MS 15000

static void on_sse_deadline(struct deadline *d)
{
	struct exchange_full *f = container_of(d, struct exchange_full, sse_deadline);

	if (!f->sse_written)
		http_reply_write(f->x.req, ":\n\n", 3);
	f->sse_written = false;
	deadline_set(f->x.service->wheel, d, SSE_COMMENT_MS);
}

void reply_sse_start(struct exchange *x)
{
	struct exchange_full *f = exchange_full(x);

	if (!x->req || http_reply_has_started(x->req))
		return;
	http_header_set(&f->headers, "Content-Type", "text/event-stream");
	http_header_set(&f->headers, "X-Accel-Buffering", "no");
	add_common(f, "no-store, no-transform");
	http_set_streaming(x->req);
	http_reply_head(x->req, 200, &f->headers, -1);
	list_append(&x->service->sse, &f->sse_link);
	deadline_init(&f->sse_deadline, on_sse_deadline);
	deadline_set(x->service->wheel, &f->sse_deadline, SSE_COMMENT_MS);
	if (x->service->state >= SERVICE_DRAINING)
		sse_cut_all(x->service);
}

bool reply_sse(struct exchange *x, uint64_t id, const char *type, struct str data)
{
	struct exchange_full *f = exchange_full(x);
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	if (!x->req || !f->sse_link.next)
		return true;
	f->sse_written = true;
	sse_write(&text, id, type, data);
	return http_reply_write(x->req, text.p, text.n);
}

bool reply_sse_text(struct exchange *x, struct str text)
{
	struct exchange_full *f = exchange_full(x);

	if (!x->req || !f->sse_link.next)
		return true;
	return http_reply_write(x->req, text.p, text.n);
}

void reply_sse_hold(struct exchange *x, uint64_t ms)
{
	if (x->req && exchange_full(x)->sse_link.next)
		http_reply_hold(x->req, ms);
}

void sse_stop(struct exchange_full *f)
{
	if (!f->sse_link.next)
		return;
	list_remove(&f->sse_link);
	f->sse_link.next = NULL;
	deadline_clear(&f->sse_deadline);
}

void reply_sse_end(struct exchange *x)
{
	struct exchange_full *f = exchange_full(x);

	if (!x->req || !f->sse_link.next)
		return;
	sse_stop(f);
	http_reply_end(x->req);
}

void sse_cut_all(struct service *s)
{
	while (!list_is_empty(&s->sse)) {
		struct exchange_full *f = list_first(&s->sse, struct exchange_full, sse_link);

		f->sse_cut = true;
		reply_sse_end(&f->x);
	}
}

void sse_cut_revoked(struct service *s)
{
	struct exchange_full *f;

	/* The end of one may end others, so each round begins anew. */
	for (bool goes_on = true; goes_on;) {
		goes_on = false;
		list_foreach (f, &s->sse, struct exchange_full, sse_link) {
			if (!f->x.who.user_id || !revocations_concern(s->revocations, &f->x.who))
				continue;
			f->sse_cut = goes_on = true;
			reply_sse_end(&f->x);
			break;
		}
	}
}
