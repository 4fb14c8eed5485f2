#include "agent/models/connection.h"

#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/models/choice.h"
#include "base/alloc.h"
#include "service/secret_file.h"

/* All of them at one moment. */
struct set {
	struct arena *arena;
	struct list items; /* struct connection, own before shared ones of the same slug */
	uint64_t number;   /* of the reading */
};

struct connections {
	struct agent *agent;
	struct seal_key key;
	struct set *set;
	uint64_t last_number;
	unsigned n_reading;
};

static const struct {
	const char *kind;
	const struct model_provider *provider;
	const char *base_url;
} kinds[] = {
	{"openai", &provider_openai, "https://api.openai.com/v1"},
	{"responses", &provider_responses, "https://api.openai.com/v1"},
	{"anthropic", &provider_anthropic, "https://api.anthropic.com/v1"},
	{"ollama", &provider_ollama, ""},
	{"compatible", &provider_openai, ""},
};

const struct model_provider *connection_kind(const char *kind, const char **ret_base_url)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(kinds[i].kind, kind) != 0)
			continue;
		*ret_base_url = kinds[i].base_url;
		return kinds[i].provider;
	}
	return NULL;
}

/* ---- Keys ---- */

static struct str context_of(struct arena *a, const char *id)
{
	return str_of(arena_printf(a, "model_providers.key.%s", id));
}

const char *connection_seal(const struct connections *s, const char *id, const char *key, struct arena *a)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;

	seal(&s->key, context_of(a, id), str_of(key), &out);
	return arena_strndup(a, out.p, out.n);
}

static void wipe(void *p)
{
	sodium_memzero(p, strlen(p));
}

static void open_key(const struct connections *s, struct connection *c, struct arena *a)
{
	struct buf out = BUF_INIT;
	char *key;

	c->key = "";
	if (!c->sealed)
		return;
	c->is_unreadable = unseal(&s->key, context_of(a, c->id), str_of(c->sealed), &out) < 0;
	if (!c->is_unreadable && out.n > 0) {
		c->key = key = arena_strndup(a, out.p, out.n);
		arena_defer(a, wipe, key);
	}
	buf_wipe(&out);
}

/* ---- Reading ---- */

struct reading {
	struct db_job db;
	struct connections *all;
	struct set *set;
	void (*on_done)(void *arg);
	void *arg;
	bool is_over;
	int result;
};

static void set_free(struct set *set)
{
	struct connection *c;

	if (!set)
		return;
	list_foreach (c, &set->items, struct connection, link)
		model_place_unref(c->place);
	arena_free(set->arena);
	free(set);
}

static enum model_echo echo_of(const char *name)
{
	if (strcmp(name, "never") == 0)
		return ECHO_NEVER;
	return strcmp(name, "always") == 0 ? ECHO_ALWAYS : ECHO_LOOP;
}

static void read_row(struct set *set, struct db_stmt *st)
{
	struct arena *a = set->arena;
	struct connection *c = arena_new_of(a, struct connection);
	const char *found = db_col_dup(st, 8, a);
	yyjson_val *settings;

	snprintf(c->id, sizeof(c->id), "%.*s", STR_ARG(db_col_str(st, 0)));
	c->owner_id = db_col_dup(st, 1, a);
	c->slug = db_col_dup(st, 2, a);
	c->name = db_col_dup(st, 3, a);
	c->kind = db_col_dup(st, 4, a);
	c->base_url = db_col_dup(st, 5, a);
	c->sealed = db_col_dup(st, 6, a);
	c->settings = db_col_dup(st, 7, a);
	c->is_default = db_col_int(st, 9) != 0;
	settings = yyjson_doc_get_root(json_parse(a, c->settings, strlen(c->settings), NULL));
	c->default_model = json_get_str(settings, "default_model", "");
	c->context = json_get_int(settings, "context", 0);
	c->echo = echo_of(json_get_str(settings, "reasoning_echo", ""));
	c->models = json_get_arr(settings, "models");
	if (yyjson_arr_size(c->models) == 0 && found)
		c->models = yyjson_doc_get_root(json_parse(a, found, strlen(found), NULL));
	list_append(&set->items, &c->link);
}

static int read_all(struct db_conn *db, struct db_job *job)
{
	struct reading *r = container_of(job, struct reading, db);
	struct db_stmt *st;
	int n;

	arena_reset(r->set->arena);
	list_init(&r->set->items);
	st = db_query(db,
		      "select id, owner_id, slug, name, kind, base_url, key_sealed, settings, found_models, is_default "
		      "from model_providers where is_enabled = 1 order by owner_id desc, id");
	while ((n = db_step(db, st)) > 0)
		read_row(r->set, st);
	db_done(st);
	return n;
}

static bool is_same(const struct connection *a, const struct connection *b)
{
	bool same_key = a->sealed == b->sealed || (a->sealed && b->sealed && strcmp(a->sealed, b->sealed) == 0);

	return strcmp(a->base_url, b->base_url) == 0 && strcmp(a->kind, b->kind) == 0 && same_key;
}

