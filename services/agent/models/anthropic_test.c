#include "agent/models/fixture.h"

static const struct model_target target = {
	.provider = &provider_anthropic, .model = "claude", .base_url = "https://api.anthropic.com/v1", .key = "k"};

#define E(type, json) "event: " type "\ndata: {\"type\":\"" type "\"" json "}\n\n"
#define START                                                                                            \
	E("message_start",                                                                               \
	  ",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":10,\"cache_creation_input_tokens\":2," \
	  "\"cache_read_input_tokens\":5,\"output_tokens\":1}}")
#define TEXT(t)                                                                                         \
	E("content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}")    \
	E("content_block_delta", ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"" t "\"}") \
	E("content_block_stop", ",\"index\":0")
#define END(reason)                                                                                       \
	E("message_delta", ",\"delta\":{\"stop_reason\":\"" reason "\"},\"usage\":{\"output_tokens\":7}") \
	E("message_stop", "")
#define CALL(index, id, name)                                                                                 \
	E("content_block_start", ",\"index\":" index ",\"content_block\":{\"type\":\"tool_use\",\"id\":\"" id \
				 "\",\"name\":\"" name "\",\"input\":{}}")
#define INPUT(index, text)       \
	E("content_block_delta", \
	  ",\"index\":" index ",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"" text "\"}")
#define STOP(index) E("content_block_stop", ",\"index\":" index)

static const struct fixture fixtures[] = {
	{"text, with tokens written to and read from the cache", START TEXT("Hello") END("end_turn"), "Hello",
	 .tokens_in = 17, .tokens_out = 7, .cached = 5},
	{"pings between", START E("ping", "") TEXT("Hi") E("ping", "") END("end_turn"), "Hi", .tokens_in = 17,
	 .tokens_out = 7, .cached = 5},
	{"two calls with input in pieces",
	 START CALL("0", "toolu_1", "x") INPUT("0", "") INPUT("0", "{\\\"a\\\"") INPUT("0", ":1}") STOP("0")
		 CALL("1", "toolu_2", "y") INPUT("1", "{}") STOP("1") END("tool_use"),
	 .calls = "toolu_1 x {\"a\":1}\ntoolu_2 y {}\n", .tokens_in = 17, .tokens_out = 7, .cached = 5},
	{"a call without input", CALL("0", "t", "x") STOP("0") END("tool_use"), .calls = "t x \n", .tokens_out = 7},
	{"a call with its whole input at once",
	 E("content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"x\","
				  "\"input\":{\"a\":1}}") STOP("0") END("tool_use"),
	 .calls = "t x {\"a\":1}\n", .tokens_out = 7},
	{"signed thoughts before a call",
	 E("content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\"}") E(
		 "content_block_delta", ",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Hm\"}")
		 E("content_block_delta", ",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"sig\"}")
			 STOP("0") CALL("1", "t", "x") STOP("1") END("tool_use"),
	 .calls = "t x \n", .tokens_out = 7,
	 .opaque = "{\"at\":0,\"block\":{\"type\":\"thinking\",\"thinking\":\"Hm\",\"signature\":\"sig\"}}"},
	{"thoughts without a signature are not sent back",
	 E("content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"Hm\"}")
		 STOP("0") TEXT("Hi") END("end_turn"),
	 "Hi", .tokens_out = 7},
	{"redacted thoughts are sent back as they are",
	 E("content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"redacted_thinking\",\"data\":\"xyz\"}")
		 STOP("0") TEXT("Hi") END("end_turn"),
	 "Hi", .tokens_out = 7, .opaque = "{\"type\":\"redacted_thinking\",\"data\":\"xyz\"}"},
	{"citations are passed over",
	 TEXT("Hi") E("content_block_delta", ",\"index\":0,\"delta\":{\"type\":\"citations_delta\",\"citation\":{}}")
		 END("end_turn"),
	 "Hi", .tokens_out = 7},
	{"an answer by a schema is the arguments of a call",
	 START CALL("0", "toolu_1", "ogent_answer") INPUT("0", "") INPUT("0", "{\\\"a\\\"") INPUT("0", ":1}") STOP("0")
		 END("tool_use"),
	 "{\"a\":1}", .tokens_in = 17, .tokens_out = 7, .cached = 5},
	{"an answer by a schema, whole at once",
	 E("content_block_start",
	   ",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"ogent_answer\","
	   "\"input\":{\"a\":\"b\"}}") STOP("0") END("tool_use"),
	 "{\"a\":\"b\"}", .tokens_out = 7},
	{"cut by the limit", TEXT("Hi") END("max_tokens"), "Hi", .tokens_out = 7, .stop = CHAT_STOP_LENGTH},
	{"the context is full", TEXT("Hi") END("model_context_window_exceeded"), "Hi", .tokens_out = 7,
	 .stop = CHAT_STOP_WINDOW},
	{"a stop sequence", TEXT("Hi") END("stop_sequence"), "Hi", .tokens_out = 7},
	{"a pause", TEXT("Hi") END("pause_turn"), "Hi", .tokens_out = 7, .stop = CHAT_STOP_PAUSE},
	{"a refusal with words", TEXT("No.") END("refusal"), "No.", .tokens_out = 7, .stop = CHAT_STOP_REFUSAL},
	{"a refusal without words", END("refusal"), .code = "model_refused_answer", .tokens_out = 7,
	 .stop = CHAT_STOP_REFUSAL},
	{"an error after 200",
	 START TEXT("Hi") E("error", ",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}"), "Hi",
	 .code = "model_error", .may_retry = true, .tokens_in = 17, .tokens_out = 1, .cached = 5},
	{"an error that repeating does not mend",
	 E("error", ",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"bad\"}"), .code = "model_error"},
	{"too long",
	 E("error", ",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt is too long: 2 > 1\"}"),
	 .code = "model_context_overflow"},
	{"broken off", START TEXT("Hi"), "Hi", .code = "model_answer_broken", .is_broken = true, .may_retry = true,
	 .tokens_in = 17, .tokens_out = 1, .cached = 5},
	{"CRLF",
	 "event: message_delta\r\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\r\n\r\n",
	 .code = "model_answer_empty", .may_retry = true},
	{"a doubled end", TEXT("Hi") END("end_turn") END("end_turn"), "Hi", .tokens_out = 7},
	{"a whole message without a stream",
	 "{\"type\":\"message\",\"content\":[{\"type\":\"text\",\"text\":\"Hi\"},{\"type\":\"tool_use\",\"id\":\"t\","
	 "\"name\":"
	 "\"x\",\"input\":{\"a\":1}}],\"stop_reason\":\"tool_use\",\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}",
	 "Hi", "t x {\"a\":1}\n", .tokens_in = 3, .tokens_out = 2},
	{"a web page", "<html></html>", .code = "model_not_an_api"},
};

