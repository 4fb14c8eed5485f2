#include "agent/models/choice.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "base/alloc.h"
#include "base/clock.h"

#define OPENAI_URL "https://api.openai.com/v1"
#define OPENAI_MODEL "gpt-4.1-mini"
#define LOOK_AGAIN_US (30 * 1000000ull)
#define LOOK_MS 1500
#define LOOK_MAX_BODY (512 * 1024)
#define MAX_MODELS 64

struct models {
	struct agent *agent;
	struct arena *arena; /* names and addresses; grows only when a provider is found */
	struct model_target items[MAX_MODELS];
	size_t n;
	size_t def;                 /* the default's place in items */
	struct model_target source; /* the server that is asked for its models, before they are known */
	char reason[400];           /* why it is the demo model, or empty */
	struct catalogue *catalogue;
	struct connections *connections;
	bool is_ready;
	void (*on_ready)(struct agent *agent);

	/* A look at a server's list of models. */
	bool is_looking, is_closing;
	uint64_t looked_us;
	struct model_http http;
	int status;
	struct buf body;
	struct deadline limit;
};

static const struct http_pool_limits pool_limits = {
	.max_connections = 16384,
	.max_idle = 256,
	.idle_ms = 50 * 1000,
	.connect_ms = 5 * 1000,
};

bool model_url_is_local(const char *url, struct arena *a, const char **ret_address, const char **ret_path)
{
	static const char *const hosts[] = {"127.0.0.1", "localhost", "[::1]"};
	size_t n = strlen("http://");

	if (strncmp(url, "http://", n) != 0)
		return false;
	const char *host = url + n, *path = strchrnul(host, '/');
	struct str authority = {host, (size_t)(path - host)};
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		size_t len = strlen(hosts[i]);
		if (authority.n < len || memcmp(authority.p, hosts[i], len) != 0)
			continue;
		if (authority.n > len && authority.p[len] != ':')
			continue;
		*ret_address = arena_printf(a, "%.*s%s", STR_ARG(authority), authority.n > len ? "" : ":80");
		*ret_path = arena_strdup(a, path);
		return true;
	}
	return false;
}

/* Without slashes at the end, with a scheme. OLLAMA_HOST may be "0.0.0.0:11434". */
static const char *clean_url(struct arena *a, const char *url)
{
	struct str s = str_trim(str_of(url));

	while (s.n > 0 && s.p[s.n - 1] == '/')
		s.n--;
	if (str_has_prefix(s, STR("0.0.0.0")))
		return arena_printf(a, "http://127.0.0.1%.*s", (int)(s.n - 7), s.p + 7);
	return arena_printf(a, "%s%.*s", memmem(s.p, s.n, "://", 3) ? "" : "http://", STR_ARG(s));
}

static void set_place(struct models *m, struct model_target *t, const char *url)
{
	t->base_url = url;
	t->place = models_place(m->agent, m->arena, url, &(struct model_place_limits){0}, &t->prefix);
}

struct model_place *models_place(struct agent *agent, struct arena *a, const char *url,
				 const struct model_place_limits *limits, const char **ret_prefix)
{
	struct service *s = agent->service;
	struct http_pool *pool = NULL;
	const char *address;

	if (model_url_is_local(url, a, &address, ret_prefix))
		pool = http_pool_new(service_loop(s), service_wheel(s), address, &pool_limits);
	return model_place_new(service_loop(s), service_wheel(s), pool, limits);
}

static struct model_target *add(struct models *m, const struct model_target *like, const char *model)
{
	struct model_target *t = &m->items[m->n++];

	*t = *like;
	t->id = t->model = arena_strdup(m->arena, model);
	return t;
}

static void add_demo(struct models *m)
{
	struct service *s = m->agent->service;
	struct model_target t = {
		.provider = &provider_openai, .kind = "demo", .key = "", .key_hint = "openai_api_key", .prefix = "/v1"};
	const char *address = http_pool_address(service_peer(s, "demo"));

	t.place = model_place_new(service_loop(s), service_wheel(s),
				  http_pool_new(service_loop(s), service_wheel(s), address, &pool_limits),
				  &(struct model_place_limits){0});
	t.base_url = arena_printf(m->arena, "%s", address);
	add(m, &t, "ogent-demo");
}

