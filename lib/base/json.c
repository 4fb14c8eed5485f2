#include "base/json.h"

#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/utf8.h"

/* Objects of up to this many members are checked for duplicates pair by pair, larger ones are sorted. */
#define SMALL_OBJECT 16

static void *alc_malloc(void *ctx, size_t n)
{
	return xmalloc(n);
}

static void *alc_realloc(void *ctx, void *p, size_t old, size_t n)
{
	return xrealloc(p, n);
}

static void alc_free(void *ctx, void *p)
{
	free(p);
}

static const yyjson_alc allocator = {alc_malloc, alc_realloc, alc_free, NULL};

static void free_doc(void *doc)
{
	yyjson_doc_free(doc);
}

static void free_mut_doc(void *doc)
{
	yyjson_mut_doc_free(doc);
}

/* "line 3, column 14" of a byte, both from 1, the column in bytes. */
static const char *place(const char *data, size_t pos, char *ret, size_t size)
{
	size_t line = 1, start = 0;

	for (size_t i = 0; i < pos; i++) {
		if (data[i] == '\n') {
			line++;
			start = i + 1;
		}
	}
	snprintf(ret, size, "line %zu, column %zu", line, pos - start + 1);
	return ret;
}

/* Before parsing, in one pass without recursion: how deep do brackets outside of strings go? */
static int check_depth(const char *data, size_t n, unsigned max, struct error *err)
{
	unsigned depth = 0;
	bool in_string = false;
	char where[64];

	for (size_t i = 0; i < n; i++) {
		char c = data[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > max)
				return error_set(err, "json_too_deep",
						 "the JSON is nested deeper than %u levels at %s: use a flatter form",
						 max, place(data, i, where, sizeof(where)));
		} else if ((c == ']' || c == '}') && depth > 0) {
			depth--;
		}
	}
	return 0;
}

static bool has_nul(yyjson_val *s)
{
	return memchr(yyjson_get_str(s), 0, yyjson_get_len(s)) != NULL;
}

/* A key as it may stand in a sentence: short, without control characters. */
static const char *key_text(yyjson_val *key, char *ret, size_t size)
{
	const char *s = yyjson_get_str(key);
	size_t len = yyjson_get_len(key), n = 0;

	while (n < len && n + 1 < size && (unsigned char)s[n] >= 0x20 && s[n] != 0x7f) {
		ret[n] = s[n];
		n++;
	}
	while (n && n < len && ((unsigned char)s[n] & 0xc0) == 0x80)
		n--;
	ret[n] = '\0';
	return ret;
}

static bool same_key(yyjson_val *a, yyjson_val *b)
{
	size_t n = yyjson_get_len(a);

	return n == yyjson_get_len(b) && memcmp(yyjson_get_str(a), yyjson_get_str(b), n) == 0;
}

static int compare_keys(const void *pa, const void *pb)
{
	yyjson_val *a = *(yyjson_val *const *)pa, *b = *(yyjson_val *const *)pb;
	size_t na = yyjson_get_len(a), nb = yyjson_get_len(b);

	if (na != nb)
		return na < nb ? -1 : 1;
	return memcmp(yyjson_get_str(a), yyjson_get_str(b), na);
}

static yyjson_val *find_duplicate_sorted(yyjson_val *obj)
{
	size_t n = yyjson_obj_size(obj), i, max;
	yyjson_val **keys = xcalloc(n, sizeof(*keys)), *key, *val, *found = NULL;

	yyjson_obj_foreach(obj, i, max, key, val)
	{
		keys[i] = key;
	}
	qsort(keys, n, sizeof(*keys), compare_keys);
	for (i = 1; i < n && !found; i++)
		if (same_key(keys[i - 1], keys[i]))
			found = keys[i];
	free(keys);
	return found;
}

static yyjson_val *find_duplicate(yyjson_val *obj)
{
	yyjson_val *keys[SMALL_OBJECT], *key, *val;
	size_t i, max;

	if (yyjson_obj_size(obj) > SMALL_OBJECT)
		return find_duplicate_sorted(obj);
	yyjson_obj_foreach(obj, i, max, key, val)
	{
		for (size_t j = 0; j < i; j++)
			if (same_key(keys[j], key))
				return key;
		keys[i] = key;
	}
	return NULL;
}

