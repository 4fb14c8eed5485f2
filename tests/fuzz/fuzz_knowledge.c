/* What documents go through: whatever comes in, it is told what it is, read, and cut into pieces that lie in the text,
 * one behind the other, within their size; words end; a multipart body never leads outside itself. The first byte
 * chooses. */
#include <stdlib.h>

#include "agent/knowledge/cite.h"
#include "agent/knowledge/hashed.h"
#include "agent/knowledge/multipart.h"
#include "agent/knowledge/read.h"
#include "agent/knowledge/split.h"
#include "agent/knowledge/words.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

struct seen {
	struct str text;
	size_t last_start, last_end;
	uint32_t n;
};

static void on_piece(void *arg, const struct split_piece *p)
{
	struct seen *s = arg;

	check(p->number == s->n++ && p->start < p->end && p->end <= s->text.n);
	check(p->start >= s->last_start && p->end > s->last_end);
	check(utf8_is_valid((struct str){s->text.p + p->start, p->end - p->start}));
	check(utf8_is_valid(str_of(p->heading)));
	s->last_start = p->start;
	s->last_end = p->end;
}

static void try_document(enum media m, struct str bytes, int64_t size)
{
	struct read_text t;
	struct error err = {0};
	float vector[HASHED_DIMENSION];

	if (read_document(m, bytes, &t, &err) == 0) {
		struct split_options o = {size, size / 4, t.is_markdown, t.pages, t.n_pages, 1000000};
		struct seen s = {.text = buf_str(&t.text)};
		check(utf8_is_valid(s.text) && !memchr(s.text.p, 0, s.text.n));
		split_text(s.text, &o, on_piece, &s);
		hashed_vector(s.text, vector);
	} else {
		check(*err.code && *err.message);
	}
	read_text_deinit(&t);
}

static void try_multipart(struct str body)
{
	struct arena *a = arena_new();
	struct multipart_file f = {0};
	struct error err = {0};

	if (multipart_read(a, STR("multipart/form-data; boundary=b"), body, &f, &err) == 0)
		check(f.bytes.p >= body.p && f.bytes.p + f.bytes.n <= body.p + body.n);
	multipart_read(a, body, STR("--b\r\n\r\n--b--"), &f, &err);
	arena_free(a);
}

static void try_citations(struct str text)
{
	struct arena *a = arena_new();
	struct cite_sources s = {0};

	cite_sources_add(&s, a, "[{\"id\":\"k-00000000\",\"document\":\"d\"}]");
	citations_make(a, text, &s);
	arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const enum media kinds[] = {MEDIA_TEXT, MEDIA_MARKDOWN, MEDIA_HTML, MEDIA_PDF_TEXT};
	struct str rest = {(const char *)data + 1, n ? n - 1 : 0};
	enum media m;
	struct error err = {0};

	if (n == 0)
		return 0;
	media_detect(rest, "a.txt", "", &m, &err);
	try_document(kinds[data[0] & 3], rest, 8 + (data[0] >> 2));
	try_multipart(rest);
	try_citations(rest);
	return 0;
}
