/* The demo model: an OpenAI-compatible server that answers by fixed rules, so that everything can be tried and tested
 * without a key. docs/demo-model.md is its manual. It needs no sign-in: it listens on the platform's own socket only.
 */
#include "base/id.h"
#include "chat.h"
#include "embeddings.h"
#include "roles.h"
#include "wire.h"

#define CREATED 1763769600 /* 2025-11-22: a fixed date, as models have one */

static void add_model(yyjson_mut_doc *doc, yyjson_mut_val *obj)
{
	yyjson_mut_obj_add_str(doc, obj, "id", DEMO_MODEL);
	yyjson_mut_obj_add_str(doc, obj, "object", "model");
	yyjson_mut_obj_add_int(doc, obj, "created", CREATED);
	yyjson_mut_obj_add_str(doc, obj, "owned_by", "ogent");
}

static void list_models(struct exchange *x)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	yyjson_mut_obj_add_str(doc, obj, "object", "list");
	add_model(doc, yyjson_mut_arr_add_obj(doc, yyjson_mut_obj_add_arr(doc, obj, "data")));
	reply_json(x, 200, doc);
}

static void list_ollama(struct exchange *x)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *list = yyjson_mut_obj_add_arr(doc, obj, "models");

	yyjson_mut_obj_add_str(doc, yyjson_mut_arr_add_obj(doc, list), "name", DEMO_MODEL);
	reply_json(x, 200, doc);
}

static void get_model(struct exchange *x)
{
	yyjson_mut_doc *doc;

	if (!str_is(x->params[0], DEMO_MODEL)) {
		demo_reply_error(x, 404, "model_not_found", "model", "The only model here is " DEMO_MODEL ".");
		return;
	}
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	add_model(doc, obj);
	reply_json(x, 200, doc);
}

static void reply_script(struct exchange *x)
{
	struct demo *d = x->self;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	demo_script_write(&d->script, doc, obj);
	reply_json(x, 200, doc);
}

/* The server's script is the default with what the body names; {} takes everything back. */
static void set_script(struct exchange *x)
{
	struct demo *d = x->self;
	struct demo_script script = demo_script_default;
	struct error err = {0};

	if (demo_script_apply(&script, x->body, &err) < 0) {
		demo_reply_error(x, 400, err.code, NULL, err.message);
		return;
	}
	d->script = script;
	memset(d->failures, 0, sizeof(d->failures));
	reply_script(x);
}

static const struct route routes[] = {
	{HTTP_POST_, "/v1/chat/completions", NULL, ROUTE_PUBLIC | ROUTE_STREAM, 0, demo_chat},
	{HTTP_POST_, "/v1/responses", NULL, ROUTE_PUBLIC | ROUTE_STREAM, 0, demo_chat},
	{HTTP_POST_, "/v1/messages", NULL, ROUTE_PUBLIC | ROUTE_STREAM, 0, demo_chat},
	{HTTP_POST_, "/api/chat", NULL, ROUTE_PUBLIC | ROUTE_STREAM, 0, demo_chat},
	{HTTP_POST_, "/v1/embeddings", NULL, ROUTE_PUBLIC | ROUTE_BODY_JSON, 16 << 20, demo_embeddings},
	{HTTP_GET_, "/api/tags", NULL, ROUTE_PUBLIC, 0, list_ollama},
	{HTTP_GET_, "/v1/models", NULL, ROUTE_PUBLIC, 0, list_models},
	{HTTP_GET_, "/v1/models/{id}", NULL, ROUTE_PUBLIC, 0, get_model},
	{HTTP_GET_, "/demo/script", NULL, ROUTE_PUBLIC, 0, reply_script},
	{HTTP_POST_, "/demo/script", NULL, ROUTE_PUBLIC | ROUTE_BODY_JSON, 0, set_script},
};

int demo_main(const struct options *options)
{
	static struct demo demo;
	struct service *s = service_new("demo", options);

	demo.script = demo_script_default;
	secret_new(demo.seed, sizeof(demo.seed), "", 6);
	demo.answers = metric_counter("ogent_demo_answers_total", "Chat completions answered", "");
	service_routes(s, routes, ARRAY_SIZE(routes), &demo);
	service_listen(s);
	return service_run(s);
}
