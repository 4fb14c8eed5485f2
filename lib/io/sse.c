#include "io/sse.h"

#include <errno.h>

void sse_parser_init(struct sse_parser *p, size_t max_event, bool (*on_event)(void *, const struct sse_event *),
		     void *owner)
{
	*p = (struct sse_parser){.max_event = max_event, .on_event = on_event, .owner = owner};
}

void sse_parser_deinit(struct sse_parser *p)
{
	buf_deinit(&p->line);
	buf_deinit(&p->data);
	buf_deinit(&p->type);
	buf_deinit(&p->id);
}

/* Returns false when the owner wants no more; the parser may be gone then. */
static bool dispatch(struct sse_parser *p)
{
	if (!p->has_data) {
		buf_clear(&p->type);
		return true;
	}

	struct sse_event ev = {.type = buf_str(&p->type), .data = buf_str(&p->data), .id = buf_str(&p->id)};

	if (!p->on_event(p->owner, &ev))
		return false;
	buf_clear(&p->type);
	buf_clear(&p->data);
	p->has_data = false;
	return true;
}

static void set(struct buf *b, struct str value)
{
	buf_clear(b);
	buf_add(b, value.p, value.n);
}

/* Fields that the standard does not name are skipped, as is "retry": whoever reads decides when to come back. */
static void field(struct sse_parser *p, struct str name, struct str value)
{
	if (str_is(name, "data")) {
		if (p->has_data)
			buf_add_char(&p->data, '\n');
		buf_add(&p->data, value.p, value.n);
		p->has_data = true;
	} else if (str_is(name, "event")) {
		set(&p->type, value);
	} else if (str_is(name, "id") && (value.n == 0 || !memchr(value.p, 0, value.n))) {
		set(&p->id, value);
	}
}

static bool line(struct sse_parser *p, struct str s)
{
	if (!p->started && str_has_prefix(s, STR("\xef\xbb\xbf"))) {
		s.p += 3;
		s.n -= 3;
	}
	p->started = true;
	if (s.n == 0)
		return dispatch(p);
	if (s.p[0] == ':')
		return true;

	const char *colon = memchr(s.p, ':', s.n);

	if (!colon) {
		field(p, s, (struct str){"", 0});
		return true;
	}

	struct str value = {colon + 1, (size_t)(s.p + s.n - colon - 1)};

	if (value.n > 0 && value.p[0] == ' ') {
		value.p++;
		value.n--;
	}
	field(p, (struct str){s.p, (size_t)(colon - s.p)}, value);
	return true;
}

static const char *line_end(const char *p, const char *end)
{
	const char *lf = memchr(p, '\n', (size_t)(end - p));
	const char *cr = memchr(p, '\r', (size_t)((lf ? lf : end) - p));

	return cr ? cr : lf;
}

int sse_parser_feed(struct sse_parser *p, const char *data, size_t n)
{
	const char *end = data + n;

	if (p->skip_lf && n > 0) {
		p->skip_lf = false;
		data += *data == '\n';
	}
	while (data < end) {
		const char *eol = line_end(data, end);
		size_t len = (size_t)((eol ? eol : end) - data);

		if (p->line.n + p->data.n + len > p->max_event)
			return -EMSGSIZE;
		if (p->line.n > 0 || !eol)
			buf_add(&p->line, data, len);
		if (!eol)
			return 0;

		bool kept = p->line.n > 0;

		if (!line(p, kept ? buf_str(&p->line) : (struct str){data, len}))
			return 0;
		if (kept)
			buf_clear(&p->line);
		data = eol + 1;
		if (*eol != '\r')
			continue;
		if (data == end)
			p->skip_lf = true;
		else if (*data == '\n')
			data++;
	}
	return 0;
}

void sse_write(struct buf *out, uint64_t id, const char *type, struct str data)
{
	const char *p = data.p, *end = data.p + data.n;

	if (id) {
		buf_add_str(out, "id: ");
		buf_add_number(out, id);
		buf_add_char(out, '\n');
	}
	if (type) {
		buf_add_str(out, "event: ");
		buf_add_str(out, type);
		buf_add_char(out, '\n');
	}
	for (;;) {
		const char *eol = p < end ? line_end(p, end) : NULL;

		buf_add_str(out, "data: ");
		if (p < end)
			buf_add(out, p, (size_t)((eol ? eol : end) - p));
		buf_add_char(out, '\n');
		if (!eol)
			break;
		p = eol + 1 + (*eol == '\r' && eol + 1 < end && eol[1] == '\n');
	}
	buf_add_char(out, '\n');
}
