#include "agent/apis/request.h"

#include <errno.h>
#include <strings.h>

#include "base/encode.h"
#include "io/http.h"

#define MAX_HEADERS 60
#define MAX_DEPTH 8
#define SECRET_MIN 6 /* shorter ones would be found in any text */

struct writer {
	struct arena *arena;
	yyjson_val *spec, *arguments;
	struct buf path, query, cookie, body;
	const char *headers[MAX_HEADERS + 1];
	size_t n_headers, n_secrets;
	struct api_request *request;
	struct error *err;
};

/* How one value becomes text. */
struct form {
	const char *style;
	bool explode, reserved;
	bool is_encoded; /* percent-encoded, which a field of the head is not */
};

/* ---- Values ---- */

/* A plain value; what is inside of one is its JSON. */
static struct str text_of(struct arena *a, yyjson_val *v)
{
	if (yyjson_is_str(v))
		return (struct str){yyjson_get_str(v), yyjson_get_len(v)};
	if (!v || yyjson_is_null(v))
		return STR("");
	return json_val_text(a, v);
}

/* allowReserved leaves what separates neither parameters nor the query from the rest. */
static void add_encoded(struct buf *out, struct str s, bool reserved)
{
	for (size_t i = 0; i < s.n; i++) {
		if (reserved && s.p[i] && strchr(":/?@!$'()*,;[]", s.p[i]))
			buf_add_char(out, s.p[i]);
		else
			percent_encode((struct str){s.p + i, 1}, out);
	}
}

static void add_value(struct buf *out, const struct form *f, struct str s)
{
	if (f->is_encoded)
		add_encoded(out, s, f->reserved);
	else
		buf_add(out, s.p, s.n);
}

/* The items of a list or the members of an object on one line. between: a name and its value. */
static void add_joined(struct arena *a, struct buf *out, const struct form *f, yyjson_val *v, const char *separator,
		       const char *between)
{
	yyjson_val *key, *item;
	size_t i, max;

	yyjson_arr_foreach(v, i, max, item)
	{
		buf_add_str(out, i ? separator : "");
		add_value(out, f, text_of(a, item));
	}
	if (!yyjson_is_obj(v))
		return;
	yyjson_obj_foreach(v, i, max, key, item)
	{
		buf_add_str(out, i ? separator : "");
		add_value(out, f, text_of(a, key));
		buf_add_str(out, between);
		add_value(out, f, text_of(a, item));
	}
}

/* simple, for the path and for fields. */
static void add_simple(struct arena *a, struct buf *out, const struct form *f, yyjson_val *v)
{
	if (yyjson_is_ctn(v))
		add_joined(a, out, f, v, ",", f->explode ? "=" : ",");
	else
		add_value(out, f, text_of(a, v));
}

static void begin_pair(struct buf *out, const char *name)
{
	if (out->n > 0)
		buf_add_char(out, '&');
	percent_encode(str_of(name), out);
	buf_add_char(out, '=');
}

/* name[member][member]=value */
static void add_deep(struct arena *a, struct buf *out, const struct form *f, const char *name, yyjson_val *v, int depth)
{
	yyjson_val *key, *item;
	size_t i, max;

	if (!yyjson_is_ctn(v) || depth == MAX_DEPTH) {
		if (out->n > 0)
			buf_add_char(out, '&');
		buf_add_str(out, name);
		buf_add_char(out, '=');
		add_value(out, f, text_of(a, v));
		return;
	}
	yyjson_arr_foreach(v, i, max, item) add_deep(a, out, f, arena_printf(a, "%s[%zu]", name, i), item, depth + 1);
	if (!yyjson_is_obj(v))
		return;
	yyjson_obj_foreach(v, i, max, key, item)
	{
		_cleanup_(buf_deinit) struct buf member = BUF_INIT;
		percent_encode(text_of(a, key), &member);
		add_deep(a, out, f, arena_printf(a, "%s[%s]", name, member.n ? member.p : ""), item, depth + 1);
	}
}

/* form with explode: each item and each member is a pair of its own. */
static void add_pairs(struct arena *a, struct buf *out, const struct form *f, const char *name, yyjson_val *v)
{
	yyjson_val *key, *item;
	size_t i, max;

	yyjson_arr_foreach(v, i, max, item)
	{
		begin_pair(out, name);
		add_value(out, f, text_of(a, item));
	}
	if (!yyjson_is_obj(v))
		return;
	yyjson_obj_foreach(v, i, max, key, item)
	{
		begin_pair(out, yyjson_get_str(key));
		add_value(out, f, text_of(a, item));
	}
}

