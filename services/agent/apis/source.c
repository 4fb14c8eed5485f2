#include "agent/apis/source.h"

#include <errno.h>

#include "agent/automation/automation.h"
#include "agent/automation/hooks.h"
#include "base/id.h"
#include "io/http.h"
#include "io/safe_fetch.h"

#define COLUMNS                                                                                                   \
	"id, owner_id, slug, name, description, url, document_version, servers, base_url, schemes, credentials, " \
	"credential_ends, shares, version, read_at, created_at, updated_at"

/* ---- Rows ---- */

static void read_row(struct db_stmt *st, struct arena *a, struct api_source *ret)
{
	*ret = (struct api_source){
		.id = db_col_dup(st, 0, a),
		.owner_id = db_col_dup(st, 1, a),
		.slug = db_col_dup(st, 2, a),
		.name = db_col_dup(st, 3, a),
		.description = db_col_dup(st, 4, a),
		.url = db_col_dup(st, 5, a),
		.document_version = db_col_dup(st, 6, a),
		.servers = db_col_dup(st, 7, a),
		.base_url = db_col_dup(st, 8, a),
		.schemes = db_col_dup(st, 9, a),
		.credentials = db_col_dup(st, 10, a),
		.credential_ends = db_col_dup(st, 11, a),
		.shares = db_col_dup(st, 12, a),
		.version = db_col_int(st, 13),
		.read_at = db_col_int(st, 14),
		.created_at = db_col_int(st, 15),
		.updated_at = db_col_int(st, 16),
	};
}

int api_source_find(struct db_conn *c, struct arena *a, const char *id, bool to_change, struct api_source *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c,
			 to_change ? "select " COLUMNS " from api_sources where id = ?" DB_FOR_UPDATE
				   : "select " COLUMNS " from api_sources where id = ?",
			 DB_TEXT(id));
	int r = db_step(c, st);

	if (r == 1)
		read_row(st, a, ret);
	return r;
}

unsigned api_source_rights(const struct identity *who, const struct api_source *s)
{
	return shares_rights(who, s->owner_id, s->shares, API_PERMISSION_ANY);
}

int api_source_find_for(struct db_conn *c, struct answer *a, unsigned right, struct api_source *ret)
{
	struct exchange *x = a->job.x;
	int r = api_source_find(c, x->arena, path_id(x), right != AGENT_USE, ret);
	unsigned rights = r == 1 ? api_source_rights(&x->who, ret) : 0;

	if (r < 0)
		return r;
	if (!rights)
		return answer_not_found(a, "API");
	if (!(rights & right))
		return answer_problem(a, 403, "forbidden",
				      "This API was not shared with you for that: ask its owner or an administrator.");
	return 0;
}

int api_source_insert(struct db_conn *c, const struct api_source *s)
{
	int64_t n = db_exec(
		c, "insert into api_sources (" COLUMNS ") values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		DB_TEXT(s->id), DB_TEXT(s->owner_id), DB_TEXT(s->slug), DB_TEXT(s->name), DB_TEXT(s->description),
		DB_TEXT(s->url), DB_TEXT(s->document_version), DB_TEXT(s->servers), DB_TEXT(s->base_url),
		DB_TEXT(s->schemes), DB_TEXT(s->credentials), DB_TEXT(s->credential_ends), DB_TEXT(s->shares),
		DB_INT(s->version), DB_INT(s->read_at), DB_INT(s->created_at), DB_INT(s->updated_at));

	return (int)MIN(n, 0);
}

int api_source_update(struct db_conn *c, struct api_source *s)
{
	int64_t n;

	s->version++;
	s->updated_at = clock_now_us();
	n = db_exec(c,
		    "update api_sources set name = ?, description = ?, url = ?, document_version = ?, servers = ?, "
		    "base_url = ?, schemes = ?, credentials = ?, credential_ends = ?, shares = ?, version = ?, "
		    "read_at = ?, updated_at = ? where id = ?",
		    DB_TEXT(s->name), DB_TEXT(s->description), DB_TEXT(s->url), DB_TEXT(s->document_version),
		    DB_TEXT(s->servers), DB_TEXT(s->base_url), DB_TEXT(s->schemes), DB_TEXT(s->credentials),
		    DB_TEXT(s->credential_ends), DB_TEXT(s->shares), DB_INT(s->version), DB_INT(s->read_at),
		    DB_INT(s->updated_at), DB_TEXT(s->id));
	return (int)MIN(n, 0);
}

static int delete_operations(struct db_conn *c, const char *source_id)
{
	return error_only(db_exec(c, "delete from api_operations where source_id = ?", DB_TEXT(source_id)));
}

