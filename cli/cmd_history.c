#include "args.h"
#include "base/encode.h"
#include "output.h"
#include "session.h"

static const char *duration(struct arena *a, yyjson_val *execution)
{
	int64_t ms = json_get_int(execution, "duration_ms", -1);

	return ms < 0 ? "-" : arena_printf(a, "%lld.%llds", (long long)ms / 1000, (long long)ms % 1000 / 100);
}

static void print_line(struct arena *a, yyjson_val *e)
{
	out_printf("%s  %s  %-9s  %7s  %3lld  %-14s  %s\n", json_get_str(e, "id", ""),
		   local_time(a, json_get_str(e, "created_at", NULL)), json_get_str(e, "status", ""), duration(a, e),
		   (long long)json_get_int(e, "commands", 0), one_line(a, json_get_str(e, "agent_name", ""), 14),
		   one_line(a, json_get_str(e, "input", ""), 60));
}

static int print_list(struct session *s, struct arena *a, const char *limit, bool is_json)
{
	yyjson_val *answer, *execution;
	size_t i, n;
	uint64_t count = 20;

	if (limit && (str_to_u64(str_of(limit), 200, &count) < 0 || count == 0)) {
		fprintf(stderr, "ogent history: --limit is a number from 1 to 200\n");
		return EXIT_USAGE;
	}
	char *path = arena_printf(a, "/api/executions?limit=%llu", (unsigned long long)count);
	int r = session_call(s, a, "GET", path, (struct str){0}, &answer);
	if (r != EXIT_OK)
		return r;
	yyjson_val *items = json_get_arr(answer, "items");
	if (is_json)
		out_json(items);
	else
		yyjson_arr_foreach(items, i, n, execution)
		{
			print_line(a, execution);
		}
	return EXIT_OK;
}

static void print_call(struct arena *a, yyjson_val *call)
{
	const char *output = json_get_str(call, "output", ""), *status = json_get_str(call, "status", "");
	yyjson_val *code = yyjson_obj_get(call, "exit_code");

	out_printf("\n$ %s\n%s%s", json_get_str(call, "command", json_get_str(call, "name", "?")), output,
		   *output && output[strlen(output) - 1] != '\n' ? "\n" : "");
	if (yyjson_is_int(code))
		out_printf("[%s, exit code %lld, %s]\n", status, (long long)yyjson_get_sint(code), duration(a, call));
	else
		out_printf("[%s]\n", status);
}

static int print_one(struct session *s, struct arena *a, const char *id, bool is_json)
{
	struct buf path = BUF_INIT;
	yyjson_val *e, *call;
	size_t i, n;

	buf_add_str(&path, "/api/executions/");
	percent_encode(str_of(id), &path);
	int r = session_call(s, a, "GET", path.p, (struct str){0}, &e);
	buf_deinit(&path);
	if (r != EXIT_OK)
		return r;
	if (is_json) {
		out_json(e);
		return EXIT_OK;
	}
	out_printf("%s  %s  %s  %s  %s\n\n> %s\n", json_get_str(e, "id", ""),
		   local_time(a, json_get_str(e, "created_at", NULL)), json_get_str(e, "status", ""), duration(a, e),
		   json_get_str(e, "agent_name", ""), json_get_str(e, "input", ""));
	yyjson_arr_foreach(json_get_arr(e, "calls"), i, n, call)
	{
		print_call(a, call);
	}
	const char *output = json_get_str(e, "output", NULL);
	const char *error = json_get_str(json_get_obj(e, "error"), "message", NULL);
	if (output)
		out_printf("\n%s\n", output);
	if (error)
		out_printf("\nError: %s\n", error);
	return EXIT_OK;
}

int cmd_history(const struct command *self, int argc, char **argv)
{
	const char *url = NULL, *limit = NULL;
	bool is_json = false;
	const struct flag flags[] = {{"url", &url}, {"limit", &limit}, {"json", NULL, &is_json}};
	struct args args;
	struct session session;
	int r;

	if (!args_read(self, argc, argv, flags, ARRAY_SIZE(flags), &args, &r))
		return r;
	struct arena *a = arena_new();
	if (args.n_rest > 1)
		r = usage_error(self, "one ID at a time");
	else if ((r = session_open(&session, args.options, url)) == EXIT_OK) {
		r = args.n_rest ? print_one(&session, a, args.rest[0], is_json)
				: print_list(&session, a, limit, is_json);
		session_close(&session);
	}
	arena_free(a);
	args_deinit(&args);
	return r;
}
