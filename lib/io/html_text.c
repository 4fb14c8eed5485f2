#include "io/html_text.h"

#include <ctype.h>
#include <errno.h>
#include <libxml/HTMLparser.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "io/library.h"

#define FUNCTIONS(X)      \
	X(htmlReadMemory) \
	X(xmlFreeDoc)     \
	X(xmlGetProp)     \
	X(xmlInitParser)  \
	X(xmlDocGetRootElement)

static struct {
#define X(name) typeof(name) *name;
	FUNCTIONS(X)
#undef X
} xml;
static bool is_loaded;

static void load(void)
{
	static const struct library_function functions[] = {
#define X(name) {#name, (void **)&xml.name},
		FUNCTIONS(X)
#undef X
	};

	is_loaded = library_load("libxml2.so.2", functions, ARRAY_SIZE(functions)) ||
		    library_load("libxml2.so.16", functions, ARRAY_SIZE(functions));
	if (is_loaded)
		xml.xmlInitParser();
}

/* What an element means for the text. */
enum kind {
	KIND_INLINE,
	KIND_BLOCK,
	KIND_DROPPED,
	KIND_HEADING,
	KIND_ITEM,
	KIND_BREAK,
	KIND_ROW,
	KIND_CELL,
	KIND_PRE,
	KIND_LINK,
	KIND_TITLE
};

static const struct {
	const char *name;
	enum kind kind;
} elements[] = {
	{"p", KIND_BLOCK},        {"div", KIND_BLOCK},        {"section", KIND_BLOCK},    {"article", KIND_BLOCK},
	{"header", KIND_BLOCK},   {"footer", KIND_BLOCK},     {"main", KIND_BLOCK},       {"aside", KIND_BLOCK},
	{"nav", KIND_BLOCK},      {"ul", KIND_BLOCK},         {"ol", KIND_BLOCK},         {"dl", KIND_BLOCK},
	{"table", KIND_BLOCK},    {"blockquote", KIND_BLOCK}, {"figure", KIND_BLOCK},     {"form", KIND_BLOCK},
	{"fieldset", KIND_BLOCK}, {"address", KIND_BLOCK},    {"hr", KIND_BLOCK},         {"details", KIND_BLOCK},
	{"caption", KIND_BLOCK},  {"figcaption", KIND_BLOCK}, {"center", KIND_BLOCK},     {"br", KIND_BREAK},
	{"dt", KIND_ROW},         {"dd", KIND_ROW},           {"tr", KIND_ROW},           {"td", KIND_CELL},
	{"th", KIND_CELL},        {"li", KIND_ITEM},          {"pre", KIND_PRE},          {"a", KIND_LINK},
	{"h1", KIND_HEADING},     {"h2", KIND_HEADING},       {"h3", KIND_HEADING},       {"h4", KIND_HEADING},
	{"h5", KIND_HEADING},     {"h6", KIND_HEADING},       {"title", KIND_TITLE},      {"script", KIND_DROPPED},
	{"style", KIND_DROPPED},  {"noscript", KIND_DROPPED}, {"template", KIND_DROPPED}, {"svg", KIND_DROPPED},
	{"iframe", KIND_DROPPED}, {"object", KIND_DROPPED},   {"embed", KIND_DROPPED},    {"canvas", KIND_DROPPED},
	{"audio", KIND_DROPPED},  {"video", KIND_DROPPED},    {"select", KIND_DROPPED},   {"math", KIND_DROPPED},
};

struct writer {
	struct buf *out, *title;
	unsigned flags;
	size_t from;     /* where the text begins in out */
	unsigned wanted; /* line breaks before the next text: 0 to 2 */
	bool is_spaced;  /* a blank before it */
	bool is_in_cell; /* something stands in this row already */
	unsigned pre;    /* depth of preformatted elements */
};

static enum kind kind_of(const xmlNode *n)
{
	for (size_t i = 0; i < ARRAY_SIZE(elements); i++)
		if (strcmp((const char *)n->name, elements[i].name) == 0)
			return elements[i].kind;
	return KIND_INLINE;
}

static void want(struct writer *w, unsigned breaks)
{
	w->wanted = MAX(w->wanted, breaks);
	w->is_spaced = false;
}

static void settle(struct writer *w)
{
	size_t have = 0;

	if (w->out->n == w->from) {
		w->wanted = 0;
		w->is_spaced = false;
	}
	while (have < 2 && w->out->n > w->from + have && w->out->p[w->out->n - 1 - have] == '\n')
		have++;
	for (; have < w->wanted; have++)
		buf_add_char(w->out, '\n');
	if (w->is_spaced && w->out->p[w->out->n - 1] != '\n' && w->out->p[w->out->n - 1] != ' ')
		buf_add_char(w->out, ' ');
	w->wanted = 0;
	w->is_spaced = false;
}

static void add_pre(struct writer *w, const char *p)
{
	settle(w);
	for (; *p; p++)
		if (*p == '\n' || *p == '\t' || !iscntrl((unsigned char)*p))
			buf_add_char(w->out, *p);
}

/* A no-break space (C2 A0) is a blank too. */
static size_t blank_at(const char *p)
{
	if (isspace((unsigned char)*p) || iscntrl((unsigned char)*p))
		return 1;
	return (unsigned char)p[0] == 0xc2 && (unsigned char)p[1] == 0xa0 ? 2 : 0;
}