/* Into a query or a form's body. */
static void add_form(struct arena *a, struct buf *out, const struct form *f, const char *name, yyjson_val *v)
{
	const char *separator = ",";

	if (strcmp(f->style, "deepObject") == 0 && yyjson_is_ctn(v)) {
		_cleanup_(buf_deinit) struct buf clean = BUF_INIT;
		percent_encode(str_of(name), &clean);
		add_deep(a, out, f, clean.p, v, 0);
		return;
	}
	if (strcmp(f->style, "spaceDelimited") == 0)
		separator = "%20";
	else if (strcmp(f->style, "pipeDelimited") == 0)
		separator = "%7C";
	if (yyjson_is_ctn(v) && f->explode) {
		add_pairs(a, out, f, name, v);
		return;
	}
	begin_pair(out, name);
	if (yyjson_is_ctn(v))
		add_joined(a, out, f, v, separator, separator);
	else
		add_value(out, f, text_of(a, v));
}

/* ---- Parameters ---- */

static struct form form_of(yyjson_val *param)
{
	return (struct form){.style = json_get_str(param, "style", "form"),
			     .explode = json_get_bool(param, "explode", false),
			     .reserved = json_get_bool(param, "reserved", false),
			     .is_encoded = true};
}

/* The argument; one that goes as JSON is a text of it. */
static yyjson_val *value_of(struct writer *w, yyjson_val *param)
{
	yyjson_val *v = yyjson_obj_get(w->arguments, json_get_str(param, "arg", ""));
	yyjson_mut_doc *doc;

	if (!v || !json_get_bool(param, "json", false))
		return v;
	doc = json_new(w->arena);
	yyjson_mut_doc_set_root(doc, yyjson_mut_str(doc, json_val_text(w->arena, v).p));
	struct str text = json_text(w->arena, doc);
	return yyjson_doc_get_root(json_parse(w->arena, text.p, text.n, NULL));
}

static int refuse(struct writer *w, yyjson_val *param, const char *why)
{
	return error_set(w->err, "argument_invalid", "The argument \"%.60s\" %s.", json_get_str(param, "arg", ""), why);
}

static yyjson_val *find_param(struct writer *w, struct str name)
{
	yyjson_val *param;
	size_t i, max;

	yyjson_arr_foreach(json_get_arr(w->spec, "params"), i, max, param)
	{
		if (strcmp(json_get_str(param, "in", ""), "path") == 0 && str_is(name, json_get_str(param, "name", "")))
			return param;
	}
	return NULL;
}

/* Servers and libraries take both forms of a dot for it. */
static bool is_dots(struct str segment)
{
	size_t n = 0;

	for (; segment.n > 0; n++) {
		size_t step = *segment.p == '.' ? 1 : 0;
		if (segment.n >= 3 && strncasecmp(segment.p, "%2e", 3) == 0)
			step = 3;
		if (!step)
			return false;
		segment.p += step;
		segment.n -= step;
	}
	return n == 1 || n == 2;
}

static bool has_dots(struct str path)
{
	struct str rest = path;

	while (rest.p)
		if (is_dots(str_cut(&rest, '/')))
			return true;
	return false;
}

static int write_path(struct writer *w)
{
	for (const char *p = json_get_str(w->spec, "path", "/"); *p; p++) {
		const char *end = *p == '{' ? strchr(p, '}') : NULL;
		yyjson_val *param, *v;
		struct form f;
		size_t before = w->path.n;
		if (!end) {
			buf_add_char(&w->path, *p);
			continue;
		}
		param = find_param(w, (struct str){p + 1, (size_t)(end - p - 1)});
		v = param ? value_of(w, param) : NULL;
		f = form_of(param);
		add_simple(w->arena, &w->path, &f, v);
		if (w->path.n == before)
			return refuse(w, param, "must not be empty: it is a part of the path");
		p = end;
	}
	if (has_dots(buf_str(&w->path)))
		return error_set(w->err, "argument_invalid", "A part of the path must not be \".\" or \"..\".");
	return 0;
}

