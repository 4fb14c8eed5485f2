/* Making an API of a document, changing it, and reading its document anew. A document is sent or fetched, then read on
 * a worker thread that holds nothing, then stored with its operations in one transaction. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "agent/apis/source.h"
#include "base/alloc.h"
#include "base/id.h"
#include "io/safe_fetch.h"

#define PER_USER_MAX 100
#define FETCH_MS (30 * 1000)
#define MAX_REDIRECTS 5

/* One request that brings a document. */
struct taking {
	struct background background;
	struct agent *agent;
	struct exchange *x;
	struct answer find, read, write; /* the jobs, in order; find: of the API that is there already */
	struct safe_fetch *fetch;
	struct str text;
	const char *url; /* where the document is, or NULL */
	struct api_document doc;
	struct api_source source;
	bool is_new, is_linked;
};

static const struct json_field create_fields[] = {
	{"name", JSON_STRING, false, 1, 100},
	{"slug", JSON_STRING, false, 1, API_SLUG_MAX},
	{"description", JSON_STRING, false, 0, 1000},
	{"document", JSON_STRING, false, 1, API_DOCUMENT_MAX},
	{"url", JSON_STRING, false, 1, 2000},
	{"base_url", JSON_STRING, false, 1, 500},
	{"server", JSON_INT, false, 0, 19},
	{"variables", JSON_OBJECT},
	{"credentials", JSON_OBJECT},
};
static const struct json_field document_fields[] = {
	{"document", JSON_STRING, false, 1, API_DOCUMENT_MAX},
	{"url", JSON_STRING, false, 1, 2000},
};
static const struct json_field patch_fields[] = {
	{"name", JSON_STRING, false, 1, 100},
	{"description", JSON_STRING, false, 0, 1000},
	{"base_url", JSON_STRING, false, 1, 500},
	{"server", JSON_INT, false, 0, 19},
	{"variables", JSON_OBJECT},
	{"credentials", JSON_OBJECT},
};

static const char *strip_slashes(struct arena *a, const char *url)
{
	size_t n = strlen(url);

	while (n > 0 && url[n - 1] == '/')
		n--;
	return arena_strndup(a, url, n);
}

static int check_slug(const char *slug, struct error *err)
{
	for (const char *p = slug; p && *p; p++)
		if (!(islower((unsigned char)*p) || isdigit((unsigned char)*p) || (*p == '-' && p > slug)))
			return error_set(err, "invalid_field",
					 "\"slug\" may hold a to z, 0 to 9 and, not at its start, hyphens");
	return 0;
}

/* "Pet Store (v3)" becomes "pet-store-v3". */
static const char *slug_of(struct arena *a, const char *name)
{
	char *slug = arena_alloc(a, API_SLUG_MAX + 1);
	size_t n = 0;

	for (const char *p = name; *p && n < API_SLUG_MAX - 3; p++) {
		if (isalnum((unsigned char)*p))
			slug[n++] = (char)tolower((unsigned char)*p);
		else if (n > 0 && slug[n - 1] != '-')
			slug[n++] = '-';
	}
	while (n > 0 && slug[n - 1] == '-')
		n--;
	slug[n] = '\0';
	return n > 0 ? slug : "api";
}

/* The address that a request asks for, or that the document says. Returns 0 or a negative number. */
static int take_base_url(struct exchange *x, struct api_source *s, struct error *err)
{
	yyjson_val *servers, *server = yyjson_obj_get(x->body, "server");
	const char *own = json_get_str(x->body, "base_url", NULL), *url;

	servers = yyjson_doc_get_root(json_parse(x->arena, s->servers, strlen(s->servers), NULL));
	if (own) {
		url = strip_slashes(x->arena, own);
	} else {
		size_t i = server ? (size_t)yyjson_get_int(server) : 0;
		if (i >= yyjson_arr_size(servers))
			return error_set(err, "invalid_field", "\"server\" is none of the document's servers");
		url = api_server_url(x->arena, yyjson_arr_get(servers, i), json_get_obj(x->body, "variables"), s->url,
				     err);
	}
	if (!url)
		return -EINVAL;
	s->base_url = url;
	return api_base_url_check(x, url, err);
}