/* What is known of a place (its room, its failures) outlives changes of everything but address and key. */
static void find_place(struct connections *s, struct set *set, struct connection *c)
{
	yyjson_val *settings = yyjson_doc_get_root(json_parse(set->arena, c->settings, strlen(c->settings), NULL));
	struct model_place_limits limits = {json_get_int(settings, "max_concurrent", 0),
					    json_get_int(settings, "requests_per_minute", 0),
					    json_get_int(settings, "tokens_per_minute", 0)};
	struct connection *old = NULL;
	const char *address;

	if (s->set)
		list_foreach (old, &s->set->items, struct connection, link)
			if (strcmp(old->id, c->id) == 0 && is_same(old, c)) {
				c->place = model_place_ref(old->place);
				model_url_is_local(c->base_url, set->arena, &address, &c->prefix);
				model_place_set_limits(c->place, &limits);
				return;
			}
	c->place = models_place(s->agent, set->arena, c->base_url, &limits, &c->prefix);
}

static void take(struct connections *s, struct set *set)
{
	struct connection *c;
	const char *url;

	list_foreach (c, &set->items, struct connection, link) {
		c->provider = connection_kind(c->kind, &url);
		if (!c->provider) { /* of a newer program */
			list_remove(&c->link);
			continue;
		}
		open_key(s, c, set->arena);
		find_place(s, set, c);
	}
	set_free(s->set);
	s->set = set;
}

static void on_read(struct db_job *job, int result)
{
	struct reading *r = container_of(job, struct reading, db);
	struct connections *s = r->all;

	s->n_reading--;
	if (result == 0 && (!s->set || r->set->number > s->set->number))
		take(s, r->set);
	else
		set_free(r->set);
	r->result = result;
	r->is_over = true;
	if (r->on_done)
		r->on_done(r->arg);
}

static void on_reload(struct db_job *job, int result)
{
	on_read(job, result);
	free(container_of(job, struct reading, db));
}

static void start(struct connections *s, struct reading *r)
{
	r->all = s;
	r->set = xcalloc(1, sizeof(*r->set));
	r->set->arena = arena_new();
	r->set->number = ++s->last_number;
	list_init(&r->set->items);
	r->db.run = read_all;
	s->n_reading++;
	db_read(s->agent->db, &r->db);
}

void connections_reload(struct connections *s, void (*on_done)(void *arg), void *arg)
{
	struct reading *r = xcalloc(1, sizeof(*r));

	r->on_done = on_done;
	r->arg = arg;
	r->db.done = on_reload;
	start(s, r);
}

int connections_load(struct connections *s)
{
	struct reading r = {.db.done = on_read};

	start(s, &r);
	while (!r.is_over)
		uv_run(service_loop(s->agent->service), UV_RUN_ONCE);
	return r.result;
}

struct connections *connections_new(struct agent *agent, struct error *err)
{
	struct connections *s = xcalloc(1, sizeof(*s));
	char dir[PATH_MAX];

	s->agent = agent;
	snprintf(dir, sizeof(dir), "%s/secrets", service_data_dir(agent->service));
	if (secret_dir_make(dir, err) < 0 ||
	    secret_file_key(dir, "agent-models.key", s->key.bytes, sizeof(s->key.bytes), err) < 0) {
		free(s);
		return NULL;
	}
	return s;
}

void connections_free(struct connections *s)
{
	if (!s)
		return;
	set_free(s->set);
	sodium_memzero(&s->key, sizeof(s->key));
	free(s);
}

/* ---- Choosing ---- */

static bool may_use(const struct connection *c, const char *user_id)
{
	return !*c->owner_id || (user_id && strcmp(c->owner_id, user_id) == 0);
}

const struct connection *connections_find(const struct connections *s, struct str slug, const char *user_id)
{
	struct connection *c;

	list_foreach (c, &s->set->items, struct connection, link)
		if (may_use(c, user_id) && str_is(slug, c->slug))
			return c;
	return NULL;
}

const struct connection *connections_get(const struct connections *s, const char *id)
{
	struct connection *c;

	list_foreach (c, &s->set->items, struct connection, link)
		if (strcmp(c->id, id) == 0)
			return c;
	return NULL;
}

const struct connection *connections_default(const struct connections *s, const char *user_id)
{
	struct connection *c;

	list_foreach (c, &s->set->items, struct connection, link)
		if (c->is_default && may_use(c, user_id))
			return c;
	return NULL;
}

void connections_each(const struct connections *s, const char *user_id,
		      void (*fn)(void *arg, const struct connection *c), void *arg)
{
	struct connection *c;

	list_foreach (c, &s->set->items, struct connection, link)
		if (may_use(c, user_id))
			fn(arg, c);
}

static void unref_place(void *place)
{
	model_place_unref(place);
}

const struct model_target *connection_target(const struct connection *c, const char *model, struct arena *a)
{
	struct model_target *t = arena_new_of(a, struct model_target);

	*t = (struct model_target){
		.provider = c->provider,
		.id = arena_printf(a, "%s/%s", c->slug, model),
		.model = arena_strdup(a, model),
		.kind = arena_strdup(a, c->kind),
		.base_url = arena_strdup(a, c->base_url),
		.key = arena_strdup(a, c->key),
		.key_hint = arena_printf(a, "the key of the provider %s", c->slug),
		.place = model_place_ref(c->place),
		.prefix = c->prefix ? arena_strdup(a, c->prefix) : NULL,
		.context = c->context,
		.echo = c->echo,
	};
	arena_defer(a, unref_place, t->place);
	return t;
}
