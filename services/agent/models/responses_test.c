#include "agent/models/fixture.h"

static const struct model_target target = {
	.provider = &provider_responses, .model = "gpt-5", .base_url = "https://api.openai.com/v1", .key = "k"};

#define E(type, json) "event: " type "\ndata: {\"type\":\"" type "\",\"sequence_number\":1" json "}\n\n"
#define CREATED E("response.created", ",\"response\":{\"id\":\"r\",\"status\":\"in_progress\",\"error\":null}")
#define TEXT(t) E("response.output_text.delta", ",\"output_index\":0,\"content_index\":0,\"delta\":\"" t "\"")
#define USAGE                                                                                               \
	"\"usage\":{\"input_tokens\":9,\"input_tokens_details\":{\"cached_tokens\":4},\"output_tokens\":3," \
	"\"output_tokens_details\":{\"reasoning_tokens\":1}}"
#define COMPLETED               \
	E("response.completed", \
	  ",\"response\":{\"id\":\"r\",\"status\":\"completed\",\"error\":null,\"output\":[]," USAGE "}")
#define CALL(index, id, name)                                                               \
	E("response.output_item.added",                                                     \
	  ",\"output_index\":" index ",\"item\":{\"type\":\"function_call\",\"id\":\"fc\"," \
	  "\"call_id\":\"" id "\",\"name\":\"" name "\",\"arguments\":\"\"}")
#define ARGS(index, text) \
	E("response.function_call_arguments.delta", ",\"output_index\":" index ",\"delta\":\"" text "\"")
#define CALL_DONE(index, id, name, text)                                                    \
	E("response.output_item.done",                                                      \
	  ",\"output_index\":" index ",\"item\":{\"type\":\"function_call\",\"id\":\"fc\"," \
	  "\"call_id\":\"" id "\",\"name\":\"" name "\",\"arguments\":\"" text "\"}")

static const struct fixture fixtures[] = {
	{"text with its usage", CREATED TEXT("Hel") TEXT("lo") COMPLETED, "Hello", .tokens_in = 9, .tokens_out = 3,
	 .cached = 4},
	{"text that comes without pieces",
	 E("response.output_item.done", ",\"output_index\":0,\"item\":{\"type\":\"message\",\"content\":[{\"type\":"
					"\"output_text\",\"text\":\"Hi\"}]}") COMPLETED,
	 "Hi", .tokens_in = 9, .tokens_out = 3, .cached = 4},
	{"two calls in turns",
	 CALL("0", "a", "x") CALL("1", "b", "y") ARGS("0", "{") ARGS("1", "{") ARGS("0", "}") ARGS("1", "}")
		 CALL_DONE("0", "a", "x", "{}") CALL_DONE("1", "b", "y", "{}") COMPLETED,
	 .calls = "a x {}\nb y {}\n", .tokens_in = 9, .tokens_out = 3, .cached = 4},
	{"a call whose arguments come only at its end", CALL_DONE("0", "a", "x", "{}") COMPLETED, .calls = "a x {}\n",
	 .tokens_in = 9, .tokens_out = 3, .cached = 4},
	{"encrypted reasoning before a call",
	 E("response.output_item.done",
	   ",\"output_index\":0,\"item\":{\"type\":\"reasoning\",\"id\":\"rs\",\"summary\":[],"
	   "\"encrypted_content\":\"zzz\"}") CALL_DONE("1", "a", "x", "{}") COMPLETED,
	 .calls = "a x {}\n", .tokens_in = 9, .tokens_out = 3, .cached = 4,
	 .opaque = "{\"at\":0,\"item\":{\"type\":\"reasoning\",\"id\":\"rs\",\"summary\":[],\"encrypted_content\":"
		   "\"zzz\"}}"},
	{"a refusal", E("response.refusal.delta", ",\"delta\":\"No.\"") COMPLETED, "No.", .tokens_in = 9,
	 .tokens_out = 3, .cached = 4, .stop = CHAT_STOP_REFUSAL},
	{"incomplete by the limit",
	 TEXT("Hi") E("response.incomplete",
		      ",\"response\":{\"status\":\"incomplete\",\"error\":null,\"incomplete_details\":{"
		      "\"reason\":\"max_output_tokens\"}," USAGE "}"),
	 "Hi", .tokens_in = 9, .tokens_out = 3, .cached = 4, .stop = CHAT_STOP_LENGTH},
	{"incomplete by the content filter",
	 TEXT("Hi")
		 E("response.incomplete", ",\"response\":{\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":"
					  "\"content_filter\"}," USAGE "}"),
	 "Hi", .tokens_in = 9, .tokens_out = 3, .cached = 4, .stop = CHAT_STOP_FILTER},
	{"failed inside a 200 stream",
	 CREATED E("response.failed",
		   ",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":"
		   "\"oops\"}}"),
	 .code = "model_error", .may_retry = true},
	{"too long, told inside a 200 stream",
	 E("response.failed",
	   ",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"context_length_exceeded\",\"message\":"
	   "\"Your input exceeds the context window of this model.\"}}"),
	 .code = "model_context_overflow"},
	{"an error event", E("error", ",\"code\":\"rate_limit_exceeded\",\"message\":\"slow down\""),
	 .code = "model_error", .may_retry = true},
	{"an error with status 200", "{\"error\":{\"type\":\"invalid_request_error\",\"message\":\"bad\"}}",
	 .code = "model_error"},
	{"broken off", CREATED TEXT("Hi"), "Hi", .code = "model_answer_broken", .is_broken = true, .may_retry = true},
	{"something behind the end", TEXT("Hi") COMPLETED TEXT("no"), "Hi", .tokens_in = 9, .tokens_out = 3,
	 .cached = 4},
	{"a whole response without a stream",
	 "{\"object\":\"response\",\"status\":\"completed\",\"error\":null,\"output\":[{\"type\":\"message\","
	 "\"content\":[{"
	 "\"type\":\"output_text\",\"text\":\"Hi\"}]},{\"type\":\"function_call\",\"call_id\":\"a\",\"name\":\"x\","
	 "\"arguments\":\"{}\"}]," USAGE "}",
	 "Hi", "a x {}\n", .tokens_in = 9, .tokens_out = 3, .cached = 4},
	{"a web page", "<html></html>", .code = "model_not_an_api"},
};

