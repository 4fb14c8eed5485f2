/* A call is one request to exec, or two (an edit reads and writes; a workspace that is not there yet is made). While
 * exec is away, or the workspace is busy, it is asked again for a while. */
#include "agent/tools/files.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/tools/files_text.h"
#include "agent/tools/task.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/encode.h"

#define MAX_PATH 1000
#define MAX_READ (2 * 1024 * 1024) /* a file that can be read and edited here */
#define MAX_WRITE (1024 * 1024)
#define MAX_ANSWER (256 * 1024)
#define MAX_LIST 200
#define ANSWER_MS (30 * 1000)
#define SEARCH_MS 20000
#define AGAIN_MS 500
#define GIVE_UP_MS (30 * 1000)
#define DEADLINE_MS (90 * 1000)

/* What a call waits for. */
enum files_state { FILES_LISTING, FILES_READING, FILES_WRITING, FILES_MAKING, FILES_SEARCHING };

struct files_task {
	struct tool_task task; /* first */
	const struct tool *tool;
	enum files_state state, then; /* then: after FILES_MAKING */
	const char *path;
	struct buf content; /* to be written */
	unsigned changes;
	struct http_fetch *fetch;
	struct arena *request;
	struct deadline again;
	uint64_t give_up_at; /* monotonic us */
};

static const char *arg(const struct files_task *t, const char *name)
{
	return json_get_str(t->task.call->arguments, name, "");
}

static int64_t number(const struct files_task *t, const char *name, int64_t def)
{
	return json_get_int(t->task.call->arguments, name, def);
}

/* ---- Paths ---- */

/* Within the workspace: "/workspace/a" and "./a" are "a". */
static const char *path_within(const char *path)
{
	static const char root[] = "/workspace";
	size_t n = sizeof(root) - 1;

	if (strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == '\0'))
		path += n;
	while (*path == '/' || (path[0] == '.' && (path[1] == '/' || path[1] == '\0')))
		path++;
	return path;
}

static void add_path(struct buf *target, const char *path)
{
	struct str rest = str_of(path);

	while (rest.n > 0) {
		struct str name = str_cut(&rest, '/');
		if (name.n == 0)
			continue;
		buf_add_char(target, '/');
		percent_encode(name, target);
	}
}

/* ---- Ends ---- */

static void finish(struct files_task *t, const char *status, struct str text)
{
	deadline_clear(&t->again);
	arena_free(t->request);
	t->request = NULL;
	buf_deinit(&t->content);
	tool_task_end(&t->task, status, text);
}

static void fail(struct files_task *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void fail(struct files_task *t, const char *fmt, ...)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	finish(t, "error", buf_str(&text));
}

/* exec's own words, after what they are about. */
static void fail_refused(struct files_task *t, int status, struct str body)
{
	yyjson_val *root = yyjson_doc_get_root(json_parse(t->task.arena, body.p, body.n, NULL));
	const char *code = json_get_str(root, "code", "");

	if (status == 404)
		fail(t, "There is no \"%.200s\" in the workspace. files_list shows what is there.",
		     *t->path ? t->path : ".");
	else if (strcmp(code, "is_a_folder") == 0)
		fail(t, "\"%.200s\" is a folder: files_list shows what is in it.", t->path);
	else
		fail(t, "\"%.200s\": %.500s", *t->path ? t->path : ".",
		     json_get_str(root, "detail", "the service of commands refused it"));
}

static void ask_exec(struct files_task *t);

static void go(struct files_task *t, enum files_state state)
{
	t->state = state;
	ask_exec(t);
}

/* ---- What came ---- */

static void take_list(struct files_task *t, struct str body)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	files_write_list(&text, yyjson_doc_get_root(json_parse(t->task.arena, body.p, body.n, NULL)));
	finish(t, "done", buf_str(&text));
}

static void take_search(struct files_task *t, struct str body)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	yyjson_val *root = yyjson_doc_get_root(json_parse(t->task.arena, body.p, body.n, NULL));
	bool is_good = files_write_found(&text, root);

	finish(t, is_good ? "done" : "error", buf_str(&text));
}

static void edit(struct files_task *t, struct str body)
{
	struct error err = {0};
	bool is_all = json_get_bool(t->task.call->arguments, "all", false);
	struct str old = str_of(arg(t, "old")), new = str_of(arg(t, "new"));

	if (files_replace(body, old, new, is_all, t->task.call->is_repeated, &t->content, &t->changes, &err) < 0)
		fail(t, "%s", err.message);
	else if (t->changes == 0)
		finish(t, "done", STR("The change is there already: it was made before the service was restarted."));
	else
		go(t, FILES_WRITING);
}

