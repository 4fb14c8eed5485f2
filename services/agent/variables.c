#include "agent/variables.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

#define NAME_MAX_BYTES 40
#define VALUE_MAX_BYTES 20000

static const char *const built_in[] = {"user.name",          "user.id", "agent.name", "conversation.id",
				       "conversation.title", "date",    "time",       "weekday"};

/* A place in the text: from "{{" to behind "}}". */
struct place {
	size_t at, n;
	struct str name;
};

static bool is_name(struct str s)
{
	if (s.n == 0 || s.n > NAME_MAX_BYTES || !islower((unsigned char)*s.p))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!islower((unsigned char)s.p[i]) && !isdigit((unsigned char)s.p[i]) && s.p[i] != '_' &&
		    s.p[i] != '.')
			return false;
	return true;
}

/* The first place behind `from`; false when there is none. */
static bool find_place(const char *text, size_t from, struct place *ret)
{
	for (const char *p = text + from; (p = strstr(p, "{{")); p += 2) {
		const char *end = strstr(p, "}}"), *a = p + 2, *b = end;

		if (!end)
			return false;
		if (p > text && p[-1] == '\\')
			continue;
		while (a < b && *a == ' ')
			a++;
		while (b > a && b[-1] == ' ')
			b--;
		if (!is_name((struct str){a, (size_t)(b - a)}))
			continue;
		*ret = (struct place){(size_t)(p - text), (size_t)(end + 2 - p), {a, (size_t)(b - a)}};
		return true;
	}
	return false;
}

static bool is_built_in(struct str name)
{
	for (size_t i = 0; i < ARRAY_SIZE(built_in); i++)
		if (str_is(name, built_in[i]))
			return true;
	return false;
}

static yyjson_val *find_declared(yyjson_val *declared, struct str name)
{
	yyjson_val *item;
	size_t i, n;

	yyjson_arr_foreach(declared, i, n, item)
	{
		if (yyjson_equals_strn(yyjson_obj_get(item, "name"), name.p, name.n))
			return item;
	}
	return NULL;
}

/* ---- What is saved ---- */

static const struct json_field fields[] = {
	{"name", JSON_STRING, true, 1, NAME_MAX_BYTES},
	{"description", JSON_STRING, false, 0, 300},
	{"default", JSON_STRING_OR_NULL, false, 0, VALUE_MAX_BYTES},
};

int variables_check_declared(yyjson_val *declared, struct error *err)
{
	yyjson_val *item;
	size_t i, n;

	yyjson_arr_foreach(declared, i, n, item)
	{
		struct str name = str_of(json_get_str(item, "name", ""));

		if (json_check(item, fields, ARRAY_SIZE(fields), err) < 0) {
			error_prefix(err, "In \"variables\"");
			return -EINVAL;
		}
		if (!is_name(name) || memchr(name.p, '.', name.n))
			return error_set(err, "invalid_field",
					 "In \"variables\": a name has a to z, 0 to 9 and _, and begins with a letter");
		if (is_built_in(name) || find_declared(declared, name) != item)
			return error_set(err, "invalid_field", "In \"variables\": \"%.40s\" is there already", name.p);
	}
	return 0;
}

int variables_check_used(const char *instructions, yyjson_val *declared, struct error *err)
{
	struct place p;

	for (size_t at = 0; find_place(instructions, at, &p); at = p.at + p.n)
		if (!is_built_in(p.name) && !find_declared(declared, p.name))
			return error_set(
				err, "unknown_variable",
				"The instructions use {{%.*s}}, which is not known: declare it in "
				"\"variables\", write \\{{ for the braces themselves, or use user.name, "
				"user.id, agent.name, conversation.id, conversation.title, date, time or weekday.",
				STR_ARG(p.name));
	return 0;
}

