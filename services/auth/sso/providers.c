/* The administrator's list of providers: /api/auth/providers. */
#include "sso/providers.h"

#include <errno.h>

#include "audit/audit.h"
#include "base/clock.h"
#include "base/id.h"
#include "oauth/oauth.h"
#include "role_list.h"
#include "sessions.h"
#include "sso/handlers.h"
#include "sso/site.h"

#define DOMAINS_MAX 32
#define DOMAIN_MAX 253

void provider_read(struct db_stmt *st, struct arena *a, struct provider *ret)
{
	*ret = (struct provider){
		.id = db_col_dup(st, 0, a),
		.name = db_col_dup(st, 1, a),
		.label = db_col_dup(st, 2, a),
		.issuer = db_col_dup(st, 3, a),
		.client_id = db_col_dup(st, 4, a),
		.secret = db_col_dup(st, 5, a),
		.auth_method = db_col_dup(st, 6, a),
		.scopes = db_col_dup(st, 7, a),
		.default_role = db_col_dup(st, 8, a),
		.domains = db_col_dup(st, 9, a),
		.is_enabled = db_col_int(st, 10) != 0,
		.may_sign_up = db_col_int(st, 11) != 0,
		.trusts_second_factor = db_col_int(st, 12) != 0,
		.created_at = db_col_int(st, 13),
		.updated_at = db_col_int(st, 14),
	};
}

int provider_load(struct db_conn *c, struct arena *a, const char *name, struct provider *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select " PROVIDER_COLUMNS " from identity_providers where name = ?", DB_TEXT(name));
	int r = db_step(c, st);

	if (r == 1)
		provider_read(st, a, ret);
	return r;
}

const char *provider_redirect_uri(struct arena *a, const char *public_url, const char *name)
{
	return arena_printf(a, "%s/sso/%s/callback", public_url, name);
}

const char *provider_secret_context(struct arena *a, const char *id)
{
	return arena_printf(a, "identity_providers.secret %s", id);
}

static void add(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct arena *a, const char *public_url,
		const struct provider *p)
{
	json_add_str(doc, obj, "name", p->name);
	json_add_str(doc, obj, "label", p->label);
	json_add_str(doc, obj, "issuer", p->issuer);
	json_add_str(doc, obj, "client_id", p->client_id);
	yyjson_mut_obj_add_bool(doc, obj, "has_secret", p->secret != NULL);
	json_add_str(doc, obj, "auth_method", p->auth_method);
	json_add_str(doc, obj, "scopes", p->scopes);
	yyjson_mut_obj_add_bool(doc, obj, "enabled", p->is_enabled);
	yyjson_mut_obj_add_bool(doc, obj, "sign_up", p->may_sign_up);
	json_add_str(doc, obj, "default_role", p->default_role);
	json_add_raw(doc, obj, "domains", p->domains);
	yyjson_mut_obj_add_bool(doc, obj, "trusts_second_factor", p->trusts_second_factor);
	json_add_str(doc, obj, "redirect_uri", provider_redirect_uri(a, public_url, p->name));
	json_add_time(doc, obj, "created_at", p->created_at);
	json_add_time(doc, obj, "updated_at", p->updated_at);
}

/* ---- What the requests have in common ---- */

enum act { ACT_LIST, ACT_GET, ACT_CREATE, ACT_CHANGE, ACT_REMOVE };

struct providers {
	struct exchange_job job;
	struct audit_event event;
	enum act act;
	const char *name, *public_url;
	struct provider provider; /* as it is, or as it is to be */
	yyjson_mut_doc *doc;
	int actor;
	enum { DONE, TAKEN, TOO_MANY } outcome;
};

static void done(struct exchange_job *job)
{
	struct providers *s = (struct providers *)job;
	struct exchange *x = job->x;

	if (s->actor != ACTOR_OK) {
		roles_refuse(x, s->actor);
		return;
	}
	if (s->outcome == TAKEN) {
		reply_problem(x, 409, "provider_taken", "There is a provider with this name or issuer already.");
		return;
	}
	if (s->outcome == TOO_MANY) {
		reply_problem(x, 409, "too_many_providers", "There are %d providers, and no more can be.",
			      PROVIDERS_MAX);
		return;
	}
	if (s->act == ACT_CHANGE || s->act == ACT_REMOVE)
		site_drop(x->self, s->provider.issuer);
	if (s->act == ACT_REMOVE)
		reply_empty(x, 204);
	else
		reply_json(x, s->act == ACT_CREATE ? 201 : 200, s->doc);
}

static void show(struct providers *s)
{
	add(s->doc, json_new_obj(s->job.x->arena, &s->doc), s->job.x->arena, s->public_url, &s->provider);
}

