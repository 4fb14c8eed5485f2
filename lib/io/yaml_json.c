#include "io/yaml_json.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "base/json.h"
#include "io/library.h"

#define PIECE 1024 /* bytes that are read before the limits are looked at */
#define ANCHORS_MAX 300

#define FUNCTIONS(X)              \
	X(parser_initialize)      \
	X(parser_delete)          \
	X(parser_set_input)       \
	X(parser_set_encoding)    \
	X(parser_load)            \
	X(document_get_node)      \
	X(document_get_root_node) \
	X(document_delete)

static struct {
#define X(name) typeof(yaml_##name) *name;
	FUNCTIONS(X)
#undef X
} yaml;
static bool is_loaded;

static void load(void)
{
	static const struct library_function functions[] = {
#define X(name) {"yaml_" #name, (void **)&yaml.name},
		FUNCTIONS(X)
#undef X
	};

	is_loaded = library_load("libyaml-0.so.2", functions, ARRAY_SIZE(functions));
}

struct writer {
	yaml_document_t *document;
	struct buf *out;
	size_t limit; /* of out->n */
	unsigned depth;
	struct error *err;
};

static int invalid(const struct writer *w, const yaml_node_t *node, const char *why)
{
	return error_set(w->err, "yaml_invalid", "The YAML is wrong at line %zu: %s.", node->start_mark.line + 1, why);
}

/* ---- Plain scalars (YAML 1.2.2 section 10.3.2) ---- */

static bool is_one_of(const char *s, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(s, *list) == 0)
			return true;
	return false;
}

static size_t digits(const char *s)
{
	return strspn(s, "0123456789");
}

/* [-+]?[0-9]+ */
static bool is_integer(const char *s)
{
	s += *s == '-' || *s == '+';
	return *s && !s[digits(s)];
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_float(const char *s)
{
	size_t whole, rest = 0;

	s += *s == '-' || *s == '+';
	whole = digits(s);
	s += whole;
	if (*s == '.') {
		rest = digits(++s);
		s += rest;
	}
	if (whole + rest == 0)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '-' || *s == '+';
		return *s && !s[digits(s)];
	}
	return !*s;
}

static void write_integer(struct buf *out, const char *s)
{
	bool is_negative = *s == '-';

	s += *s == '-' || *s == '+';
	while (s[0] == '0' && s[1])
		s++;
	buf_printf(out, "%s%s", is_negative && *s != '0' ? "-" : "", s);
}

static void write_plain(struct buf *out, const char *s)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const yes[] = {"true", "True", "TRUE", NULL}, *const no[] = {"false", "False", "FALSE",
											NULL};
	double d;

	if (is_one_of(s, nulls)) {
		buf_add_str(out, "null");
	} else if (is_one_of(s, yes)) {
		buf_add_str(out, "true");
	} else if (is_one_of(s, no)) {
		buf_add_str(out, "false");
	} else if (is_integer(s)) {
		write_integer(out, s);
	} else if (is_float(s) && isfinite(d = strtod(s, NULL))) {
		buf_printf(out, "%.17g", d);
	} else {
		json_quote(out, str_of(s));
	}
}

static struct str text_of(const yaml_node_t *node)
{
	return (struct str){(const char *)node->data.scalar.value, node->data.scalar.length};
}

static void write_scalar(const struct writer *w, const yaml_node_t *node)
{
	struct str text = text_of(node);

	if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !memchr(text.n ? text.p : "", '\0', text.n))
		write_plain(w->out, text.p);
	else
		json_quote(w->out, text);
}

/* ---- Collections ---- */

static int write_node(struct writer *w, int id);

static int write_list(struct writer *w, const yaml_node_t *node)
{
	const yaml_node_item_t *item = node->data.sequence.items.start;

	buf_add_char(w->out, '[');
	for (; item < node->data.sequence.items.top; item++) {
		if (item > node->data.sequence.items.start)
			buf_add_char(w->out, ',');
		if (write_node(w, *item) < 0)
			return -EINVAL;
	}
	buf_add_char(w->out, ']');
	return 0;
}

