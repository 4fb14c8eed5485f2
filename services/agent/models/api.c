/* /api/models/providers: connecting providers of models, for everybody (permission models.manage) or for oneself
 * (models.connect, which the routes ask for). The address of one's own is the provider's own: nobody reaches into the
 * platform's network by it.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "agent/bus.h"
#include "agent/handlers.h"
#include "agent/models/choice.h"

#define MAX_OWN 50 /* of one user, or shared */
#define COLUMNS                                                                                               \
	"id, owner_id, slug, name, kind, base_url, key_sealed, key_end, settings, found_models, is_default, " \
	"is_enabled, version, created_at, updated_at"

struct row {
	const char *id, *owner_id, *slug, *name, *kind, *base_url, *key_sealed, *key_end, *settings, *found_models;
	bool is_default, is_enabled;
	int64_t version, created_at, updated_at;
};

static const struct json_field create_fields[] = {
	{"name", JSON_STRING, true, 1, 100},
	{"slug", JSON_STRING, false, 1, 40},
	{"provider", JSON_STRING, true, 1, 32},
	{"base_url", JSON_STRING, false, 1, 500},
	{"key", JSON_STRING_OR_NULL, false, 1, 4096},
	{"shared", JSON_BOOL},
	{"default_model", JSON_STRING_OR_NULL, false, 1, 150},
	{"is_default", JSON_BOOL},
	{"enabled", JSON_BOOL},
	{"models", JSON_ARRAY, false, 0, CONNECTION_MAX_MODELS},
	{"max_concurrent", JSON_INT, false, 0, 10000},
	{"requests_per_minute", JSON_INT, false, 0, 1000000},
	{"tokens_per_minute", JSON_INT, false, 0, 1000000000},
	{"context", JSON_INT, false, 0, 100000000},
	{"reasoning_echo", JSON_STRING, false, 1, 10},
};

static const struct json_field patch_fields[] = {
	{"name", JSON_STRING, false, 1, 100},
	{"base_url", JSON_STRING, false, 1, 500},
	{"key", JSON_STRING_OR_NULL, false, 1, 4096},
	{"default_model", JSON_STRING_OR_NULL, false, 1, 150},
	{"is_default", JSON_BOOL},
	{"enabled", JSON_BOOL},
	{"models", JSON_ARRAY, false, 0, CONNECTION_MAX_MODELS},
	{"max_concurrent", JSON_INT, false, 0, 10000},
	{"requests_per_minute", JSON_INT, false, 0, 1000000},
	{"tokens_per_minute", JSON_INT, false, 0, 1000000000},
	{"context", JSON_INT, false, 0, 100000000},
	{"reasoning_echo", JSON_STRING, false, 1, 10},
};

/* ---- Rights ---- */

static bool manages(const struct exchange *x)
{
	return identity_may(&x->who, "models.manage");
}

static bool is_own(const struct exchange *x, const char *owner_id)
{
	return *owner_id && x->who.user_id && strcmp(owner_id, x->who.user_id) == 0;
}

static bool may_see(const struct exchange *x, const struct row *row)
{
	return !*row->owner_id || is_own(x, row->owner_id) || manages(x);
}

static bool may_change(const struct exchange *x, const struct row *row)
{
	return manages(x) || is_own(x, row->owner_id);
}

/* ---- Rows ---- */

static void read_row(struct db_stmt *st, struct arena *a, struct row *ret)
{
	*ret = (struct row){
		.id = db_col_dup(st, 0, a),
		.owner_id = db_col_dup(st, 1, a),
		.slug = db_col_dup(st, 2, a),
		.name = db_col_dup(st, 3, a),
		.kind = db_col_dup(st, 4, a),
		.base_url = db_col_dup(st, 5, a),
		.key_sealed = db_col_dup(st, 6, a),
		.key_end = db_col_dup(st, 7, a),
		.settings = db_col_dup(st, 8, a),
		.found_models = db_col_dup(st, 9, a),
		.is_default = db_col_int(st, 10) != 0,
		.is_enabled = db_col_int(st, 11) != 0,
		.version = db_col_int(st, 12),
		.created_at = db_col_int(st, 13),
		.updated_at = db_col_int(st, 14),
	};
}

