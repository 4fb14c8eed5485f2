/* The web app and the other files that the gateway has in itself. */
#include "web.h"

#include <stdlib.h>

#include "fields.h"
#include "gateway.h"

#define CSP                                                                                                   \
	"default-src 'self'; connect-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; " \
	"frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

static const char no_app[] =
	"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Ogent</title>"
	"<h1>Ogent is running</h1><p>This program was built without the web app. To have it: run <code>npm ci</code> "
	"and "
	"<code>npm run build</code> in the folder <code>web</code>, then build the program again.</p>"
	"<p>The API is here all the same: <a href=\"/api/openapi.json\">/api/openapi.json</a>.</p></html>";

static int compare(const void *key, const void *item)
{
	return strcmp(key, ((const struct web_file *)item)->path);
}

static const struct web_file *find_exact(const struct web_file *files, size_t n, const char *path)
{
	return n ? bsearch(path, files, n, sizeof(*files), compare) : NULL;
}

const struct web_file *web_find(const struct web_file *files, size_t n, struct str path, struct str accept)
{
	const struct web_file *f = NULL;

	if (path.n < 1024 && !memchr(path.p, '\0', path.n)) {
		char copy[1024];

		memcpy(copy, path.p, path.n);
		copy[path.n] = '\0';
		f = find_exact(files, n, copy);
	}
	if (f)
		return f;
	if (str_is(path, "/") || (http_has_token(accept, "text/html") && !str_has_prefix(path, STR("/assets/"))))
		return find_exact(files, n, "/index.html");
	return NULL;
}

/* Whether a list such as "gzip;q=0.5, br" allows the coding. */
static bool allows(struct str list, const char *coding)
{
	while (list.p) {
		struct str rest = str_cut(&list, ','), name = str_trim(str_cut(&rest, ';'));

		if (!str_ieq(name, str_of(coding)))
			continue;
		rest = str_trim(rest);
		return !(str_has_prefix(rest, STR("q=0")) && rest.n == strspn(rest.p, "q=0.") &&
			 rest.n >= 3); /* q=0, q=0.0, q=0.000 */
	}
	return false;
}

enum web_coding web_choose(const struct web_file *f, struct str accept_encoding)
{
	if (f->br.p && allows(accept_encoding, "br"))
		return WEB_BROTLI;
	return f->gz.p && allows(accept_encoding, "gzip") ? WEB_GZIP : WEB_PLAIN;
}

bool web_etag_matches(struct str if_none_match, const char *hash)
{
	size_t n = strlen(hash);

	while (if_none_match.p) {
		struct str tag = str_trim(str_cut(&if_none_match, ','));

		if (str_is(tag, "*"))
			return true;
		if (str_has_prefix(tag, STR("W/")))
			tag = (struct str){tag.p + 2, tag.n - 2};
		if (tag.n >= n + 2 && tag.p[0] == '"' && !memcmp(tag.p + 1, hash, n) &&
		    (tag.p[n + 1] == '"' || tag.p[n + 1] == '-'))
			return true;
	}
	return false;
}

