#include <errno.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/models/stream.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

#define WAIT_FIRST_MS 500
#define WAIT_OWN_MAX_MS (8 * 1000)
#define WAIT_ASKED_MAX_MS (60 * 1000)
#define MAX_ERROR_BODY (16 * 1024)

/* ---- What went wrong, in words ---- */

/* The provider's own sentence about a refusal, without the key should it quote it. */
static void provider_message(struct model_call *c, char *ret, size_t size)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, c->error_body.p, c->error_body.n, NULL));
	yyjson_val *error = yyjson_obj_get(root, "error");
	const char *text = yyjson_is_str(error) ? yyjson_get_str(error) : json_get_str(error, "message", "");

	if (!*text)
		text = json_get_str(root, "detail", json_get_str(root, "message", ""));
	if (*c->target->key && strstr(text, c->target->key))
		text = "";
	snprintf(ret, size, "%s%.200s", *text ? ": " : ".", text);
	for (char *p = ret; *p; p++)
		if ((unsigned char)*p < 0x20)
			*p = ' ';
}

static bool is_passing(int status)
{
	return status == 408 || status == 409 || status == 425 || status == 429 || status >= 500;
}

static void fail_by_status(struct model_call *c)
{
	struct model_failure *f = &c->failure;
	char said[256];

	provider_message(c, said, sizeof(said));
	f->may_retry = is_passing(c->status);
	f->wait_ms = c->http.retry_after_ms;
	if (c->status == 401 || c->status == 403)
		error_set(&f->error, "model_key_refused",
			  "The model's provider refused the key (HTTP %d): check openai_api_key.", c->status);
	else if (c->status == 404)
		error_set(&f->error, "model_not_found", "The provider does not know the model %s at %s (HTTP 404)%s",
			  c->target->model, c->target->base_url, said);
	else if (c->status == 429)
		error_set(&f->error, "model_rate_limited", "The model's provider allows no more calls now (HTTP 429)%s",
			  said);
	else if (c->status >= 500)
		error_set(&f->error, "model_unavailable", "The model's provider failed with HTTP %d%s", c->status,
			  said);
	else
		error_set(&f->error, "model_refused", "The model's provider refused the request with HTTP %d%s",
			  c->status, said);
}

static void fail_by_connection(struct model_call *c, int err, const char *why)
{
	struct model_failure *f = &c->failure;

	f->may_retry = err != -EKEYREJECTED; /* a certificate does not become good by waiting */
	if (err == -ETIMEDOUT)
		error_set(&f->error, "model_timeout", "The model at %s did not answer in time.", c->target->base_url);
	else if (c->status == 0)
		error_set(&f->error, "model_unreachable", "The model at %s cannot be reached: %s", c->target->base_url,
			  why);
	else
		error_set(&f->error, "model_answer_broken", "The connection to the model broke off: %s", why);
}

/* ---- One attempt ---- */

/* What came in one read is told as one text: nobody could see it in pieces. */
static void tell_text(struct model_call *c, size_t from)
{
	const struct buf *text = &c->answer.text;

	if (text->n == from)
		return;
	if (!c->first_text_us)
		c->first_text_us = clock_mono_us();
	c->on_text(c, (struct str){text->p + from, text->n - from});
}

static void on_head(struct model_http *h, int status)
{
	struct model_call *c = h->owner;
	struct model_sink sink = {&c->answer, &c->failure, NULL, NULL, c->target};

	c->status = status;
	if (status == 200)
		c->stream = model_stream_new(c->target->provider, &sink);
}

static void on_data(struct model_http *h, const char *data, size_t n)
{
	struct model_call *c = h->owner;

	if (c->failure.error.code[0] || c->is_cancelled)
		return;
	if (!c->stream) {
		if (c->error_body.n + n <= MAX_ERROR_BODY)
			buf_add(&c->error_body, data, n);
		return;
	}
	size_t from = c->answer.text.n;
	int r = model_stream_feed(c->stream, data, n);
	tell_text(c, from);
	if (r < 0)
		model_http_cancel(h);
}

static void attempt(struct model_call *c);

static void on_wait_over(struct deadline *d)
{
	attempt(container_of(d, struct model_call, wait));
}