static int add_header(struct writer *w, const char *name, struct str value)
{
	if (w->n_headers == MAX_HEADERS)
		return error_set(w->err, "argument_invalid", "The request has too many fields.");
	w->headers[w->n_headers++] = arena_printf(w->arena, "%s: %.*s", name, STR_ARG(value));
	return 0;
}

static int write_header(struct writer *w, yyjson_val *param, yyjson_val *v)
{
	_cleanup_(buf_deinit) struct buf value = BUF_INIT;
	struct form f = form_of(param);

	f.is_encoded = false;
	add_simple(w->arena, &value, &f, v);
	if (!http_value_is_clean(buf_str(&value)) || value.n > 8000)
		return refuse(w, param,
			      "must be one line, of at most 8,000 bytes: it is a field of the request's head");
	return add_header(w, json_get_str(param, "name", ""), buf_str(&value));
}

static void write_cookie(struct writer *w, const char *name, struct str value)
{
	buf_printf(&w->cookie, "%s%s=", w->cookie.n ? "; " : "", name);
	percent_encode(value, &w->cookie);
}

static int write_params(struct writer *w)
{
	yyjson_val *param, *v;
	size_t i, max;

	yyjson_arr_foreach(json_get_arr(w->spec, "params"), i, max, param)
	{
		const char *in = json_get_str(param, "in", ""), *name = json_get_str(param, "name", "");
		struct form f = form_of(param);
		v = value_of(w, param);
		if (!v || strcmp(in, "path") == 0)
			continue;
		if (strcmp(in, "query") == 0)
			add_form(w->arena, &w->query, &f, name, v);
		else if (strcmp(in, "cookie") == 0)
			write_cookie(w, name, text_of(w->arena, v));
		else if (write_header(w, param, v) < 0)
			return -EINVAL;
	}
	return 0;
}

/* ---- The body ---- */

/* The members that were said, under the names that the API has for them. NULL: none was. */
static yyjson_mut_val *collect(struct writer *w, yyjson_mut_doc *doc, yyjson_val *members)
{
	yyjson_mut_val *obj = yyjson_mut_obj(doc);
	yyjson_val *member;
	size_t i, max;

	yyjson_arr_foreach(members, i, max, member)
	{
		yyjson_val *v = yyjson_obj_get(w->arguments, json_get_str(member, "arg", ""));
		if (v)
			yyjson_mut_obj_add(obj, yyjson_mut_strcpy(doc, json_get_str(member, "name", "")),
					   yyjson_val_mut_copy(doc, v));
	}
	return yyjson_mut_obj_size(obj) ? obj : NULL;
}

static void write_json(struct writer *w, yyjson_val *body, yyjson_val *whole)
{
	yyjson_mut_doc *doc = json_new(w->arena);
	yyjson_mut_val *root = whole ? yyjson_val_mut_copy(doc, whole) : collect(w, doc, json_get_arr(body, "members"));

	if (!root && json_get_bool(body, "required", false))
		root = yyjson_mut_obj(doc);
	if (!root)
		return;
	yyjson_mut_doc_set_root(doc, root);
	struct str text = json_text(w->arena, doc);
	buf_add(&w->body, text.p, text.n);
}

/* What has no style of its own: plain values and lists of them as they are, other things as JSON. */
static void add_member(struct writer *w, yyjson_val *member, const char *name, yyjson_val *v)
{
	struct form f = form_of(member);
	bool is_plain = json_get_bool(member, "plain", false), has_inner = yyjson_is_obj(v);
	yyjson_val *item;
	size_t i, max;

	yyjson_arr_foreach(v, i, max, item) has_inner = has_inner || yyjson_is_ctn(item);
	if (!is_plain || !has_inner) {
		add_form(w->arena, &w->body, &f, name, v);
		return;
	}
	begin_pair(&w->body, name);
	percent_encode(json_val_text(w->arena, v), &w->body);
}

static void write_form(struct writer *w, yyjson_val *body, yyjson_val *whole)
{
	yyjson_val *member, *key, *v;
	size_t i, max;

	yyjson_arr_foreach(json_get_arr(body, "members"), i, max, member)
	{
		v = yyjson_obj_get(w->arguments, json_get_str(member, "arg", ""));
		if (v)
			add_member(w, member, json_get_str(member, "name", ""), v);
	}
	if (!yyjson_is_obj(whole))
		return;
	yyjson_obj_foreach(whole, i, max, key, v)
	{
		struct form f = {.style = "form", .explode = true, .is_encoded = true};
		if (yyjson_is_ctn(v))
			f.style = "deepObject";
		add_form(w->arena, &w->body, &f, yyjson_get_str(key), v);
	}
}