static struct providers *begin(struct exchange *x, enum act act, int (*run)(struct db_conn *, struct exchange_job *))
{
	struct providers *s = arena_new_of(x->arena, struct providers);

	s->act = act;
	s->name = x->params[0].p;
	s->public_url = service_public_url(x->service);
	s->job = (struct exchange_job){.x = x, .run = run, .done_ok = done};
	return s;
}

/* ---- Reading ---- */

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct providers *s = (struct providers *)job;
	_cleanup_(db_done_p) struct db_stmt *st = NULL;
	struct provider p;
	yyjson_mut_val *items;
	int r;

	s->actor = actor_check(c, job->x, NULL);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	items = yyjson_mut_obj_add_arr(s->doc, json_new_obj(job->x->arena, &s->doc), "items");
	st = db_query(c, "select " PROVIDER_COLUMNS " from identity_providers order by label, name");
	while ((r = db_step(c, st)) == 1) {
		provider_read(st, job->x->arena, &p);
		add(s->doc, yyjson_mut_arr_add_obj(s->doc, items), job->x->arena, s->public_url, &p);
	}
	return r;
}

void providers_list(struct exchange *x)
{
	const struct auth *auth = x->self;

	exchange_read(auth->db, &begin(x, ACT_LIST, list_run)->job);
}

static int get_run(struct db_conn *c, struct exchange_job *job)
{
	struct providers *s = (struct providers *)job;
	int r;

	s->actor = actor_check(c, job->x, NULL);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	r = provider_load(c, job->x->arena, s->name, &s->provider);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	show(s);
	return 0;
}

void providers_get(struct exchange *x)
{
	const struct auth *auth = x->self;

	exchange_read(auth->db, &begin(x, ACT_GET, get_run)->job);
}

/* ---- Fields ---- */

static bool is_word(const char *s)
{
	if (!*s || *s == '-')
		return false;
	for (; *s; s++)
		if (!(*s >= 'a' && *s <= 'z') && !(*s >= '0' && *s <= '9') && *s != '-')
			return false;
	return true;
}

static bool is_domain(struct str s)
{
	if (s.n == 0 || s.n > DOMAIN_MAX || s.p[0] == '.' || s.p[0] == '-' || !memchr(s.p, '.', s.n))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !(s.p[i] >= '0' && s.p[i] <= '9') && s.p[i] != '-' &&
		    s.p[i] != '.')
			return false;
	return true;
}

static bool scopes_are_fine(const char *scopes)
{
	struct str rest = str_of(scopes), word;
	bool has_openid = false;

	while (rest.p) {
		word = str_cut(&rest, ' ');
		if (word.n == 0)
			return false;
		for (size_t i = 0; i < word.n; i++)
			if (word.p[i] <= ' ' || word.p[i] > '~' || word.p[i] == '"' || word.p[i] == '\\')
				return false;
		has_openid |= str_is(word, "openid");
	}
	return has_openid;
}

static int check_domains(struct arena *a, yyjson_val *list, struct provider *p, struct error *err)
{
	yyjson_val *item;
	size_t i, n;

	yyjson_arr_foreach(list, i, n, item)
	{
		if (!yyjson_is_str(item) || !is_domain((struct str){yyjson_get_str(item), yyjson_get_len(item)}))
			return error_set(err, "invalid_field",
					 "`domains` must be names such as example.org, in lower case.");
	}
	if (list)
		p->domains = json_val_text(a, list).p;
	return 0;
}

/* What all together must be. */
static int check(const struct provider *p, bool has_secret, struct error *err)
{
	static const char *const methods[] = {"client_secret_basic", "client_secret_post", "none"};
	bool is_known = false;

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		is_known |= !strcmp(methods[i], p->auth_method);
	if (!is_word(p->name))
		return error_set(err, "invalid_field",
				 "`name` must be a word of lower-case letters, digits and dashes.");
	if (!provider_url_is_fine(p->issuer, true))
		return error_set(err, "invalid_field", "`issuer` must be the provider's https address.");
	if (!is_known)
		return error_set(err, "invalid_field",
				 "`auth_method` must be client_secret_basic, client_secret_post or none.");
	if (strcmp(p->auth_method, "none") != 0 && !has_secret)
		return error_set(err, "invalid_field",
				 "`client_secret` is missing; without one `auth_method` is none.");
	if (!scopes_are_fine(p->scopes))
		return error_set(err, "invalid_field", "`scopes` must be words with single blanks, openid among them.");
	return 0;
}

