#include "io/safe_fetch.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/networks.h"
#include "io/curl_api.h"
#include "io/http.h"
#include "io/wheel.h"

#define DEFAULT_BODY (1024 * 1024)
#define DEFAULT_MS 30000
#define CONNECT_MS 10000
#define MAX_HEADERS 64
#define MAX_HOST 253

/* What a step goes to. Strings are in the arena. */
struct place {
	const char *url, *scheme, *host;
	long port;
};

struct safe_fetch {
	struct outbound *outbound;
	struct arena *arena;
	struct safe_fetch_request request;
	safe_fetch_done on_done;
	void *arg;
	CURLU *url; /* of this step */
	struct place place;
	struct outbound_call call;
	const char *method;
	const char *headers[MAX_HEADERS + 1];
	struct str body;
	struct buf got;
	bool is_cut, is_cancelled;
	unsigned redirects;
	uint64_t end; /* monotonic us */
	/* An error found without a call; told by the call's cancel, which comes later. */
	int err;
	struct error error;
};

/* ---- Addresses ---- */

/* As browsers do (the Fetch standard's list of bad ports): these speak protocols that a request could be mistaken in.
 */
static bool port_is_open(long port)
{
	static const long blocked[] = {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000,
				       6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080};

	for (size_t i = 0; i < ARRAY_SIZE(blocked); i++)
		if (port == blocked[i])
			return false;
	return port == 80 || port == 443 || (port >= 1024 && port <= 65535);
}

/* A part of the URL in the arena, or NULL. */
static const char *part(CURLU *u, CURLUPart what, unsigned flags, struct arena *a)
{
	const struct curl_api *curl = curl_api_load();
	char *text = NULL;

	if (curl->url_get(u, what, &text, flags) != CURLUE_OK || !text)
		return NULL;
	const char *copy = arena_strdup(a, text);
	curl->free(text);
	return copy;
}

static const char *lower(struct arena *a, const char *s)
{
	char *copy = arena_strdup(a, s);

	for (char *c = copy; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return copy;
}

static int invalid(struct error *err, const char *why)
{
	return error_set(err, "url_invalid", "The address %s.", why);
}

static int check_host(const char *host, const struct networks *inner, struct error *err)
{
	struct in6_addr ip;

	if (!*host || strlen(host) > MAX_HOST)
		return invalid(err, "has no host");
	if (ip_parse(str_of(host), &ip) == 0 && !ip_is_public(&ip) && !(inner && networks_contain(inner, &ip))) {
		error_set(err, "address_not_public",
			  "%s is not on the Internet: only public addresses, and networks that an administrator has "
			  "opened (option outbound_allow), can be reached.",
			  host);
		return -EACCES;
	}
	return 0;
}

/* Reads what `u` holds by now. */
static int read_place(CURLU *u, const struct networks *inner, struct arena *a, struct place *ret, struct error *err)
{
	const char *port;

	curl_api_load()->url_set(u, CURLUPART_FRAGMENT, NULL, 0);
	if (part(u, CURLUPART_USER, 0, a) || part(u, CURLUPART_PASSWORD, 0, a))
		return invalid(err, "must have no user name or password in it");
	if (part(u, CURLUPART_ZONEID, 0, a))
		return invalid(err, "must have no zone");
	ret->scheme = part(u, CURLUPART_SCHEME, 0, a);
	if (ret->scheme && strcasecmp(ret->scheme, "http") != 0 && strcasecmp(ret->scheme, "https") != 0)
		return invalid(err, "must begin with http:// or https://");
	ret->host = part(u, CURLUPART_HOST, 0, a);
	port = part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT, a);
	ret->url = part(u, CURLUPART_URL, 0, a);
	if (!ret->scheme || !ret->host || !port || !ret->url || strlen(ret->url) > SAFE_URL_MAX)
		return invalid(err, "is no complete URL of at most 8 KiB");
	ret->scheme = lower(a, ret->scheme);
	ret->host = lower(a, ret->host);
	ret->port = strtol(port, NULL, 10);
	if (!port_is_open(ret->port)) {
		error_set(err, "port_refused", "Port %s is not asked: 80, 443 and most of those from 1024 on are.",
			  port);
		return -EACCES;
	}
	return check_host(ret->host, inner, err);
}

static int missing(struct error *err)
{
	error_set(err, "curl_missing",
		  "Requests to the outside need libcurl, which is not installed: install the package libcurl4.");
	return -ENOSYS;
}

/* *u is made, or, from where it is, moves on to `text`. */
static int read_url(CURLU **u, const char *text, bool is_relative, const struct networks *inner, struct arena *a,
		    struct place *ret, struct error *err)
{
	const struct curl_api *curl = curl_api_load();

