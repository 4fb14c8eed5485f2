/* The ask_human tool: a question to the person, whose answer is the call's result. It is a row of the approvals that
 * waits like the others; nothing is started. */
#include "agent/tools/tools.h"

#define MAX_QUESTION 4000

static const struct json_field fields[] = {
	{"question", JSON_STRING, true, 1, MAX_QUESTION},
};

static int ask_check(const struct tool *t, yyjson_val *arguments, struct error *err)
{
	return json_check(arguments, fields, ARRAY_SIZE(fields), err);
}

static const char *ask_summary(const struct tool *t, yyjson_val *arguments, struct arena *a)
{
	return json_get_str(arguments, "question", NULL);
}

const struct tool tool_ask_human = {
	.spec =
		{
			.name = "ask_human",
			.description = "Asks the person you work for a question and waits for the answer, which may "
				       "take hours. Use it when you cannot go on without knowing what they want; "
				       "not for what you can find out yourself.",
			.parameters =
				"{\"type\":\"object\",\"properties\":{\"question\":{\"type\":\"string\","
				"\"description\":\"The question, in full sentences\"}},\"required\":[\"question\"],"
				"\"additionalProperties\":false}",
		},
	.check = ask_check,
	.summary = ask_summary,
	.is_question = true,
};
