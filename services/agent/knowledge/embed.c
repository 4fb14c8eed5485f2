#include "agent/knowledge/embed.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/knowledge/vector.h"
#include "agent/models/choice.h"
#include "base/alloc.h"

#define ATTEMPTS 4
#define ANSWER_MAX (48 * 1024 * 1024)
#define PAUSE_FIRST_MS 500
#define PAUSE_MAX_MS 20000

/* ---- The answer ---- */

static bool take_vector(yyjson_val *list, float *to, size_t dimension)
{
	yyjson_val *number;
	size_t i, max;

	if (yyjson_arr_size(list) != dimension)
		return false;
	yyjson_arr_foreach(list, i, max, number)
	{
		if (!yyjson_is_num(number) || !isfinite(yyjson_get_num(number)))
			return false;
		to[i] = (float)yyjson_get_num(number);
	}
	return true;
}

/* The place of the n-th item: its index, or the order in which they come. */
static size_t place_of(yyjson_val *item, size_t nth)
{
	return yyjson_is_obj(item) ? (size_t)json_get_int(item, "index", (int64_t)nth) : nth;
}

static yyjson_val *vector_of(yyjson_val *item)
{
	return yyjson_is_obj(item) ? json_get_arr(item, "embedding") : item;
}

float *embed_read(struct str answer, size_t n, size_t *ret_dimension, struct error *err)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, answer.p, answer.n, NULL)), *item;
	yyjson_val *list = json_get_arr(root, "data") ?: json_get_arr(root, "embeddings");
	size_t i, max, dimension = yyjson_arr_size(vector_of(yyjson_arr_get_first(list)));
	float *vectors;
	size_t found = 0;

	if (yyjson_arr_size(list) != n || dimension == 0 || dimension > VECTOR_MAX) {
		error_set(err, "embedding_invalid",
			  "The embedding model did not answer with one vector of 1 to %d numbers for each text: choose "
			  "a model for embeddings.",
			  VECTOR_MAX);
		return NULL;
	}
	vectors = xcalloc(n * dimension, sizeof(*vectors));
	yyjson_arr_foreach(list, i, max, item)
	{
		size_t at = place_of(item, i);
		found += at < n && take_vector(vector_of(item), vectors + at * dimension, dimension);
	}
	*ret_dimension = dimension;
	if (found == n)
		return vectors;
	free(vectors);
	error_set(err, "embedding_invalid", "The vectors of the embedding model are broken: choose another one.");
	return NULL;
}

/* ---- The request ---- */

static void attempt(struct embed *e);

static void finish(struct embed *e, int err)
{
	deadline_clear(&e->wait);
	buf_deinit(&e->body);
	buf_deinit(&e->answer);
	arena_free(e->arena);
	e->arena = NULL;
	e->on_done(e, e->is_cancelled ? -ECANCELED : err);
}

static void on_pause_over(struct deadline *d)
{
	struct embed *e = container_of(d, struct embed, wait);

	if (e->is_cancelled || e->error.code[0])
		finish(e, -EIO);
	else
		attempt(e);
}

static void pause_for(struct embed *e, uint64_t ms)
{
	e->state = EMBED_PAUSE;
	deadline_set(service_wheel(e->agent->service), &e->wait, ms);
}

static bool is_passing(int status)
{
	return status == 0 || status == 408 || status == 409 || status == 429 || status >= 500;
}

static void explain(struct embed *e, const char *why)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, e->answer.p, e->answer.n, NULL));
	const char *message = json_get_str(json_get_obj(root, "error"), "message", json_get_str(root, "error", ""));

	e->may_retry = is_passing(e->status);
	if (e->status == 401 || e->status == 403)
		error_set(&e->error, "embedding_refused",
			  "The embedding model %.100s refuses the key: set %s again, then index the documents again.",
			  e->model, e->target->key_hint ? e->target->key_hint : "its key");
	else if (e->status)
		error_set(&e->error, "embedding_failed", "The embedding model %.100s answers with %d%s%.300s", e->model,
			  e->status, *message ? ": " : ".", message);
	else
		error_set(&e->error, "embedding_unreachable", "The embedding model %.100s cannot be reached%s%.200s",
			  e->model, *why ? ": " : ".", why);
}