	if (!curl || (!*u && !(*u = curl->url())))
		return missing(err);
	if (strlen(text) > SAFE_URL_MAX)
		return invalid(err, "is no complete URL of at most 8 KiB");
	if (curl->url_set(*u, CURLUPART_URL, text, is_relative ? CURLU_URLENCODE : 0) != CURLUE_OK)
		return invalid(err, "must be a complete http or https URL");
	return read_place(*u, inner, a, ret, err);
}

int safe_url_check(const char *url, const struct networks *inner, struct arena *a, const char **ret_host,
		   struct error *err)
{
	struct place place;
	CURLU *u = NULL;
	int result = read_url(&u, url, false, inner, a, &place, err);

	if (u)
		curl_api_load()->url_cleanup(u);
	if (result == 0 && ret_host)
		*ret_host = place.host;
	return result;
}

/* ---- Fields of the request ---- */

static struct str name_of(const char *header)
{
	struct str rest = str_of(header);

	return str_cut(&rest, ':');
}

static bool is_one_of(struct str name, const char *const *list)
{
	for (; *list; list++)
		if (str_ieq(name, str_of(*list)))
			return true;
	return false;
}

/* Framing and routing are libcurl's. */
static int check_header(const char *header, struct error *err)
{
	static const char *const ours[] = {"Host",
					   "Content-Length",
					   "Transfer-Encoding",
					   "Connection",
					   "Keep-Alive",
					   "Upgrade",
					   "TE",
					   "Trailer",
					   "Expect",
					   "Accept-Encoding",
					   "Proxy-Authorization",
					   "Proxy-Connection",
					   NULL};
	struct str name = name_of(header);

	if (!strchr(header, ':') || !http_is_token(name) || !http_value_is_clean(str_of(header)))
		return error_set(err, "header_invalid", "A field of the request is not of the form \"Name: value\".");
	if (is_one_of(name, ours))
		return error_set(err, "header_invalid", "The field %.*s cannot be set.", STR_ARG(name));
	return 0;
}

/* What may go to an origin that was not meant. */
static bool header_is_harmless(const char *header)
{
	static const char *const harmless[] = {"Accept", "Accept-Language", "User-Agent", NULL};

	return is_one_of(name_of(header), harmless);
}

static int take_headers(struct safe_fetch *f, const char *const *headers)
{
	size_t n = 0;

	for (; headers && *headers; headers++) {
		if (n == MAX_HEADERS)
			return error_set(&f->error, "header_invalid", "The request has more than %d fields.",
					 MAX_HEADERS);
		if (check_header(*headers, &f->error) < 0)
			return -EINVAL;
		f->headers[n++] = arena_strdup(f->arena, *headers);
	}
	return 0;
}

/* Keeps those that `keep` wants. */
static void filter_headers(struct safe_fetch *f, bool (*keep)(const char *header))
{
	size_t n = 0;

	for (size_t i = 0; f->headers[i]; i++)
		if (keep(f->headers[i]))
			f->headers[n++] = f->headers[i];
	f->headers[n] = NULL;
}

static bool header_is_of_no_body(const char *header)
{
	return strncasecmp(header, "content-", 8) != 0;
}

/* ---- Steps ---- */

static void finish(struct safe_fetch *f, int err, const struct error *error)
{
	struct safe_fetch_answer answer = {
		.status = f->call.status,
		.url = f->place.url,
		.content_type = err ? NULL : outbound_header(&f->call, f->arena, "content-type"),
		.body = buf_str(&f->got),
		.is_cut = f->is_cut,
		.redirects = f->redirects,
		.call = &f->call,
	};

	if (!answer.content_type)
		answer.content_type = "";
	f->on_done(f->arg, err, error, err ? NULL : &answer);
	if (f->url)
		curl_api_load()->url_cleanup(f->url);
	buf_deinit(&f->got);
	arena_free(f->arena);
	free(f);
}

static int fail(struct safe_fetch *f, int err, const char *code, const char *message)
{
	error_set(&f->error, code, "%s", message);
	return err;
}