struct models *models_new(struct agent *agent, struct error *err)
{
	struct models *m = xcalloc(1, sizeof(*m));

	m->agent = agent;
	m->arena = arena_new();
	m->catalogue = catalogue_new(option_str(service_options(agent->service), "models_file"), err);
	m->connections = m->catalogue ? connections_new(agent, err) : NULL;
	if (!m->connections)
		goto out;
	if (connections_load(m->connections) < 0) {
		error_set(err, "database", "The connected providers of models cannot be read.");
		goto out;
	}
	add_demo(m);
	return m;
out:
	models_free(m);
	return NULL;
}

struct connections *models_connections(struct models *m)
{
	return m->connections;
}

const struct catalogue *models_catalogue(const struct models *m)
{
	return m->catalogue;
}

void models_stop(struct models *m)
{
	if (m->is_looking && !m->is_closing)
		model_http_cancel(&m->http);
	m->is_closing = true;
}

void models_free(struct models *m)
{
	if (!m)
		return;
	model_place_unref(m->items[0].place); /* the demo model's */
	model_place_unref(m->source.place);
	connections_free(m->connections);
	catalogue_free(m->catalogue);
	buf_deinit(&m->body);
	arena_free(m->arena);
	free(m);
}

/* ---- Asking a server which models it has ---- */

static void become_ready(struct models *m)
{
	if (m->is_ready)
		return;
	m->is_ready = true;
	m->on_ready(m->agent);
}

/* Ollama: {models: [{name}]}; compatible servers: {data: [{id}]}. */
static size_t take_list(struct models *m)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, m->body.p, m->body.n, NULL)), *item;
	yyjson_val *list = json_get_arr(root, "models");
	size_t i, max, first = m->n;

	if (!list)
		list = json_get_arr(root, "data");
	yyjson_arr_foreach(list, i, max, item)
	{
		const char *name = json_get_str(item, "name", json_get_str(item, "id", ""));
		if (*name && strlen(name) < 190 && m->n < MAX_MODELS)
			add(m, &m->source, name);
	}
	if (m->n > first)
		m->def = first;
	return m->n - first;
}

static void on_look_over(struct models *m)
{
	struct model_target *t = &m->source;

	m->is_looking = false;
	deadline_clear(&m->limit);
	if (m->is_closing)
		return;
	if (m->status == 200 && take_list(m) > 0) {
		m->reason[0] = '\0';
		log_event(LOG_INFO, "model chosen", "model", m->items[m->def].id, "at", t->base_url, NULL);
	}
	become_ready(m);
}

static void on_head(struct model_http *h, int status)
{
	container_of(h, struct models, http)->status = status;
}

static void on_data(struct model_http *h, const char *data, size_t n)
{
	struct models *m = container_of(h, struct models, http);

	if (m->body.n + n <= LOOK_MAX_BODY)
		buf_add(&m->body, data, n);
}

static void on_done(struct model_http *h, int err, const char *why)
{
	struct models *m = container_of(h, struct models, http);

	if (err < 0)
		m->status = 0;
	on_look_over(m);
}

static void on_look_too_long(struct deadline *d)
{
	model_http_cancel(&container_of(d, struct models, limit)->http);
}

static void look(struct models *m)
{
	m->is_looking = true;
	m->looked_us = clock_mono_us();
	m->status = 0;
	buf_clear(&m->body);
	m->http = (struct model_http){
		.target = &m->source,
		.outbound = model_place_pool(m->source.place) ? NULL : agent_outbound(m->agent),
		.method = "GET",
		.path = m->source.provider->list_path,
		.on_head = on_head,
		.on_data = on_data,
		.on_done = on_done,
	};
	deadline_init(&m->limit, on_look_too_long);
	deadline_set(service_wheel(m->agent->service), &m->limit, LOOK_MS);
	model_http_start(&m->http);
}

static bool is_demo(const struct models *m)
{
	return strcmp(m->items[m->def].kind, "demo") == 0;
}

static void look_again(struct models *m)
{
	if (m->is_ready && is_demo(m) && m->source.kind && !m->is_looking &&
	    clock_mono_us() - m->looked_us > LOOK_AGAIN_US)
		look(m);
}