static int check_val(yyjson_val *v, struct error *err);

static int check_obj(yyjson_val *obj, struct error *err)
{
	yyjson_val *key, *val;
	char text[48];
	size_t i, max;

	yyjson_obj_foreach(obj, i, max, key, val)
	{
		if (has_nul(key))
			return error_set(err, "json_nul", "a key in the JSON contains a NUL character: leave it out");
		if (yyjson_is_str(val) && has_nul(val))
			return error_set(err, "json_nul", "\"%s\" contains a NUL character: leave it out",
					 key_text(key, text, sizeof(text)));
		int r = check_val(val, err);
		if (r < 0)
			return r;
	}
	key = find_duplicate(obj);
	if (key)
		return error_set(err, "json_duplicate_key", "the key \"%s\" stands twice in one object: keep one",
				 key_text(key, text, sizeof(text)));
	return 0;
}

/* The depth is known to be small here, so recursion is fine. */
static int check_val(yyjson_val *v, struct error *err)
{
	size_t i, max;
	yyjson_val *item;

	if (yyjson_is_str(v) && has_nul(v))
		return error_set(err, "json_nul", "a string in the JSON contains a NUL character: leave it out");
	if (yyjson_is_obj(v))
		return check_obj(v, err);
	yyjson_arr_foreach(v, i, max, item)
	{
		int r = check_val(item, err);
		if (r < 0)
			return r;
	}
	return 0;
}

yyjson_doc *json_parse_depth(struct arena *a, const char *data, size_t n, unsigned max_depth, struct error *err)
{
	yyjson_read_err read_err;
	char where[64];

	if (n == 0) {
		error_set(err, "json_invalid", "there is no JSON: the text is empty");
		return NULL;
	}
	if (check_depth(data, n, max_depth, err) < 0)
		return NULL;
	yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)data, n, YYJSON_READ_NOFLAG, &allocator, &read_err);
	if (!doc) {
		error_set(err, "json_invalid", "the JSON is not valid at %s: %s",
			  place(data, MIN(read_err.pos, n), where, sizeof(where)), read_err.msg);
		return NULL;
	}
	if (check_val(yyjson_doc_get_root(doc), err) < 0) {
		yyjson_doc_free(doc);
		return NULL;
	}
	arena_defer(a, free_doc, doc);
	return doc;
}

yyjson_doc *json_parse(struct arena *a, const char *data, size_t n, struct error *err)
{
	return json_parse_depth(a, data, n, JSON_MAX_DEPTH, err);
}

const char *json_get_str(yyjson_val *obj, const char *key, const char *def)
{
	yyjson_val *v = yyjson_obj_get(obj, key);

	return yyjson_is_str(v) ? yyjson_get_str(v) : def;
}

static bool fits_int64(yyjson_val *v)
{
	return yyjson_is_sint(v) || (yyjson_is_uint(v) && yyjson_get_uint(v) <= INT64_MAX);
}

int64_t json_get_int(yyjson_val *obj, const char *key, int64_t def)
{
	yyjson_val *v = yyjson_obj_get(obj, key);

	return fits_int64(v) ? yyjson_get_sint(v) : def;
}

double json_get_num(yyjson_val *obj, const char *key, double def)
{
	yyjson_val *v = yyjson_obj_get(obj, key);

	return yyjson_is_num(v) ? yyjson_get_num(v) : def;
}

bool json_get_bool(yyjson_val *obj, const char *key, bool def)
{
	yyjson_val *v = yyjson_obj_get(obj, key);

	return yyjson_is_bool(v) ? yyjson_get_bool(v) : def;
}

yyjson_val *json_get_obj(yyjson_val *obj, const char *key)
{
	yyjson_val *v = yyjson_obj_get(obj, key);

	return yyjson_is_obj(v) ? v : NULL;
}

yyjson_val *json_get_arr(yyjson_val *obj, const char *key)
{
	yyjson_val *v = yyjson_obj_get(obj, key);

	return yyjson_is_arr(v) ? v : NULL;
}