int api_operations_store(struct db_conn *c, const char *source_id, const struct api_document *doc)
{
	int64_t r = delete_operations(c, source_id);

	for (size_t i = 0; r >= 0 && i < doc->n_operations; i++) {
		const struct api_operation *o = &doc->operations[i];
		r = db_exec(c,
			    "insert into api_operations (source_id, name, position, method, path, summary, problem, "
			    "spec) values (?, ?, ?, ?, ?, ?, ?, ?)",
			    DB_TEXT(source_id), DB_TEXT(o->name), DB_INT((int64_t)i), DB_TEXT(o->method),
			    DB_TEXT(o->path), DB_TEXT(o->summary), DB_TEXT(o->problem),
			    DB_STR(o->spec.p ? o->spec : STR("{}")));
	}
	return (int)MIN(r, 0);
}

int api_sources_delete_user(struct db_conn *c, const char *user_id)
{
	int64_t r = db_exec(c,
			    "delete from api_operations where source_id in (select id from api_sources where owner_id "
			    "= ?)",
			    DB_TEXT(user_id));

	if (r >= 0)
		r = db_exec(c, "delete from api_sources where owner_id = ?", DB_TEXT(user_id));
	return (int)MIN(r, 0);
}

/* ---- Out ---- */

static yyjson_val *parse(struct arena *a, const char *text)
{
	return yyjson_doc_get_root(json_parse(a, text, strlen(text), NULL));
}

/* The document's schemes, and of which there are credentials. */
static void add_schemes(struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct api_source *s)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, obj, "schemes"), *made;
	yyjson_val *ends = parse(a, s->credential_ends), *name, *scheme;
	size_t i, n;

	yyjson_obj_foreach(parse(a, s->schemes), i, n, name, scheme)
	{
		const char *end = json_get_str(ends, yyjson_get_str(name), NULL);
		made = yyjson_mut_arr_add_obj(doc, list);
		yyjson_mut_obj_add_val(doc, made, "name", yyjson_val_mut_copy(doc, name));
		json_add_str(doc, made, "type", json_get_str(scheme, "type", ""));
		json_add_str(doc, made, "in", json_get_str(scheme, "in", NULL));
		json_add_str(doc, made, "parameter", json_get_str(scheme, "parameter", NULL));
		json_add_str(doc, made, "description", json_get_str(scheme, "description", ""));
		yyjson_mut_obj_add_bool(doc, made, "set", end != NULL);
		json_add_str(doc, made, "end", end);
	}
}

static void add_source(const struct exchange *x, yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct api_source *s)
{
	json_add_str(doc, obj, "id", s->id);
	json_add_str(doc, obj, "slug", s->slug);
	json_add_str(doc, obj, "name", s->name);
	json_add_str(doc, obj, "description", s->description);
	json_add_str(doc, obj, "url", s->url);
	json_add_str(doc, obj, "document_version", s->document_version);
	json_add_str(doc, obj, "base_url", s->base_url);
	json_add_raw(doc, obj, "servers", s->servers);
	add_schemes(x->arena, doc, obj, s);
	json_add_str(doc, obj, "owner_id", s->owner_id);
	agent_shares_add(x->arena, doc, obj, s->shares, api_source_rights(&x->who, s));
	yyjson_mut_obj_add_int(doc, obj, "version", s->version);
	add_time(doc, obj, "read_at", s->read_at);
	add_time(doc, obj, "created_at", s->created_at);
	add_time(doc, obj, "updated_at", s->updated_at);
}

static const char *tool_name(struct arena *a, const struct api_source *s, const char *operation)
{
	char *name = arena_printf(a, "%s_%s", s->slug, operation);

	for (char *p = name; p < name + strlen(s->slug); p++)
		if (*p == '-')
			*p = '_';
	return name;
}

static int add_operations(struct db_conn *c, struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *list,
			  const struct api_source *s)
{
	struct db_stmt *st = db_query(c,
				      "select name, method, path, summary, problem from api_operations where "
				      "source_id = ? order by position",
				      DB_TEXT(s->id));
	int r;

	while ((r = db_step(c, st)) == 1) {
		yyjson_mut_val *obj = yyjson_mut_arr_add_obj(doc, list);
		const char *name = db_col_dup(st, 0, a);
		json_add_str(doc, obj, "name", name);
		json_add_str(doc, obj, "tool", tool_name(a, s, name));
		json_add_str(doc, obj, "method", db_col_dup(st, 1, a));
		json_add_str(doc, obj, "path", db_col_dup(st, 2, a));
		json_add_str(doc, obj, "summary", db_col_dup(st, 3, a));
		json_add_str(doc, obj, "problem", db_col_dup(st, 4, a));
	}
	db_done(st);
	return MIN(r, 0);
}