static void every_quirk_is_read_right_whole_and_in_pieces(void **state)
{
	check_all(&target, fixtures, ARRAY_SIZE(fixtures));
}

static void results_and_words_of_the_user_are_one_message_and_thoughts_come_first(void **state)
{
	const char *opaque = "{\"dialect\":\"anthropic\",\"model\":\"claude\",\"blocks\":[{\"at\":0,\"block\":{"
			     "\"type\":\"thinking\","
			     "\"thinking\":\"Hm\",\"signature\":\"sig\"}}]}";
	struct chat_call calls[] = {{"a", "x", STR("{\"n\":1}")}, {"b", "x", STR("broken")}};
	struct chat_message user = {.role = CHAT_USER, .content = STR("go")};
	struct chat_message answer = {.role = CHAT_ASSISTANT, .calls = calls, .n_calls = 2, .opaque = opaque};
	struct chat_message one = {.role = CHAT_TOOL, .content = STR("1"), .call_id = "a"};
	struct chat_message two = {.role = CHAT_TOOL, .content = STR(""), .call_id = "b"};
	struct chat_message more = {.role = CHAT_USER, .content = STR("and now?")};
	struct chat_tool tool = {"x", "Does.", "{\"type\":\"object\"}"};
	const struct chat_tool *tools[] = {&tool};
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct list messages;
	struct chat_request r = {"Be kind.", &messages, tools, 1, 100};

	list_init(&messages);
	say(&messages, &user);
	say(&messages, &answer);
	say(&messages, &one);
	say(&messages, &two);
	say(&messages, &more);
	assert_json(
		a, written(a, &target, &r),
		"{\"model\":\"claude\",\"max_tokens\":100,\"stream\":true,\"system\":[{\"type\":\"text\",\"text\":\"Be "
		"kind.\",\"cache_control\":{\"type\":\"ephemeral\"}}],\"messages\":["
		"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"go\"}]},"
		"{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"Hm\",\"signature\":\"sig\"}"
		","
		"{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"x\",\"input\":{\"n\":1}},"
		"{\"type\":\"tool_use\",\"id\":\"b\",\"name\":\"x\",\"input\":{}}]},"
		"{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":\"1\"},"
		"{\"type\":\"tool_result\",\"tool_use_id\":\"b\",\"content\":\"\"},"
		"{\"type\":\"text\",\"text\":\"and now?\",\"cache_control\":{\"type\":\"ephemeral\"}}]}],"
		"\"tools\":[{\"name\":\"x\",\"description\":\"Does.\",\"input_schema\":{\"type\":\"object\"}}]}");
}

static void an_answer_by_a_schema_is_a_call_that_must_be_made(void **state)
{
	struct chat_tool tool = {"x", "Does.", "{\"type\":\"object\"}"};
	const struct chat_tool *tools[] = {&tool};
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct chat_message user = {.role = CHAT_USER, .content = STR("go")};
	struct list messages;
	struct chat_request r = {"", &messages, tools, 0, 100, "{\"type\":\"string\"}"};

	list_init(&messages);
	say(&messages, &user);
	yyjson_val *one = written(a, &target, &r);
	assert_json(a, yyjson_obj_get(one, "tool_choice"), "{\"type\":\"tool\",\"name\":\"ogent_answer\"}");
	assert_json(a, yyjson_ptr_get(one, "/tools/0/input_schema/properties"), "{\"value\":{\"type\":\"string\"}}");
	r.n_tools = 1;
	r.output_schema = "{\"type\":\"object\"}";
	yyjson_val *two = written(a, &target, &r);
	assert_json(a, yyjson_obj_get(two, "tool_choice"), "{\"type\":\"any\"}");
	assert_json(a, yyjson_ptr_get(two, "/tools/1/input_schema"), "{\"type\":\"object\"}");
}

static void the_key_goes_into_its_own_field(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct model_header h[4];

	assert_int_equal(provider_anthropic.write_headers(&target, a, h), 2);
	assert_string_equal(h[0].name, "anthropic-version");
	assert_string_equal(h[1].name, "x-api-key");
	assert_string_equal(h[1].value, "k");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_quirk_is_read_right_whole_and_in_pieces),
		cmocka_unit_test(results_and_words_of_the_user_are_one_message_and_thoughts_come_first),
		cmocka_unit_test(an_answer_by_a_schema_is_a_call_that_must_be_made),
		cmocka_unit_test(the_key_goes_into_its_own_field),
	};

	return cmocka_run_group_tests_name("anthropic", tests, NULL, NULL);
}