void models_start(struct models *m, void (*on_ready)(struct agent *agent))
{
	const struct options *o = service_options(m->agent->service);
	const char *key = option_str(o, "openai_api_key"), *model = option_str(o, "openai_model");
	const char *url = clean_url(m->arena, option_str(o, "openai_base_url"));
	bool is_openai = strcmp(url, OPENAI_URL) == 0;

	m->on_ready = on_ready;
	m->source = (struct model_target){
		.provider = &provider_openai, .kind = "openai", .key = key, .key_hint = "openai_api_key"};
	if (*key || !is_openai) {
		set_place(m, &m->source, url);
		snprintf(m->reason, sizeof(m->reason), "The server at %s gives no list of models: set openai_model",
			 url);
		if (*model || is_openai) {
			add(m, &m->source, *model ? model : OPENAI_MODEL);
			m->def = m->n - 1;
			m->reason[0] = '\0';
			become_ready(m);
			return;
		}
	} else {
		m->source.kind = "ollama";
		m->source.provider = &provider_ollama;
		m->source.context = option_int(o, "ollama_context");
		m->source.key = "";
		set_place(m, &m->source, clean_url(m->arena, option_str(o, "ollama_url")));
		snprintf(m->reason, sizeof(m->reason),
			 "OPENAI_API_KEY is not set and no Ollama with a model answers at %s", m->source.base_url);
	}
	look(m);
}

bool models_is_ready(const struct models *m)
{
	return m->is_ready;
}

/* ---- Choosing ---- */

static void unref_place(void *place)
{
	model_place_unref(place);
}

/* A copy that holds its place as long as the arena lives. */
static struct model_target *copy(const struct models *m, const struct model_target *from, struct arena *a)
{
	struct model_target *t = arena_new_of(a, struct model_target);

	*t = *from;
	arena_defer(a, unref_place, model_place_ref(t->place));
	return t;
}

static const struct model_target *done(const struct models *m, const struct model_target *t)
{
	catalogue_apply(m->catalogue, (struct model_target *)t);
	return t;
}

/* "SLUG/MODEL" of a connected provider, or "SLUG" for its default model. */
static const struct model_target *find_connected(const struct models *m, const char *model, const char *user_id,
						 struct arena *a)
{
	struct str name = str_of(model), slug = str_cut(&name, '/');
	const struct connection *c = connections_find(m->connections, slug, user_id);

	if (!c || (!name.n && !*c->default_model))
		return NULL;
	return connection_target(c, name.n ? name.p : c->default_model, a);
}

static const struct model_target *find_default(const struct models *m, const char *user_id, struct arena *a)
{
	const struct connection *c = connections_default(m->connections, user_id);

	return c ? connection_target(c, c->default_model, a) : copy(m, &m->items[m->def], a);
}

static const struct model_target *find(const struct models *m, const char *model, const char *user_id, struct arena *a)
{
	if (strcmp(model, "default") == 0)
		return find_default(m, user_id, a);
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->items[i].id, model) == 0)
			return copy(m, &m->items[i], a);
	return find_connected(m, model, user_id, a);
}

const struct model_target *models_choose(struct models *m, const char *model, const char *user_id, struct arena *a,
					 struct error *err)
{
	const struct model_target *found = find(m, model, user_id, a);
	struct model_target *t;

	look_again(m);
	if (found)
		return done(m, found);
	if (strcmp(m->items[m->def].kind, "openai") != 0) {
		error_set(err, "model_unknown",
			  "The agent's model \"%.100s\" is not there: choose another one in the agent's settings",
			  model);
		return NULL;
	}
	/* A provider's list may be longer than what we know of it. */
	t = copy(m, &m->items[m->def], a);
	t->id = t->model = arena_strdup(a, model);
	return done(m, t);
}

size_t models_chain(struct models *m, const char *model, yyjson_val *others, const char *user_id, struct arena *a,
		    const struct model_target **ret, struct error *err)
{
	struct error unknown = {0};
	yyjson_val *other;
	size_t i, max, n = 0;

	ret[0] = models_choose(m, model, user_id, a, err);
	if (ret[0])
		n = 1;
	yyjson_arr_foreach(others, i, max, other)
	{
		if (n == MODEL_CHAIN_MAX || !yyjson_is_str(other))
			continue;
		ret[n] = models_choose(m, yyjson_get_str(other), user_id, a, &unknown);
		n += ret[n] != NULL;
	}
	return n;
}