static const char *given(yyjson_val *body, const char *key, const char *now)
{
	return json_get_str(body, key, now);
}

/* Takes over what the body has. */
static int take(struct exchange *x, struct provider *p, struct error *err)
{
	yyjson_val *b = x->body;
	const char *label = given(b, "label", NULL);

	p->name = given(b, "name", p->name);
	p->issuer = given(b, "issuer", p->issuer);
	p->client_id = given(b, "client_id", p->client_id);
	p->auth_method = given(b, "auth_method", p->auth_method);
	p->scopes = given(b, "scopes", p->scopes);
	p->default_role = given(b, "default_role", p->default_role);
	p->is_enabled = json_get_bool(b, "enabled", p->is_enabled);
	p->may_sign_up = json_get_bool(b, "sign_up", p->may_sign_up);
	p->trusts_second_factor = json_get_bool(b, "trusts_second_factor", p->trusts_second_factor);
	if (label && !(p->label = account_name_check(x->arena, label, NULL)))
		return error_set(err, "invalid_field", "`label` must be 1 to 100 characters, what the button says.");
	return check_domains(x->arena, json_get_arr(b, "domains"), p, err);
}

/* A secret is sealed for the row's id. "" takes it away. */
static void take_secret(struct exchange *x, struct provider *p)
{
	const char *secret = json_get_str(x->body, "client_secret", NULL);
	const struct auth *auth = x->self;

	if (secret)
		p->secret = *secret ? oauth_seal(auth->oauth, x->arena, provider_secret_context(x->arena, p->id),
						 str_of(secret))
				    : NULL;
	if (!strcmp(p->auth_method, "none"))
		p->secret = NULL;
}

/* Whether the actor may give the role that new users get. */
static int check_role(struct db_conn *c, const struct account *actor, const struct provider *p)
{
	struct role_list roles;

	role_list_one(&roles, p->default_role);
	return roles_may_be_given(c, actor, &roles);
}

#define PROVIDER_FIELDS                                                                                 \
	{"label", JSON_STRING, .min = 1, .max = 400}, {"client_id", JSON_STRING, .min = 1, .max = 255}, \
		{"client_secret", JSON_STRING, .max = 1000}, {"auth_method", JSON_STRING, .max = 32},   \
		{"scopes", JSON_STRING, .max = 500}, {"enabled", JSON_BOOL}, {"sign_up", JSON_BOOL},    \
		{"default_role", JSON_STRING, .max = 64}, {"domains", JSON_ARRAY, .max = DOMAINS_MAX},  \
	{                                                                                               \
		"trusts_second_factor", JSON_BOOL                                                       \
	}

/* ---- POST ---- */

static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct providers *s = (struct providers *)job;
	const struct provider *p = &s->provider;
	struct account account;
	int64_t n, r;

	s->outcome = DONE;
	s->actor = actor_check_fresh(c, job->x, &account);
	if (s->actor == ACTOR_OK)
		s->actor = check_role(c, &account, p);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	r = db_get_int(c, &n, "select count(*) from identity_providers");
	if (r == 1 && n >= PROVIDERS_MAX)
		s->outcome = TOO_MANY;
	if (r < 0 || s->outcome != DONE)
		return (int)MIN(r, 0);
	r = db_get_int(c, &n, "select 1 from identity_providers where name = ? or issuer = ?", DB_TEXT(p->name),
		       DB_TEXT(p->issuer));
	if (r == 1)
		s->outcome = TAKEN;
	if (r != 0)
		return (int)MIN(r, 0);
	r = db_exec(c,
		    "insert into identity_providers (" PROVIDER_COLUMNS
		    ") values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		    DB_TEXT(p->id), DB_TEXT(p->name), DB_TEXT(p->label), DB_TEXT(p->issuer), DB_TEXT(p->client_id),
		    DB_TEXT(p->secret), DB_TEXT(p->auth_method), DB_TEXT(p->scopes), DB_TEXT(p->default_role),
		    DB_TEXT(p->domains), DB_INT(p->is_enabled), DB_INT(p->may_sign_up), DB_INT(p->trusts_second_factor),
		    DB_INT(p->created_at), DB_INT(p->updated_at));
	show(s);
	return r < 0 ? (int)r : audit_add(c, job->x->self, &s->event);
}