static void take_file(struct files_task *t, int status, struct str body)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	if (status == 206 && body.n >= MAX_READ)
		fail(t, "\"%.200s\" has more than %d MiB: use the shell to look at a part of it.", t->path,
		     MAX_READ >> 20);
	else if (status == 200 && body.n > 0) /* of a file a range comes, of a folder its list */
		fail(t, "\"%.200s\" is a folder: files_list shows what is in it.", t->path);
	else if (!tool_is_text(body))
		fail(t, "\"%.200s\" is no text (%zu bytes): use the shell.", t->path, body.n);
	else if (t->tool == &tool_files_edit)
		edit(t, body);
	else {
		files_write_part(&text, body, number(t, "from_line", 1), number(t, "lines", 0));
		finish(t, "done", buf_str(&text));
	}
}

static void take_written(struct files_task *t, int status)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	if (t->tool == &tool_files_edit)
		buf_printf(&text, "%u %s of %s replaced. It has %zu bytes now.", t->changes,
			   t->changes == 1 ? "place" : "places", t->path, t->content.n);
	else
		buf_printf(&text, "%s %s (%zu bytes).", status == 201 ? "Made" : "Replaced", t->path, t->content.n);
	finish(t, "done", buf_str(&text));
}

static void take(struct files_task *t, int status, struct str body)
{
	switch (t->state) {
	case FILES_LISTING: take_list(t, body); break;
	case FILES_READING: take_file(t, status, body); break;
	case FILES_WRITING: take_written(t, status); break;
	case FILES_MAKING: go(t, t->then); break;
	case FILES_SEARCHING: take_search(t, body); break;
	}
}

/* ---- Requests ---- */

static bool is_worth_another_try(int err, int status)
{
	return err < 0 || status == 401 || status == 429 || status >= 502;
}

static void on_answer(void *arg, int err, int status, struct str body)
{
	struct files_task *t = arg;
	bool is_busy = status == 409 && memmem(body.p, body.n, "workspace_busy", 14);

	t->fetch = NULL;
	if (t->task.is_cancelled || !t->task.call) {
		fail(t, "cancelled");
	} else if (err == -EMSGSIZE) {
		fail(t, "The answer is too long.");
	} else if (is_worth_another_try(err, status) || is_busy) {
		if (clock_mono_us() > t->give_up_at)
			fail(t, "The service of commands does not answer, or the workspace is busy. Try again later.");
		else
			deadline_set(service_wheel(t->task.agent->service), &t->again, AGAIN_MS);
	} else if (t->state == FILES_READING && status == 416) {
		take(t, 200, STR("")); /* an empty file has no range */
	} else if (t->state == FILES_WRITING && status == 404) {
		t->then = FILES_WRITING;
		go(t, FILES_MAKING);
	} else if (t->state == FILES_MAKING && status == 409) {
		go(t, t->then);
	} else if (t->state == FILES_LISTING && status == 404 && !*t->path) {
		finish(t, "done", STR("The workspace is empty.")); /* it is made by what is first written to it */
	} else if (status >= 200 && status < 300) {
		take(t, status, body);
	} else {
		fail_refused(t, status, body);
	}
}

static void on_again(struct deadline *d)
{
	struct files_task *t = container_of(d, struct files_task, again);

	if (t->task.is_cancelled)
		fail(t, "cancelled");
	else
		ask_exec(t);
}

static struct str search_body(struct files_task *t)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *root = json_new_obj(t->request, &doc), *argv = yyjson_mut_obj_add_arr(doc, root, "argv");
	const char *fixed[] = {"grep", "-rInE", "--max-count=50", "--exclude-dir=.git", "--exclude-dir=node_modules"};
	const struct tool_call *c = t->task.call;

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		yyjson_mut_arr_add_str(doc, argv, fixed[i]);
	if (json_get_str(c->arguments, "glob", NULL))
		yyjson_mut_arr_add_str(doc, argv, arena_printf(t->request, "--include=%s", arg(t, "glob")));
	yyjson_mut_arr_add_str(doc, argv, "-e");
	yyjson_mut_arr_add_strcpy(doc, argv, arg(t, "pattern"));
	yyjson_mut_arr_add_str(doc, argv, "--");
	yyjson_mut_arr_add_strcpy(doc, argv, *t->path ? t->path : ".");
	json_add_str(doc, root, "workspace", c->conversation_id);
	if (strcmp(c->target, "local") != 0)
		json_add_str(doc, root, "target", c->target);
	if (c->policy && c->policy[0])
		json_add_str(doc, root, "policy", c->policy);
	yyjson_mut_obj_add_uint(doc, root, "timeout_ms", SEARCH_MS);
	yyjson_mut_obj_add_uint(doc, root, "wait_ms", SEARCH_MS + 5000);
	return json_text(t->request, doc);
}