/* ---- Storing ---- */

static int find_slug(struct db_conn *c, struct answer *a, struct api_source *s)
{
	const char *wish = s->slug;
	int64_t one;

	for (int i = 2;; i++) {
		int r = db_get_int(c, &one, "select 1 from api_sources where owner_id = ? and slug = ?",
				   DB_TEXT(s->owner_id), DB_TEXT(s->slug));
		if (r <= 0)
			return r;
		if (json_get_str(a->job.x->body, "slug", NULL) || i > PER_USER_MAX)
			return answer_problem(a, 409, "slug_taken",
					      "You have an API with this slug: choose another one.");
		s->slug = arena_printf(a->job.x->arena, "%.*s-%d", API_SLUG_MAX - 4, wish, i);
	}
}

static int insert(struct db_conn *c, struct taking *t)
{
	struct answer *a = &t->write;
	int64_t n;
	int r = answer_known(c, a);

	if (r)
		return r;
	r = db_get_int(c, &n, "select count(*) from api_sources where owner_id = ?", DB_TEXT(t->source.owner_id));
	if (r < 0)
		return r;
	if (n >= PER_USER_MAX)
		return answer_problem(a, 409, "too_many", "You may have 100 APIs at most: remove one.");
	r = find_slug(c, a, &t->source);
	if (r == 0)
		r = api_source_insert(c, &t->source);
	if (r == 0)
		r = api_operations_store(c, t->source.id, &t->doc);
	if (r == 0)
		r = api_source_answer(c, a, 201, &t->source);
	a->location = arena_printf(t->x->arena, "/api/apis/%s", t->source.id);
	return r ? r : answer_keep(c, a);
}

/* Its name, address and credentials stay; another document may have other schemes and servers. */
static int replace(struct db_conn *c, struct taking *t)
{
	struct api_source s;
	int r = api_source_find_for(c, &t->write, AGENT_EDIT, &s);

	if (r)
		return r;
	s.url = t->url;
	s.document_version = t->doc.version;
	s.servers = t->doc.servers;
	s.schemes = t->doc.schemes;
	s.read_at = clock_now_us();
	r = api_source_update(c, &s);
	if (r == 0)
		r = api_operations_store(c, s.id, &t->doc);
	return r < 0 ? r : api_source_answer(c, &t->write, 200, &s);
}

static int write_run(struct db_conn *c, struct exchange_job *job)
{
	struct taking *t = container_of(job, struct taking, write.job);

	return t->is_new ? insert(c, t) : replace(c, t);
}

/* ---- The flow ---- */

static void leave_background(struct taking *t)
{
	if (t->is_linked)
		list_remove(&t->background.link);
	t->is_linked = false;
}

static void refuse(struct taking *t, int status, const struct error *err)
{
	reply_error(t->x, status, err);
}

static int make_source(struct taking *t, struct error *err)
{
	struct exchange *x = t->x;
	char *id = arena_alloc(x->arena, ID_SIZE);
	const char *name = json_get_str(x->body, "name", *t->doc.title ? t->doc.title : "API");

	id_new(id);
	t->source = (struct api_source){
		.id = id,
		.owner_id = x->who.user_id,
		.name = name,
		.slug = json_get_str(x->body, "slug", slug_of(x->arena, name)),
		.description = json_get_str(x->body, "description", t->doc.description),
		.url = t->url,
		.document_version = t->doc.version,
		.servers = t->doc.servers,
		.schemes = t->doc.schemes,
		.credential_ends = "{}",
		.shares = "[]",
		.version = 1,
		.created_at = clock_now_us(),
	};
	t->source.updated_at = t->source.read_at = t->source.created_at;
	if (take_base_url(x, &t->source, err) < 0)
		return -EINVAL;
	return api_credentials_set(x, &t->source, json_get_obj(x->body, "credentials"), err);
}

