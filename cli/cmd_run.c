#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "talk.h"

#define SCHEMA_MAX (64 * 1024)

/* A file with a JSON Schema. Returns false after saying why not. */
static bool read_schema(const char *path, struct buf *ret)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct error err = {0};
	char piece[4096];
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f) {
		fprintf(stderr, "ogent: %s cannot be read: %s\n", path, strerror(errno));
		return false;
	}
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0 && ret->n <= SCHEMA_MAX)
		buf_add(ret, piece, n);
	fclose(f);
	if (ret->n <= SCHEMA_MAX &&
	    yyjson_is_obj(yyjson_doc_get_root(json_parse(a, ret->p ? ret->p : "", ret->n, &err))))
		return true;
	fprintf(stderr, "ogent: %s is no JSON Schema of at most %d KiB: %s\n", path, SCHEMA_MAX >> 10,
		err.message[0] ? err.message : "it must be an object");
	return false;
}

int cmd_run(const struct command *self, int argc, char **argv)
{
	const char *agent = NULL, *conversation = NULL, *url = NULL, *schema = NULL, *attach = NULL;
	bool is_json = false;
	const struct flag flags[] = {{"agent", &agent},   {"conversation", &conversation},
				     {"url", &url},       {"schema", &schema},
				     {"attach", &attach}, {"json", NULL, &is_json}};
	struct args args;
	struct session session;
	struct buf message = BUF_INIT, schema_text = BUF_INIT;
	int r;

	if (!args_read(self, argc, argv, flags, ARRAY_SIZE(flags), &args, &r))
		return r;
	if (args.n_rest > 1) {
		r = usage_error(self, "more than one TEXT: put it into quotes");
		goto out;
	}
	if (args.n_rest)
		buf_add_str(&message, args.rest[0]);
	else if (!talk_read_stdin(&message, &r))
		goto out;
	if (schema && !read_schema(schema, &schema_text)) {
		r = EXIT_USAGE;
		goto out;
	}
	if ((r = session_open(&session, args.options, url)) != EXIT_OK)
		goto out;
	struct talk t = {.session = &session,
			 .mode = is_json ? TALK_EVENTS : TALK_FINAL,
			 .schema = schema_text.p,
			 .attach = attach};
	r = talk_open(&t, agent, conversation);
	if (r == EXIT_OK)
		r = talk_send(&t, buf_str(&message));
	session_close(&session);
out:
	buf_deinit(&message);
	buf_deinit(&schema_text);
	args_deinit(&args);
	return r;
}
