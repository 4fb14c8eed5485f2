#include "io/http_response.h"

#include <errno.h>

/* Returned by a callback to make llhttp stop; the reason is in r->err. */
#define STOP (-1)

static struct http_response *self(llhttp_t *parser)
{
	return parser->data;
}

static int fail(struct http_response *r, int err)
{
	r->err = err;
	return STOP;
}

/* Everything that is not body counts, so that nothing goes on for ever. */
static int count(llhttp_t *parser, const char *at, size_t n)
{
	struct http_response *r = self(parser);

	r->head_bytes += n;
	return r->head_bytes > HTTP_RESPONSE_MAX_HEAD ? fail(r, -EMSGSIZE) : 0;
}

/* Where the bytes of fields are collected. */
static struct buf *bytes_of(struct http_response *r)
{
	return r->in_body ? &r->trailer : &r->head;
}

static int on_field(llhttp_t *parser, const char *at, size_t n)
{
	struct http_response *r = self(parser);

	buf_add(bytes_of(r), at, n);
	return count(parser, at, n);
}

/* Takes what was collected since the last time as an offset into the bytes, which may still move. */
static struct str take(struct http_response *r)
{
	struct buf *bytes = bytes_of(r);
	struct str field = {(const char *)r->start, bytes->n - r->start};

	buf_add_char(bytes, '\0');
	r->start = bytes->n;
	return field;
}

static struct http_headers *fields_of(struct http_response *r)
{
	if (!r->in_body)
		return &r->headers;
	if (!r->trailers) {
		r->trailers = arena_new_of(r->arena, struct http_headers);
		r->trailers->arena = r->arena;
	}
	return r->trailers;
}

static int on_name_complete(llhttp_t *parser)
{
	struct http_response *r = self(parser);

	r->name = take(r);
	return 0;
}

static int on_value_complete(llhttp_t *parser)
{
	struct http_response *r = self(parser);
	struct http_headers *h = fields_of(r);
	struct buf *bytes = bytes_of(r);
	struct str value;

	while (bytes->n > r->start && (bytes->p[bytes->n - 1] == ' ' || bytes->p[bytes->n - 1] == '\t'))
		bytes->n--;
	value = (struct str){bytes->p + r->start, bytes->n - r->start};
	if (!http_value_is_clean(value))
		return fail(r, -EBADMSG);
	if (h->n == HTTP_RESPONSE_MAX_HEADERS)
		return fail(r, -EMSGSIZE);
	value = take(r);
	http_header_put(h, (struct str){bytes->p + (size_t)r->name.p, r->name.n}, value);
	h->items[h->n - 1].name.p = r->name.p;
	return 0;
}

/* The bytes do not move any more: offsets become pointers. */
static void settle(struct http_headers *headers, const char *bytes)
{
	for (size_t i = 0; i < headers->n; i++) {
		struct http_header *h = &headers->items[i];

		h->name.p = bytes + (size_t)h->name.p;
		h->value.p = bytes + (size_t)h->value.p;
	}
}

static void head_reset(struct http_response *r)
{
	arena_reset(r->arena);
	r->headers = (struct http_headers){.arena = r->arena};
	buf_clear(&r->head);
	if (r->trailers)
		buf_deinit(&r->trailer);
	r->trailers = NULL;
	r->start = 0;
}

static bool announces_body(const llhttp_t *p)
{
	return p->flags & F_TRANSFER_ENCODING || (p->flags & F_CONTENT_LENGTH && p->content_length > 0);
}

static bool is_plainly_chunked(const struct http_headers *h)
{
	return !http_field_is_repeated(h, FIELD_TRANSFER_ENCODING) &&
	       str_ieq(http_field_get(h, FIELD_TRANSFER_ENCODING), STR("chunked"));
}

