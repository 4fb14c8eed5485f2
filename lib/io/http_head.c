#include <string.h>
#include <strings.h>

#include "base/encode.h"
#include "io/http_server_internal.h"

#define FRAMING_SLACK 4096 /* bytes of a chunked body that are not data: extensions and trailers, and */
#define FRAMING_CHUNK 24   /* for each chunk */

bool http_refuse(struct http_conn *c, int status, const char *code, const char *detail)
{
	c->refusal = (struct http_refusal){status, code, detail};
	return false;
}

static struct http_conn *self(llhttp_t *parser)
{
	return parser->data;
}

static int stop(struct http_conn *c, int status, const char *code, const char *detail)
{
	http_refuse(c, status, code, detail);
	return HPE_USER;
}

/* Whether what stands before `at` in the request line is `text` and, before that, something else than a blank. llhttp
 * forgives several blanks, and takes other protocols (RTSP) than HTTP. */
static bool stands_behind(struct http_conn *c, const char *at, struct str text)
{
	struct http_box *box = c->box;
	char before[sizeof(box->last)];
	size_t here = MIN((size_t)(at - box->feed), sizeof(before));

	if (here < sizeof(before)) {
		memcpy(before, box->last + here, sizeof(before) - here);
		memcpy(before + sizeof(before) - here, at - here, here);
		at = before + sizeof(before);
	}
	return memcmp(at - text.n, text.p, text.n) == 0 && at[-(ptrdiff_t)text.n - 1] != ' ';
}

static int malformed(struct http_conn *c)
{
	return stop(c, 400, "request_malformed", "The request is not valid HTTP/1.1.");
}

static int on_url(llhttp_t *parser, const char *at, size_t n)
{
	struct http_conn *c = self(parser);

	if (c->box->head.n == 0 && !stands_behind(c, at, STR(" ")))
		return malformed(c);
	if (c->box->head.n + n > c->server->limits.max_target)
		return stop(c, 414, "target_too_long",
			    "The request's target is too long. Send long values in the body.");
	buf_add(&c->box->head, at, n);
	return 0;
}

static int on_url_complete(llhttp_t *parser)
{
	struct http_box *box = self(parser)->box;

	box->n_target = box->head.n;
	buf_add_char(&box->head, '\0');
	box->field_start = box->head.n;
	return 0;
}

static int on_version(llhttp_t *parser, const char *at, size_t n)
{
	struct http_conn *c = self(parser);
	bool is_first = !c->box->has_version;

	c->box->has_version = true;
	return is_first && !stands_behind(c, at, STR(" HTTP/")) ? malformed(c) : 0;
}

static int on_version_complete(llhttp_t *parser)
{
	if (parser->http_major != 1 || parser->http_minor > 1)
		return stop(self(parser), 505, "version_not_supported", "Use HTTP/1.1.");
	return 0;
}

/* Where the bytes of fields are collected. */
static struct buf *bytes_of(struct http_box *box)
{
	return box->is_head_done ? &box->trailer : &box->head;
}

static int add_field_bytes(llhttp_t *parser, const char *at, size_t n)
{
	struct http_conn *c = self(parser);

	c->box->field_bytes += n;
	if (c->box->field_bytes > c->server->limits.max_header_bytes)
		return stop(c, 431, "headers_too_large", "The header fields are too long. Send fewer or shorter ones.");
	buf_add(bytes_of(c->box), at, n);
	return 0;
}

/* Takes what was collected since the last field as an offset into the bytes, which may still move. */
static struct str take_field(struct http_box *box)
{
	struct buf *bytes = bytes_of(box);
	struct str field = {(const char *)box->field_start, bytes->n - box->field_start};

	buf_add_char(bytes, '\0');
	box->field_start = bytes->n;
	return field;
}

static struct http_headers *fields_of(struct http_box *box)
{
	struct http_request *r = &box->req;

	if (!box->is_head_done)
		return &r->headers;
	if (!r->trailers) {
		r->trailers = arena_new_of(r->arena, struct http_headers);
		r->trailers->arena = r->arena;
	}
	return r->trailers;
}

static struct str name_of(const struct http_box *box)
{
	return (struct str){box->head.p + (size_t)box->name.p, box->name.n};
}