static int write_body(struct writer *w)
{
	yyjson_val *body = json_get_obj(w->spec, "body"), *whole = NULL;
	const char *kind = json_get_str(body, "kind", "");

	if (!body)
		return 0;
	if (json_get_str(body, "arg", NULL))
		whole = yyjson_obj_get(w->arguments, json_get_str(body, "arg", ""));
	if (strcmp(kind, "json") == 0) {
		write_json(w, body, whole);
	} else if (strcmp(kind, "form") == 0) {
		write_form(w, body, whole);
	} else {
		struct str text = text_of(w->arena, whole);
		buf_add(&w->body, text.p, text.n);
	}
	if (w->body.n == 0)
		return 0;
	return add_header(w, "Content-Type", str_of(json_get_str(body, "type", "application/json")));
}

/* ---- Credentials ---- */

static void keep_secret(struct writer *w, const char *secret)
{
	if (w->n_secrets < API_SECRETS_MAX && strlen(secret) >= SECRET_MIN)
		w->request->secrets[w->n_secrets++] = secret;
}

static int add_basic(struct writer *w, yyjson_val *credential)
{
	_cleanup_(buf_deinit) struct buf value = BUF_INIT;
	const char *password = json_get_str(credential, "password", "");
	const char *both = arena_printf(w->arena, "%s:%s", json_get_str(credential, "username", ""), password);

	base64_encode(&value, both, strlen(both));
	keep_secret(w, password);
	keep_secret(w, arena_strndup(w->arena, value.p, value.n));
	return add_header(w, "Authorization", str_of(arena_printf(w->arena, "Basic %.*s", STR_ARG(buf_str(&value)))));
}

static int add_key(struct writer *w, yyjson_val *scheme, const char *value)
{
	const char *in = json_get_str(scheme, "in", ""), *name = json_get_str(scheme, "parameter", "");
	_cleanup_(buf_deinit) struct buf encoded = BUF_INIT;

	percent_encode(str_of(value), &encoded);
	keep_secret(w, arena_strndup(w->arena, encoded.n ? encoded.p : "", encoded.n));
	if (strcmp(in, "header") == 0)
		return add_header(w, name, str_of(value));
	if (strcmp(in, "cookie") == 0) {
		write_cookie(w, name, str_of(value));
		return 0;
	}
	begin_pair(&w->query, name);
	percent_encode(str_of(value), &w->query);
	return 0;
}

static int add_credential(struct writer *w, yyjson_val *scheme, yyjson_val *credential)
{
	const char *type = json_get_str(scheme, "type", ""), *value = json_get_str(credential, "value", "");

	if (strcmp(type, "basic") == 0)
		return add_basic(w, credential);
	keep_secret(w, value);
	if (strcmp(type, "bearer") == 0)
		return add_header(w, "Authorization", str_of(arena_printf(w->arena, "Bearer %s", value)));
	return add_key(w, scheme, value);
}

static bool has_all(yyjson_val *names, yyjson_val *schemes, yyjson_val *credentials)
{
	yyjson_val *name;
	size_t i, max;

	yyjson_arr_foreach(names, i, max, name)
	{
		if (!json_get_obj(credentials, yyjson_get_str(name)) || !json_get_obj(schemes, yyjson_get_str(name)))
			return false;
	}
	return true;
}

/* The first alternative that there are credentials for; one without any only when no other can be used. */
static int add_credentials(struct writer *w, yyjson_val *schemes, yyjson_val *credentials)
{
	yyjson_val *list = json_get_arr(w->spec, "security"), *names, *chosen = NULL, *name;
	bool may_be_none = yyjson_arr_size(list) == 0;
	size_t i, max;

	yyjson_arr_foreach(list, i, max, names)
	{
		may_be_none = may_be_none || yyjson_arr_size(names) == 0;
		if (!chosen && yyjson_arr_size(names) > 0 && has_all(names, schemes, credentials))
			chosen = names;
	}
	if (!chosen && !may_be_none)
		return error_set(
			w->err, "credentials_missing",
			"This operation needs credentials that were not set for its API: its owner does that on the "
			"page of the API or with \"ogent apis credentials\".");
	yyjson_arr_foreach(chosen, i, max, name)
	{
		const char *key = yyjson_get_str(name);
		if (add_credential(w, json_get_obj(schemes, key), json_get_obj(credentials, key)) < 0)
			return -EINVAL;
	}
	return 0;
}