static int check_range(const struct json_field *f, int64_t n, const char *what, struct error *err)
{
	if (n < f->min && f->min == 1 && *what)
		return error_set(err, "invalid_field", "\"%s\" must not be empty", f->name);
	if (n < f->min)
		return error_set(err, "invalid_field", "\"%s\" must be at least %lld%s", f->name, (long long)f->min,
				 what);
	if (f->max && n > f->max)
		return error_set(err, "invalid_field", "\"%s\" must be at most %lld%s", f->name, (long long)f->max,
				 what);
	return 0;
}

static int check_field(yyjson_val *v, const struct json_field *f, struct error *err)
{
	static const char *const names[] = {
		[JSON_STRING] = "a string",
		[JSON_INT] = "an integer",
		[JSON_NUMBER] = "a number",
		[JSON_BOOL] = "true or false",
		[JSON_OBJECT] = "an object",
		[JSON_ARRAY] = "an array",
		[JSON_STRING_OR_NULL] = "a string or null",
	};

	switch (f->kind) {
	case JSON_STRING_OR_NULL:
		if (yyjson_is_null(v))
			return 0;
		__attribute__((fallthrough));
	case JSON_STRING:
		if (yyjson_is_str(v))
			return check_range(f, (int64_t)yyjson_get_len(v), " bytes long", err);
		break;
	case JSON_INT:
		if (fits_int64(v))
			return check_range(f, yyjson_get_sint(v), "", err);
		break;
	case JSON_ARRAY:
		if (yyjson_is_arr(v))
			return check_range(f, (int64_t)yyjson_arr_size(v), " items long", err);
		break;
	case JSON_NUMBER:
		if (yyjson_is_num(v))
			return 0;
		break;
	case JSON_BOOL:
		if (yyjson_is_bool(v))
			return 0;
		break;
	case JSON_OBJECT:
		if (yyjson_is_obj(v))
			return 0;
		break;
	}
	return error_set(err, "invalid_field", "\"%s\" must be %s", f->name, names[f->kind]);
}

static bool is_listed(yyjson_val *key, const struct json_field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (yyjson_equals_str(key, fields[i].name))
			return true;
	return false;
}

int json_check(yyjson_val *obj, const struct json_field *fields, size_t n_fields, struct error *err)
{
	yyjson_val *key, *val;
	char text[48];
	size_t i, max;

	if (!yyjson_is_obj(obj))
		return error_set(err, "invalid_field", "the body must be a JSON object");
	for (size_t f = 0; f < n_fields; f++) {
		val = yyjson_obj_get(obj, fields[f].name);
		if (!val && fields[f].required)
			return error_set(err, "invalid_field", "\"%s\" is missing", fields[f].name);
		if (val && check_field(val, &fields[f], err) < 0)
			return -EINVAL;
	}
	yyjson_obj_foreach(obj, i, max, key, val)
	{
		if (!is_listed(key, fields, n_fields))
			return error_set(err, "invalid_field", "\"%s\" is not a known field: leave it out",
					 key_text(key, text, sizeof(text)));
	}
	return 0;
}

yyjson_mut_doc *json_new(struct arena *a)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(&allocator);

	arena_defer(a, free_mut_doc, doc);
	return doc;
}

yyjson_mut_val *json_new_obj(struct arena *a, yyjson_mut_doc **ret_doc)
{
	yyjson_mut_doc *doc = json_new(a);
	yyjson_mut_val *root = yyjson_mut_obj(doc);

	yyjson_mut_doc_set_root(doc, root);
	*ret_doc = doc;
	return root;
}

void json_add_raw(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, const char *raw)
{
	yyjson_mut_val *v = raw && raw[0] ? yyjson_mut_rawcpy(doc, raw) : yyjson_mut_null(doc);

	yyjson_mut_obj_add(obj, yyjson_mut_strcpy(doc, key), v);
}

void json_add_str(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, const char *s)
{
	yyjson_mut_val *v = s ? yyjson_mut_strcpy(doc, s) : yyjson_mut_null(doc);

	yyjson_mut_obj_add(obj, yyjson_mut_strcpy(doc, key), v);
}

void json_add_time(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, int64_t us)
{
	char text[TIME_TEXT_SIZE];

	time_format(us, text);
	json_add_str(doc, obj, key, us ? text : NULL);
}