static void on_read(struct exchange_job *job, int result)
{
	struct taking *t = container_of(job, struct taking, read.job);
	struct error err = {0};

	if (result < 0 || t->read.code)
		answer_send(job, result);
	else if (t->is_new && make_source(t, &err) < 0)
		refuse(t, 422, &err);
	else
		answer_write(t->x, &t->write, write_run);
}

static int read_run(struct db_conn *c, struct exchange_job *job)
{
	struct taking *t = container_of(job, struct taking, read.job);
	struct arena *a = t->x->arena;
	struct error err = {0};

	if (api_document_read(a, t->text, &t->doc, &err) == 0)
		return 0;
	return answer_problem(&t->read, 422, arena_strdup(a, err.code), arena_strdup(a, err.message));
}

static void read_document(struct taking *t)
{
	t->read.job.done = on_read;
	answer_read(t->x, &t->read, read_run);
}

static void on_fetched(void *arg, int err, const struct error *error, const struct safe_fetch_answer *answer)
{
	struct taking *t = arg;
	struct exchange *x = t->x;

	t->fetch = NULL;
	leave_background(t);
	if (err) {
		reply_problem(x, 422, "document_not_fetched", "The document cannot be fetched: %s", error->message);
	} else if (answer->status != 200) {
		reply_problem(x, 422, "document_not_fetched", "The document's address answers with HTTP %d.",
			      answer->status);
	} else {
		t->text = arena_str(x->arena, answer->body);
		read_document(t);
	}
	exchange_drop(x);
}

static void on_leave(struct background *b)
{
	struct taking *t = container_of(b, struct taking, background);

	if (t->fetch)
		safe_fetch_cancel(t->fetch);
}

static void fetch_document(struct taking *t)
{
	static const char *const headers[] = {"Accept: application/json, application/yaml, text/yaml, */*;q=0.5", NULL};
	struct safe_fetch_request r = {
		.method = "GET",
		.url = t->url,
		.headers = headers,
		.inner = &t->agent->outbound_allow,
		.max_body = API_DOCUMENT_MAX,
		.max_redirects = MAX_REDIRECTS,
		.total_ms = FETCH_MS,
	};

	exchange_hold(t->x);
	t->background.leave = on_leave;
	list_append(&t->agent->background, &t->background.link);
	t->is_linked = true;
	t->fetch = safe_fetch_start(agent_outbound(t->agent), &r, on_fetched, t);
}

static struct taking *taking_new(struct exchange *x)
{
	struct taking *t = arena_new_of(x->arena, struct taking);
	yyjson_val *document = yyjson_obj_get(x->body, "document");

	t->x = x;
	t->agent = x->self;
	t->url = json_get_str(x->body, "url", NULL);
	if (document)
		t->text = (struct str){yyjson_get_str(document), yyjson_get_len(document)};
	return t;
}

static void begin(struct taking *t)
{
	if (t->text.p)
		read_document(t);
	else
		fetch_document(t);
}

void apis_create(struct exchange *x)
{
	struct taking *t = taking_new(x);
	struct error err = {0};

	t->is_new = true;
	if (json_check(x->body, create_fields, ARRAY_SIZE(create_fields), &err) < 0 ||
	    check_slug(json_get_str(x->body, "slug", NULL), &err) < 0) {
		refuse(t, 422, &err);
		return;
	}
	if (!t->text.p == !t->url) {
		reply_problem(x, 422, "invalid_field", "Send either \"document\" or \"url\".");
		return;
	}
	begin(t);
}

/* ---- Another document, or the same address once more ---- */

static int find_run(struct db_conn *c, struct exchange_job *job)
{
	struct taking *t = container_of(job, struct taking, find.job);

	return api_source_find_for(c, &t->find, AGENT_EDIT, &t->source);
}