static bool has_long_value(struct str name)
{
	return (name.n == 13 && str_ieq(name, STR("authorization"))) || (name.n == 6 && str_ieq(name, STR("cookie")));
}

static int on_name_complete(llhttp_t *parser)
{
	struct http_conn *c = self(parser);

	if (fields_of(c->box)->n >= c->server->limits.max_headers)
		return stop(c, 431, "too_many_headers", "The request has too many header fields.");
	c->box->name = take_field(c->box);
	c->box->is_at_long_value = !c->box->is_head_done && has_long_value(name_of(c->box));
	return c->box->is_at_long_value ? HPE_PAUSED : 0;
}

/* llhttp leaves blanks at the end of a value. */
static int on_value_complete(llhttp_t *parser)
{
	struct http_box *box = self(parser)->box;
	struct buf *bytes = bytes_of(box);
	struct http_headers *h = fields_of(box);

	while (bytes->n > box->field_start && (bytes->p[bytes->n - 1] == ' ' || bytes->p[bytes->n - 1] == '\t'))
		bytes->n--;

	struct str value = take_field(box);

	http_header_put(h, (struct str){bytes->p + (size_t)box->name.p, box->name.n}, value);
	h->items[h->n - 1].name.p = box->name.p;
	return 0;
}

/* The head is judged outside of the parser. */
static int on_headers_complete(llhttp_t *parser)
{
	struct http_box *box = self(parser)->box;

	box->is_head_done = true;
	box->field_start = 0;
	return HPE_PAUSED;
}

static int too_large(struct http_conn *c)
{
	return stop(c, 413, "body_too_large", "The body is larger than this resource takes.");
}

static int on_chunk_header(llhttp_t *parser)
{
	struct http_conn *c = self(parser);

	c->box->chunks++;
	return parser->content_length > c->box->max_body - MIN(c->box->max_body, c->box->received) ? too_large(c) : 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t n)
{
	struct http_conn *c = self(parser);
	struct http_box *box = c->box;
	struct http_request *r = &box->req;

	if (n == 0) /* behind a pause */
		return 0;
	box->expects_continue = false;
	box->received += n;
	r->bytes_in += n;
	if (box->answer == ANSWER_ENDED || box->is_aborted)
		return 0;
	if (box->received > box->max_body)
		return too_large(c);
	if (box->on_whole_body)
		buf_add(&box->body, at, n);
	else if (r->on_body)
		r->on_body(r, at, n);
	return box->is_paused || box->is_aborted ? HPE_PAUSED : 0;
}

/* The bytes do not move any more: offsets become pointers. */
static void settle_fields(struct http_headers *h, const char *bytes)
{
	for (size_t i = 0; i < h->n; i++) {
		h->items[i].name.p = bytes + (size_t)h->items[i].name.p;
		h->items[i].value.p = bytes + (size_t)h->items[i].value.p;
	}
}