/* ---- The whole ---- */

static bool is_method(const struct writer *w, const char *list)
{
	return strstr(list, arena_printf(w->arena, " %s ", w->request->method)) != NULL;
}

/* By RFC 9110 section 9.2.2 some methods may be repeated; others with a key that the API knows. */
static int add_key_header(struct writer *w, const char *key)
{
	const char *known = json_get_str(w->spec, "key_header", NULL);
	bool is_idempotent = is_method(w, " GET HEAD OPTIONS PUT DELETE ");

	w->request->is_repeatable = is_idempotent || known;
	return is_idempotent && !known ? 0 : add_header(w, known ?: "Idempotency-Key", str_of(key));
}

static const char *make_url(const struct writer *w, const char *base_url)
{
	return arena_printf(w->arena, "%s%.*s%s%.*s", base_url, STR_ARG(buf_str(&w->path)), w->query.n ? "?" : "",
			    STR_ARG(buf_str(&w->query)));
}

static void writer_deinit(struct writer *w)
{
	buf_deinit(&w->path);
	buf_deinit(&w->query);
	buf_deinit(&w->cookie);
	buf_deinit(&w->body);
}

static int write_all(struct writer *w, yyjson_val *schemes, yyjson_val *credentials, const char *key)
{
	if (write_path(w) < 0 || write_params(w) < 0 || write_body(w) < 0 ||
	    add_credentials(w, schemes, credentials) < 0 || add_key_header(w, key) < 0)
		return -EINVAL;
	if (w->cookie.n > 0 && add_header(w, "Cookie", buf_str(&w->cookie)) < 0)
		return -EINVAL;
	return add_header(w, "Accept", STR("application/json, text/*;q=0.8, */*;q=0.1"));
}

int api_request_make(struct arena *a, yyjson_val *spec, const char *base_url, yyjson_val *arguments,
		     yyjson_val *schemes, yyjson_val *credentials, const char *key, struct api_request *ret,
		     struct error *err)
{
	struct writer w = {.arena = a, .spec = spec, .arguments = arguments, .request = ret, .err = err};
	int r;

	*ret = (struct api_request){.method = json_get_str(spec, "method", "GET")};
	r = write_all(&w, schemes, credentials, key);
	if (r == 0) {
		const char **headers = arena_alloc(a, sizeof(w.headers));
		memcpy(headers, w.headers, sizeof(w.headers));
		ret->headers = headers;
		ret->url = make_url(&w, base_url);
		ret->body = arena_str(a, buf_str(&w.body));
	}
	writer_deinit(&w);
	return r;
}

const char *api_request_summary(struct arena *a, yyjson_val *spec, const char *base_url, yyjson_val *arguments)
{
	struct error err = {0};
	struct api_request request = {.method = json_get_str(spec, "method", "GET")};
	struct writer w = {.arena = a, .spec = spec, .arguments = arguments, .request = &request, .err = &err};
	const char *text;

	if (write_path(&w) < 0 || write_params(&w) < 0)
		text = arena_printf(a, "%s %s%s", request.method, base_url, json_get_str(spec, "path", "/"));
	else
		text = arena_printf(a, "%s %s", request.method, make_url(&w, base_url));
	writer_deinit(&w);
	return text;
}

void api_request_redact(const struct api_request *r, struct str text, struct buf *out)
{
	size_t i = 0;

	while (i < text.n) {
		size_t hit = 0;
		for (size_t k = 0; r->secrets[k] && !hit; k++) {
			size_t n = strlen(r->secrets[k]);
			if (n <= text.n - i && memcmp(text.p + i, r->secrets[k], n) == 0)
				hit = n;
		}
		if (hit)
			buf_add_str(out, "[secret]");
		else
			buf_add_char(out, text.p[i]);
		i += MAX(hit, 1);
	}
}