static int check_value(yyjson_val *declared, yyjson_val *key, yyjson_val *val, struct error *err)
{
	const char *name = yyjson_get_str(key) ?: "";

	if (!find_declared(declared, str_of(name)))
		return error_set(err, "unknown_variable", "The agent has no variable \"%.40s\".", name);
	if (!yyjson_is_str(val) || yyjson_get_len(val) > VALUE_MAX_BYTES)
		return error_set(err, "invalid_field",
				 "In \"variables\": the value of \"%.40s\" is no text of at most "
				 "20,000 bytes.",
				 name);
	return 0;
}

static int check_missing(yyjson_val *declared, yyjson_val *values, struct error *err)
{
	yyjson_val *item;
	size_t i, n;

	yyjson_arr_foreach(declared, i, n, item)
	{
		const char *name = json_get_str(item, "name", "");

		if (!json_get_str(item, "default", NULL) && !json_get_str(values, name, NULL))
			return error_set(err, "variable_missing",
					 "The agent needs a value for \"%.40s\": set it in the conversation's "
					 "\"variables\".",
					 name);
	}
	return 0;
}

int variables_check_values(struct arena *a, const char *config, yyjson_val *values, struct error *err)
{
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, config, strlen(config), NULL));
	yyjson_val *declared = json_get_arr(root, "variables"), *key, *val;
	size_t i, n;

	yyjson_obj_foreach(values, i, n, key, val)
	{
		if (check_value(declared, key, val, err) < 0)
			return -EINVAL;
	}
	return check_missing(declared, values, err);
}

/* ---- What a model is told ---- */

static void add_time_part(struct buf *out, const char *format, int64_t now)
{
	time_t t = now / 1000000;
	struct tm tm;
	char text[64];

	strftime(text, sizeof(text), format, gmtime_r(&t, &tm));
	buf_add_str(out, text);
}

static bool add_built_in(struct buf *out, struct str name, const struct variables *v)
{
	if (str_is(name, "date"))
		add_time_part(out, "%Y-%m-%d", v->now);
	else if (str_is(name, "time"))
		add_time_part(out, "%H:%M UTC", v->now);
	else if (str_is(name, "weekday"))
		add_time_part(out, "%A", v->now);
	else if (str_is(name, "user.name"))
		buf_add_str(out, v->user_name && *v->user_name ? v->user_name : "the user");
	else if (str_is(name, "user.id"))
		buf_add_str(out, v->user_id ?: "");
	else if (str_is(name, "agent.name"))
		buf_add_str(out, v->agent_name ?: "");
	else if (str_is(name, "conversation.id"))
		buf_add_str(out, v->conversation_id ?: "");
	else if (str_is(name, "conversation.title"))
		buf_add_str(out, v->conversation_title ?: "");
	else
		return false;
	return true;
}

static void add_literal(struct buf *out, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i + 2 < n && text[i] == '\\' && text[i + 1] == '{' && text[i + 2] == '{')
			continue;
		buf_add_char(out, text[i]);
	}
}

/* A name that nobody knows is of instructions from before there were variables: it stays. */
static int add_value(struct buf *out, const char *text, const struct place *p, const struct variables *v,
		     struct error *err)
{
	yyjson_val *declared = find_declared(v->declared, p->name);
	char name[NAME_MAX_BYTES + 1];

	snprintf(name, sizeof(name), "%.*s", STR_ARG(p->name));
	const char *value = json_get_str(v->values, name, json_get_str(declared, "default", NULL));

	if (add_built_in(out, p->name, v))
		return 0;
	if (!declared)
		buf_add(out, text + p->at, p->n);
	else if (value)
		buf_add_str(out, value);
	else
		return error_set(
			err, "variable_missing",
			"The instructions need a value for \"%s\": set it in the conversation's \"variables\".", name);
	return 0;
}

const char *variables_expand(struct arena *a, const char *text, const struct variables *v, struct error *err)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	struct place p;
	size_t at = 0;

	if (!strstr(text, "{{"))
		return text;
	for (; find_place(text, at, &p); at = p.at + p.n) {
		add_literal(&out, text + at, p.at - at);
		if (add_value(&out, text, &p, v, err) < 0)
			return NULL;
	}
	add_literal(&out, text + at, strlen(text + at));
	return arena_strndup(a, out.p ? out.p : "", out.n);
}
