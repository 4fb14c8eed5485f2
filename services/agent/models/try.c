/* POST /api/models/providers/{id}/test: whether a connected provider answers with its key. Its list of models is read,
 * and with "model" in the body that model is asked for a word. What was found is kept as its models. */
#include <errno.h>
#include <stdlib.h>

#include "agent/bus.h"
#include "agent/handlers.h"
#include "agent/models/choice.h"
#include "base/alloc.h"

#define LIST_MAX (2 * 1024 * 1024)
#define LIST_MS (15 * 1000)
#define CALL_MS (60 * 1000)

struct
try {
	struct background background;
	struct agent *agent;
	struct exchange *x;
	struct arena *arena;
	char id[ID_SIZE];
	const struct model_target *target;
	bool is_asking; /* the model, not its list */
	bool is_late;
	struct deadline limit;
	uint64_t started_us;
	const char *model; /* to ask, or NULL */

	/* The list. */
	struct model_http http;
	int status;
	struct buf body;
	yyjson_mut_doc *doc;
	yyjson_mut_val *names;

	/* The question. */
	struct model_call call;
	struct chat_message message;
	struct list messages;

	struct error error;
};

static void try_free(struct try *t)
{
	deadline_clear(&t->limit);
	list_remove(&t->background.link);
	buf_deinit(&t->body);
	exchange_drop(t->x);
	arena_free(t->arena);
	free(t);
}

static void reply(struct try *t)
{
	yyjson_mut_val *obj = yyjson_mut_obj(t->doc), *error;
	bool ok = !t->error.code[0];

	yyjson_mut_doc_set_root(t->doc, obj);
	yyjson_mut_obj_add_bool(t->doc, obj, "ok", ok);
	yyjson_mut_obj_add_uint(t->doc, obj, "latency_ms", (clock_mono_us() - t->started_us) / 1000);
	yyjson_mut_obj_add_val(t->doc, obj, "models", t->names);
	if (ok) {
		yyjson_mut_obj_add_null(t->doc, obj, "error");
	} else {
		error = yyjson_mut_obj_add_obj(t->doc, obj, "error");
		json_add_str(t->doc, error, "code", t->error.code);
		json_add_str(t->doc, error, "message", t->error.message);
	}
	if (t->x->req)
		reply_json(t->x, 200, t->doc);
	try_free(t);
}

/* ---- Keeping what was found ---- */

struct keep {
	struct db_job db;
	struct try *try;
	char *names;
};

static int keep_run(struct db_conn *c, struct db_job *job)
{
	struct keep *k = container_of(job, struct keep, db);
	int64_t n = db_exec(c, "update model_providers set found_models = ? where id = ?", DB_TEXT(k->names),
			    DB_TEXT(k->try->id));

	return n < 0 ? (int)n : bus_tell(c, BUS_MODELS, k->try->id);
}

static void on_reloaded(void *arg)
{
	reply(arg);
}

static void on_kept(struct db_job *job, int result)
{
	struct keep *k = container_of(job, struct keep, db);
	struct try *t = k->try;

	free(k->names);
	free(k);
	connections_reload(models_connections(t->agent->models), on_reloaded, t);
}

static void finish(struct try *t)
{
	struct keep *k;

	deadline_clear(&t->limit);
	if (yyjson_mut_arr_size(t->names) == 0) {
		reply(t);
		return;
	}
	k = xcalloc(1, sizeof(*k));
	k->try = t;
	k->names = yyjson_mut_val_write(t->names, 0, NULL);
	k->db.run = keep_run;
	k->db.done = on_kept;
	db_write(t->agent->db, &k->db);
}

/* ---- Asking the model ---- */

static void on_text(struct model_call *c, struct str text)
{
}

static void on_retry(struct model_call *c, unsigned attempt, uint64_t wait_ms, const char *reason)
{
}

static void on_waiting(struct model_call *c, enum model_hold why)
{
}

static void on_warning(struct model_call *c, const char *code, const char *message)
{
}

static void on_called(struct model_call *c, int err)
{
	struct try *t = c->owner;

	if (err == -EIO)
		t->error = c->failure.error;
	else if (err < 0)
		error_set(&t->error, "model_timeout", "The model did not answer in time.");
	model_call_clear(c);
	finish(t);
}

static void ask(struct try *t)
{
	const struct model_target **targets = arena_alloc(t->arena, sizeof(*targets));

	targets[0] = t->target;
	t->is_asking = true;
	list_init(&t->messages);
	t->message = (struct chat_message){.role = CHAT_USER, .content = STR("Answer with the word ok.")};
	list_append(&t->messages, &t->message.link);
	t->call = (struct model_call){
		.agent = t->agent,
		.targets = targets,
		.n_targets = 1,
		.user_id = t->x->who.user_id,
		.request = {.instructions = "", .messages = &t->messages, .max_output_tokens = 256},
		.traceparent = t->x->traceparent,
		.owner = t,
		.on_text = on_text,
		.on_retry = on_retry,
		.on_waiting = on_waiting,
		.on_warning = on_warning,
		.on_done = on_called,
	};
	deadline_set(service_wheel(t->agent->service), &t->limit, CALL_MS);
	model_call_start(&t->call);
}