/* 1 found, 0 none, or -errno. */
static int find(struct db_conn *c, struct arena *a, const char *sql, const char *id, struct row *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c, sql, DB_TEXT(id));
	int r = db_step(c, st);

	if (r == 1)
		read_row(st, a, ret);
	return r;
}

#define SELECT_ONE "select " COLUMNS " from model_providers where id = ?"

/* A key of ours cannot open it: it was sealed elsewhere. */
static bool is_unreadable(const struct agent *agent, const struct row *row)
{
	const struct connection *c = connections_get(models_connections(agent->models), row->id);

	return c && c->is_unreadable;
}

static void add_row(const struct exchange *x, yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct row *row)
{
	struct arena *a = x->arena;
	yyjson_val *s = yyjson_doc_get_root(json_parse(a, row->settings, strlen(row->settings), NULL));
	yyjson_val *models = json_get_arr(s, "models");
	const struct connection *c = connections_get(models_connections(((struct agent *)x->self)->models), row->id);

	json_add_str(doc, obj, "id", row->id);
	json_add_str(doc, obj, "slug", row->slug);
	json_add_str(doc, obj, "name", row->name);
	json_add_str(doc, obj, "provider", row->kind);
	json_add_str(doc, obj, "base_url", row->base_url);
	json_add_str(doc, obj, "key_end", row->key_end);
	yyjson_mut_obj_add_bool(doc, obj, "key_readable", !is_unreadable(x->self, row));
	yyjson_mut_obj_add_bool(doc, obj, "shared", !*row->owner_id);
	json_add_str(doc, obj, "owner_id", *row->owner_id ? row->owner_id : NULL);
	json_add_str(doc, obj, "default_model", json_get_str(s, "default_model", NULL));
	yyjson_mut_obj_add_bool(doc, obj, "is_default", row->is_default);
	yyjson_mut_obj_add_bool(doc, obj, "enabled", row->is_enabled);
	yyjson_mut_obj_add_val(doc, obj, "models", models ? yyjson_val_mut_copy(doc, models) : yyjson_mut_arr(doc));
	json_add_raw(doc, obj, "found_models", row->found_models ? row->found_models : "[]");
	yyjson_mut_obj_add_int(doc, obj, "max_concurrent", json_get_int(s, "max_concurrent", 0));
	yyjson_mut_obj_add_int(doc, obj, "requests_per_minute", json_get_int(s, "requests_per_minute", 0));
	yyjson_mut_obj_add_int(doc, obj, "tokens_per_minute", json_get_int(s, "tokens_per_minute", 0));
	yyjson_mut_obj_add_int(doc, obj, "context", json_get_int(s, "context", 0));
	json_add_str(doc, obj, "reasoning_echo", json_get_str(s, "reasoning_echo", "loop"));
	yyjson_mut_obj_add_bool(doc, obj, "working", !c || !model_place_is_broken(c->place));
	yyjson_mut_obj_add_uint(doc, obj, "waiting", c ? model_place_n_waiting(c->place) : 0);
	yyjson_mut_obj_add_int(doc, obj, "version", row->version);
	add_time(doc, obj, "created_at", row->created_at);
	add_time(doc, obj, "updated_at", row->updated_at);
}

/* ---- What a client sends ---- */

static int check_models(yyjson_val *models, struct error *err)
{
	yyjson_val *model;
	size_t i, max;

	yyjson_arr_foreach(models, i, max, model)
	{
		if (!yyjson_is_str(model) || yyjson_get_len(model) == 0 || yyjson_get_len(model) > 150)
			return error_set(err, "invalid_field",
					 "\"models\" may hold names of up to 150 characters only");
	}
	return 0;
}

static int check_slug(const char *slug, struct error *err)
{
	for (const char *p = slug; p && *p; p++)
		if (!(islower((unsigned char)*p) || isdigit((unsigned char)*p) || (*p == '-' && p > slug)))
			return error_set(err, "invalid_field",
					 "\"slug\" may hold a to z, 0 to 9 and, not at its start, hyphens");
	return 0;
}