static bool framing_is_sound(const struct http_response *r)
{
	const llhttp_t *p = &r->parser;
	int status = p->status_code;

	if (p->http_major != 1 || p->http_minor > 1)
		return false;
	if (p->flags & F_TRANSFER_ENCODING &&
	    (p->http_minor == 0 || p->flags & F_CONTENT_LENGTH || !is_plainly_chunked(&r->headers)))
		return false;
	return !((status < 200 || status == 204) && announces_body(p));
}

static int pass_interim(struct http_response *r, int status)
{
	if (++r->interim > HTTP_RESPONSE_MAX_INTERIM)
		return fail(r, -EBADMSG);
	if (r->events->on_interim && !r->events->on_interim(r->owner, status, &r->headers))
		return fail(r, -ECANCELED);
	return 1; /* has no body */
}

static int on_headers_complete(llhttp_t *parser)
{
	struct http_response *r = self(parser);
	int status = parser->status_code;

	settle(&r->headers, r->head.p);
	if (status < 100 || !framing_is_sound(r))
		return fail(r, -EBADMSG);
	if (status < 200 && status != 101)
		return pass_interim(r, status);
	if (status == 101 && !r->may_upgrade)
		return fail(r, -EBADMSG);
	r->in_body = true;
	r->start = 0;
	if (!r->events->on_head(r->owner, status, &r->headers))
		return fail(r, -ECANCELED);
	if (status == 101)
		return 2;
	return r->is_head || status == 204 || status == 304;
}

static int on_body(llhttp_t *parser, const char *at, size_t n)
{
	struct http_response *r = self(parser);

	return r->events->on_body(r->owner, at, n) ? 0 : fail(r, -ECANCELED);
}

static int on_message_complete(llhttp_t *parser)
{
	struct http_response *r = self(parser);

	if (!r->in_body) {
		head_reset(r); /* it was a 1xx */
		return 0;
	}
	if (parser->status_code == 101)
		return 0; /* llhttp stops with HPE_PAUSED_UPGRADE */
	if (r->trailers)
		settle(r->trailers, r->trailer.p);
	r->done = true;
	r->keep_alive = llhttp_should_keep_alive(parser);
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_status = count,
	.on_version = count,
	.on_header_field = on_field,
	.on_header_field_complete = on_name_complete,
	.on_header_value = on_field,
	.on_header_value_complete = on_value_complete,
	.on_headers_complete = on_headers_complete,
	.on_chunk_extension_name = count,
	.on_chunk_extension_value = count,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

void http_response_init(struct http_response *r, const struct http_response_events *events, void *owner)
{
	*r = (struct http_response){.events = events, .owner = owner, .arena = arena_new()};
}

void http_response_deinit(struct http_response *r)
{
	arena_free(r->arena);
	buf_deinit(&r->head);
	buf_deinit(&r->trailer);
}

void http_response_begin(struct http_response *r, bool is_head, bool may_upgrade)
{
	llhttp_init(&r->parser, HTTP_RESPONSE, &settings);
	r->parser.data = r;
	head_reset(r);
	r->head_bytes = 0;
	r->interim = 0;
	r->is_head = is_head;
	r->may_upgrade = may_upgrade;
	r->in_body = r->has_bytes = r->done = r->keep_alive = false;
	r->err = 0;
}

int http_response_feed(struct http_response *r, const char *data, size_t n, size_t *ret_used)
{
	*ret_used = n;
	if (n > 0)
		r->has_bytes = true;

	llhttp_errno_t code = llhttp_execute(&r->parser, data, n);

	if (code == HPE_OK)
		return HTTP_RESPONSE_MORE;
	if (r->err)
		return r->err;
	if (code == HPE_PAUSED_UPGRADE || (code == HPE_PAUSED && r->done)) {
		*ret_used = (size_t)(llhttp_get_error_pos(&r->parser) - data);
		return code == HPE_PAUSED ? HTTP_RESPONSE_DONE : HTTP_RESPONSE_UPGRADED;
	}
	return -EBADMSG;
}

int http_response_eof(struct http_response *r)
{
	llhttp_finish(&r->parser);
	return r->done ? HTTP_RESPONSE_DONE : -ECONNRESET;
}
