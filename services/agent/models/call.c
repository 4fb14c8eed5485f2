#include <errno.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/models/estimate.h"
#include "agent/models/stream.h"
#include "agent/models/wire.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

#define WAIT_FIRST_MS 500
#define WAIT_OWN_MAX_MS (8 * 1000)
#define WAIT_ASKED_MAX_MS (60 * 1000)
#define MAX_ERROR_BODY (16 * 1024)
#define TURN_MAX_MS (120 * 1000)
#define MAX_PAUSES 5
#define OUTPUT_GUESS 1024 /* tokens of an answer, before it is there */
#define SUSPICIOUS_TOKENS 2048

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
	f->may_retry = c->http.should_retry < 0 ? is_passing(c->status) : c->http.should_retry;
	f->wait_ms = c->http.retry_after_ms;
	if (model_is_overflow(c->status, "", said))
		f->is_own = true, f->may_retry = false;
	if (c->status == 401 || c->status == 403)
		error_set(&f->error, "model_key_refused", "The model's provider refused the key (HTTP %d): check %s.",
			  c->status, c->target->key_hint);
	else if (f->is_own)
		error_set(&f->error, "model_context_overflow", "The conversation is longer than the model takes%s",
			  said);
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

	if (c->state != MODEL_CALL_ANSWER)
		return;
	if (!c->stream) {
		if (c->error_body.n + n <= MAX_ERROR_BODY)
			buf_add(&c->error_body, data, n);
		return;
	}
	size_t from = c->answer.text.n;
	int r = model_stream_feed(c->stream, data, n);
	tell_text(c, from);
	if (r == 0 || c->state != MODEL_CALL_ANSWER)
		return;
	c->state = MODEL_CALL_CLOSING;
	model_http_cancel(h);
}

static void on_http_done(struct model_http *h, int err, const char *why);

static void ask(struct model_call *c)
{
	c->state = MODEL_CALL_ANSWER;
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
		.on_done = on_http_done,
	};
	model_http_start(&c->http);
}

/* ---- Its turn ---- */

static void on_turn(struct model_turn *t)
{
	struct model_call *c = container_of(t, struct model_call, turn);

	deadline_clear(&c->wait);
	ask(c);
}

static void fail(struct model_call *c);

static bool has_next(const struct model_call *c)
{
	return c->nth + 1 < c->n_targets;
}

static void on_turn_too_late(struct deadline *d)
{
	struct model_call *c = container_of(d, struct model_call, wait);

	model_place_leave(&c->turn);
	error_set(&c->failure.error, "model_busy", "There was no room for a call of %s within %d seconds.",
		  c->target->id, TURN_MAX_MS / 1000);
	c->failure.may_retry = false;
	fail(c);
}

static int64_t guess_tokens(const struct model_call *c)
{
	double input = (double)estimate_request(&c->request) * model_place_factor(c->target->place);
	int64_t most = c->request.max_output_tokens;

	return (int64_t)input + (most > 0 ? MIN(most, OUTPUT_GUESS) : OUTPUT_GUESS);
}

static void enter(struct model_call *c)
{
	enum model_hold why;

	c->turn.user_id = c->user_id;
	c->turn.tokens = guess_tokens(c);
	c->turn.on_turn = on_turn;
	why = model_place_enter(c->target->place, &c->turn);
	if (why == HOLD_NONE) {
		ask(c);
		return;
	}
	c->state = MODEL_CALL_TURN;
	c->wait.on_expire = on_turn_too_late;
	/* A limit of time lets everybody in sooner or later; only another target is worth giving up for. */
	if (has_next(c) || (why != HOLD_PER_MINUTE && why != HOLD_TOKENS))
		deadline_set(service_wheel(c->agent->service), &c->wait, TURN_MAX_MS);
	c->on_waiting(c, why);
}

static void on_pause_over(struct deadline *d)
{
	enter(container_of(d, struct model_call, wait));
}

/* ---- How it ends ---- */

/* Tokens that the provider did not count are estimated from the text. */
static void complete_usage(struct model_call *c)
{
	struct chat_usage *u = &c->answer.usage;
	size_t out = c->answer.text.n + c->answer.thoughts.n;

	for (size_t i = 0; i < c->answer.n_calls; i++)
		out += c->answer.calls[i].arguments.n + strlen(c->answer.calls[i].name);
	u->estimated = u->input_tokens == 0 || u->output_tokens == 0;
	if (u->input_tokens == 0)
		u->input_tokens = estimate_request(&c->request);
	if (u->output_tokens == 0)
		u->output_tokens = (int64_t)(out / 4 + 1);
	u->cached_tokens = MIN(MAX(u->cached_tokens, 0), u->input_tokens);
	u->cache_write_tokens = MIN(MAX(u->cache_write_tokens, 0), u->input_tokens - u->cached_tokens);
	u->cost_nano = model_cost(&c->target->prices, u);
}

