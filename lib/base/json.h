/* JSON (RFC 8259) by yyjson, with the checks that its strict mode leaves out: no duplicate keys, no NUL (escaped or
 * raw) in strings or keys, nesting of at most 64. Values are read and written with yyjson's own functions; what is here
 * is the door for bytes from outside and the shorthands that every handler needs. */
#pragma once

#include <yyjson.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

#define JSON_MAX_DEPTH 64

/* Reads one complete document. The document belongs to the arena and is freed with it; strings live as long.
 * Returns NULL with `err` set to code "json_invalid", "json_too_deep", "json_duplicate_key" or "json_nul" and a
 * sentence that says where. */
yyjson_doc *json_parse(struct arena *a, const char *data, size_t n, struct error *err);
/* The same with another limit of nesting. */
yyjson_doc *json_parse_depth(struct arena *a, const char *data, size_t n, unsigned max_depth, struct error *err);

/* A member of an object, or the default when it is absent or of another type. Strings are NUL-terminated (and hold no
 * other NUL). */
const char *json_get_str(yyjson_val *obj, const char *key, const char *def);
int64_t json_get_int(yyjson_val *obj, const char *key, int64_t def);
double json_get_num(yyjson_val *obj, const char *key, double def);
bool json_get_bool(yyjson_val *obj, const char *key, bool def);
yyjson_val *json_get_obj(yyjson_val *obj, const char *key);
yyjson_val *json_get_arr(yyjson_val *obj, const char *key);

/* What a member of a request body must be. */
enum json_kind { JSON_STRING, JSON_INT, JSON_NUMBER, JSON_BOOL, JSON_OBJECT, JSON_ARRAY, JSON_STRING_OR_NULL };

struct json_field {
	const char *name;
	enum json_kind kind;
	bool required;
	int64_t min, max; /* of an integer; of a string's or array's length (bytes, items); max 0 = no limit */
};

/* Checks that `obj` is an object with the required fields, each of its kind and in its limits, and no others. The first
 * thing wrong is in `err` (code "invalid_field", the sentence names the field). Returns 0 or -EINVAL. */
int json_check(yyjson_val *obj, const struct json_field *fields, size_t n_fields, struct error *err);

/* A mutable document that belongs to the arena. */
yyjson_mut_doc *json_new(struct arena *a);
/* A new object that is the root. */
yyjson_mut_val *json_new_obj(struct arena *a, yyjson_mut_doc **ret_doc);
/* Adds `key` with the JSON text `raw` (trusted: ours, from the database) or null where it is NULL or empty. */
void json_add_raw(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, const char *raw);
/* Adds a copy of a string, or null for NULL. */
void json_add_str(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, const char *s);
/* Adds a time (us since 1970) as RFC 3339, or null for 0. */
void json_add_time(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, int64_t us);

/* The compact text; belongs to the arena, NUL-terminated. */
struct str json_text(struct arena *a, const yyjson_mut_doc *doc);
struct str json_val_text(struct arena *a, const yyjson_val *val);

/* Appends `s` as a JSON string with quotes; invalid UTF-8 becomes U+FFFD. */
void json_quote(struct buf *b, struct str s);
/* Whether it stands for itself between quotes: printable ASCII without quote and backslash. */
bool json_is_plain(struct str s);