static int check_url(const char *url, struct error *err)
{
	const char *host = url ? strstr(url, "://") : NULL;

	if (!url)
		return 0;
	if ((strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0) || !host[3] ||
	    strpbrk(url, "@?# \t\r\n\"\\"))
		return error_set(err, "invalid_field",
				 "\"base_url\" must be http://… or https://… without a name, a password, ? or #");
	return 0;
}

static int check_words(yyjson_val *body, struct error *err)
{
	const char *echo = json_get_str(body, "reasoning_echo", "loop"), *key = json_get_str(body, "key", "k"), *url;
	const char *kind = json_get_str(body, "provider", "openai");

	if (!connection_kind(kind, &url))
		return error_set(err, "invalid_field",
				 "\"provider\" must be openai, responses, anthropic, ollama or compatible");
	if (strcmp(echo, "loop") != 0 && strcmp(echo, "never") != 0 && strcmp(echo, "always") != 0)
		return error_set(err, "invalid_field", "\"reasoning_echo\" must be loop, never or always");
	for (const char *p = key; *p; p++)
		if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f)
			return error_set(err, "invalid_field", "\"key\" may not hold blanks or special characters");
	return 0;
}

/* Returns false after answering 422. */
static bool check_body(struct exchange *x, const struct json_field *fields, size_t n)
{
	struct error err = {0};

	if (json_check(x->body, fields, n, &err) == 0 && check_words(x->body, &err) == 0 &&
	    check_slug(json_get_str(x->body, "slug", NULL), &err) == 0 &&
	    check_url(json_get_str(x->body, "base_url", NULL), &err) == 0 &&
	    check_models(yyjson_obj_get(x->body, "models"), &err) == 0)
		return true;
	reply_error(x, 422, &err);
	return false;
}

static void copy_member(yyjson_mut_doc *doc, yyjson_mut_val *obj, yyjson_val *body, yyjson_val *old, const char *name)
{
	yyjson_val *val = yyjson_obj_get(body, name);

	if (!val)
		val = yyjson_obj_get(old, name);
	if (val && !yyjson_is_null(val))
		yyjson_mut_obj_add(obj, yyjson_mut_strcpy(doc, name), yyjson_val_mut_copy(doc, val));
}

static const char *make_settings(struct arena *a, yyjson_val *body, const char *old_text)
{
	static const char *const names[] = {"default_model",     "models",  "max_concurrent", "requests_per_minute",
					    "tokens_per_minute", "context", "reasoning_echo"};
	yyjson_val *old = old_text ? yyjson_doc_get_root(json_parse(a, old_text, strlen(old_text), NULL)) : NULL;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		copy_member(doc, obj, body, old, names[i]);
	return json_text(a, doc).p;
}

static const char *strip_slashes(struct arena *a, const char *url)
{
	size_t n = strlen(url);

	while (n > 0 && url[n - 1] == '/')
		n--;
	return arena_strndup(a, url, n);
}

/* null takes the key away. */
static void set_key(struct exchange *x, struct row *row)
{
	struct agent *agent = x->self;
	const char *key = json_get_str(x->body, "key", NULL);
	size_t n;

	if (!yyjson_obj_get(x->body, "key"))
		return;
	row->key_sealed = row->key_end = NULL;
	if (!key)
		return;
	n = strlen(key);
	row->key_sealed = connection_seal(models_connections(agent->models), row->id, key, x->arena);
	/* Of a short key four characters would be too much. */
	row->key_end = n >= 12 ? arena_strdup(x->arena, key + n - 4) : "";
}