static int on_message_complete(llhttp_t *parser)
{
	struct http_box *box = self(parser)->box;

	if (box->req.trailers)
		settle_fields(box->req.trailers, box->trailer.p);
	box->is_body_done = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_url = on_url,
	.on_url_complete = on_url_complete,
	.on_version = on_version,
	.on_version_complete = on_version_complete,
	.on_header_field = add_field_bytes,
	.on_header_field_complete = on_name_complete,
	.on_header_value = add_field_bytes,
	.on_header_value_complete = on_value_complete,
	.on_headers_complete = on_headers_complete,
	.on_chunk_header = on_chunk_header,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

void http_head_begin(struct http_conn *c)
{
	llhttp_init(&c->parser, HTTP_REQUEST, &settings);
	c->parser.data = c;
}

/* A version that is one, but not ours, or something else in its place. */
static void refuse_version(struct http_conn *c)
{
	if (c->parser.http_major > 1 || c->parser.http_minor > 1)
		http_refuse(c, 505, "version_not_supported", "Use HTTP/1.1.");
	else
		malformed(c);
}

static void refuse_by_parser(struct http_conn *c, llhttp_errno_t e)
{
	switch (e) {
	case HPE_INVALID_METHOD:
		http_refuse(c, 400, "method_unknown", "The request's method is unknown; methods are upper case.");
		break;
	case HPE_PAUSED_H2_UPGRADE: http_refuse(c, 505, "version_not_supported", "Use HTTP/1.1."); break;
	case HPE_INVALID_VERSION: refuse_version(c); break;
	case HPE_UNEXPECTED_CONTENT_LENGTH:
	case HPE_INVALID_CONTENT_LENGTH:
	case HPE_INVALID_TRANSFER_ENCODING:
		http_refuse(c, 400, "framing_invalid",
			    "The body's length is ambiguous. Send one Content-Length, or Transfer-Encoding: chunked "
			    "alone.");
		break;
	case HPE_INVALID_CHUNK_SIZE: http_refuse(c, 400, "chunk_invalid", "A chunk's size is invalid."); break;
	default: malformed(c); break;
	}
}

/* What no callback counts has its limits here. */
static void check_amounts(struct http_conn *c, size_t taken, uint64_t received_before)
{
	struct http_box *box = c->box;
	const struct http_limits *limits = &c->server->limits;

	if (!box->is_head_done) {
		box->head_bytes += taken;
		if (box->head_bytes > limits->max_target + limits->max_header_bytes + 1024)
			http_refuse(c, 431, "headers_too_large", "The request's head is too long.");
	} else if (box->req.content_length < 0) {
		box->framing_bytes += taken - (box->received - received_before);
		if (box->framing_bytes > FRAMING_SLACK + FRAMING_CHUNK * box->chunks)
			http_refuse(c, 400, "chunk_invalid", "The chunks' extensions or trailers are too long.");
	}
}

static void keep_last(struct http_box *box, const char *p, size_t n)
{
	size_t here = MIN(n, sizeof(box->last));

	memmove(box->last, box->last + here, sizeof(box->last) - here);
	memcpy(box->last + sizeof(box->last) - here, p + n - here, here);
}

/* Only bytes that a field's value may have: HTAB and those from SP up, without DEL (RFC 9110 section 5.5). Without a
 * branch for each, so that many are looked at together. */
static bool is_plain(const char *p, size_t n)
{
	unsigned char bad = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned char ch = (unsigned char)p[i];

		bad |= (unsigned char)((ch < ' ' && ch != '\t') | (ch == 0x7f));
	}
	return !bad;
}

/* Of a long value (a token has hundreds of bytes) the parser, which takes them one at a time, gets the first one and
 * the line's end; what is between cannot change its state. */
static llhttp_errno_t execute_long_value(struct http_conn *c, const char *p, const char *end)
{
	const char *first = p, *line_end;
	llhttp_errno_t e;

	c->box->is_at_long_value = false;
	llhttp_resume(&c->parser);
	while (first < end && (*first == ' ' || *first == '\t'))
		first++;
	line_end = memchr(first, '\r', (size_t)(end - first));
	if (!line_end || line_end <= first + 1 || !is_plain(first, (size_t)(line_end - first)))
		return llhttp_execute(&c->parser, p, (size_t)(end - p));
	e = llhttp_execute(&c->parser, p, (size_t)(first + 1 - p));
	if (e == HPE_OK)
		e = add_field_bytes(&c->parser, first + 1, (size_t)(line_end - first - 1));
	return e == HPE_OK ? llhttp_execute(&c->parser, line_end, (size_t)(end - line_end)) : e;
}

static llhttp_errno_t execute(struct http_conn *c, const char *p, size_t n)
{
	llhttp_errno_t e = llhttp_execute(&c->parser, p, n);

	while (e == HPE_PAUSED && c->box->is_at_long_value)
		e = execute_long_value(c, llhttp_get_error_pos(&c->parser), p + n);
	return e;
}