static void on_found(struct exchange_job *job, int result)
{
	struct taking *t = container_of(job, struct taking, find.job);

	if (!t->text.p && !t->url)
		t->url = t->source.url;
	if (result < 0 || t->find.code)
		answer_send(job, result);
	else if (!t->text.p && !t->url)
		reply_problem(t->x, 422, "invalid_field",
			      "The document was sent, not read from an address: send \"document\" or \"url\".");
	else
		begin(t);
}

void apis_put_document(struct exchange *x)
{
	struct taking *t = taking_new(x);
	struct error err = {0};

	if (x->body && json_check(x->body, document_fields, ARRAY_SIZE(document_fields), &err) < 0) {
		refuse(t, 422, &err);
		return;
	}
	t->find.job.done = on_found;
	answer_write(x, &t->find, find_run);
}

/* ---- Changing the rest ---- */

struct patch {
	struct answer find, write;
	struct str if_match;
	struct api_source source;
};

static bool is_changing_place(yyjson_val *body)
{
	return yyjson_obj_get(body, "base_url") || yyjson_obj_get(body, "server") || yyjson_obj_get(body, "variables");
}

/* Credentials go to no other address: whoever may change the one need not know the other. */
static int take_patch(struct exchange *x, struct api_source *s, struct error *err)
{
	const char *before = s->base_url;

	s->name = json_get_str(x->body, "name", s->name);
	s->description = json_get_str(x->body, "description", s->description);
	if (is_changing_place(x->body) && take_base_url(x, s, err) < 0)
		return -EINVAL;
	if (!str_ieq(api_origin(before), api_origin(s->base_url))) {
		s->credentials = NULL;
		s->credential_ends = "{}";
	}
	return api_credentials_set(x, s, json_get_obj(x->body, "credentials"), err);
}

static int patch_find(struct db_conn *c, struct exchange_job *job)
{
	struct patch *p = container_of(job, struct patch, find.job);

	return api_source_find_for(c, &p->find, AGENT_EDIT, &p->source);
}

static bool matches(struct str if_match, int64_t version)
{
	char etag[32];

	snprintf(etag, sizeof(etag), "\"%lld\"", (long long)version);
	return if_match.n == 0 || str_is(if_match, "*") || str_is(if_match, etag);
}

static int conflict(struct answer *a)
{
	return answer_problem(a, 412, "version_conflict",
			      "Somebody else has changed this API: read it again and repeat the change.");
}

/* What was read a moment ago is still what is changed. */
static int patch_write(struct db_conn *c, struct exchange_job *job)
{
	struct patch *p = container_of(job, struct patch, write.job);
	struct api_source now, s = p->source;
	int r = api_source_find_for(c, &p->write, AGENT_EDIT, &now);

	if (r)
		return r;
	if (now.version != s.version)
		return conflict(&p->write);
	r = api_source_update(c, &s);
	return r < 0 ? r : api_source_answer(c, &p->write, 200, &s);
}

static void patch_found(struct exchange_job *job, int result)
{
	struct patch *p = container_of(job, struct patch, find.job);
	struct exchange *x = job->x;
	struct error err = {0};

	if (result == 0 && !p->find.code && !matches(p->if_match, p->source.version))
		conflict(&p->find);
	if (result < 0 || p->find.code)
		answer_send(job, result);
	else if (take_patch(x, &p->source, &err) < 0)
		reply_error(x, 422, &err);
	else
		answer_write(x, &p->write, patch_write);
}

void apis_patch(struct exchange *x)
{
	struct patch *p = arena_new_of(x->arena, struct patch);
	struct error err = {0};

	p->if_match = arena_str(x->arena, http_header_get(&x->req->headers, "If-Match"));
	if (json_check(x->body, patch_fields, ARRAY_SIZE(patch_fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	p->find.job.done = patch_found;
	answer_write(x, &p->find, patch_find);
}