/* 0, or the problem is set. */
static int check_row(struct answer *a, const struct row *row)
{
	struct arena *arena = a->job.x->arena;
	yyjson_val *s = yyjson_doc_get_root(json_parse(arena, row->settings, strlen(row->settings), NULL));
	const char *usual;

	connection_kind(row->kind, &usual);
	if (!*row->base_url)
		return answer_problem(a, 422, "invalid_field", "\"base_url\" is needed for this provider.");
	if (*row->owner_id && strcmp(row->base_url, usual) != 0 && !manages(a->job.x))
		return answer_problem(a, 403, "forbidden",
				      "An address of its own needs the permission models.manage: leave out base_url.");
	if (row->is_default && !*json_get_str(s, "default_model", ""))
		return answer_problem(a, 422, "invalid_field",
				      "\"default_model\" is needed for what is to be the default.");
	return 0;
}

/* ---- Writing ---- */

/* Only one of an owner is the default. */
static int clear_default(struct db_conn *c, const struct row *row)
{
	if (!row->is_default)
		return 0;
	return error_only(db_exec(c, "update model_providers set is_default = 0 where owner_id = ? and id <> ?",
				  DB_TEXT(row->owner_id), DB_TEXT(row->id)));
}

static int answer_row(struct answer *a, int status, const struct row *row)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a->job.x->arena, &doc);

	add_row(a->job.x, doc, obj, row);
	a->etag = arena_printf(a->job.x->arena, "\"%lld\"", (long long)row->version);
	return answer_json(a, status, doc);
}

/* What was changed is used from the moment it is answered. */
struct change {
	struct answer answer;
	int result;
	struct str if_match;
	struct row row;
};

static void on_reloaded(void *arg)
{
	struct change *m = arg;
	struct exchange *x = m->answer.job.x;

	answer_send(&m->answer.job, m->result);
	exchange_drop(x);
}

static void on_changed(struct exchange_job *job, int result)
{
	struct change *m = (struct change *)job;
	struct agent *agent = job->x->self;

	m->result = result;
	exchange_hold(job->x);
	connections_reload(models_connections(agent->models), on_reloaded, m);
}

static void start_change(struct exchange *x, struct change *m, int (*run)(struct db_conn *c, struct exchange_job *job))
{
	m->answer.job.done = on_changed;
	answer_write(x, &m->answer, run);
}

static int insert(struct db_conn *c, const struct row *row)
{
	return error_only(db_exec(
		c, "insert into model_providers (" COLUMNS ") values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		DB_TEXT(row->id), DB_TEXT(row->owner_id), DB_TEXT(row->slug), DB_TEXT(row->name), DB_TEXT(row->kind),
		DB_TEXT(row->base_url), DB_TEXT(row->key_sealed), DB_TEXT(row->key_end), DB_TEXT(row->settings),
		DB_TEXT(row->found_models), DB_INT(row->is_default), DB_INT(row->is_enabled), DB_INT(row->version),
		DB_INT(row->created_at), DB_INT(row->updated_at)));
}

static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct change *m = (struct change *)job;
	int64_t n;
	int r = answer_known(c, &m->answer);

	if (r == 0)
		r = check_row(&m->answer, &m->row);
	if (r)
		return r;
	r = db_get_int(c, &n, "select count(*) from model_providers where owner_id = ?", DB_TEXT(m->row.owner_id));
	if (r < 0)
		return r;
	if (n >= MAX_OWN)
		return answer_problem(&m->answer, 409, "too_many", "There may be 50 providers at most: remove one.");
	r = db_get_int(c, &n, "select 1 from model_providers where owner_id = ? and slug = ?", DB_TEXT(m->row.owner_id),
		       DB_TEXT(m->row.slug));
	if (r)
		return r < 0 ? r
			     : answer_problem(&m->answer, 409, "slug_taken",
					      "There is a provider with this slug: choose another one.");
	r = clear_default(c, &m->row);
	if (r == 0)
		r = insert(c, &m->row);
	if (r == 0)
		r = bus_tell(c, BUS_MODELS, m->row.id);
	if (r == 0)
		r = answer_row(&m->answer, 201, &m->row);
	return r ? r : answer_keep(c, &m->answer);
}