int api_source_answer(struct db_conn *c, struct answer *a, int status, const struct api_source *s)
{
	struct arena *arena = a->job.x->arena;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(arena, &doc);
	int r;

	add_source(a->job.x, doc, obj, s);
	r = add_operations(c, arena, doc, yyjson_mut_obj_add_arr(doc, obj, "operations"), s);
	a->etag = arena_printf(arena, "\"%lld\"", (long long)s->version);
	return r < 0 ? r : answer_json(a, status, doc);
}

/* ---- Credentials ---- */

/* One line of what a field of the head can hold. */
static bool is_good(yyjson_val *v, bool is_name)
{
	struct str s = {yyjson_get_str(v), yyjson_get_len(v)};

	return yyjson_is_str(v) && s.n > 0 && s.n <= 4096 && http_value_is_clean(s) &&
	       !(is_name && memchr(s.p, ':', s.n));
}

static int check_credential(yyjson_val *schemes, const char *name, yyjson_val *credential, struct error *err)
{
	static const struct json_field value_fields[] = {{"value", JSON_STRING, true, 1, 4096}};
	static const struct json_field basic_fields[] = {{"username", JSON_STRING, true, 1, 200},
							 {"password", JSON_STRING, true, 1, 4096}};
	yyjson_val *scheme = json_get_obj(schemes, name);
	bool is_basic = strcmp(json_get_str(scheme, "type", ""), "basic") == 0;
	int r;

	if (!scheme)
		return error_set(err, "invalid_field",
				 "In \"credentials\": the document has no scheme \"%.60s\" that is supported", name);
	if (yyjson_is_null(credential))
		return 0;
	r = is_basic ? json_check(credential, basic_fields, ARRAY_SIZE(basic_fields), err)
		     : json_check(credential, value_fields, ARRAY_SIZE(value_fields), err);
	if (r < 0) {
		error_prefix(err, "In \"credentials\", %.60s", name);
		return r;
	}
	if (is_basic ? is_good(yyjson_obj_get(credential, "username"), true) &&
			       is_good(yyjson_obj_get(credential, "password"), false)
		     : is_good(yyjson_obj_get(credential, "value"), false))
		return 0;
	return error_set(err, "invalid_field", "In \"credentials\": that of \"%.60s\" is no text of one line", name);
}

int api_credentials_open(const struct agent *agent, struct arena *a, const struct api_source *s, yyjson_val **ret)
{
	const char *text;

	*ret = NULL;
	if (!s->credentials)
		return 0;
	text = hook_unseal(automation_key(agent->automation), a, "api_sources", s->id, s->credentials);
	*ret = text ? parse(a, text) : NULL;
	return *ret ? 0 : -EINVAL;
}

/* Of a short one four characters would be too much; of a name and a password the name. */
static const char *end_of(struct arena *a, yyjson_val *credential)
{
	const char *value = json_get_str(credential, "value", ""), *user = json_get_str(credential, "username", NULL);
	size_t n = strlen(value);

	if (user)
		return user;
	return n >= 12 ? arena_strdup(a, value + n - 4) : "";
}

static void put(yyjson_mut_doc *doc, yyjson_mut_val *all, yyjson_val *name, yyjson_val *credential)
{
	yyjson_mut_obj_remove_key(all, yyjson_get_str(name));
	if (!yyjson_is_null(credential))
		yyjson_mut_obj_add(all, yyjson_val_mut_copy(doc, name), yyjson_val_mut_copy(doc, credential));
}

static void store(struct exchange *x, struct api_source *s, yyjson_mut_doc *doc, yyjson_mut_val *all)
{
	struct arena *a = x->arena;
	struct str text = json_text(a, doc);
	yyjson_mut_doc *ends_doc;
	yyjson_mut_val *ends = json_new_obj(a, &ends_doc);
	yyjson_val *name, *credential;
	size_t i, n;

	yyjson_obj_foreach(parse(a, text.p), i, n, name, credential) yyjson_mut_obj_add(
		ends, yyjson_val_mut_copy(ends_doc, name), yyjson_mut_strcpy(ends_doc, end_of(a, credential)));
	s->credential_ends = json_text(a, ends_doc).p;
	s->credentials = yyjson_mut_obj_size(all) == 0
				 ? NULL
				 : hook_seal(automation_key(((struct agent *)x->self)->automation), a, "api_sources",
					     s->id, text);
}

int api_credentials_set(struct exchange *x, struct api_source *s, yyjson_val *credentials, struct error *err)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *all = json_new_obj(x->arena, &doc);
	yyjson_val *old, *name, *credential, *schemes = parse(x->arena, s->schemes);
	size_t i, n;

	if (!credentials)
		return 0;
	if (api_credentials_open(x->self, x->arena, s, &old) == 0)
		yyjson_obj_foreach(old, i, n, name, credential) put(doc, all, name, credential);
	yyjson_obj_foreach(credentials, i, n, name, credential)
	{
		if (check_credential(schemes, yyjson_get_str(name), credential, err) < 0)
			return -EINVAL;
		put(doc, all, name, credential);
	}
	if (json_text(x->arena, doc).n > API_CREDENTIALS_MAX)
		return error_set(err, "invalid_field", "\"credentials\" are too long together");
	store(x, s, doc, all);
	return 0;
}