/* Text that was written although a string in it is not UTF-8: all else is ASCII, so cleaning the whole is right. */
static struct str clean_text(struct arena *a, char *text, size_t n)
{
	struct buf out = BUF_INIT;
	struct utf8_carry carry = {0};

	utf8_clean(&carry, text, n, true, &out);
	free(text);
	arena_defer(a, free, out.p);
	return buf_str(&out);
}

static struct str keep_text(struct arena *a, char *text, size_t n)
{
	arena_defer(a, free, text);
	return (struct str){text, n};
}

#define WRITE_FLAGS YYJSON_WRITE_INF_AND_NAN_AS_NULL

struct str json_text(struct arena *a, const yyjson_mut_doc *doc)
{
	size_t n;
	char *text = yyjson_mut_write_opts(doc, WRITE_FLAGS, &allocator, &n, NULL);

	if (text)
		return keep_text(a, text, n);
	text = yyjson_mut_write_opts(doc, WRITE_FLAGS | YYJSON_WRITE_ALLOW_INVALID_UNICODE, &allocator, &n, NULL);
	if (!text)
		abort(); /* a document without a root */
	return clean_text(a, text, n);
}

struct str json_val_text(struct arena *a, const yyjson_val *val)
{
	size_t n;
	char *text = yyjson_val_write_opts(val, WRITE_FLAGS, &allocator, &n, NULL);

	if (!text)
		abort(); /* no value */
	return keep_text(a, text, n);
}

static void quote_char(struct buf *b, unsigned char c)
{
	static const char *const named = "\"\\\b\f\n\r\t", *const letters = "\"\\bfnrt";
	const char *at = strchr(named, c);

	if (c && at)
		buf_add(b, (char[]){'\\', letters[at - named]}, 2);
	else if (c < 0x20 || c == 0x7f)
		buf_printf(b, "\\u%04x", c);
	else
		buf_add_char(b, (char)c);
}

typedef signed char bytes16 __attribute__((vector_size(16)));

/* Not 0 in the place of each of sixteen bytes that does not stand for itself: above 0x7e (those above 0x7f are
 * negative), below 0x20, or one of the two that JSON escapes. */
static bytes16 odd_bytes(const char *p)
{
	bytes16 x;

	memcpy(&x, p, sizeof(x));
	return (x < 0x20) | (x == 0x7f) | (x == '"') | (x == '\\');
}

static bool has_any(bytes16 x)
{
	uint64_t halves[2];

	memcpy(halves, &x, sizeof(x));
	return (halves[0] | halves[1]) != 0;
}

/* This runs over every value of every log line. */
bool json_is_plain(struct str s)
{
	char few[sizeof(bytes16)];
	bytes16 odd = {0};

	if (s.n < sizeof(few)) {
		memset(few, ' ', sizeof(few));
		return !s.n || !has_any(odd_bytes(memcpy(few, s.p, s.n)));
	}
	for (size_t i = 0; i + sizeof(few) < s.n; i += sizeof(few))
		odd |= odd_bytes(s.p + i);
	return !has_any(odd | odd_bytes(s.p + s.n - sizeof(few))); /* some of them a second time */
}

void json_quote(struct buf *b, struct str s)
{
	struct buf clean = BUF_INIT;
	struct utf8_carry carry = {0};
	size_t run = 0;

	if (json_is_plain(s)) {
		buf_reserve(b, s.n + 2);
		b->p[b->n] = '"';
		memcpy(b->p + b->n + 1, s.n ? s.p : "", s.n);
		b->p[b->n + s.n + 1] = '"';
		b->n += s.n + 2;
		b->p[b->n] = '\0';
		return;
	}
	if (!utf8_is_valid(s)) {
		utf8_clean(&carry, s.p, s.n, true, &clean);
		s = buf_str(&clean);
	}
	buf_reserve(b, s.n + 2);
	buf_add_char(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i];
		if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
			continue;
		buf_add(b, s.p + run, i - run);
		quote_char(b, c);
		run = i + 1;
	}
	buf_add(b, s.p + run, s.n - run);
	buf_add_char(b, '"');
	buf_deinit(&clean);
}