int64_t model_cost(const struct model_prices *p, const struct chat_usage *u)
{
	int64_t plain = u->input_tokens - u->cached_tokens - u->cache_write_tokens;

	return plain * p->input + u->cached_tokens * p->cached + u->cache_write_tokens * p->cache_write +
	       u->output_tokens * p->output;
}

/* A server of the compatible dialect may cut what is too long for it without a word: it then has read exactly as much
 * as its context holds. */
static bool may_be_cut(const struct model_call *c)
{
	int64_t n = c->answer.usage.input_tokens;
	size_t text = c->body.n;
	struct chat_message *m;

	list_foreach (m, c->request.messages, struct chat_message, link)
		for (size_t i = 0; i < m->n_images; i++)
			text -= MIN(wire_takes_image(c->target, &m->images[i]) ? m->images[i].base64.n : 0, text);

	return !c->answer.usage.estimated && n >= SUSPICIOUS_TOKENS && (n & (n - 1)) == 0 && (int64_t)(text / 6) > n;
}

static void warn(struct model_call *c)
{
	char text[300];

	if (may_be_cut(c)) {
		snprintf(text, sizeof(text),
			 "The model's server has read exactly %lld tokens of a longer conversation: it seems to cut "
			 "what is over its context. Give it a larger one (num_ctx of Ollama).",
			 (long long)c->answer.usage.input_tokens);
		c->on_warning(c, "model_input_cut", text);
	}
	if (c->answer.stop == CHAT_STOP_LENGTH)
		c->on_warning(c, "model_answer_cut",
			      "The answer was cut by the limit of output tokens: raise the agent's limit "
			      "max_output_tokens.");
	else if (c->answer.stop == CHAT_STOP_WINDOW)
		c->on_warning(c, "model_answer_cut", "The answer was cut because the model's context is full.");
	else if (c->answer.stop == CHAT_STOP_FILTER)
		c->on_warning(c, "model_content_filter",
			      "The rest of the answer was withheld by the provider's content filter.");
	else if (c->answer.stop == CHAT_STOP_REFUSAL)
		c->on_warning(c, "model_refusal", "The model refused to answer this.");
}

static void end(struct model_call *c, int err)
{
	c->on_done(c, err);
}

static uint64_t pause_time(const struct model_call *c)
{
	uint64_t own = MIN((uint64_t)WAIT_FIRST_MS << (c->attempt - 1), WAIT_OWN_MAX_MS);

	/* Up to a quarter less, so that many do not come back together. */
	own -= own * (clock_mono_us() % 256) / 1024;
	return c->failure.wait_ms ? c->failure.wait_ms : own;
}

static void begin_target(struct model_call *c);

static void next_target(struct model_call *c, const char *reason)
{
	const struct model_target *from = c->target, *to = c->targets[++c->nth];

	c->on_fallback(c, from, to, reason);
	chat_answer_clear(&c->answer);
	begin_target(c);
}

/* The attempt failed: wait and repeat, ask the next target, or give up. */
static void fail(struct model_call *c)
{
	unsigned most = has_next(c) ? MODEL_ATTEMPTS_BEFORE_NEXT : MODEL_ATTEMPTS;
	uint64_t ms = c->attempt ? pause_time(c) : 0;

	if (c->failure.may_retry && c->attempt < most && ms <= WAIT_ASKED_MAX_MS) {
		c->on_retry(c, c->attempt, ms, c->failure.error.message);
		chat_answer_clear(&c->answer);
		c->state = MODEL_CALL_PAUSE;
		c->wait.on_expire = on_pause_over;
		deadline_set(service_wheel(c->agent->service), &c->wait, ms);
		return;
	}
	if (has_next(c) && !c->failure.is_own) {
		next_target(c, c->failure.error.message);
		return;
	}
	if (c->attempt > 1)
		error_prefix(&c->failure.error, "After %u attempts", c->attempt);
	end(c, -EIO);
}

static int end_stream(struct model_call *c, bool is_broken)
{
	size_t from = c->answer.text.n;
	int r = model_stream_end(c->stream, is_broken);

	tell_text(c, from);
	return r;
}