static void on_head(struct model_http *h, int status)
{
	((struct embed *)h->owner)->status = status;
}

static void on_data(struct model_http *h, const char *data, size_t n)
{
	struct embed *e = h->owner;

	if (e->answer.n + n <= ANSWER_MAX)
		buf_add(&e->answer, data, n);
}

static void on_done(struct model_http *h, int err, const char *why)
{
	struct embed *e = h->owner;
	uint64_t wait = MAX(h->retry_after_ms, (uint64_t)PAUSE_FIRST_MS << e->attempt);
	bool works = err == 0 && e->status == 200;

	if (!e->is_cancelled)
		model_place_report(e->target->place, err == 0 && e->status < 500, h->retry_after_ms);
	model_place_leave(&e->turn);
	if (e->is_cancelled) {
		finish(e, -ECANCELED);
		return;
	}
	if (works) {
		e->vectors = embed_read(buf_str(&e->answer), e->n, &e->dimension, &e->error);
		finish(e, e->vectors ? 0 : -EIO);
		return;
	}
	if (err < 0)
		e->status = 0;
	if (is_passing(e->status) && ++e->attempt < ATTEMPTS) {
		pause_for(e, MIN(wait, (uint64_t)PAUSE_MAX_MS));
		return;
	}
	explain(e, err < 0 && why ? why : "");
	finish(e, -EIO);
}

static void ask(struct embed *e)
{
	e->state = EMBED_ANSWER;
	e->status = 0;
	buf_clear(&e->answer);
	e->http = (struct model_http){
		.target = e->target,
		.outbound = model_place_pool(e->target->place) ? NULL : agent_outbound(e->agent),
		.method = "POST",
		.path = strcmp(e->target->provider->name, "ollama") == 0 ? "/api/embed" : "/embeddings",
		.body = buf_str(&e->body),
		.owner = e,
		.on_head = on_head,
		.on_data = on_data,
		.on_done = on_done,
	};
	model_http_start(&e->http);
}

static void on_turn(struct model_turn *t)
{
	ask(container_of(t, struct embed, turn));
}

static void attempt(struct embed *e)
{
	e->state = EMBED_TURN;
	e->turn = (struct model_turn){.user_id = e->user_id, .on_turn = on_turn};
	if (model_place_enter(e->target->place, &e->turn) == HOLD_NONE)
		ask(e);
}

static void write_body(struct embed *e)
{
	buf_add_str(&e->body, "{\"model\":");
	json_quote(&e->body, str_of(e->target->model));
	buf_add_str(&e->body, ",\"input\":[");
	for (size_t i = 0; i < e->n; i++) {
		if (i)
			buf_add_char(&e->body, ',');
		json_quote(&e->body, e->texts[i]);
	}
	buf_add_str(&e->body, "]}");
}

void embed_start(struct embed *e)
{
	e->arena = arena_new();
	deadline_init(&e->wait, on_pause_over);
	e->target = models_choose(e->agent->models, e->model, e->user_id, e->arena, &e->error);
	if (!e->target) {
		pause_for(e, 0);
		return;
	}
	if (strcmp(e->target->provider->name, "anthropic") == 0) {
		error_set(&e->error, "embedding_unknown",
			  "The provider of %.100s has no embeddings: choose a model of another one.", e->model);
		pause_for(e, 0);
		return;
	}
	write_body(e);
	attempt(e);
}

void embed_cancel(struct embed *e)
{
	if (e->is_cancelled)
		return;
	e->is_cancelled = true;
	if (e->state == EMBED_ANSWER) {
		model_http_cancel(&e->http);
		return;
	}
	if (e->state == EMBED_TURN)
		model_place_leave(&e->turn);
	pause_for(e, 0);
}

void embed_clear(struct embed *e)
{
	free(e->vectors);
	e->vectors = NULL;
}
