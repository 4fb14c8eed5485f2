/* What the gateway tells of its routes and servers, and loading them anew. */
#include "base/clock.h"
#include "reload.h"
#include "service/route.h"
#include "upstream_internal.h"

static void add_source(const struct reloader *rl, yyjson_mut_doc *doc, yyjson_mut_val *obj)
{
	json_add_str(doc, obj, "file", *rl->file ? rl->file : NULL);
	json_add_time(doc, obj, "loaded_at", rl->routes->loaded_us);
	json_add_str(doc, obj, "last_error", *rl->last.message ? rl->last.message : NULL);
}

static void add_route(yyjson_mut_doc *doc, yyjson_mut_val *list, const struct gateway_route *r, struct arena *a)
{
	yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, list);

	json_add_str(doc, item, "name", r->name);
	json_add_str(doc, item, "host", r->host);
	json_add_str(doc, item, "path", r->prefix.n ? arena_strndup(a, r->prefix.p, r->prefix.n) : "/");
	json_add_str(doc, item, "methods", r->methods ? route_allow(a, r->methods) : NULL);
	yyjson_mut_obj_add_int(doc, item, "priority", r->priority);
	json_add_str(doc, item, "upstream", r->upstream->settings.name);
	yyjson_mut_obj_add_bool(doc, item, "public", r->flags & PATH_PUBLIC);
	json_add_str(doc, item, "permission", r->permission);
	yyjson_mut_obj_add_bool(doc, item, "websocket", r->flags & PATH_UPGRADE);
	yyjson_mut_obj_add_bool(doc, item, "below_only", r->flags & PATH_BELOW);
	yyjson_mut_obj_add_bool(doc, item, "strip_prefix", r->flags & PATH_STRIP);
	json_add_str(doc, item, "rate_limit", r->rate_limit);
	json_add_str(doc, item, "cors", r->cors ? r->cors->name : NULL);
	yyjson_mut_obj_add_uint(doc, item, "retries", r->retries);
	yyjson_mut_obj_add_uint(doc, item, "connect_timeout_ms", r->connect_ms);
	yyjson_mut_obj_add_uint(doc, item, "first_byte_timeout_ms", r->first_byte_ms);
	yyjson_mut_obj_add_uint(doc, item, "idle_timeout_ms", r->idle_ms);
	yyjson_mut_obj_add_uint(doc, item, "total_timeout_ms", r->total_ms);
	yyjson_mut_obj_add_uint(doc, item, "body_limit", r->max_body);
}

static void list_routes(struct exchange *x)
{
	const struct reloader *rl = x->self;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items;

	add_source(rl, doc, obj);
	items = yyjson_mut_obj_add_arr(doc, obj, "items");
	for (size_t i = 0; i < rl->routes->n; i++)
		add_route(doc, items, &rl->routes->items[i], x->arena);
	reply_json(x, 200, doc);
}

/* Under the upstream's lock. */
static void add_endpoint(yyjson_mut_doc *doc, yyjson_mut_val *list, struct upstream *u, struct endpoint *e)
{
	yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, list);
	uint64_t now = upstream_now();
	bool is_available = balance_is_available(&u->balancer, e, now);

	yyjson_mut_obj_add_strcpy(doc, item, "address", e->address);
	json_add_str(doc, item, "state", e->is_down ? "down" : is_available ? "up" : "ejected");
	yyjson_mut_obj_add_uint(doc, item, "weight", e->weight);
	yyjson_mut_obj_add_uint(doc, item, "priority", e->priority);
	yyjson_mut_obj_add_real(doc, item, "warmth", balance_warmth(&u->balancer, e, now));
	yyjson_mut_obj_add_uint(doc, item, "active", e->active);
	yyjson_mut_obj_add_uint(doc, item, "requests", e->n_requests);
	yyjson_mut_obj_add_uint(doc, item, "failures", e->n_failures);
	yyjson_mut_obj_add_uint(doc, item, "failures_in_a_row", e->failures);
	yyjson_mut_obj_add_uint(doc, item, "connect_failures", e->n_connect_failures);
	yyjson_mut_obj_add_uint(doc, item, "ejections", e->n_ejections);
	yyjson_mut_obj_add_uint(doc, item, "ejected_for_ms", e->ejected_until > now ? e->ejected_until - now : 0);
}

static void add_upstream(yyjson_mut_doc *doc, yyjson_mut_val *list, struct upstream *u)
{
	static const char *const kinds[] = {"list", "dns", "srv"};
	yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, list), *endpoints;

	pthread_mutex_lock(&u->lock);
	json_add_str(doc, item, "name", u->settings.name);
	json_add_str(doc, item, "discovery", kinds[u->settings.kind]);
	json_add_str(doc, item, "dns_name", u->settings.dns_name);
	yyjson_mut_obj_add_uint(doc, item, "dns_ttl_ms", u->dns_ttl_ms);
	yyjson_mut_obj_add_uint(doc, item, "dns_stale_ms", u->stale_from ? upstream_now() - u->stale_from : 0);
	json_add_str(doc, item, "health_path", u->settings.health_path);
	yyjson_mut_obj_add_uint(doc, item, "active", u->active);
	yyjson_mut_obj_add_uint(doc, item, "pending", u->pending);
	yyjson_mut_obj_add_uint(doc, item, "requests", u->counters[UPSTREAM_REQUESTS]);
	yyjson_mut_obj_add_uint(doc, item, "failures", u->counters[UPSTREAM_FAILURES]);
	yyjson_mut_obj_add_uint(doc, item, "retries", u->counters[UPSTREAM_RETRIES]);
	yyjson_mut_obj_add_uint(doc, item, "retries_refused", u->counters[UPSTREAM_RETRIES_REFUSED]);
	yyjson_mut_obj_add_uint(doc, item, "overflows", u->counters[UPSTREAM_OVERFLOWS]);
	yyjson_mut_obj_add_uint(doc, item, "ejections", u->counters[UPSTREAM_EJECTIONS]);
	endpoints = yyjson_mut_obj_add_arr(doc, item, "endpoints");
	for (size_t i = 0; i < u->balancer.n; i++)
		add_endpoint(doc, endpoints, u, u->balancer.items[i]);
	pthread_mutex_unlock(&u->lock);
}

static void list_upstreams(struct exchange *x)
{
	const struct reloader *rl = x->self;
	struct upstreams *us = rl->gateway->upstreams;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");

	for (struct upstream *u = upstreams_first(us); u; u = upstreams_next(us, u))
		add_upstream(doc, items, u);
	reply_json(x, 200, doc);
}

static void reload(struct exchange *x)
{
	struct reloader *rl = x->self;
	struct error err = {0};
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;

	if (reloader_reload(rl, &err)) {
		reply_error(x, 422, &err);
		return;
	}
	obj = json_new_obj(x->arena, &doc);
	add_source(rl, doc, obj);
	yyjson_mut_obj_add_uint(doc, obj, "routes", rl->routes->n);
	yyjson_mut_obj_add_uint(doc, obj, "upstreams", rl->routes->n_upstreams);
	reply_json(x, 200, doc);
}

static const struct route routes[] = {
	{HTTP_GET_, "/api/gateway/routes", "gateway.manage", 0, 0, list_routes},
	{HTTP_GET_, "/api/gateway/upstreams", "gateway.manage", 0, 0, list_upstreams},
	{HTTP_POST_, "/api/gateway/reload", "gateway.manage", 0, 0, reload},
};

void routes_api_start(struct reloader *rl)
{
	service_routes(rl->gateway->service, routes, ARRAY_SIZE(routes), rl);
}
