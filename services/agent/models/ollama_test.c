#include "agent/models/fixture.h"

static const struct model_target target = {
	.provider = &provider_ollama, .model = "m", .base_url = "http://127.0.0.1:11434", .key = "", .context = 8192};

#define TEXT(t) "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"" t "\"},\"done\":false}\n"
#define END(reason)                                                                                             \
	"{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":" \
	"\"" reason "\",\"prompt_eval_count\":7,\"eval_count\":2}\n"
#define CALL(function)                                                                                  \
	"{\"message\":{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":" function \
	"}]},\"done\":false}\n"

static const struct fixture fixtures[] = {
	{"text", TEXT("Hel") TEXT("lo") END("stop"), "Hello", .tokens_in = 7, .tokens_out = 2},
	{"lines that end with CRLF", "{\"message\":{\"content\":\"Hi\"},\"done\":false}\r\n{\"done\":true}\r\n", "Hi"},
	{"a last line without its end", TEXT("Hi") "{\"done\":true,\"done_reason\":\"stop\"}", "Hi"},
	{"blank lines between", TEXT("Hi") "\n\n" END("stop"), "Hi", .tokens_in = 7, .tokens_out = 2},
	{"calls with arguments that are objects and no ids",
	 CALL("{\"name\":\"x\",\"arguments\":{\"a\":1}}") CALL("{\"name\":\"x\",\"arguments\":{\"a\":2}}") END("stop"),
	 .calls = "* x {\"a\":1}\n* x {\"a\":2}\n", .tokens_in = 7, .tokens_out = 2},
	{"arguments that are a string, null, not there",
	 CALL("{\"name\":\"x\",\"arguments\":\"{}\"}") CALL("{\"name\":\"y\",\"arguments\":null}")
		 CALL("{\"name\":\"z\"}") END("stop"),
	 .calls = "* x {}\n* y \n* z \n", .tokens_in = 7, .tokens_out = 2},
	{"thoughts", "{\"message\":{\"content\":\"\",\"thinking\":\"Hm\"},\"done\":false}\n" TEXT("Hi") END("stop"),
	 "Hi", .tokens_in = 7, .tokens_out = 2, .opaque = "\"thoughts\":\"Hm\""},
	{"cut by the limit", TEXT("Hi") END("length"), "Hi", .tokens_in = 7, .tokens_out = 2, .stop = CHAT_STOP_LENGTH},
	{"the model was loaded only", END("load"), .code = "model_answer_empty", .may_retry = true, .tokens_in = 7,
	 .tokens_out = 2},
	{"no counts because the prompt was cached", TEXT("Hi") "{\"done\":true}\n", "Hi"},
	{"an error in the stream", TEXT("Hi") "{\"error\":\"llama runner process has terminated\"}\n", "Hi",
	 .code = "model_error", .may_retry = true},
	{"too long", "{\"error\":\"the input length exceeds the context length\"}\n", .code = "model_context_overflow"},
	{"broken off", TEXT("Hi"), "Hi", .code = "model_answer_broken", .is_broken = true, .may_retry = true},
	{"half a line", "{\"message\":{\"con", .code = "model_answer_broken", .may_retry = true},
	{"a doubled end", TEXT("Hi") END("stop") END("stop"), "Hi", .tokens_in = 7, .tokens_out = 2},
	{"a web page", "<html></html>", .code = "model_not_an_api"},
};

static void every_quirk_is_read_right_whole_and_in_pieces(void **state)
{
	check_all(&target, fixtures, ARRAY_SIZE(fixtures));
}

static void the_size_of_the_context_is_asked_for_and_results_name_their_tool(void **state)
{
	struct chat_call calls[] = {{"a", "x", STR("{\"n\":1}")}};
	struct chat_message user = {.role = CHAT_USER, .content = STR("go")};
	struct chat_message answer = {.role = CHAT_ASSISTANT, .calls = calls, .n_calls = 1};
	struct chat_message result = {.role = CHAT_TOOL, .content = STR("1"), .call_id = "a"};
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct list messages;
	struct chat_request r = {"Be kind.", &messages, NULL, 0, 100};

	list_init(&messages);
	say(&messages, &user);
	say(&messages, &answer);
	say(&messages, &result);
	assert_json(a, written(a, &target, &r),
		    "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"Be kind.\"},{\"role\":\"user\","
		    "\"content\":\"go\"},{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":{"
		    "\"name\":\"x\","
		    "\"arguments\":{\"n\":1}}}]},{\"role\":\"tool\",\"content\":\"1\",\"tool_name\":\"x\"}],\"stream\":"
		    "true,"
		    "\"options\":{\"num_predict\":100,\"num_ctx\":8192}}");
	assert_null(yyjson_obj_get(written(a, &target, &r), "format"));
	r.output_schema = "{\"type\":\"object\"}";
	assert_json(a, yyjson_obj_get(written(a, &target, &r), "format"), "{\"type\":\"object\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_quirk_is_read_right_whole_and_in_pieces),
		cmocka_unit_test(the_size_of_the_context_is_asked_for_and_results_name_their_tool),
	};

	return cmocka_run_group_tests_name("ollama", tests, NULL, NULL);
}