int api_base_url_check(struct exchange *x, const char *url, struct error *err)
{
	const struct agent *agent = x->self;

	if (strpbrk(url, "?#{}\\ \t\r\n"))
		return error_set(err, "url_invalid", "\"base_url\" must be an address without blanks, braces, ? or #.");
	return safe_url_check(url, &agent->outbound_allow, x->arena, NULL, err);
}

/* ---- Requests ---- */

static int get_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct api_source s;
	int r = api_source_find_for(c, a, AGENT_USE, &s);

	return r ? r : api_source_answer(c, a, 200, &s);
}

void apis_get(struct exchange *x)
{
	answer_read(x, arena_new_of(x->arena, struct answer), get_run);
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct page_answer *l = (struct page_answer *)job;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	struct api_source s = {0}, found;
	int64_t n = 0;
	int r;
	struct db_stmt *st = db_query(c, "select " COLUMNS " from api_sources where id < ? order by id desc",
				      DB_TEXT(l->page.after ? l->page.after : ID_LAST));

	while ((r = db_step(c, st)) == 1) {
		read_row(st, x->arena, &found);
		if (!api_source_rights(&x->who, &found))
			continue;
		if (n++ == l->page.limit)
			break;
		s = found;
		add_source(x, doc, yyjson_mut_arr_add_obj(doc, items), &s);
	}
	db_done(st);
	json_add_str(doc, obj, "next", n > l->page.limit ? page_cursor(x->arena, s.id) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void apis_list(struct exchange *x)
{
	answer_page(x, list_run);
}

static int operation_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct arena *arena = job->x->arena;
	struct api_source s;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(arena, &doc);
	int r = api_source_find_for(c, a, AGENT_USE, &s);

	if (r)
		return r;
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c,
			 "select name, method, path, summary, problem, spec from api_operations where source_id = ? "
			 "and name = ?",
			 DB_TEXT(s.id), DB_TEXT(job->x->params[1].p));
	r = db_step(c, st);
	if (r <= 0)
		return r < 0 ? r : answer_not_found(a, "operation");
	const char *name = db_col_dup(st, 0, arena), *text = db_col_dup(st, 5, arena);
	yyjson_val *spec = yyjson_doc_get_root(json_parse_depth(arena, text, strlen(text), 200, NULL));
	json_add_str(doc, obj, "name", name);
	json_add_str(doc, obj, "tool", tool_name(arena, &s, name));
	json_add_str(doc, obj, "method", db_col_dup(st, 1, arena));
	json_add_str(doc, obj, "path", db_col_dup(st, 2, arena));
	json_add_str(doc, obj, "summary", db_col_dup(st, 3, arena));
	json_add_str(doc, obj, "problem", db_col_dup(st, 4, arena));
	json_add_str(doc, obj, "description", json_get_str(spec, "description", ""));
	yyjson_val *parameters = json_get_obj(spec, "parameters");
	yyjson_mut_obj_add_val(doc, obj, "parameters",
			       parameters ? yyjson_val_mut_copy(doc, parameters) : yyjson_mut_obj(doc));
	return answer_json(a, 200, doc);
}

void apis_get_operation(struct exchange *x)
{
	answer_read(x, arena_new_of(x->arena, struct answer), operation_run);
}

static int delete_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct api_source s;
	int r = api_source_find_for(c, a, AGENT_OWN, &s);

	if (r == 0)
		r = delete_operations(c, s.id);
	if (r)
		return r;
	a->status = 204;
	return error_only(db_exec(c, "delete from api_sources where id = ?", DB_TEXT(s.id)));
}

void apis_delete(struct exchange *x)
{
	answer_write(x, arena_new_of(x->arena, struct answer), delete_run);
}

static int share_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct exchange *x = job->x;
	yyjson_val *shares = json_get_arr(x->body, "shares");
	struct api_source s;
	int r = api_source_find_for(c, a, AGENT_SHARE, &s);

	if (r)
		return r;
	if (shares_given(shares) & ~(api_source_rights(&x->who, &s) | shares_given(parse(x->arena, s.shares))))
		return answer_problem(a, 403, "forbidden", "Nobody gives rights that he does not have himself.");
	s.shares = json_val_text(x->arena, shares).p;
	r = api_source_update(c, &s);
	return r < 0 ? r : api_source_answer(c, a, 200, &s);
}

void apis_share(struct exchange *x)
{
	struct error err = {0};

	if (shares_check(x->body, &err) < 0)
		reply_error(x, 422, &err);
	else
		answer_write(x, arena_new_of(x->arena, struct answer), share_run);
}
