/* The http_fetch tool: one request to an address that the model names, through lib/io/safe_fetch.h. HTML comes as
 * readable text. Methods that change something are made once at most, also over a crash, and count as risky. */
#include <errno.h>

#include "agent/tools/host_list.h"
#include "agent/tools/http_answer.h"
#include "agent/tools/once.h"
#include "agent/tools/task.h"
#include "io/http.h"

#define MAX_URL 4096
#define MAX_BODY (256 * 1024)
#define MAX_HEADERS 20
#define MAX_REDIRECTS 5
#define TOTAL_MS (45 * 1000)
#define DEADLINE_MS (60 * 1000)

struct http_task {
	struct tool_task task; /* first */
	struct tool_once once;
	struct safe_fetch *fetch;
};

static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};

static const struct json_field fields[] = {
	{"url", JSON_STRING, true, 1, MAX_URL},    {"method", JSON_STRING}, {"headers", JSON_OBJECT},
	{"body", JSON_STRING, false, 0, MAX_BODY}, {"raw", JSON_BOOL},      {"from", JSON_INT, false, 0, 10000000},
};

static const char *method_of(yyjson_val *arguments)
{
	const char *method = json_get_str(arguments, "method", "GET");

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (strcmp(methods[i], method) == 0)
			return methods[i];
	return NULL;
}

/* It changes nothing (RFC 9110 section 9.2.1), so it may be repeated and need not be asked about. */
static bool is_safe(const char *method)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static int check_headers(yyjson_val *headers, struct error *err)
{
	yyjson_val *key, *val;
	size_t i, max;

	if (yyjson_obj_size(headers) > MAX_HEADERS)
		return error_set(err, "invalid_field", "\"headers\" may have %d fields", MAX_HEADERS);
	yyjson_obj_foreach(headers, i, max, key, val)
	{
		if (!yyjson_is_str(val) || yyjson_get_len(val) > 4096 ||
		    !http_is_token((struct str){yyjson_get_str(key), yyjson_get_len(key)}) ||
		    !http_value_is_clean((struct str){yyjson_get_str(val), yyjson_get_len(val)}))
			return error_set(err, "invalid_field", "\"headers\" has a field that is no text of one line");
	}
	return 0;
}

static int check(const struct tool *t, yyjson_val *arguments, struct error *err)
{
	const char *method;

	if (json_check(arguments, fields, ARRAY_SIZE(fields), err) < 0 ||
	    check_headers(json_get_obj(arguments, "headers"), err) < 0)
		return -EINVAL;
	method = method_of(arguments);
	if (!method)
		return error_set(err, "invalid_field", "\"method\" is GET, HEAD, POST, PUT, PATCH or DELETE");
	if (is_safe(method) && json_get_str(arguments, "body", NULL))
		return error_set(err, "invalid_field", "A request by %s has no \"body\"", method);
	return 0;
}

static const char *summary(const struct tool *t, yyjson_val *arguments, struct arena *a)
{
	return arena_printf(a, "%s %s", method_of(arguments), json_get_str(arguments, "url", ""));
}

static bool is_risky(const struct tool *t, yyjson_val *arguments)
{
	return !is_safe(method_of(arguments));
}

static int check_options(yyjson_val *options, struct error *err)
{
	static const struct json_field option_fields[] = {{"hosts", JSON_ARRAY, false, 0, HOST_LIST_MAX}};

	if (json_check(options, option_fields, ARRAY_SIZE(option_fields), err) < 0)
		return -EINVAL;
	return host_list_check(json_get_arr(options, "hosts"), err);
}

/* ---- The call ---- */

static void stop(struct tool_task *task)
{
	struct http_task *t = (struct http_task *)task;

	if (t->fetch)
		safe_fetch_cancel(t->fetch);
}

static void on_fetched(void *arg, int err, const struct error *error, const struct safe_fetch_answer *answer)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	struct http_task *t = arg;

	t->fetch = NULL;
	if (err || !t->task.call) {
		tool_task_fail(&t->task, "The request failed: %s", error ? error->message : "it was cancelled");
		return;
	}
	yyjson_val *arguments = t->task.call->arguments;
	http_answer_write(answer, t->task.arena, json_get_bool(arguments, "raw", false),
			  (uint64_t)json_get_int(arguments, "from", 0), &text);
	tool_task_end(&t->task, "done", buf_str(&text));
}

