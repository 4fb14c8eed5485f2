#include "agent/knowledge/read.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <utf8proc.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "io/html_text.h"

#define SNIFFED 4096
#define TITLE_MAX 200

static const struct {
	enum media media;
	const char *type;
	const char *endings[4];
} kinds[] = {
	{MEDIA_TEXT, "text/plain", {".txt", ".text", ".log", NULL}},
	{MEDIA_MARKDOWN, "text/markdown", {".md", ".markdown", ".mdown", NULL}},
	{MEDIA_HTML, "text/html", {".html", ".htm", ".xhtml", NULL}},
	{MEDIA_PDF, "application/pdf", {".pdf", NULL}},
};

const char *media_type_name(enum media m)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].media == m)
			return kinds[i].type;
	return "application/pdf";
}

/* What is behind a ';' is parameters. */
bool media_of_type(const char *type, enum media *ret)
{
	struct str s = str_of(type), name = str_trim(str_cut(&s, ';'));

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (str_ieq(name, str_of(kinds[i].type))) {
			*ret = kinds[i].media;
			return true;
		}
	return false;
}

/* ---- What it is ---- */

static bool of_name(const char *name, enum media *ret)
{
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot && i < ARRAY_SIZE(kinds); i++)
		for (size_t e = 0; e < ARRAY_SIZE(kinds[i].endings) && kinds[i].endings[e]; e++)
			if (strcasecmp(dot, kinds[i].endings[e]) == 0) {
				*ret = kinds[i].media;
				return true;
			}
	return false;
}

static bool is_utf16(struct str s)
{
	return s.n >= 2 && (memcmp(s.p, "\xff\xfe", 2) == 0 || memcmp(s.p, "\xfe\xff", 2) == 0);
}

static bool is_html(struct str s)
{
	static const char *const heads[] = {"<!doctype html", "<html", "<head", "<body"};

	if (str_has_prefix(s, STR("\xef\xbb\xbf")))
		s = (struct str){s.p + 3, s.n - 3};
	s = str_trim((struct str){s.p, MIN(s.n, (size_t)SNIFFED)});
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
		if (s.n > strlen(heads[i]) && strncasecmp(s.p, heads[i], strlen(heads[i])) == 0)
			return true;
	return false;
}

/* Text has next to no control characters. */
static bool is_text(struct str s)
{
	size_t n = MIN(s.n, (size_t)SNIFFED), odd = 0;

	if (is_utf16(s))
		return true;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == 0)
			return false;
		odd += (c < 0x20 && !isspace(c) && c != 0x1b) || c == 0x7f;
	}
	return odd * 50 <= n;
}

int media_detect(struct str bytes, const char *name, const char *type, enum media *ret, struct error *err)
{
	struct str head = {bytes.p, MIN(bytes.n, 1024u)};
	bool is_pdf = head.n >= 5 && memmem(head.p, head.n, "%PDF-", 5) != NULL;
	enum media said = MEDIA_TEXT;
	bool is_said = of_name(name, &said) || media_of_type(type, &said);

	if (bytes.n == 0)
		return error_set(err, "document_empty", "The file is empty: send one with text in it.");
	if (is_pdf) {
		*ret = MEDIA_PDF;
		return 0;
	}
	if (is_said && said == MEDIA_PDF)
		return error_set(err, "document_type",
				 "The file is called a PDF and is none (it does not begin with %%PDF-): send the PDF "
				 "itself, or name it after what it is.");
	if (!is_text(bytes))
		return error_set(err, "document_type",
				 "The file is no text: text, Markdown, HTML and PDF can be read. Save it as one of "
				 "these and send it again.");
	*ret = is_html(bytes) ? MEDIA_HTML : is_said ? said : MEDIA_TEXT;
	return 0;
}

/* ---- Its text ---- */

static void add_character(struct buf *out, uint32_t c)
{
	uint8_t bytes[4];
	utf8proc_ssize_t n = utf8proc_encode_char((utf8proc_int32_t)c, bytes);

	if (n > 0)
		buf_add(out, bytes, (size_t)n);
}

static void from_utf16(struct str s, struct buf *out)
{
	bool is_little = (unsigned char)*s.p == 0xff;
	uint32_t high = 0;

	for (size_t i = 2; i + 1 < s.n; i += 2) {
		uint32_t a = (unsigned char)s.p[i], b = (unsigned char)s.p[i + 1];
		uint32_t c = is_little ? a | b << 8 : b | a << 8;
		if (c >= 0xd800 && c < 0xdc00) {
			high = c;
			continue;
		}
		if (c >= 0xdc00 && c < 0xe000) {
			add_character(out, high ? 0x10000 + ((high - 0xd800) << 10) + (c - 0xdc00) : 0xfffd);
			high = 0;
			continue;
		}
		high = 0;
		add_character(out, c);
	}
}