size_t http_head_feed(struct http_conn *c, const char *p, size_t n)
{
	struct http_box *box = c->box;
	bool was_head_done = box->is_head_done;
	uint64_t received = box->received;
	size_t taken = n;
	llhttp_errno_t e;

	if (box->is_parser_paused)
		llhttp_resume(&c->parser);
	box->is_parser_paused = false;
	box->feed = p;
	if (!was_head_done)
		buf_reserve(&box->head, MIN(n, (size_t)4096));
	e = execute(c, p, n);
	if (e != HPE_OK)
		taken = (size_t)(llhttp_get_error_pos(&c->parser) - p);
	if (e == HPE_PAUSED)
		box->is_parser_paused = true;
	else if (e != HPE_OK && c->refusal.status == 0)
		refuse_by_parser(c, e);
	if (!was_head_done && c->parser.http_major == 0 && c->parser.http_minor == 9)
		http_refuse(c, 505, "version_not_supported", "Use HTTP/1.1.");
	if (c->refusal.status == 0 && was_head_done == box->is_head_done)
		check_amounts(c, taken, received);
	if (!box->is_head_done)
		keep_last(box, p, taken);
	return taken;
}

static enum http_method method_of(uint8_t m)
{
	switch (m) {
	case HTTP_DELETE: return HTTP_DELETE_;
	case HTTP_GET: return HTTP_GET_;
	case HTTP_HEAD: return HTTP_HEAD_;
	case HTTP_POST: return HTTP_POST_;
	case HTTP_PUT: return HTTP_PUT_;
	case HTTP_PATCH: return HTTP_PATCH_;
	case HTTP_OPTIONS: return HTTP_OPTIONS_;
	default: return 0;
	}
}