/* The workspace's files, at the path. */
static void add_files(struct files_task *t, struct buf *target, const char *query)
{
	const struct tool_call *c = t->task.call;

	buf_printf(target, "/api/workspaces/%s/files", c->conversation_id);
	add_path(target, t->path);
	buf_printf(target, "?target=%s%s", c->target, query);
}

/* Method, target, type and body of the state's request. */
static const char *prepare(struct files_task *t, struct buf *target, struct http_headers *headers, struct str *body,
			   const char **type)
{
	const struct tool_call *c = t->task.call;

	*type = "application/json";
	switch (t->state) {
	case FILES_LISTING: add_files(t, target, arena_printf(t->request, "&limit=%d", MAX_LIST)); return "GET";
	case FILES_READING:
		add_files(t, target, "");
		http_header_set(headers, "Range", arena_printf(t->request, "bytes=0-%d", MAX_READ - 1));
		return "GET";
	case FILES_WRITING:
		add_files(t, target, "&parents=1");
		*type = "application/octet-stream";
		*body = t->content.n ? buf_str(&t->content) : STR("");
		return "PUT";
	case FILES_MAKING:
		buf_printf(target, "/api/workspaces?target=%s", c->target);
		*body = str_of(arena_printf(t->request, "{\"id\":\"%s\"}", c->conversation_id));
		return "POST";
	case FILES_SEARCHING:
		buf_add_str(target, "/api/commands?output=40000");
		http_header_set(headers, "Idempotency-Key", c->key);
		*body = search_body(t);
		return "POST";
	}
	abort();
}

static void ask_exec(struct files_task *t)
{
	struct service *service = t->task.agent->service;
	_cleanup_(buf_deinit) struct buf target = BUF_INIT;
	struct tool_call *c = t->task.call;
	struct str body = {0};
	const char *type, *method;

	arena_free(t->request);
	t->request = arena_new();
	struct http_headers *headers = service_peer_headers_of(service, "exec", c->user_id, c->actor, c->request_id,
							       c->traceparent, t->request);
	method = prepare(t, &target, headers, &body, &type);
	t->fetch = http_fetch(service_peer(service, "exec"), method, target.p, headers, body.p ? type : NULL, body,
			      t->state == FILES_READING ? MAX_READ : MAX_ANSWER, ANSWER_MS, on_answer, t);
}

/* ---- The calls ---- */

static void stop(struct tool_task *task)
{
	struct files_task *t = (struct files_task *)task;

	if (t->fetch)
		http_fetch_cancel(t->fetch);
	else if (deadline_is_set(&t->again))
		deadline_set(service_wheel(task->agent->service), &t->again, 0);
}

static void start(struct tool_call *c)
{
	struct files_task *t = (struct files_task *)tool_task_new(c, sizeof(*t), stop);

	t->tool = c->tool;
	t->path = path_within(json_get_str(c->arguments, "path", ""));
	t->give_up_at = clock_mono_us() + GIVE_UP_MS * 1000ull;
	deadline_init(&t->again, on_again);
	if (t->tool == &tool_files_write)
		buf_add_str(&t->content, arg(t, "content"));
	go(t, t->tool == &tool_files_list     ? FILES_LISTING
	      : t->tool == &tool_files_write  ? FILES_WRITING
	      : t->tool == &tool_files_search ? FILES_SEARCHING
					      : FILES_READING);
}

/* By a table for each tool: the fields' order is that of its schema. */
static const struct json_field list_fields[] = {{"path", JSON_STRING, false, 0, MAX_PATH}};
static const struct json_field read_fields[] = {
	{"path", JSON_STRING, true, 1, MAX_PATH},
	{"from_line", JSON_INT, false, 1, 100000000},
	{"lines", JSON_INT, false, 1, 100000},
};
static const struct json_field write_fields[] = {
	{"path", JSON_STRING, true, 1, MAX_PATH},
	{"content", JSON_STRING, true, 0, MAX_WRITE},
};
static const struct json_field edit_fields[] = {
	{"path", JSON_STRING, true, 1, MAX_PATH},
	{"old", JSON_STRING, true, 1, MAX_WRITE},
	{"new", JSON_STRING, true, 0, MAX_WRITE},
	{"all", JSON_BOOL},
};
static const struct json_field search_fields[] = {
	{"pattern", JSON_STRING, true, 1, 1000},
	{"path", JSON_STRING, false, 0, MAX_PATH},
	{"glob", JSON_STRING, false, 1, 100},
};