static void add_words(struct writer *w, const char *p)
{
	while (*p) {
		size_t n = blank_at(p);
		if (n) {
			w->is_spaced = w->is_spaced || w->wanted == 0;
			p += n;
			continue;
		}
		const char *end = p;
		while (*end && !blank_at(end))
			end++;
		settle(w);
		buf_add(w->out, p, (size_t)(end - p));
		p = end;
	}
}

static void add_mark(struct writer *w, const char *mark)
{
	settle(w);
	buf_add_str(w->out, mark);
}

static void add_attribute(struct writer *w, const xmlNode *n, const char *name, const char *before, const char *behind)
{
	xmlChar *value = xml.xmlGetProp((xmlNode *)n, (const xmlChar *)name);

	if (value && *value && strlen((const char *)value) < 2000) {
		buf_add_str(w->out, before);
		add_words(w, (const char *)value);
		buf_add_str(w->out, behind);
	}
	if (value)
		free(value);
}

static void add_title(struct writer *w, const xmlNode *n)
{
	struct writer own = {.out = w->title, .from = w->title ? w->title->n : 0};

	for (const xmlNode *c = n->children; w->title && c; c = c->next)
		if (c->type == XML_TEXT_NODE && c->content)
			add_words(&own, (const char *)c->content);
}

/* Returns whether what is inside is to be read. */
static bool enter(struct writer *w, const xmlNode *n)
{
	if (n->type == XML_TEXT_NODE || n->type == XML_CDATA_SECTION_NODE) {
		if (n->content && w->pre)
			add_pre(w, (const char *)n->content);
		else if (n->content)
			add_words(w, (const char *)n->content);
		return false;
	}
	if (n->type != XML_ELEMENT_NODE)
		return n->type == XML_HTML_DOCUMENT_NODE;
	switch (kind_of(n)) {
	case KIND_INLINE:
		if (strcmp((const char *)n->name, "img") == 0) {
			settle(w);
			add_attribute(w, n, "alt", "", "");
		}
		break;
	case KIND_BLOCK: want(w, 2); break;
	case KIND_DROPPED: return false;
	case KIND_HEADING:
		want(w, 2);
		settle(w);
		for (int level = n->name[1] - '0'; level > 0; level--)
			buf_add_char(w->out, '#');
		w->is_spaced = true;
		break;
	case KIND_ITEM:
		want(w, 1);
		add_mark(w, "- ");
		break;
	case KIND_BREAK: want(w, MIN(w->wanted + 1, 2u)); break;
	case KIND_ROW:
		want(w, 1);
		w->is_in_cell = false;
		break;
	case KIND_CELL:
		if (w->is_in_cell)
			add_mark(w, " | ");
		w->is_in_cell = true;
		break;
	case KIND_PRE:
		want(w, 2);
		if (w->pre++ == 0)
			add_mark(w, "```\n");
		break;
	case KIND_LINK:
		if (w->flags & HTML_TEXT_LINKS)
			add_mark(w, "[");
		break;
	case KIND_TITLE: add_title(w, n); return false;
	}
	return true;
}

static void leave(struct writer *w, const xmlNode *n)
{
	if (n->type != XML_ELEMENT_NODE)
		return;
	switch (kind_of(n)) {
	case KIND_BLOCK:
	case KIND_HEADING: want(w, 2); break;
	case KIND_ITEM:
	case KIND_ROW: want(w, 1); break;
	case KIND_PRE:
		if (--w->pre == 0) {
			want(w, 1);
			add_mark(w, "```");
			want(w, 2);
		}
		break;
	case KIND_LINK:
		if (w->flags & HTML_TEXT_LINKS) {
			w->is_spaced = false;
			buf_add_char(w->out, ']');
			add_attribute(w, n, "href", "(", ")");
		}
		break;
	default: break;
	}
}

/* Without recursion: how deep it is nested is the sender's to say. */
static void walk(struct writer *w, const xmlNode *root)
{
	const xmlNode *n = root;

	for (;;) {
		if (enter(w, n) && n->children) {
			n = n->children;
			continue;
		}
		leave(w, n);
		while (n != root && !n->next) {
			n = n->parent;
			leave(w, n);
		}
		if (n == root)
			return;
		n = n->next;
	}
}

/* The parser lets bytes through that are no text in the charset it found. */
static void keep_text(struct buf *b, size_t from)
{
	_cleanup_(buf_deinit) struct buf clean = BUF_INIT;
	struct utf8_carry carry = {0};

	if (!b || b->n == from || utf8_is_valid((struct str){b->p + from, b->n - from}))
		return;
	utf8_clean(&carry, b->p + from, b->n - from, true, &clean);
	b->n = from;
	buf_add(b, clean.p, clean.n);
}

int html_text(struct str html, const char *charset, unsigned flags, struct buf *out, struct buf *title)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct writer w = {.out = out, .title = title, .flags = flags, .from = out->n};
	size_t title_from = title ? title->n : 0;
	xmlDoc *doc;

	pthread_once(&once, load);
	if (!is_loaded)
		return -ENOSYS;
	if (html.n == 0 || html.n > INT32_MAX)
		return -EINVAL;
	if (!charset && utf8_is_valid(html))
		charset = "UTF-8";
	doc = xml.htmlReadMemory(html.p, (int)html.n, NULL, charset,
				 HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING | HTML_PARSE_NONET |
					 HTML_PARSE_COMPACT);
	if (!doc)
		return -EINVAL;
	const xmlNode *root = xml.xmlDocGetRootElement(doc);
	if (root)
		walk(&w, root);
	xml.xmlFreeDoc(doc);
	keep_text(out, w.from);
	keep_text(title, title_from);
	return 0;
}
