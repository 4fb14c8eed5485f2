/* For the tests of dialects: what servers are known to send, and what is made of it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/models/stream.h"

/* What is made: text, calls as "id name arguments" lines (* = an id of our own), the failure's code, what is to be sent
 * back. */
struct fixture {
	const char *name, *body, *text, *calls, *code;
	bool is_broken, may_retry;
	int64_t tokens_in, tokens_out, cached;
	enum chat_stop stop;
	const char *opaque; /* a part of it, NULL = nothing is sent back */
};

#define D(json) "data: " json "\n\n"

struct reading {
	struct chat_answer answer;
	struct model_failure failure;
	struct buf text; /* as on_text told it */
};

static void on_text(void *owner, struct str text)
{
	buf_add(owner, text.p, text.n);
}

/* Feeds the body in pieces of `step` bytes. */
static void read_body(const struct model_target *t, const struct fixture *f, size_t step, struct reading *r)
{
	struct model_sink sink = {&r->answer, &r->failure, on_text, &r->text, t};
	struct model_stream *s = model_stream_new(t->provider, &sink);
	size_t n = strlen(f->body);
	int err = 0;

	for (size_t at = 0; at < n && err == 0; at += step)
		err = model_stream_feed(s, f->body + at, MIN(step, n - at));
	if (err == 0)
		err = model_stream_end(s, f->is_broken);
	assert_int_equal(err < 0, r->failure.error.code[0] != '\0');
	model_stream_free(s);
}

static void describe_calls(const struct chat_answer *a, const char *wanted, struct buf *out)
{
	for (size_t i = 0; i < a->n_calls; i++) {
		const char *id = a->calls[i].id;
		/* An id of our own making is new each time. */
		buf_printf(out, "%s %s %.*s\n", strncmp(id, "call_", 5) == 0 ? "*" : id, a->calls[i].name,
			   STR_ARG(buf_str(&a->calls[i].arguments)));
	}
}

static void check(const struct model_target *t, const struct fixture *f, size_t step)
{
	_cleanup_(buf_deinit) struct buf calls = BUF_INIT;
	struct reading r = {0};

	read_body(t, f, step, &r);
	if (strcmp(r.failure.error.code, f->code ? f->code : "") != 0)
		fail_msg("%s: \"%s\" (%s)", f->name, r.failure.error.code, r.failure.error.message);
	if (!str_is(buf_str(&r.text), f->text ? f->text : "") || !str_eq(buf_str(&r.text), buf_str(&r.answer.text)))
		fail_msg("%s: the text is \"%.*s\"", f->name, STR_ARG(buf_str(&r.text)));
	if (!f->code)
		describe_calls(&r.answer, f->calls, &calls);
	if (!str_is(buf_str(&calls), f->calls ? f->calls : ""))
		fail_msg("%s: the calls are %s", f->name, calls.p);
	if (r.failure.may_retry != f->may_retry || r.answer.stop != f->stop)
		fail_msg("%s: may_retry %d, stop %d", f->name, r.failure.may_retry, r.answer.stop);
	if (r.answer.usage.input_tokens != f->tokens_in || r.answer.usage.output_tokens != f->tokens_out)
		fail_msg("%s: usage", f->name);
	if (r.answer.usage.cached_tokens != f->cached)
		fail_msg("%s: %lld cached tokens", f->name, (long long)r.answer.usage.cached_tokens);
	if (!f->code &&
	    (f->opaque ? !r.answer.opaque.n || !strstr(r.answer.opaque.p, f->opaque) : r.answer.opaque.n > 0))
		fail_msg("%s: sent back is %s", f->name, r.answer.opaque.n ? r.answer.opaque.p : "nothing");
	chat_answer_clear(&r.answer);
	buf_deinit(&r.text);
}

/* Each fixture in pieces of several sizes. */
static inline void check_all(const struct model_target *t, const struct fixture *fixtures, size_t n)
{
	static const size_t steps[] = {1 << 20, 1, 7, 100};

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < ARRAY_SIZE(steps); k++)
			check(t, &fixtures[i], steps[k]);
}

static inline struct chat_message *say(struct list *messages, struct chat_message *m)
{
	list_append(messages, &m->link);
	return m;
}

/* The request as a document; fails when it is not one. Freed with the arena. */
static inline yyjson_val *written(struct arena *a, const struct model_target *t, const struct chat_request *r)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	struct error err = {0};
	yyjson_doc *doc;

	t->provider->write_request(t, r, &out);
	doc = json_parse(a, out.p, out.n, &err);
	if (!doc)
		fail_msg("%s: %s", err.message, out.p);
	return yyjson_doc_get_root(doc);
}

static inline void assert_json(struct arena *a, yyjson_val *val, const char *wanted)
{
	assert_string_equal(val ? json_val_text(a, val).p : "(nothing)", wanted);
}