static bool is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* The next step's request, after RFC 9110 section 15.4 and the Fetch standard. */
static int follow(struct safe_fetch *f, const char *location)
{
	struct place from = f->place;
	int status = f->call.status, err;
	bool is_post = strcmp(f->method, "POST") == 0,
	     is_plain = !strcmp(f->method, "GET") || !strcmp(f->method, "HEAD");

	if (f->redirects++ == f->request.max_redirects)
		return fail(f, -ELOOP, "too_many_redirects", "The server redirects again and again.");
	err = read_url(&f->url, location, true, f->request.inner, f->arena, &f->place, &f->error);
	if (err < 0)
		return err;
	if (strcmp(from.scheme, "https") == 0 && strcmp(f->place.scheme, "http") == 0)
		return fail(f, -EACCES, "redirect_refused", "The server redirects from https to http.");
	if ((status == 303 && !is_plain) || (status <= 302 && is_post)) {
		f->method = "GET";
		f->body = (struct str){0};
		filter_headers(f, header_is_of_no_body);
	}
	if (strcmp(from.scheme, f->place.scheme) == 0 && strcmp(from.host, f->place.host) == 0 &&
	    from.port == f->place.port)
		return 0;
	if (f->body.n > 0)
		return fail(f, -EACCES, "redirect_refused",
			    "The server redirects what was sent to it to another server.");
	filter_headers(f, header_is_harmless);
	return 0;
}

static void step(struct safe_fetch *f);

static void on_done(struct outbound_call *c, int err, const struct error *error)
{
	struct safe_fetch *f = c->owner;
	const char *location;

	if (f->is_cancelled) {
		finish(f, -ECANCELED, error);
	} else if (f->err) {
		finish(f, f->err, &f->error);
	} else if (err < 0 && !f->is_cut) {
		finish(f, err, error);
	} else if (f->request.max_redirects && is_redirect(c->status) &&
		   (location = outbound_header(c, f->arena, "location"))) {
		f->err = follow(f, location);
		if (f->err)
			finish(f, f->err, &f->error);
		else
			step(f);
	} else {
		finish(f, 0, NULL);
	}
}

static void on_data(struct outbound_call *c, const char *data, size_t n)
{
	struct safe_fetch *f = c->owner;
	size_t left = f->request.max_body - f->got.n;

	buf_add(&f->got, data, MIN(n, left));
	if (n <= left)
		return;
	if (f->request.is_cut_taken || is_redirect(c->status)) {
		f->is_cut = true;
	} else {
		error_set(&f->error, "body_too_large", "The answer of %s is longer than %zu bytes.", f->place.host,
			  f->request.max_body);
		f->err = -EFBIG;
	}
	outbound_cancel(c);
}

static void step(struct safe_fetch *f)
{
	uint64_t now = clock_mono_us(), left = f->end > now ? (f->end - now) / 1000 : 0;

	if (!f->err && f->request.is_host_allowed && !f->request.is_host_allowed(f->request.arg, f->place.host)) {
		error_set(&f->error, "host_not_allowed", "The host %s is not among those that may be asked.",
			  f->place.host);
		f->err = -EACCES;
	}
	buf_clear(&f->got);
	f->is_cut = false;
	f->call = (struct outbound_call){
		.method = f->method,
		.url = f->err ? "" : f->place.url,
		.headers = f->headers,
		.body = f->body,
		.is_public_only = true,
		.is_decoded = true,
		.inner = f->request.inner,
		.connect_ms = MIN(CONNECT_MS, MAX(left, 1)),
		.first_byte_ms = MAX(left, 1),
		.idle_ms = MAX(left, 1),
		.total_ms = MAX(left, 1),
		.owner = f,
		.on_data = on_data,
		.on_done = on_done,
	};
	outbound_start(f->outbound, &f->call);
}

struct safe_fetch *safe_fetch_start(struct outbound *o, const struct safe_fetch_request *r, safe_fetch_done done,
				    void *arg)
{
	struct safe_fetch *f = xcalloc(1, sizeof(*f));

	f->outbound = o;
	f->arena = arena_new();
	f->request = *r;
	f->request.max_body = r->max_body ? r->max_body : DEFAULT_BODY;
	f->on_done = done;
	f->arg = arg;
	f->method = arena_strdup(f->arena, r->method);
	f->body = arena_str(f->arena, r->body);
	f->end = clock_mono_us() + (r->total_ms ? r->total_ms : DEFAULT_MS) * 1000;
	f->err = take_headers(f, r->headers);
	if (!f->err)
		f->err = read_url(&f->url, r->url, false, r->inner, f->arena, &f->place, &f->error);
	step(f);
	return f;
}

void safe_fetch_cancel(struct safe_fetch *f)
{
	if (f->is_cancelled)
		return;
	f->is_cancelled = true;
	outbound_cancel(&f->call);
}

const char *safe_fetch_header(const struct safe_fetch_answer *answer, struct arena *a, const char *name)
{
	return outbound_header(answer->call, a, name);
}
