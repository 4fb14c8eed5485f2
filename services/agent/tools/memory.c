#include "agent/tools/memory.h"

#include <errno.h>

#include "agent/memory/store.h"
#include "agent/tools/task.h"

#define FOUND_MAX 20
#define DEADLINE_MS (30 * 1000)

struct memory_task {
	struct tool_task task; /* first */
	struct db_job db;
	const struct tool *tool;
	/* Copies: the call may be gone when the job runs. */
	struct memory_who who;
	enum memory_scope scope;
	bool has_scope;
	const char *name, *value, *words, *execution_id;
	struct buf text;
	bool is_error;
};

static void set(struct memory_task *t, bool is_error, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void set(struct memory_task *t, bool is_error, const char *fmt, ...)
{
	va_list ap;

	t->is_error = is_error;
	va_start(ap, fmt);
	buf_vprintf(&t->text, fmt, ap);
	va_end(ap);
}

static void add_found(void *arg, const struct memory *m)
{
	struct memory_task *t = arg;

	buf_printf(&t->text, "## %s (%s)\n%s\n", m->name, m->scope, m->value);
}

static int save(struct db_conn *c, struct memory_task *t)
{
	struct memory m;
	int r = memory_put(c, &t->who, t->scope, t->name, t->value, t->execution_id, t->task.arena, &m);

	if (r == -EMFILE) {
		set(t, true, "There are %d notes in \"%s\" already: delete or join some first.", MEMORY_MAX,
		    memory_scope_names[t->scope]);
		return 0;
	}
	if (r >= 0)
		set(t, false, r ? "Remembered." : "Remembered, in place of what was there.");
	return MIN(r, 0);
}

static int get(struct db_conn *c, struct memory_task *t)
{
	struct memory m;
	int r = memory_get(c, &t->who, t->scope, t->name, t->task.arena, &m);

	if (r == 1)
		set(t, false, "%s", m.value);
	else if (r == 0)
		set(t, true, "There is no note \"%s\" in \"%s\": memory_search finds notes by their words.", t->name,
		    memory_scope_names[t->scope]);
	return MIN(r, 0);
}

static int find(struct db_conn *c, struct memory_task *t)
{
	struct memory_query q = {.who = t->who, .words = t->words, .limit = FOUND_MAX};
	int r;

	for (int s = 0; s < MEMORY_SCOPES; s++)
		q.scopes[s] = !t->has_scope || s == (int)t->scope;
	r = memory_find(c, &q, t->task.arena, add_found, t);
	if (r == 0 && t->text.n == 0)
		set(t, false, "Nothing was found.");
	return r;
}

static int drop(struct db_conn *c, struct memory_task *t)
{
	int r = memory_delete(c, &t->who, t->scope, t->name);

	if (r >= 0)
		set(t, r == 0, r ? "Deleted." : "There is no note \"%s\" in \"%s\".", t->name,
		    memory_scope_names[t->scope]);
	return MIN(r, 0);
}

static int run(struct db_conn *c, struct db_job *job)
{
	struct memory_task *t = container_of(job, struct memory_task, db);

	buf_clear(&t->text);
	t->is_error = false;
	if (t->tool == &tool_memory_save)
		return save(c, t);
	if (t->tool == &tool_memory_get)
		return get(c, t);
	return t->tool == &tool_memory_delete ? drop(c, t) : find(c, t);
}

static void done(struct db_job *job, int result)
{
	struct memory_task *t = container_of(job, struct memory_task, db);
	struct buf text = t->text;

	if (result < 0)
		tool_task_fail(&t->task, "The memory cannot be reached now. Try again later.");
	else
		tool_task_end(&t->task, t->is_error ? "error" : "done", buf_str(&text));
	buf_deinit(&text);
}

/* A job is over soon. */
static void stop(struct tool_task *t)
{
}

static void start(struct tool_call *c)
{
	struct memory_task *t = (struct memory_task *)tool_task_new(c, sizeof(*t), stop);
	struct arena *a = t->task.arena;
	struct str key = str_of(c->key), execution = str_cut(&key, ':');
	const char *scope = json_get_str(c->arguments, "scope", NULL);

	t->tool = c->tool;
	t->who = (struct memory_who){arena_strdup(a, c->user_id), arena_strdup(a, c->agent_id)};
	t->has_scope = scope != NULL;
	t->scope = memory_scope_of(scope ? scope : "user");
	t->name = arena_strdup(a, json_get_str(c->arguments, "name", ""));
	t->value = arena_strdup(a, json_get_str(c->arguments, "text", ""));
	t->words = arena_strdup(a, json_get_str(c->arguments, "words", ""));
	t->execution_id = arena_strndup(a, execution.p, execution.n);
	t->db = (struct db_job){.run = run, .done = done};
	if (t->tool == &tool_memory_save || t->tool == &tool_memory_delete)
		db_write(c->agent->db, &t->db);
	else
		db_read(c->agent->db, &t->db);
}

static const struct json_field save_fields[] = {
	{"name", JSON_STRING, true, 1, MEMORY_NAME_MAX},
	{"text", JSON_STRING, true, 1, MEMORY_VALUE_MAX},
	{"scope", JSON_STRING},
};
static const struct json_field name_fields[] = {{"name", JSON_STRING, true, 1, MEMORY_NAME_MAX},
						{"scope", JSON_STRING}};
static const struct json_field search_fields[] = {{"words", JSON_STRING, false, 0, 500}, {"scope", JSON_STRING}};

static int check(const struct tool *t, yyjson_val *arguments, struct error *err)
{
	int r = t == &tool_memory_save     ? json_check(arguments, save_fields, ARRAY_SIZE(save_fields), err)
		: t == &tool_memory_search ? json_check(arguments, search_fields, ARRAY_SIZE(search_fields), err)
					   : json_check(arguments, name_fields, ARRAY_SIZE(name_fields), err);
	const char *name = json_get_str(arguments, "name", "");

	if (r < 0)
		return r;
	if (memory_scope_of(json_get_str(arguments, "scope", "user")) == MEMORY_SCOPES)
		return error_set(err, "invalid_field", "\"scope\" is user, agent or shared");
	if (strpbrk(name, "\r\n"))
		return error_set(err, "invalid_field", "\"name\" is one line");
	return 0;
}

/* What everybody's agents are told is not for one agent to say alone. */
static bool is_risky(const struct tool *t, yyjson_val *arguments)
{
	bool changes = t == &tool_memory_save || t == &tool_memory_delete;

	return changes && strcmp(json_get_str(arguments, "scope", "user"), "shared") == 0;
}

static const char *summary(const struct tool *t, yyjson_val *arguments, struct arena *a)
{
	const char *what = json_get_str(arguments, "name", json_get_str(arguments, "words", ""));

	return arena_printf(a, "%s %s", t->spec.name + strlen("memory_"), what);
}

#define SCOPE_PROPERTY                                                                                              \
	"\"scope\":{\"type\":\"string\",\"enum\":[\"user\",\"agent\",\"shared\"],\"description\":\"user: known to " \
	"all agents of this person (the default); agent: to you about this person; shared: to everybody's agents\"}"
#define NAME_PROPERTY "\"name\":{\"type\":\"string\",\"maxLength\":200}"
#define MEMORY_TOOL(what, text, schema)                                                                    \
	const struct tool tool_memory_##what = {                                                           \
		.spec = {.name = "memory_" #what,                                                          \
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

MEMORY_TOOL(save,
	    "Remembers a short text under a name, for later conversations; one of the same name is replaced. For what "
	    "lasts: preferences, facts, decisions. Not for secrets.",
	    "\"properties\":{" NAME_PROPERTY ",\"text\":{\"type\":\"string\",\"maxLength\":8000}," SCOPE_PROPERTY
	    "},\"required\":[\"name\",\"text\"]");
MEMORY_TOOL(get, "Returns the whole text that is remembered under a name.",
	    "\"properties\":{" NAME_PROPERTY "," SCOPE_PROPERTY "},\"required\":[\"name\"]");
MEMORY_TOOL(search, "Finds what is remembered by any of some words, best first; without words, the newest.",
	    "\"properties\":{\"words\":{\"type\":\"string\",\"maxLength\":500}," SCOPE_PROPERTY "}");
MEMORY_TOOL(delete, "Forgets what is remembered under a name.",
	    "\"properties\":{" NAME_PROPERTY "," SCOPE_PROPERTY "},\"required\":[\"name\"]");