/* "Open AI (EU)" becomes "open-ai-eu". */
static const char *slug_of(struct arena *a, const char *name)
{
	char *slug = arena_alloc(a, 48);
	size_t n = 0;

	for (const char *p = name; *p && n < 40; p++) {
		if (isalnum((unsigned char)*p))
			slug[n++] = (char)tolower((unsigned char)*p);
		else if (n > 0 && slug[n - 1] != '-')
			slug[n++] = '-';
	}
	while (n > 0 && slug[n - 1] == '-')
		n--;
	slug[n] = '\0';
	return n > 0 ? slug : "models";
}

void model_providers_create(struct exchange *x)
{
	struct change *m = arena_new_of(x->arena, struct change);
	const char *usual;
	char *id = arena_alloc(x->arena, ID_SIZE);

	if (!check_body(x, create_fields, ARRAY_SIZE(create_fields)))
		return;
	bool shared = json_get_bool(x->body, "shared", manages(x));
	if (shared && !manages(x)) {
		reply_problem(x, 403, "forbidden", "To connect it for everybody needs the permission models.manage.");
		return;
	}
	id_new(id);
	connection_kind(json_get_str(x->body, "provider", ""), &usual);
	m->row = (struct row){
		.id = id,
		.owner_id = shared ? "" : x->who.user_id,
		.name = json_get_str(x->body, "name", ""),
		.kind = json_get_str(x->body, "provider", ""),
		.base_url = strip_slashes(x->arena, json_get_str(x->body, "base_url", usual)),
		.settings = make_settings(x->arena, x->body, NULL),
		.is_default = json_get_bool(x->body, "is_default", false),
		.is_enabled = json_get_bool(x->body, "enabled", true),
		.version = 1,
		.created_at = clock_now_us(),
	};
	m->row.slug = json_get_str(x->body, "slug", slug_of(x->arena, m->row.name));
	m->row.updated_at = m->row.created_at;
	set_key(x, &m->row);
	m->answer.location = arena_printf(x->arena, "/api/models/providers/%s", id);
	start_change(x, m, create_run);
}

static int find_changeable(struct db_conn *c, struct answer *a, struct row *row)
{
	int r = find(c, a->job.x->arena, SELECT_ONE DB_FOR_UPDATE, path_id(a->job.x), row);

	if (r < 0)
		return r;
	if (r == 0 || !may_see(a->job.x, row))
		return answer_not_found(a, "provider");
	if (!may_change(a->job.x, row))
		return answer_problem(a, 403, "forbidden",
				      "Only who has the permission models.manage may change this provider.");
	return 0;
}

/* A new address does not get the old key: whoever may change the one need not know the other. */
static int take_patch(struct change *m)
{
	struct exchange *x = m->answer.job.x;
	struct row *row = &m->row;
	const char *url = json_get_str(x->body, "base_url", NULL);

	if (url && strcmp(strip_slashes(x->arena, url), row->base_url) != 0) {
		if (row->key_sealed && !yyjson_obj_get(x->body, "key"))
			return answer_problem(&m->answer, 422, "invalid_field",
					      "Send the key with a new base_url: a key goes to no other address.");
		row->base_url = strip_slashes(x->arena, url);
	}
	row->name = json_get_str(x->body, "name", row->name);
	row->settings = make_settings(x->arena, x->body, row->settings);
	row->is_default = json_get_bool(x->body, "is_default", row->is_default);
	row->is_enabled = json_get_bool(x->body, "enabled", row->is_enabled);
	row->version++;
	row->updated_at = clock_now_us();
	set_key(x, row);
	return check_row(&m->answer, row);
}