/* ---- Its list ---- */

static void on_head(struct model_http *h, int status)
{
	((struct try *)h->owner)->status = status;
}

static void on_data(struct model_http *h, const char *data, size_t n)
{
	struct try *t = h->owner;

	if (t->body.n + n <= LIST_MAX)
		buf_add(&t->body, data, n);
}

/* {models: [{name}]} of Ollama, {data: [{id}]} of the others. */
static void take_list(struct try *t)
{
	yyjson_val *root = yyjson_doc_get_root(json_parse(t->arena, t->body.p, t->body.n, NULL)), *item;
	yyjson_val *list = json_get_arr(root, "models");
	size_t i, max;

	if (!list)
		list = json_get_arr(root, "data");
	yyjson_arr_foreach(list, i, max, item)
	{
		const char *name = json_get_str(item, "id", json_get_str(item, "name", ""));
		if (*name && strlen(name) <= 150 && yyjson_mut_arr_size(t->names) < CONNECTION_MAX_MODELS)
			yyjson_mut_arr_add_strcpy(t->doc, t->names, name);
	}
}

static void judge(struct try *t, int err, const char *why)
{
	const char *url = t->target->base_url;

	if (t->is_late)
		error_set(&t->error, "model_timeout", "%s did not answer in time.", url);
	else if (t->status == 0)
		error_set(&t->error, "model_unreachable", "%s cannot be reached: %s", url, why);
	else if (t->status == 401 || t->status == 403)
		error_set(&t->error, "model_key_refused", "The provider refused the key (HTTP %d).", t->status);
	else if (t->status >= 500 || t->status == 429)
		error_set(&t->error, "model_unavailable", "The provider failed with HTTP %d.", t->status);
	else if (t->status != 200 || yyjson_mut_arr_size(t->names) == 0)
		error_set(&t->error, "model_not_an_api",
			  "%s gives no list of models (HTTP %d): check the base URL, %s; or name a model to ask.", url,
			  t->status, t->target->provider->address_hint);
}

static void on_listed(struct model_http *h, int err, const char *why)
{
	struct try *t = h->owner;

	if (t->status == 200)
		take_list(t);
	judge(t, err, why);
	/* Not every compatible server has a list. */
	if (t->model && (!t->error.code[0] || strcmp(t->error.code, "model_not_an_api") == 0)) {
		t->error = (struct error){0};
		ask(t);
		return;
	}
	finish(t);
}

static void stop(struct try *t)
{
	if (t->is_asking)
		model_call_cancel(&t->call);
	else
		model_http_cancel(&t->http);
}

static void on_late(struct deadline *d)
{
	struct try *t = container_of(d, struct try, limit);

	t->is_late = true;
	stop(t);
}

static void leave(struct background *b)
{
	stop(container_of(b, struct try, background));
}

static void begin(struct try *t)
{
	t->started_us = clock_mono_us();
	t->http = (struct model_http){
		.target = t->target,
		.outbound = model_place_pool(t->target->place) ? NULL : agent_outbound(t->agent),
		.method = "GET",
		.path = t->target->provider->list_path,
		.traceparent = t->x->traceparent,
		.owner = t,
		.on_head = on_head,
		.on_data = on_data,
		.on_done = on_listed,
	};
	deadline_init(&t->limit, on_late);
	deadline_set(service_wheel(t->agent->service), &t->limit, LIST_MS);
	model_http_start(&t->http);
}

static const struct json_field fields[] = {{"model", JSON_STRING, false, 1, 150}};

void model_providers_test(struct exchange *x)
{
	struct agent *agent = x->self;
	const struct connection *c = connections_get(models_connections(agent->models), path_id(x));
	bool manages = identity_may(&x->who, "models.manage"), own;
	struct error err = {0};
	struct try *t;

	own = c && *c->owner_id && x->who.user_id && strcmp(c->owner_id, x->who.user_id) == 0;
	if (x->body && json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (!c || (*c->owner_id && !own && !manages)) {
		reply_problem(x, 404, "not_found", "There is no such provider, it is not yours, or not enabled.");
		return;
	}
	if (!manages && !own) {
		reply_problem(x, 403, "forbidden", "This needs the permission models.manage.");
		return;
	}
	t = xcalloc(1, sizeof(*t));
	t->agent = agent;
	t->x = x;
	exchange_hold(x);
	t->arena = arena_new();
	t->doc = json_new(t->arena);
	t->names = yyjson_mut_arr(t->doc);
	memcpy(t->id, c->id, ID_SIZE);
	t->model = x->body ? json_get_str(x->body, "model", NULL) : NULL;
	t->target = connection_target(c, t->model ? t->model : "", t->arena);
	t->background.leave = leave;
	list_append(&agent->background, &t->background.link);
	begin(t);
}