void providers_create(struct exchange *x)
{
	static const struct json_field fields[] = {{"name", JSON_STRING, .required = true, .min = 1, .max = 32},
						   {"issuer", JSON_STRING, .required = true, .max = 500},
						   PROVIDER_FIELDS};
	const struct auth *auth = x->self;
	struct providers *s = begin(x, ACT_CREATE, create_run);
	struct provider *p = &s->provider;
	char *id = arena_alloc(x->arena, ID_SIZE);
	struct error err = {0};

	id_new(id);
	*p = (struct provider){
		.id = id,
		.label = json_get_str(x->body, "name", ""),
		.client_id = "",
		.auth_method = json_get_str(x->body, "client_secret", NULL) ? "client_secret_basic" : "none",
		.scopes = "openid email profile",
		.default_role = "member",
		.domains = "[]",
		.is_enabled = true,
		.created_at = clock_now_us(),
		.updated_at = clock_now_us(),
	};
	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0 || take(x, p, &err) < 0 ||
	    check(p, *json_get_str(x->body, "client_secret", ""), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (!*p->client_id) {
		reply_problem(x, 422, "invalid_field", "`client_id` is missing.");
		return;
	}
	take_secret(x, p);
	audit_event_of(x, "provider.created", &s->event);
	s->event.target = arena_printf(x->arena, "provider:%s", p->name);
	s->event.detail = audit_detail(x->arena, "issuer", p->issuer, NULL);
	exchange_write(auth->db, &s->job);
}

/* ---- PATCH ---- */

static int change_run(struct db_conn *c, struct exchange_job *job)
{
	struct providers *s = (struct providers *)job;
	struct provider *p = &s->provider;
	struct account account;
	struct error err = {0};
	int64_t r;

	s->actor = actor_check_fresh(c, job->x, &account);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	r = provider_load(c, job->x->arena, s->name, p);
	if (r <= 0)
		return r < 0 ? (int)r : -ENOENT;
	take(job->x, p, NULL);
	take_secret(job->x, p);
	if (check(p, p->secret != NULL, &err) < 0)
		return -EPROTO;
	if (json_get_str(job->x->body, "default_role", NULL) || json_get_bool(job->x->body, "sign_up", false))
		s->actor = check_role(c, &account, p);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	p->updated_at = clock_now_us();
	r = db_exec(c,
		    "update identity_providers set label = ?, client_id = ?, secret = ?, auth_method = ?, scopes = ?, "
		    "default_role = ?, domains = ?, enabled = ?, sign_up = ?, trusts_second_factor = ?, updated_at = ? "
		    "where id = ?",
		    DB_TEXT(p->label), DB_TEXT(p->client_id), DB_TEXT(p->secret), DB_TEXT(p->auth_method),
		    DB_TEXT(p->scopes), DB_TEXT(p->default_role), DB_TEXT(p->domains), DB_INT(p->is_enabled),
		    DB_INT(p->may_sign_up), DB_INT(p->trusts_second_factor), DB_INT(p->updated_at), DB_TEXT(p->id));
	show(s);
	return r < 0 ? (int)r : audit_add(c, job->x->self, &s->event);
}

static void change_done(struct exchange_job *job, int result)
{
	struct providers *s = (struct providers *)job;
	struct error err = {0};

	if (result == -EPROTO) {
		check(&s->provider, s->provider.secret != NULL, &err);
		reply_error(job->x, 422, &err);
	} else if (result < 0) {
		reply_db_failure(job->x, result);
	} else {
		done(job);
	}
}

void providers_patch(struct exchange *x)
{
	static const struct json_field fields[] = {PROVIDER_FIELDS};
	const struct auth *auth = x->self;
	struct providers *s = begin(x, ACT_CHANGE, change_run);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0 || take(x, &s->provider, &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	s->job.done_ok = NULL;
	s->job.done = change_done;
	audit_event_of(x, "provider.changed", &s->event);
	s->event.target = arena_printf(x->arena, "provider:%.32s", s->name);
	exchange_write(auth->db, &s->job);
}

/* ---- DELETE ---- */

static int remove_run(struct db_conn *c, struct exchange_job *job)
{
	struct providers *s = (struct providers *)job;
	int64_t r;

	s->actor = actor_check_fresh(c, job->x, NULL);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	r = provider_load(c, job->x->arena, s->name, &s->provider);
	if (r <= 0)
		return r < 0 ? (int)r : -ENOENT;
	r = db_exec(c, "delete from identities where provider_id = ?", DB_TEXT(s->provider.id));
	if (r >= 0)
		r = db_exec(c, "delete from identity_providers where id = ?", DB_TEXT(s->provider.id));
	return r < 0 ? (int)r : audit_add(c, job->x->self, &s->event);
}

void providers_delete(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct providers *s = begin(x, ACT_REMOVE, remove_run);

	audit_event_of(x, "provider.removed", &s->event);
	s->event.target = arena_printf(x->arena, "provider:%.32s", s->name);
	exchange_write(auth->db, &s->job);
}
