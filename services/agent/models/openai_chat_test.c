#include "agent/models/fixture.h"

#define TEXT(t) D("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" t "\"}}]}")
#define CALLS(c) D("{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[" c "]}}]}")
#define FINISH(f) D("{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" f "\"}]}")
#define DONE "data: [DONE]\n\n"

static const struct model_target target = {
	.provider = &provider_openai, .model = "m", .base_url = "http://x/v1", .key = ""};

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
	{"a refusal is text", D("{\"choices\":[{\"delta\":{\"refusal\":\"No.\"}}]}") FINISH("stop"), "No.",
	 .stop = CHAT_STOP_REFUSAL},
	{"withheld by the content filter", TEXT("Hi") FINISH("content_filter") DONE, "Hi", .stop = CHAT_STOP_FILTER},
	{"withheld whole", FINISH("content_filter") DONE, .code = "model_content_filter", .stop = CHAT_STOP_FILTER},
	{"the limit was used up by thinking", FINISH("length") DONE, .code = "model_answer_cut",
	 .stop = CHAT_STOP_LENGTH},
	{"an end by an error", TEXT("Hi") FINISH("insufficient_system_resource"), "Hi", .code = "model_error",
	 .may_retry = true},
	{"thoughts beside the text",
	 D("{\"choices\":[{\"delta\":{\"reasoning_content\":\"Hm\"}}]}") TEXT("Hi") FINISH("stop") DONE, "Hi",
	 .opaque = "\"member\":\"reasoning_content\",\"thoughts\":\"Hm\""},
	{"thoughts in another member", D("{\"choices\":[{\"delta\":{\"reasoning\":\"Hm\"}}]}") TEXT("Hi") DONE, "Hi",
	 .opaque = "\"member\":\"reasoning\""},
	{"a signature beside a call",
	 CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"x\",\"arguments\":\"{}\"},\"extra_content\":{"
	       "\"google\":{\"thought_signature\":\"s\"}}}") DONE,
	 .calls = "a x {}\n", .opaque = "\"extras\":{\"a\":{\"google\":{\"thought_signature\":\"s\"}}}"},
	{"tokens from the cache",
	 TEXT("Hi")
		 D("{\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"prompt_tokens_details\":{"
		   "\"cached_tokens\":5}}}") DONE,
	 "Hi", .tokens_in = 7, .tokens_out = 2, .cached = 5},
	{"tokens from the cache as DeepSeek tells them",
	 TEXT("Hi")
		 D("{\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"prompt_cache_hit_tokens\":"
		   "4}}") DONE,
	 "Hi", .tokens_in = 7, .tokens_out = 2, .cached = 4},
	{"an error event in the stream",
	 TEXT("Hi") "event: error\ndata: {\"message\":\"gone\",\"type\":\"server_error\"}\n\n", "Hi",
	 .code = "model_error", .may_retry = true},
	{"a conversation that is too long, told in the stream",
	 D("{\"error\":{\"message\":\"This model's maximum context length is 8192 tokens\",\"code\":400}}"),
	 .code = "model_context_overflow"},
	{"a second choice is not ours",
	 TEXT("Hi") D("{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"no\"}}]}") DONE, "Hi"},
	{"a NUL in the text", TEXT("a\\u0000b") DONE,
	 "a\xef\xbf\xbd"
	 "b"},
	{"cut by the limit", TEXT("Hi") FINISH("length") DONE, "Hi", .stop = CHAT_STOP_LENGTH},
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

static void every_quirk_is_read_right_whole_and_in_pieces(void **state)
{
	check_all(&target, fixtures, ARRAY_SIZE(fixtures));
}

static void what_is_too_long_ends_the_stream(void **state)
{
	struct reading r = {0};
	struct model_sink sink = {&r.answer, &r.failure, NULL, NULL, NULL};
	struct model_stream *s = model_stream_new(&provider_openai, &sink);
	_cleanup_(buf_deinit) struct buf chunk = BUF_INIT;
	int err = 0, n = 0;

	buf_add_str(&chunk, "data: {\"choices\":[{\"delta\":{\"content\":\"");
	for (int i = 0; i < 100000; i++)
		buf_add_char(&chunk, 'x');
	buf_add_str(&chunk, "\"}}]}\n\n");
	while (err == 0 && n++ < 100)
		err = model_stream_feed(s, chunk.p, chunk.n);
	assert_int_equal(n, CHAT_MAX_TEXT / 100000 + 1);
	assert_string_equal(r.failure.error.code, "model_answer_too_long");
	assert_false(r.failure.may_retry);
	model_stream_free(s);
	chat_answer_clear(&r.answer);
}