/* Bytes that are no UTF-8 are taken for ISO 8859-1. */
static void from_latin(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++)
		add_character(out, (unsigned char)s.p[i]);
}

/* Only line feeds end lines; what cannot be seen is left out, but for form feeds between pages. */
static void clean(struct str s, bool has_pages, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '\r') {
			if (i + 1 == s.n || s.p[i + 1] != '\n')
				buf_add_char(out, '\n');
		} else if (c >= 0x20 || c == '\n' || c == '\t' || (c == '\f' && has_pages)) {
			if (c != 0x7f)
				buf_add_char(out, (char)c);
		} else if (c == '\f' || c == '\v') {
			buf_add_char(out, '\n');
		}
	}
}

static void decode(struct str s, bool has_pages, struct buf *out)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	if (is_utf16(s)) {
		from_utf16(s, &text);
		clean(buf_str(&text), has_pages, out);
		return;
	}
	if (str_has_prefix(s, STR("\xef\xbb\xbf")))
		s = (struct str){s.p + 3, s.n - 3};
	if (utf8_is_valid(s)) {
		clean(s, has_pages, out);
		return;
	}
	from_latin(s, &text);
	clean(buf_str(&text), has_pages, out);
}

/* Form feeds divide pages; the last one ends the last page. */
static void find_pages(struct read_text *t)
{
	size_t n = 1;

	for (size_t i = 0; i < t->text.n; i++)
		n += t->text.p[i] == '\f';
	t->pages = xcalloc(n, sizeof(*t->pages));
	t->n_pages = 1;
	for (size_t i = 0; i < t->text.n; i++) {
		if (t->text.p[i] != '\f')
			continue;
		t->text.p[i] = '\n';
		if (i + 1 < t->text.n)
			t->pages[t->n_pages++] = i + 1;
	}
}

static int read_html(struct str bytes, struct read_text *ret, struct error *err)
{
	int r = html_text(bytes, NULL, 0, &ret->text, &ret->title);

	ret->is_markdown = true;
	if (r == -ENOSYS) {
		error_set(err, "html_reader_missing",
			  "HTML cannot be read here: install libxml2 (apt-get install libxml2), then index the "
			  "document again.");
		return r;
	}
	if (r < 0)
		error_set(err, "document_unreadable", "The HTML cannot be read: check the file and send it again.");
	return r;
}

/* The first heading of the highest level, "# Title", of a Markdown text. */
static void find_title(struct read_text *t)
{
	struct str rest = buf_str(&t->text);

	for (int lines = 0; rest.p && rest.n > 0 && lines < 50; lines++) {
		struct str line = str_cut(&rest, '\n');
		if (!str_has_prefix(line, STR("# ")))
			continue;
		line = str_trim((struct str){line.p + 2, line.n - 2});
		buf_add(&t->title, line.p, MIN(line.n, (size_t)TITLE_MAX * 2));
		return;
	}
}

static void shorten_title(struct buf *title)
{
	if (title->n <= TITLE_MAX)
		return;
	size_t n = TITLE_MAX;
	while (n > 0 && ((unsigned char)title->p[n] & 0xc0) == 0x80)
		n--;
	title->n = n;
	title->p[n] = '\0';
}

int read_document(enum media m, struct str bytes, struct read_text *ret, struct error *err)
{
	int r = 0;

	*ret = (struct read_text){0};
	if (m == MEDIA_HTML)
		r = read_html(bytes, ret, err);
	else
		decode(bytes, m == MEDIA_PDF_TEXT, &ret->text);
	if (r < 0)
		return r;
	if (m == MEDIA_MARKDOWN)
		ret->is_markdown = true;
	if (m == MEDIA_PDF_TEXT)
		find_pages(ret);
	if (ret->is_markdown && ret->title.n == 0)
		find_title(ret);
	shorten_title(&ret->title);
	if (str_trim(buf_str(&ret->text)).n > 0)
		return 0;
	error_set(err, "document_empty",
		  m == MEDIA_PDF_TEXT ? "The PDF has no text in it, only pictures of pages: recognise its text (OCR) "
					"first and send the result."
				      : "There is no text in the document: send one with text in it.");
	return -ENODATA;
}

void read_text_deinit(struct read_text *t)
{
	buf_deinit(&t->text);
	buf_deinit(&t->title);
	free(t->pages);
	*t = (struct read_text){0};
}