static void every_quirk_is_read_right_whole_and_in_pieces(void **state)
{
	check_all(&target, fixtures, ARRAY_SIZE(fixtures));
}

static void reasoning_is_sent_back_before_its_call_and_nothing_is_stored_there(void **state)
{
	const char *opaque =
		"{\"dialect\":\"responses\",\"model\":\"gpt-5\",\"items\":[{\"at\":0,\"item\":{\"type\":\"reasoning\","
		"\"encrypted_content\":\"zzz\"}}]}";
	struct chat_call calls[] = {{"a", "x", STR("{}")}};
	struct chat_message user = {.role = CHAT_USER, .content = STR("go")};
	struct chat_message answer = {.role = CHAT_ASSISTANT, .calls = calls, .n_calls = 1, .opaque = opaque};
	struct chat_message result = {.role = CHAT_TOOL, .content = STR("1"), .call_id = "a"};
	struct chat_tool tool = {"x", "Does.", "{\"type\":\"object\"}"};
	const struct chat_tool *tools[] = {&tool};
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct model_target other = target;
	struct list messages;
	struct chat_request r = {"Be kind.", &messages, tools, 1, 100};

	list_init(&messages);
	say(&messages, &user);
	say(&messages, &answer);
	say(&messages, &result);
	assert_json(
		a, written(a, &target, &r),
		"{\"model\":\"gpt-5\",\"instructions\":\"Be kind.\",\"input\":[{\"role\":\"user\",\"content\":\"go\"},"
		"{\"type\":\"reasoning\",\"encrypted_content\":\"zzz\"},"
		"{\"type\":\"function_call\",\"call_id\":\"a\",\"name\":\"x\",\"arguments\":\"{}\"},"
		"{\"type\":\"function_call_output\",\"call_id\":\"a\",\"output\":\"1\"}],"
		"\"tools\":[{\"type\":\"function\",\"name\":\"x\",\"description\":\"Does.\",\"parameters\":{\"type\":"
		"\"object\"},\"strict\":false}],\"include\":[\"reasoning.encrypted_content\"],\"max_output_tokens\":"
		"100,"
		"\"store\":false,\"stream\":true}");
	other.model = "gpt-4.1";
	assert_null(yyjson_obj_get(written(a, &other, &r), "text"));
	r.output_schema = "{\"type\":\"object\"}";
	assert_json(a, yyjson_obj_get(written(a, &other, &r), "text"),
		    "{\"format\":{\"type\":\"json_schema\",\"name\":\"answer\",\"strict\":false,\"schema\":{\"type\":"
		    "\"object\"}}}");
	assert_null(yyjson_obj_get(written(a, &other, &r), "include"));
	assert_int_equal(yyjson_arr_size(json_get_arr(written(a, &other, &r), "input")), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_quirk_is_read_right_whole_and_in_pieces),
		cmocka_unit_test(reasoning_is_sent_back_before_its_call_and_nothing_is_stored_there),
	};

	return cmocka_run_group_tests_name("responses", tests, NULL, NULL);
}