static const char *const *write_headers(struct http_task *t, yyjson_val *headers, const char *key)
{
	struct arena *a = t->task.arena;
	const char **list = arena_alloc(a, (MAX_HEADERS + 3) * sizeof(*list));
	yyjson_val *name, *val;
	size_t i, max, n = 0;
	bool has_key = false;

	yyjson_obj_foreach(headers, i, max, name, val)
	{
		has_key = has_key || str_ieq(str_of(yyjson_get_str(name)), STR("Idempotency-Key"));
		list[n++] = arena_printf(a, "%s: %s", yyjson_get_str(name), yyjson_get_str(val));
	}
	if (key && !has_key)
		list[n++] = arena_printf(a, "Idempotency-Key: %s", key);
	return list;
}

static void fetch(struct http_task *t)
{
	struct tool_call *c = t->task.call;
	const char *method = method_of(c->arguments), *body = json_get_str(c->arguments, "body", NULL);
	yyjson_val *hosts = json_get_arr(c->options, "hosts");
	struct safe_fetch_request r = {
		.method = method,
		.url = json_get_str(c->arguments, "url", ""),
		.headers = write_headers(t, json_get_obj(c->arguments, "headers"), is_safe(method) ? NULL : c->key),
		.body = str_of(body),
		.inner = &c->agent->outbound_allow,
		.is_host_allowed = yyjson_arr_size(hosts) > 0 ? host_list_has : NULL,
		.arg = hosts,
		.max_body = HTTP_ANSWER_MAX,
		.is_cut_taken = true,
		.max_redirects = MAX_REDIRECTS,
		.total_ms = MIN(TOTAL_MS, c->max_ms),
	};

	t->fetch = safe_fetch_start(agent_outbound(c->agent), &r, on_fetched, t);
}

static void on_marked(struct tool_once *o, int err, bool first)
{
	struct http_task *t = container_of(o, struct http_task, once);

	if (err)
		tool_task_fail(&t->task, "The request was not made: the database did not answer. Try again.");
	else if (!first)
		tool_task_fail(&t->task, "The service was restarted while this request was under way: it may have been "
					 "done or not. Find out before you repeat it.");
	else if (!t->task.call || t->task.is_cancelled)
		tool_task_end(&t->task, "error", STR(""));
	else
		fetch(t);
}

static void start(struct tool_call *c)
{
	struct http_task *t = (struct http_task *)tool_task_new(c, sizeof(*t), stop);

	if (is_safe(method_of(c->arguments))) {
		fetch(t);
		return;
	}
	t->once = (struct tool_once){.key = arena_strdup(t->task.arena, c->key), .on_done = on_marked};
	tool_once_mark(c->agent, &t->once);
}

const struct tool tool_http_fetch = {
	.spec =
		{
			.name = "http_fetch",
			.description =
				"Makes one HTTP request to an address on the Internet and returns the answer's status "
				"and text. HTML comes as readable text with its links. A long text comes in parts: "
				"\"from\" goes on at a byte.",
			.parameters =
				"{\"type\":\"object\",\"properties\":{\"url\":{\"type\":\"string\",\"description\":"
				"\"A complete http or https URL\"},\"method\":{\"type\":\"string\",\"enum\":[\"GET\","
				"\"HEAD\",\"POST\",\"PUT\",\"PATCH\",\"DELETE\"]},\"headers\":{\"type\":\"object\","
				"\"additionalProperties\":{\"type\":\"string\"}},\"body\":{\"type\":\"string\"},"
				"\"raw\":{\"type\":\"boolean\",\"description\":\"HTML as it is, not as text\"},"
				"\"from\":{\"type\":\"integer\",\"minimum\":0,\"description\":\"Leave out so many "
				"bytes of the text\"}},\"required\":[\"url\"],\"additionalProperties\":false}",
		},
	.check = check,
	.check_options = check_options,
	.summary = summary,
	.start = start,
	.cancel = tool_task_cancel,
	.leave = tool_task_leave,
	.is_risky = is_risky,
	.deadline_ms = DEADLINE_MS,
};
