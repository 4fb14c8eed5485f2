/* The dialects there are, and what all of them mean by a conversation that is too long. */
#include <string.h>

#include "agent/models/model.h"

static const struct model_provider *const providers[] = {
	&provider_openai,
	&provider_responses,
	&provider_anthropic,
	&provider_ollama,
};

const struct model_provider *model_provider_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(providers); i++)
		if (strcmp(providers[i]->name, name) == 0)
			return providers[i];
	return NULL;
}

/* In the words of: OpenAI, vLLM, DeepSeek, OpenRouter; Anthropic; llama.cpp; SGLang; Gemini; Ollama; Mistral; Bedrock;
 * xAI; Groq; Cohere; LM Studio; TGI. */
static const char *const phrases[] = {
	"maximum context length",
	"context_length_exceeded",
	"context length exceeded",
	"context window",
	"prompt is too long",
	"exceed context limit",
	"exceeds the available context size",
	"exceed_context_size_error",
	"longer than the model's context length",
	"input token count",
	"exceeds the context length",
	"exceeds maximum context length",
	"input length exceeds",
	"input is too long for requested model",
	"maximum prompt length",
	"reduce the length of the messages",
	"too many tokens",
	"greater than the context length",
	"context the overflows",
	"max_new_tokens` must be <=",
	"request_too_large",
};

bool model_is_overflow(int status, const char *code, const char *message)
{
	/* A limit of tokens a minute speaks of tokens too. */
	if (status == 401 || status == 403 || status == 404 || status == 429)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(phrases); i++)
		if (strcasestr(code, phrases[i]) || strcasestr(message, phrases[i]))
			return true;
	return status == 413;
}
