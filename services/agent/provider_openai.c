/* The chat-completions dialect, which OpenAI, Ollama (under /v1), the demo model and many others speak. */
#include "agent/openai_stream.h"
#include "base/arena.h"
#include "base/json.h"

static const char *const roles[] = {[CHAT_USER] = "user", [CHAT_ASSISTANT] = "assistant", [CHAT_TOOL] = "tool"};

static bool is_json_object(struct str s)
{
	yyjson_doc *doc = s.n ? yyjson_read(s.p, s.n, 0) : NULL;
	bool ok = yyjson_is_obj(yyjson_doc_get_root(doc));

	yyjson_doc_free(doc);
	return ok;
}

static void write_calls(struct buf *out, const struct chat_message *m)
{
	buf_add_str(out, ",\"tool_calls\":[");
	for (size_t i = 0; i < m->n_calls; i++) {
		const struct chat_call *call = &m->calls[i];
		buf_add_str(out, i ? ",{\"id\":" : "{\"id\":");
		json_quote(out, str_of(call->id));
		buf_add_str(out, ",\"type\":\"function\",\"function\":{\"name\":");
		json_quote(out, str_of(call->name));
		buf_add_str(out, ",\"arguments\":");
		/* Some servers refuse a whole conversation for one call whose arguments do not parse. */
		json_quote(out, is_json_object(call->arguments) ? call->arguments : STR("{}"));
		buf_add_str(out, "}}");
	}
	buf_add_char(out, ']');
}

static void write_message(struct buf *out, const struct chat_message *m)
{
	buf_printf(out, ",{\"role\":\"%s\",\"content\":", roles[m->role]);
	if (m->role == CHAT_ASSISTANT && m->n_calls > 0 && m->content.n == 0)
		buf_add_str(out, "null");
	else
		json_quote(out, m->content);
	if (m->role == CHAT_TOOL) {
		buf_add_str(out, ",\"tool_call_id\":");
		json_quote(out, str_of(m->call_id));
	}
	if (m->n_calls > 0)
		write_calls(out, m);
	buf_add_char(out, '}');
}

static void write_tools(struct buf *out, const struct chat_request *r)
{
	buf_add_str(out, ",\"tools\":[");
	for (size_t i = 0; i < r->n_tools; i++) {
		buf_add_str(out, i ? ",{" : "{");
		buf_printf(out,
			   "\"type\":\"function\",\"function\":{\"name\":\"%s\",\"description\":", r->tools[i]->name);
		json_quote(out, str_of(r->tools[i]->description));
		buf_printf(out, ",\"parameters\":%s}}", r->tools[i]->parameters);
	}
	buf_add_char(out, ']');
}

/* OpenAI's own newer models refuse the older name of the limit, and other servers do not know the newer one. */
static const char *limit_name(const struct model_target *t)
{
	return strstr(t->base_url, "//api.openai.com") ? "max_completion_tokens" : "max_tokens";
}

static void write_request(const struct model_target *t, const struct chat_request *r, struct buf *out)
{
	struct chat_message *m;

	buf_add_str(out, "{\"model\":");
	json_quote(out, str_of(t->model));
	buf_add_str(out, ",\"messages\":[{\"role\":\"system\",\"content\":");
	json_quote(out, str_of(r->instructions));
	buf_add_char(out, '}');
	list_foreach (m, r->messages, struct chat_message, link)
		write_message(out, m);
	buf_add_char(out, ']');
	if (r->n_tools > 0)
		write_tools(out, r);
	buf_printf(out, ",\"%s\":%lld,\"stream\":true,\"stream_options\":{\"include_usage\":true}}", limit_name(t),
		   (long long)r->max_output_tokens);
}

const struct model_provider provider_openai = {
	.name = "openai",
	.path = "/chat/completions",
	.write_request = write_request,
	.stream_new = openai_stream_new,
	.stream_feed = openai_stream_feed,
	.stream_end = openai_stream_end,
	.stream_free = openai_stream_free,
};