static int patch_run(struct db_conn *c, struct exchange_job *job)
{
	struct change *m = (struct change *)job;
	struct row *row = &m->row;
	int r = find_changeable(c, &m->answer, row);
	char etag[32];

	if (r)
		return r;
	snprintf(etag, sizeof(etag), "\"%lld\"", (long long)row->version);
	if (!str_is(m->if_match, "*") && !str_is(m->if_match, etag))
		return answer_problem(&m->answer, 412, "version_conflict",
				      "Somebody else has changed this provider: read it again and repeat the change.");
	r = take_patch(m);
	if (r == 0)
		r = clear_default(c, row);
	if (r)
		return r;
	r = error_only(db_exec(c,
			       "update model_providers set name = ?, base_url = ?, key_sealed = ?, key_end = ?, "
			       "settings = ?, is_default = ?, is_enabled = ?, version = ?, updated_at = ? where id = ?",
			       DB_TEXT(row->name), DB_TEXT(row->base_url), DB_TEXT(row->key_sealed),
			       DB_TEXT(row->key_end), DB_TEXT(row->settings), DB_INT(row->is_default),
			       DB_INT(row->is_enabled), DB_INT(row->version), DB_INT(row->updated_at),
			       DB_TEXT(row->id)));
	if (r == 0)
		r = bus_tell(c, BUS_MODELS, row->id);
	return r < 0 ? r : answer_row(&m->answer, 200, row);
}

void model_providers_patch(struct exchange *x)
{
	struct change *m = arena_new_of(x->arena, struct change);

	m->if_match = arena_str(x->arena, http_header_get(&x->req->headers, "If-Match"));
	if (m->if_match.n == 0) {
		reply_problem(x, 428, "precondition_required",
			      "Send the ETag of the provider that you have read as If-Match.");
		return;
	}
	if (check_body(x, patch_fields, ARRAY_SIZE(patch_fields)))
		start_change(x, m, patch_run);
}

static int delete_run(struct db_conn *c, struct exchange_job *job)
{
	struct change *m = (struct change *)job;
	int r = find_changeable(c, &m->answer, &m->row);

	if (r)
		return r;
	m->answer.status = 204;
	r = error_only(db_exec(c, "delete from model_providers where id = ?", DB_TEXT(m->row.id)));
	return r < 0 ? r : bus_tell(c, BUS_MODELS, m->row.id);
}

void model_providers_delete(struct exchange *x)
{
	start_change(x, arena_new_of(x->arena, struct change), delete_run);
}

/* ---- Reading ---- */

static int get_run(struct db_conn *c, struct exchange_job *job)
{
	struct change *m = (struct change *)job;
	int r = find(c, job->x->arena, SELECT_ONE, path_id(job->x), &m->row);

	return r < 0 ? r : 0;
}

static void on_got(struct exchange_job *job, int result)
{
	struct change *m = (struct change *)job;

	if (result == 0 && (!m->row.id || !may_see(job->x, &m->row)))
		answer_not_found(&m->answer, "provider");
	else if (result == 0)
		answer_row(&m->answer, 200, &m->row);
	answer_send(job, result);
}

void model_providers_get(struct exchange *x)
{
	struct change *m = arena_new_of(x->arena, struct change);

	m->answer.job.done = on_got;
	answer_read(x, &m->answer, get_run);
}

/* There are few: no pages. */
struct listing {
	struct answer answer;
	struct row rows[MAX_OWN * 4];
	size_t n;
};

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct listing *l = (struct listing *)job;
	struct exchange *x = job->x;
	struct db_stmt *st = db_query(
		c, "select " COLUMNS " from model_providers where owner_id = '' or owner_id = ? order by owner_id, id",
		DB_TEXT(x->who.user_id));
	int r;

	l->n = 0;
	while (l->n < ARRAY_SIZE(l->rows) && (r = db_step(c, st)) == 1)
		read_row(st, x->arena, &l->rows[l->n++]);
	db_done(st);
	return MIN(r, 0);
}

static void on_listed(struct exchange_job *job, int result)
{
	struct listing *l = (struct listing *)job;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(job->x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");

	for (size_t i = 0; i < l->n; i++)
		add_row(job->x, doc, yyjson_mut_arr_add_obj(doc, items), &l->rows[i]);
	yyjson_mut_obj_add_null(doc, obj, "next");
	answer_json(&l->answer, 200, doc);
	answer_send(job, result);
}

void model_providers_list(struct exchange *x)
{
	struct listing *l = arena_new_of(x->arena, struct listing);

	l->answer.job.done = on_listed;
	answer_read(x, &l->answer, list_run);
}