static int check_path(yyjson_val *arguments, struct error *err)
{
	const char *path = json_get_str(arguments, "path", "");
	struct str rest = str_of(path_within(path));

	while (rest.n > 0)
		if (str_is(str_cut(&rest, '/'), ".."))
			return error_set(err, "invalid_field", "\"path\" must not lead upwards with \"..\"");
	return 0;
}

static int check(const struct tool *t, yyjson_val *arguments, struct error *err)
{
	int r = t == &tool_files_list    ? json_check(arguments, list_fields, ARRAY_SIZE(list_fields), err)
		: t == &tool_files_read  ? json_check(arguments, read_fields, ARRAY_SIZE(read_fields), err)
		: t == &tool_files_write ? json_check(arguments, write_fields, ARRAY_SIZE(write_fields), err)
		: t == &tool_files_edit  ? json_check(arguments, edit_fields, ARRAY_SIZE(edit_fields), err)
					 : json_check(arguments, search_fields, ARRAY_SIZE(search_fields), err);

	return r < 0 ? r : check_path(arguments, err);
}

static bool is_risky(const struct tool *t, yyjson_val *arguments)
{
	return false;
}

static const char *summary(const struct tool *t, yyjson_val *arguments, struct arena *a)
{
	const char *path = json_get_str(arguments, "path", ".");

	if (t == &tool_files_search)
		return arena_printf(a, "search %s in %s", json_get_str(arguments, "pattern", ""), path);
	return arena_printf(a, "%s %s", t->spec.name + strlen("files_"), path);
}

#define PATH_PROPERTY "\"path\":{\"type\":\"string\",\"description\":\"Within the workspace, such as src/main.c\"}"
#define FILES_TOOL(what, text, schema)                                                                     \
	const struct tool tool_files_##what = {                                                            \
		.spec = {.name = "files_" #what,                                                           \
			 .description = text,                                                              \
			 .parameters = "{\"type\":\"object\"," schema ",\"additionalProperties\":false}"}, \
		.check = check,                                                                            \
		.summary = summary,                                                                        \
		.start = start,                                                                            \
		.cancel = tool_task_cancel,                                                                \
		.leave = tool_task_leave,                                                                  \
		.is_risky = is_risky,                                                                      \
		.deadline_ms = DEADLINE_MS,                                                                \
	}

FILES_TOOL(list, "Lists a folder of the workspace: names, sizes, and a slash behind each folder.",
	   "\"properties\":{" PATH_PROPERTY "}");
FILES_TOOL(read, "Reads a text file of the workspace, whole or from a line on.",
	   "\"properties\":{" PATH_PROPERTY
	   ",\"from_line\":{\"type\":\"integer\",\"minimum\":1},\"lines\":{\"type\":\"integer\","
	   "\"minimum\":1,\"description\":\"How many lines at most\"}},\"required\":[\"path\"]");
FILES_TOOL(write,
	   "Writes a text file of the workspace: a new one, or in place of the old one. Missing folders are made.",
	   "\"properties\":{" PATH_PROPERTY ",\"content\":{\"type\":\"string\"}},\"required\":[\"path\",\"content\"]");
FILES_TOOL(
	edit,
	"Changes a text file of the workspace: replaces the text `old`, which must stand in it exactly once and with "
	"every space and line break as it is, by `new`. With `all` each place is replaced.",
	"\"properties\":{" PATH_PROPERTY
	",\"old\":{\"type\":\"string\"},\"new\":{\"type\":\"string\"},\"all\":{\"type\":\"boolean\"}},"
	"\"required\":[\"path\",\"old\",\"new\"]");
FILES_TOOL(search, "Searches the text files of the workspace for an extended regular expression (as grep -E).",
	   "\"properties\":{\"pattern\":{\"type\":\"string\"}," PATH_PROPERTY
	   ",\"glob\":{\"type\":\"string\",\"description\":\"Only files named so, such as *.c\"}},"
	   "\"required\":[\"pattern\"]");