static void more_calls_than_allowed_end_the_stream(void **state)
{
	struct reading r = {0};
	struct model_sink sink = {&r.answer, &r.failure, NULL, NULL, NULL};
	struct model_stream *s = model_stream_new(&provider_openai, &sink);
	char chunk[200];
	int err = 0, n = 0;

	for (; err == 0 && n < 100; n++) {
		snprintf(chunk, sizeof(chunk), CALLS("{\"index\":%d,\"id\":\"i%d\",\"function\":{\"name\":\"x\"}}"), n,
			 n);
		err = model_stream_feed(s, chunk, strlen(chunk));
	}
	assert_int_equal(n, CHAT_MAX_CALLS + 1);
	assert_string_equal(r.failure.error.code, "model_too_many_calls");
	model_stream_free(s);
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
	struct model_target t = {.provider = &provider_openai, .model = "m", .base_url = "http://localhost/v1"};
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

/* Within a loop of calls, to the model that had them, by the target's policy. */
static void thoughts_go_back_as_the_server_wants_them(void **state)
{
	struct chat_call calls[] = {{"a", "x", STR("{}")}};
	const char *opaque =
		"{\"dialect\":\"openai\",\"model\":\"m\",\"member\":\"reasoning_content\",\"thoughts\":\"Hm\","
		"\"extras\":{\"a\":{\"google\":1}}}";
	struct chat_message user = {.role = CHAT_USER, .content = STR("go")}, again = user;
	struct chat_message answer = {.role = CHAT_ASSISTANT, .calls = calls, .n_calls = 1, .opaque = opaque};
	struct chat_message result = {.role = CHAT_TOOL, .content = STR("ok"), .call_id = "a"};
	struct model_target t = target;
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct list messages;
	struct chat_request r = {"", &messages, NULL, 0, 100};
	yyjson_val *m;

	list_init(&messages);
	say(&messages, &user);
	say(&messages, &answer);
	say(&messages, &result);
	m = yyjson_arr_get(json_get_arr(written(a, &t, &r), "messages"), 2);
	assert_string_equal(json_get_str(m, "reasoning_content", ""), "Hm");
	assert_json(a, yyjson_obj_get(yyjson_arr_get(json_get_arr(m, "tool_calls"), 0), "extra_content"),
		    "{\"google\":1}");
	t.echo = ECHO_NEVER;
	m = yyjson_arr_get(json_get_arr(written(a, &t, &r), "messages"), 2);
	assert_null(yyjson_obj_get(m, "reasoning_content"));
	t.echo = ECHO_LOOP;
	say(&messages, &again);
	m = yyjson_arr_get(json_get_arr(written(a, &t, &r), "messages"), 2);
	assert_null(yyjson_obj_get(m, "reasoning_content"));
	t.echo = ECHO_ALWAYS;
	m = yyjson_arr_get(json_get_arr(written(a, &t, &r), "messages"), 2);
	assert_string_equal(json_get_str(m, "reasoning_content", ""), "Hm");
	t.model = "other";
	m = yyjson_arr_get(json_get_arr(written(a, &t, &r), "messages"), 2);
	assert_null(yyjson_obj_get(m, "reasoning_content"));
}

static void ids_and_names_that_servers_refuse_are_replaced_alike(void **state)
{
	const char *id = "functions.shell:0 and a very long tail that is over forty";
	struct chat_call calls[] = {{id, "no such tool!", STR("{}")}};
	struct chat_message answer = {.role = CHAT_ASSISTANT, .calls = calls, .n_calls = 1};
	struct chat_message result = {.role = CHAT_TOOL, .content = STR("ok"), .call_id = id};
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct list messages;
	struct chat_request r = {"", &messages, NULL, 0, 100};
	yyjson_val *list, *call;

	list_init(&messages);
	say(&messages, &answer);
	say(&messages, &result);
	list = json_get_arr(written(a, &target, &r), "messages");
	call = yyjson_arr_get(json_get_arr(yyjson_arr_get(list, 1), "tool_calls"), 0);
	assert_string_equal(json_get_str(call, "id", "1"), json_get_str(yyjson_arr_get(list, 2), "tool_call_id", "2"));
	assert_true(strlen(json_get_str(call, "id", "")) <= 40);
	assert_null(strpbrk(json_get_str(json_get_obj(call, "function"), "name", " "), " !"));
}

static void every_provider_s_words_for_too_long_are_known(void **state)
{
	static const char *const said[] = {
		"This model's maximum context length is 128000 tokens. However, you asked for 130000 tokens.",
		"prompt is too long: 208310 tokens > 200000 maximum",
		"input length and `max_tokens` exceed context limit: 198000 + 8192 > 200000",
		"the request exceeds the available context size. try increasing the context size",
		"The input (40000 tokens) is longer than the model's context length (32768 tokens).",
		"The input token count (1100000) exceeds the maximum number of tokens allowed (1048575).",
		"Input is too long for requested model.",
		"This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
		"Please reduce the length of the messages or completion.",
		"Your input exceeds the context window of this model. Please adjust your input and try again.",
		"Trying to keep the first 5000 tokens when context the overflows.",
		"`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens",
	};

	for (size_t i = 0; i < ARRAY_SIZE(said); i++)
		if (!model_is_overflow(400, "", said[i]))
			fail_msg("not seen as too long: %s", said[i]);
	assert_true(model_is_overflow(-1, "context_length_exceeded", ""));
	assert_true(model_is_overflow(413, "request_too_large", "Request exceeds the maximum size"));
	assert_false(model_is_overflow(429, "", "Rate limit: too many tokens a minute"));
	assert_false(model_is_overflow(400, "invalid_request_error", "Unknown parameter: foo"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_quirk_is_read_right_whole_and_in_pieces),
		cmocka_unit_test(what_is_too_long_ends_the_stream),
		cmocka_unit_test(more_calls_than_allowed_end_the_stream),
		cmocka_unit_test(the_time_to_wait_is_read_from_both_headers),
		cmocka_unit_test(the_request_is_one_that_strict_servers_take),
		cmocka_unit_test(thoughts_go_back_as_the_server_wants_them),
		cmocka_unit_test(ids_and_names_that_servers_refuse_are_replaced_alike),
		cmocka_unit_test(every_provider_s_words_for_too_long_are_known),
	};

	return cmocka_run_group_tests_name("openai_chat", tests, NULL, NULL);
}
