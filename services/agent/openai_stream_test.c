#include "agent/openai_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* What servers are known to send, and what is made of it: text, calls as "id name arguments" lines, the failure's code.
 */
struct fixture {
	const char *name, *body, *text, *calls, *code;
	bool is_broken, may_retry;
	int64_t tokens_in, tokens_out;
	bool is_cut;
};

#define D(json) "data: " json "\n\n"
#define TEXT(t) D("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" t "\"}}]}")
#define CALLS(c) D("{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[" c "]}}]}")
#define FINISH(f) D("{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" f "\"}]}")
#define DONE "data: [DONE]\n\n"

static const struct fixture fixtures[] = {
	{"plain text", TEXT("Hel") TEXT("lo") FINISH("stop") DONE, "Hello"},
	{"CRLF line ends", "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\r\n\r\ndata: [DONE]\r\n\r\n", "Hi"},
	{"comments as pings", ": ping\n\n" TEXT("Hi") ": ping\n" FINISH("stop") DONE, "Hi"},
	{"no [DONE]", TEXT("Hi") FINISH("stop"), "Hi"},
	{"[DONE] and no finish", TEXT("Hi") DONE, "Hi"},
	{"a doubled finish", TEXT("Hi") FINISH("stop") FINISH("stop") DONE, "Hi"},
	{"something behind [DONE]", TEXT("Hi") DONE TEXT("no"), "Hi"},
	{"a last event without its blank line",
	 TEXT("Hi") "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}", "Hi"},
	{"usage in a chunk without choices",
	 TEXT("Hi") FINISH("stop") D("{\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}") DONE,
	 "Hi", .tokens_in = 7, .tokens_out = 2},
	{"usage null is not zero",
	 D("{\"choices\":[{\"delta\":{\"content\":\"Hi\"}}],\"usage\":null}") FINISH("stop") DONE, "Hi"},
	{"usage of zeros is none",
	 TEXT("Hi") D("{\"choices\":[],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}") FINISH("stop"), "Hi"},
	{"content null", D("{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}") TEXT("Hi") DONE,
	 "Hi"},
	{"content in parts", D("{\"choices\":[{\"delta\":{\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}]}}]}") DONE,
	 "Hi"},
	{"a refusal is text", D("{\"choices\":[{\"delta\":{\"refusal\":\"No.\"}}]}") FINISH("stop"), "No."},
	{"a second choice is not ours",
	 TEXT("Hi") D("{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"no\"}}]}") DONE, "Hi"},
	{"a NUL in the text", TEXT("a\\u0000b") DONE,
	 "a\xef\xbf\xbd"
	 "b"},
	{"cut by the limit", TEXT("Hi") FINISH("length") DONE, "Hi", .is_cut = true},
	{"no delta at all", D("{\"choices\":[{}]}") TEXT("Hi") DONE, "Hi"},
	{"choices null", D("{\"choices\":null}") TEXT("Hi") DONE, "Hi"},

	{"a call in pieces",
	 CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"shell\",\"arguments\":\"\"}}")
		 CALLS("{\"index\":0,\"function\":{\"arguments\":\"{\\\"command\\\":\"}}")
			 CALLS("{\"index\":0,\"function\":{\"arguments\":\"\\\"ls\\\"}\"}}") FINISH("tool_calls") DONE,
	 .calls = "a shell {\"command\":\"ls\"}\n"},
	{"two calls in turns",
	 CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"x\",\"arguments\":\"{\"}}")
		 CALLS("{\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"y\",\"arguments\":\"{\"}}")
			 CALLS("{\"index\":0,\"function\":{\"arguments\":\"}\"}},{\"index\":1,\"function\":{"
			       "\"arguments\":\"}\"}}") DONE,
	 .calls = "a x {}\nb y {}\n"},
	{"no index, ids tell them apart",
	 CALLS("{\"id\":\"a\",\"function\":{\"name\":\"x\",\"arguments\":\"{}\"}},{\"id\":\"b\",\"function\":{\"name\":"
	       "\"y\",\"arguments\":\"{}\"}}") DONE,
	 .calls = "a x {}\nb y {}\n"},
	{"no index, later pieces without id",
	 CALLS("{\"id\":\"a\",\"function\":{\"name\":\"x\",\"arguments\":\"{\"}}")
		 CALLS("{\"function\":{\"arguments\":\"}\"}}")
			 CALLS("{\"id\":\"b\",\"function\":{\"name\":\"y\",\"arguments\":\"{\"}}")
				 CALLS("{\"function\":{\"arguments\":\"}\"}}") DONE,
	 .calls = "a x {}\nb y {}\n"},
	{"neither index nor id, a name begins a call",
	 CALLS("{\"function\":{\"name\":\"x\",\"arguments\":\"{}\"}}")
		 CALLS("{\"function\":{\"name\":\"y\",\"arguments\":\"{}\"}}") DONE,
	 .calls = "* x {}\n* y {}\n"},
	{"all with index 0, ids differ",
	 CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"x\",\"arguments\":\"{}\"}}")
		 CALLS("{\"index\":0,\"id\":\"b\",\"function\":{\"name\":\"y\",\"arguments\":\"{}\"}}") DONE,
	 .calls = "a x {}\nb y {}\n"},
	{"index and no id", CALLS("{\"index\":0,\"function\":{\"name\":\"x\",\"arguments\":\"{}\"}}") DONE,
	 .calls = "* x {}\n"},
	{"an empty id", CALLS("{\"index\":0,\"id\":\"\",\"function\":{\"name\":\"x\",\"arguments\":\"{}\"}}") DONE,
	 .calls = "* x {}\n"},
	{"an id again in every piece",
	 CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"x\",\"arguments\":\"{\"}}")
		 CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"x\",\"arguments\":\"}\"}}") DONE,
	 .calls = "a x {}\n"},
	{"one id for two calls",
	 CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"x\",\"arguments\":\"{}\"}}")
		 CALLS("{\"index\":1,\"id\":\"a\",\"function\":{\"name\":\"y\",\"arguments\":\"{}\"}}") DONE,
	 .calls = "a x {}\n* y {}\n"},
	{"the name after the arguments",
	 CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"arguments\":\"{}\"}}")
		 CALLS("{\"index\":0,\"function\":{\"name\":\"x\"}}") DONE,
	 .calls = "a x {}\n"},
	{"arguments an object",
	 CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"x\",\"arguments\":{\"command\":\"ls\"}}}") DONE,
	 .calls = "a x {\"command\":\"ls\"}\n"},
	{"arguments null, then empty",
	 CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"x\",\"arguments\":null}}")
		 CALLS("{\"index\":0,\"function\":{\"arguments\":\"\"}}") DONE,
	 .calls = "a x \n"},
	{"broken arguments stay as they are",
	 CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"x\",\"arguments\":\"{\\\"command\\\": ls\"}}") DONE,
	 .calls = "a x {\"command\": ls\n"},
	{"a piece that is no object",
	 CALLS("7,null,{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"x\",\"arguments\":\"{}\"}}") DONE,
	 .calls = "a x {}\n"},

	{"a whole completion without a stream",
	 "{\"choices\":[{\"message\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,"
	 "\"completion_tokens\":1}}",
	 "Hi", .tokens_in = 3, .tokens_out = 1},
	{"a whole completion with a call",
	 "\n "
	 "{\"choices\":[{\"message\":{\"content\":null,\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"x\","
	 "\"arguments\":"
	 "\"{}\"}}]},\"finish_reason\":\"tool_calls\"}]}",
	 .calls = "a x {}\n"},

	{"an error with status 200", "{\"error\":{\"message\":\"overloaded\",\"code\":503}}", .code = "model_error",
	 .may_retry = true},
	{"an error that repeating does not mend", "{\"error\":{\"message\":\"bad\",\"code\":400}}",
	 .code = "model_error"},
	{"an error in the stream", TEXT("Hi") D("{\"error\":{\"message\":\"gone\"}}"), "Hi", .code = "model_error",
	 .may_retry = true},
	{"an error that is a string", D("{\"error\":\"gone\"}"), .code = "model_error", .may_retry = true},
	{"error null is none", D("{\"error\":null,\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}") DONE, "Hi"},
	{"a web page", "<!doctype html><html>Bad gateway</html>", .code = "model_not_an_api"},
	{"broken off", TEXT("Hi"), "Hi", .code = "model_answer_broken", .is_broken = true, .may_retry = true},
	{"ended without an end", TEXT("Hi"), "Hi", .code = "model_answer_broken", .may_retry = true},
	{"broken off behind its finish", TEXT("Hi") FINISH("stop"), "Hi", .is_broken = true},
	{"nothing", "", .code = "model_answer_broken", .may_retry = true},
	{"an empty answer", FINISH("stop") DONE, .code = "model_answer_empty", .may_retry = true},
	{"a chunk that is not JSON", TEXT("Hi") "data: {\"choices\":\n\n", "Hi", .code = "model_answer_broken",
	 .may_retry = true},
	{"half a document", "{\"choices\":[{\"message\":", .code = "model_answer_broken", .may_retry = true},
};

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
static void read_body(const struct fixture *f, size_t step, struct reading *r)
{
	struct model_sink sink = {&r->answer, &r->failure, on_text, &r->text};
	void *s = openai_stream_new(&sink);
	size_t n = strlen(f->body);
	int err = 0;

	for (size_t at = 0; at < n && err == 0; at += step)
		err = openai_stream_feed(s, f->body + at, MIN(step, n - at));
	if (err == 0)
		err = openai_stream_end(s, f->is_broken);
	assert_int_equal(err < 0, r->failure.error.code[0] != '\0');
	openai_stream_free(s);
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

static void check(const struct fixture *f, size_t step)
{
	_cleanup_(buf_deinit) struct buf calls = BUF_INIT;
	struct reading r = {0};

	read_body(f, step, &r);
	if (strcmp(r.failure.error.code, f->code ? f->code : "") != 0)
		fail_msg("%s: \"%s\" (%s)", f->name, r.failure.error.code, r.failure.error.message);
	if (!str_is(buf_str(&r.text), f->text ? f->text : "") || !str_eq(buf_str(&r.text), buf_str(&r.answer.text)))
		fail_msg("%s: the text is \"%.*s\"", f->name, STR_ARG(buf_str(&r.text)));
	if (!f->code)
		describe_calls(&r.answer, f->calls, &calls);
	if (!str_is(buf_str(&calls), f->calls ? f->calls : ""))
		fail_msg("%s: the calls are %s", f->name, calls.p);
	if (r.failure.may_retry != f->may_retry || r.answer.is_cut != f->is_cut)
		fail_msg("%s: may_retry %d, is_cut %d", f->name, r.failure.may_retry, r.answer.is_cut);
	if (r.answer.usage.input_tokens != f->tokens_in || r.answer.usage.output_tokens != f->tokens_out)
		fail_msg("%s: usage", f->name);
	chat_answer_clear(&r.answer);
	buf_deinit(&r.text);
}

static void every_quirk_is_read_right_whole_and_in_pieces(void **state)
{
	static const size_t steps[] = {1 << 20, 1, 7, 100};

	for (size_t i = 0; i < ARRAY_SIZE(fixtures); i++)
		for (size_t k = 0; k < ARRAY_SIZE(steps); k++)
			check(&fixtures[i], steps[k]);
}

static void what_is_too_long_ends_the_stream(void **state)
{
	struct reading r = {0};
	struct model_sink sink = {&r.answer, &r.failure, NULL, NULL};
	void *s = openai_stream_new(&sink);
	_cleanup_(buf_deinit) struct buf chunk = BUF_INIT;
	int err = 0, n = 0;

	buf_add_str(&chunk, "data: {\"choices\":[{\"delta\":{\"content\":\"");
	for (int i = 0; i < 100000; i++)
		buf_add_char(&chunk, 'x');
	buf_add_str(&chunk, "\"}}]}\n\n");
	while (err == 0 && n++ < 100)
		err = openai_stream_feed(s, chunk.p, chunk.n);
	assert_int_equal(n, CHAT_MAX_TEXT / 100000 + 1);
	assert_string_equal(r.failure.error.code, "model_answer_too_long");
	assert_false(r.failure.may_retry);
	openai_stream_free(s);
	chat_answer_clear(&r.answer);
}

static void more_calls_than_allowed_end_the_stream(void **state)
{
	struct reading r = {0};
	struct model_sink sink = {&r.answer, &r.failure, NULL, NULL};
	void *s = openai_stream_new(&sink);
	char chunk[200];
	int err = 0, n = 0;

	for (; err == 0 && n < 100; n++) {
		snprintf(chunk, sizeof(chunk), CALLS("{\"index\":%d,\"id\":\"i%d\",\"function\":{\"name\":\"x\"}}"), n,
			 n);
		err = openai_stream_feed(s, chunk, strlen(chunk));
	}
	assert_int_equal(n, CHAT_MAX_CALLS + 1);
	assert_string_equal(r.failure.error.code, "model_too_many_calls");
	openai_stream_free(s);
	chat_answer_clear(&r.answer);
}

static void the_time_to_wait_is_read_from_both_headers(void **state)
{
	int64_t now = 1792000000; /* Wed, 14 Oct 2026 17:46:40 GMT */

	assert_int_equal(model_retry_after(NULL, NULL, now), 0);
	assert_int_equal(model_retry_after(NULL, "3", now), 3000);
	assert_int_equal(model_retry_after(NULL, "0.5", now), 500);
	assert_int_equal(model_retry_after("250", "3", now), 250);
	assert_int_equal(model_retry_after("x", "3", now), 3000);
	assert_int_equal(model_retry_after(NULL, "-1", now), 0);
	assert_int_equal(model_retry_after(NULL, "soon", now), 0);
	assert_int_equal(model_retry_after(NULL, "1e300", now), 0);
	assert_int_equal(model_retry_after(NULL, "Wed, 14 Oct 2026 17:46:50 GMT", now), 10000);
	assert_int_equal(model_retry_after(NULL, "Wed, 14 Oct 2026 17:46:30 GMT", now), 0);
}

static void the_request_is_one_that_strict_servers_take(void **state)
{
	struct chat_call calls[] = {{"a", "shell", STR("{\"command\":\"ls\"}")}, {"b", "shell", STR("{broken")}};
	struct chat_message user = {.role = CHAT_USER, .content = STR("say \"hi\"")};
	struct chat_message assistant = {.role = CHAT_ASSISTANT, .content = STR(""), .calls = calls, .n_calls = 2};
	struct chat_message tool = {.role = CHAT_TOOL, .content = STR("ok"), .call_id = "a"};
	struct chat_tool shell = {"shell", "Runs.", "{\"type\":\"object\"}"};
	const struct chat_tool *tools[] = {&shell};
	struct model_target t = {.model = "m", .base_url = "http://localhost/v1"};
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	struct list messages;

	list_init(&messages);
	list_append(&messages, &user.link);
	list_append(&messages, &assistant.link);
	list_append(&messages, &tool.link);
	struct chat_request r = {"Be kind.", &messages, tools, 1, 100};
	provider_openai.write_request(&t, &r, &out);
	assert_string_equal(out.p, "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"Be "
				   "kind.\"},{\"role\":\"user\",\"content\":"
				   "\"say "
				   "\\\"hi\\\"\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":"
				   "\"a\",\"type\":\"function\","
				   "\"function\":{\"name\":\"shell\",\"arguments\":\"{\\\"command\\\":\\\"ls\\\"}\"}},{"
				   "\"id\":\"b\",\"type\":"
				   "\"function\",\"function\":{\"name\":\"shell\",\"arguments\":\"{}\"}}]},{\"role\":"
				   "\"tool\",\"content\":\"ok\","
				   "\"tool_call_id\":\"a\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
				   "\"shell\",\"description\":"
				   "\"Runs.\",\"parameters\":{\"type\":\"object\"}}}],\"max_tokens\":100,\"stream\":"
				   "true,\"stream_options\":"
				   "{\"include_usage\":true}}");
	t.base_url = "https://api.openai.com/v1";
	buf_clear(&out);
	provider_openai.write_request(&t, &r, &out);
	assert_non_null(strstr(out.p, "\"max_completion_tokens\":100"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_quirk_is_read_right_whole_and_in_pieces),
		cmocka_unit_test(what_is_too_long_ends_the_stream),
		cmocka_unit_test(more_calls_than_allowed_end_the_stream),
		cmocka_unit_test(the_time_to_wait_is_read_from_both_headers),
		cmocka_unit_test(the_request_is_one_that_strict_servers_take),
	};

	return cmocka_run_group_tests_name("openai_stream", tests, NULL, NULL);
}