/* Tokens that the provider did not count: about four bytes each. */
static void complete_usage(struct model_call *c)
{
	struct chat_usage *u = &c->answer.usage;
	size_t out = c->answer.text.n;

	for (size_t i = 0; i < c->answer.n_calls; i++)
		out += c->answer.calls[i].arguments.n + strlen(c->answer.calls[i].name);
	u->estimated = u->input_tokens == 0 || u->output_tokens == 0;
	if (u->input_tokens == 0)
		u->input_tokens = (int64_t)(c->body.n / 4 + 1);
	if (u->output_tokens == 0)
		u->output_tokens = (int64_t)(out / 4 + 1);
}

static void end(struct model_call *c, int err)
{
	c->on_done(c, err);
}

static uint64_t wait_time(const struct model_call *c)
{
	uint64_t own = MIN((uint64_t)WAIT_FIRST_MS << (c->attempt - 1), WAIT_OWN_MAX_MS);

	/* Up to a quarter less, so that many do not come back together. */
	own -= own * (clock_mono_us() % 256) / 1024;
	return c->failure.wait_ms ? c->failure.wait_ms : own;
}

/* The attempt failed: wait and repeat, or give up. */
static void on_failed(struct model_call *c)
{
	uint64_t ms = wait_time(c);

	if (!c->failure.may_retry || c->attempt >= MODEL_ATTEMPTS || ms > WAIT_ASKED_MAX_MS) {
		if (c->attempt > 1)
			error_prefix(&c->failure.error, "After %u attempts", c->attempt);
		end(c, -EIO);
		return;
	}
	c->on_retry(c, c->attempt, ms, c->failure.error.message);
	chat_answer_clear(&c->answer);
	deadline_set(service_wheel(c->agent->service), &c->wait, ms);
}

static int end_stream(struct model_call *c, bool is_broken)
{
	size_t from = c->answer.text.n;
	int r = model_stream_end(c->stream, is_broken);

	tell_text(c, from);
	return r;
}

static void on_done(struct model_http *h, int err, const char *why)
{
	struct model_call *c = h->owner;

	if (c->is_cancelled) {
		end(c, -ECANCELED);
		return;
	}
	if (c->failure.error.code[0])
		; /* by the stream's parser, which also ended the request */
	else if (c->status == 0 || (err < 0 && !c->stream))
		fail_by_connection(c, err, why);
	else if (c->status != 200)
		fail_by_status(c);
	else if (end_stream(c, err < 0) == 0) {
		complete_usage(c);
		end(c, 0);
		return;
	}
	on_failed(c);
}

static void attempt(struct model_call *c)
{
	c->attempt++;
	c->status = 0;
	c->failure = (struct model_failure){0};
	buf_clear(&c->error_body);
	model_stream_free(c->stream);
	c->stream = NULL;
	c->http = (struct model_http){
		.target = c->target,
		.outbound = agent_outbound(c->agent),
		.method = "POST",
		.path = c->target->provider->path,
		.body = buf_str(&c->body),
		.traceparent = c->traceparent,
		.owner = c,
		.on_head = on_head,
		.on_data = on_data,
		.on_done = on_done,
	};
	model_http_start(&c->http);
}

void model_call_start(struct model_call *c)
{
	c->started_us = clock_mono_us();
	deadline_init(&c->wait, on_wait_over);
	c->target->provider->write_request(c->target, &c->request, &c->body);
	attempt(c);
}

/* During a wait the end comes as the wait's end, at once. */
static void on_cancelled_wait(struct deadline *d)
{
	end(container_of(d, struct model_call, wait), -ECANCELED);
}

void model_call_cancel(struct model_call *c)
{
	if (c->is_cancelled)
		return;
	c->is_cancelled = true;
	if (deadline_is_set(&c->wait)) {
		c->wait.on_expire = on_cancelled_wait;
		deadline_set(service_wheel(c->agent->service), &c->wait, 0);
	} else if (!c->failure.error.code[0]) { /* otherwise it is being closed already */
		model_http_cancel(&c->http);
	}
}

void model_call_clear(struct model_call *c)
{
	model_stream_free(c->stream);
	c->stream = NULL;
	chat_answer_clear(&c->answer);
	buf_deinit(&c->body);
	buf_deinit(&c->error_body);
}