static int write_map(struct writer *w, const yaml_node_t *node)
{
	const yaml_node_pair_t *pair = node->data.mapping.pairs.start;

	buf_add_char(w->out, '{');
	for (; pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml.document_get_node(w->document, pair->key);
		if (!key || key->type != YAML_SCALAR_NODE)
			return invalid(w, node, "a key is no text");
		if (pair > node->data.mapping.pairs.start)
			buf_add_char(w->out, ',');
		json_quote(w->out, text_of(key));
		buf_add_char(w->out, ':');
		if (write_node(w, pair->value) < 0)
			return -EINVAL;
	}
	buf_add_char(w->out, '}');
	return 0;
}

static int write_node(struct writer *w, int id)
{
	const yaml_node_t *node = yaml.document_get_node(w->document, id);
	int r = 0;

	if (!node)
		return error_set(w->err, "yaml_invalid", "The YAML is empty.");
	if (++w->depth > YAML_JSON_DEPTH)
		return invalid(w, node, "it is nested too deeply, or an alias is within itself");
	if (node->type == YAML_SEQUENCE_NODE)
		r = write_list(w, node);
	else if (node->type == YAML_MAPPING_NODE)
		r = write_map(w, node);
	else
		write_scalar(w, node);
	w->depth--;
	if (r == 0 && w->out->n > w->limit)
		return invalid(w, node, "its aliases make it too large");
	return r;
}

static int write_document(yaml_parser_t *parser, size_t max, struct buf *out, struct error *err)
{
	yaml_document_t document;
	struct writer w = {&document, out, out->n + max, 0, err};
	int r;

	if (!yaml.parser_load(parser, &document))
		return error_set(err, "yaml_invalid", "The YAML is wrong at line %zu, column %zu: %s.",
				 parser->problem_mark.line + 1, parser->problem_mark.column + 1,
				 parser->problem ? parser->problem : "it cannot be read");
	r = yaml.document_get_root_node(&document) ? write_node(&w, 1)
						   : error_set(err, "yaml_invalid", "The YAML is empty.");
	yaml.document_delete(&document);
	return r;
}

/* ---- Input ---- */

struct reader {
	yaml_parser_t *parser;
	struct str rest;
	bool is_refused;
};

/* libyaml's work grows with the square of flow nesting and of anchors: what has too many is not read on. */
static int read_some(void *arg, unsigned char *to, size_t size, size_t *ret_n)
{
	struct reader *r = arg;
	const yaml_parser_t *p = r->parser;
	size_t n = MIN(MIN(size, PIECE), r->rest.n);

	r->is_refused = p->flow_level > YAML_JSON_DEPTH || p->indents.top - p->indents.start > YAML_JSON_DEPTH ||
			p->aliases.top - p->aliases.start > ANCHORS_MAX;
	if (r->is_refused)
		return 0;
	memcpy(to, n ? r->rest.p : "", n);
	r->rest.p += n;
	r->rest.n -= n;
	*ret_n = n;
	return 1;
}

int yaml_to_json(struct str text, size_t max, struct buf *out, struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	yaml_parser_t parser;
	struct reader r = {&parser, text, false};
	int result;

	pthread_once(&once, load);
	if (!is_loaded) {
		error_set(err, "yaml_missing",
			  "YAML cannot be read here: install libyaml (apt-get install libyaml-0-2), or send JSON.");
		return -ENOSYS;
	}
	if (!yaml.parser_initialize(&parser))
		abort();
	yaml.parser_set_input(&parser, read_some, &r);
	yaml.parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	result = write_document(&parser, max, out, err);
	if (r.is_refused)
		result = error_set(err, "yaml_invalid", "The YAML is nested too deeply, or has too many anchors.");
	yaml.parser_delete(&parser);
	return result;
}