static void add_security(struct http_headers *h)
{
	static const struct http_header fields[] = {
		{STR("Content-Security-Policy"), STR(CSP)},
		{STR("X-Content-Type-Options"), STR("nosniff")},
		{STR("Referrer-Policy"), STR("no-referrer")},
		{STR("Cross-Origin-Opener-Policy"), STR("same-origin")},
		{STR("Cross-Origin-Resource-Policy"), STR("same-origin")},
		{STR("Permissions-Policy"),
		 STR("camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()")},
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		fields_add(h, fields[i].name, fields[i].value);
}

/* no-store for the page that names all others, so that a new version is seen at once. */
static struct str caching_of(const struct web_file *f)
{
	if (f->immutable)
		return STR("public, max-age=31536000, immutable");
	return !strcmp(f->path, "/index.html") ? STR("no-store") : STR("no-cache");
}

/* The range that is asked of the file, if its tag is still the one that If-Range names (RFC 9110 section 13.1.5). */
static struct str range_of(const struct visit *v, const struct web_file *f)
{
	const struct http_headers *asked = &v->r->headers;
	struct str range = http_header_get(asked, "Range"), tag = http_header_get(asked, "If-Range");
	size_t n = strlen(f->hash);

	if (v->r->method != HTTP_GET_ || !range.n)
		return (struct str){0};
	if (tag.p && (tag.n != n + 2 || memcmp(tag.p + 1, f->hash, n) || tag.p[0] != '"' || tag.p[n + 1] != '"'))
		return (struct str){0};
	return range;
}

/* Ranges are of the file itself, not of a compressed form. False: the whole is to be sent. */
static bool reply_range(struct visit *v, const struct web_file *f, struct str range, struct http_headers *h)
{
	uint64_t first, n;
	enum http_range found = http_range_parse(range, f->data.n, &first, &n);

	if (found == HTTP_RANGE_NONE)
		return false;
	fields_add(h, STR("ETag"), str_of(arena_printf(v->arena, "\"%s\"", f->hash)));
	if (found == HTTP_RANGE_UNSATISFIABLE) {
		fields_add(h, STR("Content-Range"), str_of(arena_printf(v->arena, "bytes */%zu", f->data.n)));
		http_reply(v->r, 416, NULL, h, NULL, 0);
		return true;
	}
	fields_add(h, STR("Content-Range"),
		   str_of(arena_printf(v->arena, "bytes %llu-%llu/%zu", (unsigned long long)first,
				       (unsigned long long)(first + n - 1), f->data.n)));
	http_reply(v->r, 206, f->type, h, f->data.p + first, n);
	return true;
}

static void reply_file(struct visit *v, const struct web_file *f)
{
	static const char *const suffixes[] = {"", "-gz", "-br"};
	const struct http_headers *asked = &v->r->headers;
	enum web_coding coding = web_choose(f, http_header_get(asked, "Accept-Encoding"));
	struct str data = coding == WEB_BROTLI ? f->br : coding == WEB_GZIP ? f->gz : f->data;
	struct http_headers *h = visit_headers(v);
	struct str range = range_of(v, f);

	add_security(h);
	fields_add(h, STR("Cache-Control"), caching_of(f));
	fields_add(h, STR("Accept-Ranges"), STR("bytes"));
	if (f->br.p || f->gz.p)
		fields_add(h, STR("Vary"), STR("Accept-Encoding"));
	if (range.n && !http_header_get(asked, "If-None-Match").p && reply_range(v, f, range, h))
		return;
	fields_add(h, STR("ETag"), str_of(arena_printf(v->arena, "\"%s%s\"", f->hash, suffixes[coding])));
	if (web_etag_matches(http_header_get(asked, "If-None-Match"), f->hash)) {
		http_reply(v->r, 304, NULL, h, NULL, 0);
		return;
	}
	if (coding != WEB_PLAIN)
		fields_add(h, STR("Content-Encoding"), coding == WEB_BROTLI ? STR("br") : STR("gzip"));
	http_reply(v->r, 200, f->type, h, data.p, data.n);
}

void web_reply(struct visit *v)
{
	const struct web_file *f =
		web_find(web_files, n_web_files, v->r->path, http_header_get(&v->r->headers, "Accept"));

	if (f) {
		reply_file(v, f);
	} else if (!n_web_files && str_is(v->r->path, "/")) {
		struct http_headers *h = visit_headers(v);

		add_security(h);
		fields_add(h, STR("Cache-Control"), STR("no-store"));
		http_reply(v->r, 200, "text/html; charset=utf-8", h, no_app, sizeof(no_app) - 1);
	} else {
		visit_problem(v, 404, "not_found", "There is nothing at this path.");
	}
}

void openapi_reply(struct visit *v)
{
	struct http_headers *h = visit_headers(v);

	fields_add(h, STR("Cache-Control"), STR("no-cache"));
	fields_add(h, STR("ETag"), str_of(arena_printf(v->arena, "\"%s\"", openapi_hash)));
	fields_add(h, STR("X-Content-Type-Options"), STR("nosniff"));
	if (web_etag_matches(http_header_get(&v->r->headers, "If-None-Match"), openapi_hash))
		http_reply(v->r, 304, NULL, h, NULL, 0);
	else
		http_reply(v->r, 200, "application/json", h, openapi_json.p, openapi_json.n);
}