static bool host_is_valid(struct str host)
{
	static const bool is_fine[256] = {
		['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['-'] = true, ['.'] = true,
		['_'] = true,         ['~'] = true,         ['!'] = true,         ['$'] = true, ['&'] = true,
		['\''] = true,        ['('] = true,         [')'] = true,         ['*'] = true, ['+'] = true,
		[';'] = true,         ['='] = true,         ['%'] = true,         [':'] = true, ['['] = true,
		[']'] = true,
	};

	for (size_t i = 0; i < host.n; i++)
		if (!is_fine[(unsigned char)host.p[i]])
			return false;
	return host.n > 0;
}

static bool check_host(struct http_conn *c)
{
	const struct http_headers *h = &c->box->req.headers;
	struct str host = http_field_get(h, FIELD_HOST);

	if (http_field_is_repeated(h, FIELD_HOST))
		return http_refuse(c, 400, "host_invalid", "The request has more than one Host field.");
	if (!host.p && !c->box->req.is_http_1_0)
		return http_refuse(c, 400, "host_missing", "The request has no Host field.");
	if (host.p && !host_is_valid(host))
		return http_refuse(c, 400, "host_invalid", "The Host field is not a host name with an optional port.");
	return true;
}

/* RFC 9112 section 6: where a proxy and a server could disagree about the body's end, the request is refused. */
static bool check_framing(struct http_conn *c)
{
	struct http_request *r = &c->box->req;
	struct str length = http_field_get(&r->headers, FIELD_CONTENT_LENGTH),
		   coding = http_field_get(&r->headers, FIELD_TRANSFER_ENCODING);
	uint64_t n = 0;

	if (http_field_is_repeated(&r->headers, FIELD_CONTENT_LENGTH) || (length.p && coding.p) ||
	    (length.p && str_to_u64(length, INT64_MAX, &n) != 0))
		return http_refuse(c, 400, "framing_invalid",
				   "The body's length is ambiguous. Send one Content-Length, or Transfer-Encoding: "
				   "chunked alone.");
	if (coding.p && (r->is_http_1_0 || http_field_is_repeated(&r->headers, FIELD_TRANSFER_ENCODING) ||
			 !str_ieq(coding, STR("chunked"))))
		return http_refuse(c, 400, "framing_invalid",
				   "The only Transfer-Encoding is chunked, once, on HTTP/1.1.");
	r->content_length = coding.p ? -1 : (int64_t)n;
	c->box->is_body_done = r->content_length == 0;
	return true;
}

static bool check_expect(struct http_conn *c)
{
	struct http_box *box = c->box;
	const struct http_headers *h = &box->req.headers;
	struct str expect = http_field_get(h, FIELD_EXPECT);

	if (!expect.p || box->req.is_http_1_0)
		return true;
	if (http_field_is_repeated(h, FIELD_EXPECT) || !str_ieq(expect, STR("100-continue")))
		return http_refuse(c, 417, "expectation_failed", "The only expectation served is 100-continue.");
	box->expects_continue = !box->is_body_done;
	return true;
}

static bool target_invalid(struct http_conn *c)
{
	return http_refuse(c, 400, "target_invalid",
			   "The target must be a path that begins with /, percent-encoded, without fragment.");
}

/* http://authority/path is served when the authority is the Host's; from then on it is /path. */
static bool reduce_absolute_form(struct http_conn *c, struct str host)
{
	struct str *target = &c->box->req.target;
	struct str rest = *target;
	size_t n = 0;

	if (rest.n >= 7 && strncasecmp(rest.p, "http://", 7) == 0)
		n = 7;
	else if (rest.n >= 8 && strncasecmp(rest.p, "https://", 8) == 0)
		n = 8;
	if (n == 0)
		return target_invalid(c);
	rest.p += n;
	rest.n -= n;
	n = strcspn(rest.p, "/?");
	if (!str_ieq((struct str){rest.p, n}, host))
		return http_refuse(c, 400, "host_invalid", "The target's authority is not the Host field's.");
	rest.p += n;
	rest.n -= n;
	if (rest.n == 0 || rest.p[0] != '/')
		rest = str_of(arena_printf(c->box->req.arena, "/%.*s", STR_ARG(rest)));
	*target = rest;
	return true;
}

static bool has_dot_segment(struct str path)
{
	if (!memchr(path.p, '.', path.n))
		return false;
	while (path.p) {
		struct str segment = str_cut(&path, '/');

		if (str_is(segment, ".") || str_is(segment, ".."))
			return true;
	}
	return false;
}

static bool decode_path(struct http_conn *c, struct str raw)
{
	struct http_request *r = &c->box->req;
	struct buf *scratch = &c->server->scratch;

	if (memchr(raw.p, '%', raw.n)) {
		buf_clear(scratch);
		if (percent_decode(raw, false, scratch) != 0)
			return target_invalid(c);
		raw = buf_str(scratch);
	}
	if (has_dot_segment(raw))
		return http_refuse(c, 400, "target_invalid", "The path must not have . or .. segments.");
	r->path = arena_str(r->arena, raw);
	return true;
}

static bool check_target(struct http_conn *c, struct str host)
{
	struct http_request *r = &c->box->req;
	struct str path;

	for (size_t i = 0; i < r->target.n; i++) {
		unsigned char ch = (unsigned char)r->target.p[i];

		if (ch <= ' ' || ch >= 0x7f || ch == '#')
			return target_invalid(c);
	}
	if (str_is(r->target, "*") && r->method == HTTP_OPTIONS_) {
		r->path = r->target;
		return true;
	}
	if ((r->target.n == 0 || r->target.p[0] != '/') && !reduce_absolute_form(c, host))
		return false;
	r->query = r->target;
	path = str_cut(&r->query, '?');
	return decode_path(c, path);
}

bool http_head_finish(struct http_conn *c)
{
	struct http_box *box = c->box;
	struct http_request *r = &box->req;

	settle_fields(&r->headers, box->head.p);
	r->target = (struct str){box->head.p, box->n_target};
	r->is_http_1_0 = c->parser.http_minor == 0;
	r->method = method_of(c->parser.method);
	if (c->parser.http_major != 1)
		return http_refuse(c, 505, "version_not_supported", "Use HTTP/1.1.");
	if (r->method == 0)
		return http_refuse(c, 405, "method_not_allowed", "This method is not served.");
	if (!check_host(c) || !check_framing(c) || !check_target(c, http_field_get(&r->headers, FIELD_HOST)))
		return false;
	if ((c->parser.flags & F_UPGRADE) && (c->parser.flags & F_CONNECTION_UPGRADE) && !box->is_body_done)
		return http_refuse(c, 400, "upgrade_with_body",
				   "A request that asks for an upgrade must have no body.");
	box->has_keep_alive = llhttp_should_keep_alive(&c->parser);
	/* An upgrade is the handler's to choose; for the parser it is a request like others. */
	c->parser.upgrade = 0;
	return check_expect(c);
}
