#include "oauth/client_document.h"

#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "oauth/uri.h"

#define KEPT 32
#define KEEP_US (5 * 60 * INT64_C(1000000))
#define FETCHING_MAX 8
#define TOTAL_MS 5000

struct client_documents {
	struct {
		char *url, *text;
		uint64_t at_us; /* monotonic */
	} items[KEPT];
};

struct client_documents *client_documents_new(void)
{
	return xcalloc(1, sizeof(struct client_documents));
}

void client_documents_free(struct client_documents *d)
{
	for (size_t i = 0; d && i < KEPT; i++) {
		free(d->items[i].url);
		free(d->items[i].text);
	}
	free(d);
}

static void keep(struct client_documents *d, const char *url, struct str text)
{
	size_t at = 0;

	for (size_t i = 0; i < KEPT; i++) {
		if (d->items[i].url && !strcmp(d->items[i].url, url)) {
			at = i;
			break;
		}
		if (d->items[i].at_us < d->items[at].at_us)
			at = i;
	}
	free(d->items[at].url);
	free(d->items[at].text);
	d->items[at].url = xstrdup(url);
	d->items[at].text = xstrndup(text.p, text.n);
	d->items[at].at_us = clock_mono_us();
}

bool document_url_is_fine(const char *url)
{
	struct uri u;

	if (uri_parse(str_of(url), &u) < 0 || strlen(url) > CLIENT_ID_MAX)
		return false;
	return str_is(u.scheme, "https") && uri_is_web(&u) && u.path.n > 1 &&
	       redirect_uri_check(str_of(url), NULL) == 0;
}

int client_document_parse(struct arena *a, const char *url, struct str text, struct client_metadata *ret,
			  struct error *err)
{
	yyjson_doc *doc = json_parse_depth(a, text.p, text.n, 16, err);
	yyjson_val *root = yyjson_doc_get_root(doc);

	if (!doc)
		return -EINVAL;
	if (!yyjson_is_obj(root) || strcmp(json_get_str(root, "client_id", ""), url))
		return error_set(err, "invalid_client_metadata", "Its `client_id` is not its own address.");
	if (yyjson_obj_get(root, "client_secret"))
		return error_set(err, "invalid_client_metadata", "A public document cannot hold a secret.");
	if (client_metadata_read(a, root, ret, err) < 0)
		return -EINVAL;
	if (ret->auth_method && strcmp(ret->auth_method, "none"))
		return error_set(err, "invalid_client_metadata", "Its `token_endpoint_auth_method` must be none.");
	ret->auth_method = "none";
	return 0;
}

bool client_document_kept(struct oauth *o, struct arena *a, const char *url, struct client_metadata *ret)
{
	uint64_t now = clock_mono_us();

	for (size_t i = 0; i < KEPT; i++) {
		if (!o->documents->items[i].url || strcmp(o->documents->items[i].url, url))
			continue;
		return now - o->documents->items[i].at_us < KEEP_US &&
		       client_document_parse(a, url, str_of(o->documents->items[i].text), ret, NULL) == 0;
	}
	return false;
}

static void on_head(struct outbound_call *c, int status)
{
	struct document_reading *d = container_of(c, struct document_reading, call);

	if (status == 200)
		return;
	error_set(&d->err, "invalid_client_metadata", "The address answers with status %d instead of 200.", status);
	outbound_cancel(c);
}

static void on_data(struct outbound_call *c, const char *data, size_t n)
{
	struct document_reading *d = container_of(c, struct document_reading, call);

	if (d->body.n + n <= DOCUMENT_MAX) {
		buf_add(&d->body, data, n);
		return;
	}
	error_set(&d->err, "invalid_client_metadata", "The document has more than %d bytes.", DOCUMENT_MAX);
	outbound_cancel(c);
}

static void on_done(struct outbound_call *c, int err, const struct error *error)
{
	struct document_reading *d = container_of(c, struct document_reading, call);

	d->oauth->n_fetching--;
	if (err && !d->err.code[0])
		error_set(&d->err, "invalid_client_metadata", "It cannot be read: %s.", error->message);
	if (!err && client_document_parse(d->arena, d->url, buf_str(&d->body), &d->metadata, &d->err) == 0) {
		d->is_good = true;
		keep(d->oauth->documents, d->url, buf_str(&d->body));
	}
	buf_deinit(&d->body);
	d->done(d);
}

int client_document_read(struct oauth *o, struct document_reading *d)
{
	static const char *const headers[] = {"Accept: application/json", NULL};

	if (o->n_fetching >= FETCHING_MAX)
		return -EBUSY;
	o->n_fetching++;
	d->oauth = o;
	d->call = (struct outbound_call){
		.method = "GET",
		.url = d->url,
		.headers = headers,
		.is_public_only = true,
		.inner = &o->inner,
		.total_ms = TOTAL_MS,
		.on_head = on_head,
		.on_data = on_data,
		.on_done = on_done,
	};
	outbound_start(o->outbound, &d->call);
	return 0;
}