/* ---- Telling ---- */

void models_describe_default(struct models *m, const char *user_id, yyjson_mut_doc *doc, yyjson_mut_val *obj)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	const struct model_target *t = find_default(m, user_id, a);
	bool demo = strcmp(t->kind, "demo") == 0;

	json_add_str(doc, obj, "id", t->id);
	json_add_str(doc, obj, "provider", t->kind);
	json_add_str(doc, obj, "name", t->model);
	yyjson_mut_obj_add_bool(doc, obj, "demo", demo);
	json_add_str(doc, obj, "reason", demo && m->reason[0] ? m->reason : NULL);
}

struct describing {
	struct models *m;
	yyjson_mut_doc *doc;
	yyjson_mut_val *items;
	const char *default_id;
};

static void add_number(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, int64_t n)
{
	if (n > 0)
		yyjson_mut_obj_add_int(doc, obj, key, n);
	else
		yyjson_mut_obj_add_null(doc, obj, key);
}

static void add_prices(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct model_prices *p)
{
	yyjson_mut_val *prices;

	if (p->input == 0 && p->output == 0) {
		yyjson_mut_obj_add_null(doc, obj, "prices");
		return;
	}
	prices = yyjson_mut_obj_add_obj(doc, obj, "prices");
	yyjson_mut_obj_add_real(doc, prices, "input", (double)p->input / 1000);
	yyjson_mut_obj_add_real(doc, prices, "output", (double)p->output / 1000);
	yyjson_mut_obj_add_real(doc, prices, "cached", (double)p->cached / 1000);
	yyjson_mut_obj_add_real(doc, prices, "cache_write", (double)p->cache_write / 1000);
}

static void add_target(struct describing *d, const struct model_target *t, const struct connection *c)
{
	yyjson_mut_val *item = yyjson_mut_arr_add_obj(d->doc, d->items);
	struct model_target full = *t;

	catalogue_apply(d->m->catalogue, &full);
	json_add_str(d->doc, item, "id", t->id);
	json_add_str(d->doc, item, "provider", t->kind);
	json_add_str(d->doc, item, "name", t->model);
	yyjson_mut_obj_add_bool(d->doc, item, "default", strcmp(t->id, d->default_id) == 0);
	yyjson_mut_obj_add_bool(d->doc, item, "available", !model_place_is_broken(t->place));
	json_add_str(d->doc, item, "connection_id", c ? c->id : NULL);
	yyjson_mut_obj_add_bool(d->doc, item, "shared", !c || !*c->owner_id);
	add_number(d->doc, item, "context", full.context);
	add_number(d->doc, item, "max_output", full.max_output);
	yyjson_mut_obj_add_bool(d->doc, item, "images", full.images);
	add_prices(d->doc, item, &full.prices);
}

static void add_model_of(struct describing *d, const struct connection *c, const char *model)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();

	add_target(d, connection_target(c, model, a), c);
}

static void add_connection(void *arg, const struct connection *c)
{
	struct describing *d = arg;
	yyjson_val *model;
	bool has_default = !*c->default_model;
	size_t i, max;

	yyjson_arr_foreach(c->models, i, max, model)
	{
		if (yyjson_is_str(model)) {
			has_default = has_default || strcmp(yyjson_get_str(model), c->default_model) == 0;
			add_model_of(d, c, yyjson_get_str(model));
		}
	}
	if (!has_default)
		add_model_of(d, c, c->default_model);
}

void models_describe(struct models *m, const char *user_id, yyjson_mut_doc *doc, yyjson_mut_val *obj)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct describing d = {m, doc, yyjson_mut_obj_add_arr(doc, obj, "items"), find_default(m, user_id, a)->id};

	look_again(m);
	for (size_t i = 0; i < m->n; i++)
		add_target(&d, &m->items[i], NULL);
	connections_each(m->connections, user_id, add_connection, &d);
	models_describe_default(m, user_id, doc, yyjson_mut_obj_add_obj(doc, obj, "default"));
}