/* Writes the request, with what the model has said so far where the provider wants that back to go on. */
static void write_body(struct model_call *c)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT, opaque = BUF_INIT;
	struct chat_message said = {.role = CHAT_ASSISTANT};

	buf_clear(&c->body);
	if (c->pauses > 0) {
		buf_add(&text, c->answer.text.p, c->answer.text.n);
		buf_add(&opaque, c->answer.opaque.p, c->answer.opaque.n);
		said.content = buf_str(&text);
		said.opaque = opaque.n ? opaque.p : NULL;
		list_append(c->request.messages, &said.link);
	}
	c->target->provider->write_request(c->target, &c->request, &c->body);
	if (c->pauses > 0)
		list_remove(&said.link);
}

/* The provider took a break in the middle of its answer: it is sent back, and goes on. */
static void go_on(struct model_call *c)
{
	c->pauses++;
	c->attempt = 0;
	write_body(c);
	buf_clear(&c->answer.opaque);
	c->answer.stop = CHAT_STOP_END;
	enter(c);
}

static void succeed(struct model_call *c)
{
	if (c->answer.stop == CHAT_STOP_PAUSE && c->answer.n_calls == 0 && c->pauses < MAX_PAUSES) {
		go_on(c);
		return;
	}
	if (c->answer.usage.input_tokens > 0)
		model_place_learn(c->target->place, estimate_request(&c->request), c->answer.usage.input_tokens);
	complete_usage(c);
	warn(c);
	end(c, 0);
}

/* What the call took of the minute: as the provider counts it, else as it is estimated; a refusal takes nothing. */
static void settle(struct model_call *c)
{
	const struct chat_usage *u = &c->answer.usage;
	int64_t input = u->input_tokens > 0 ? u->input_tokens : c->turn.tokens - OUTPUT_GUESS;
	int64_t output =
		u->output_tokens > 0 ? u->output_tokens : (int64_t)((c->answer.text.n + c->answer.thoughts.n) / 4);
	int64_t tokens = c->stream ? MAX(input, 0) + output - c->tokens_settled : 0;

	model_place_settle(&c->turn, MAX(tokens, 0));
	c->tokens_settled = c->pauses < MAX_PAUSES && c->answer.stop == CHAT_STOP_PAUSE ? input + output : 0;
}

static void on_http_done(struct model_http *h, int err, const char *why)
{
	struct model_call *c = h->owner;
	bool is_good = false;

	settle(c);
	model_place_leave(&c->turn);
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
	else
		is_good = end_stream(c, err < 0) == 0;
	bool works = is_good || (c->status > 0 && c->status < 500 && c->status != 408 && c->status != 200) ||
		     (c->status == 200 && !c->failure.may_retry);
	model_place_report(c->target->place, works, c->failure.wait_ms <= WAIT_ASKED_MAX_MS ? c->failure.wait_ms : 0);
	if (is_good)
		succeed(c);
	else
		fail(c);
}

/* ---- From outside ---- */

static void begin_target(struct model_call *c)
{
	c->target = c->targets[c->nth];
	c->attempt = c->pauses = 0;
	while (has_next(c) && model_place_is_broken(c->target->place)) {
		const struct model_target *to = c->targets[++c->nth];
		c->on_fallback(c, c->target, to, "It failed again and again and is left alone for a while.");
		c->target = to;
	}
	write_body(c);
	enter(c);
}

void model_call_start(struct model_call *c)
{
	c->started_us = clock_mono_us();
	deadline_init(&c->wait, on_pause_over);
	begin_target(c);
}

/* The end comes at once, but not from inside the cancel. */
static void on_cancelled_wait(struct deadline *d)
{
	end(container_of(d, struct model_call, wait), -ECANCELED);
}

void model_call_cancel(struct model_call *c)
{
	if (c->is_cancelled)
		return;
	c->is_cancelled = true;
	switch (c->state) {
	case MODEL_CALL_TURN: model_place_leave(&c->turn); __attribute__((fallthrough));
	case MODEL_CALL_PAUSE:
		c->wait.on_expire = on_cancelled_wait;
		deadline_set(service_wheel(c->agent->service), &c->wait, 0);
		break;
	case MODEL_CALL_ANSWER:
		c->state = MODEL_CALL_CLOSING;
		model_http_cancel(&c->http);
		break;
	case MODEL_CALL_CLOSING: break;
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
