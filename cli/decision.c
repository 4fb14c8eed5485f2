#include "decision.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "command.h"
#include "output.h"

static bool is_question(yyjson_val *approval)
{
	return strcmp(json_get_str(approval, "kind", ""), "question") == 0;
}

void decision_print(struct arena *a, yyjson_val *approval)
{
	const char *summary = json_get_str(approval, "summary", NULL), *reason = json_get_str(approval, "reason", NULL);

	if (!summary)
		summary = json_val_text(a, yyjson_obj_get(approval, "arguments")).p;
	note_printf(STYLE_BOLD, is_question(approval) ? "? %s\n" : "May it run this?  %s\n", summary);
	if (reason)
		note_printf(STYLE_DIM, "  %s\n", reason);
}

/* A command line, or a JSON object. Returns false after printing what is wrong. */
static bool add_arguments(yyjson_mut_doc *doc, yyjson_mut_val *body, yyjson_val *approval, const char *text,
			  struct arena *a)
{
	yyjson_val *old = json_get_obj(approval, "arguments"), *root;
	yyjson_mut_val *changed;

	if (json_get_str(old, "command", NULL)) {
		changed = yyjson_val_mut_copy(doc, old);
		yyjson_mut_obj_put(changed, yyjson_mut_str(doc, "command"), yyjson_mut_strcpy(doc, text));
	} else {
		root = yyjson_doc_get_root(json_parse(a, text, strlen(text), NULL));
		if (!yyjson_is_obj(root)) {
			fputs("ogent: the changed arguments must be a JSON object\n", stderr);
			return false;
		}
		changed = yyjson_val_mut_copy(doc, root);
	}
	yyjson_mut_obj_add_val(doc, body, "arguments", changed);
	return true;
}

static void on_interrupt(int number)
{
	/* Nothing: it only ends the waiting for a line. */
}

/* Returns the line without its end in the arena, or NULL with *err -EINTR after Ctrl-C or 0 at the end of the input. */
static const char *read_line(struct arena *a, const char *prompt, int *err)
{
	struct sigaction act = {.sa_handler = on_interrupt}, old;
	char *line = NULL;
	size_t size = 0;

	note_text(STYLE_BOLD, str_of(prompt));
	sigaction(SIGINT, &act, &old);
	errno = 0;
	ssize_t n = getline(&line, &size, stdin);
	*err = n < 0 && errno == EINTR ? -EINTR : 0;
	clearerr(stdin);
	sigaction(SIGINT, &old, NULL);
	const char *ret = n > 0 ? arena_strndup(a, line, (size_t)n - (line[n - 1] == '\n')) : NULL;
	free(line);
	return ret;
}

/* A second factor for what the refusal names. A passkey needs a browser. */
static int confirm(struct session *s, struct arena *a, yyjson_val *refusal, const char **ret)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *body = json_new_obj(a, &doc);
	yyjson_val *answer;
	const char *code;
	int err;
	int r;

	code = read_line(
		a,
		"This is risky. Code of your app, or a recovery code (with a passkey, approve in the browser): ", &err);
	if (!code || !*code)
		return err ? err : EXIT_CANCELLED;
	json_add_str(doc, body, "act", json_get_str(refusal, "act", ""));
	json_add_str(doc, body, "code", code);
	r = session_call(s, a, "POST", "/api/auth/confirmations", json_text(a, doc), &answer);
	*ret = r == EXIT_OK ? json_get_str(answer, "confirmation", "") : NULL;
	return r;
}

int decision_send(struct session *s, struct arena *a, yyjson_val *approval, const char *id, const char *decision,
		  const char *text)
{
	_cleanup_(buf_deinit) struct buf path = BUF_INIT;
	yyjson_mut_doc *doc;
	yyjson_mut_val *body = json_new_obj(a, &doc);
	yyjson_val *answer;
	struct error err = {0};
	const char *confirmation;
	int r, status;

	json_add_str(doc, body, "decision", decision);
	if (strcmp(decision, "approve") == 0)
		json_add_str(doc, body, "hash", json_get_str(approval, "hash", ""));
	if (strcmp(decision, "edit") == 0) {
		if (!add_arguments(doc, body, approval, text ? text : "", a))
			return EXIT_USAGE;
	} else if (text) {
		json_add_str(doc, body, "message", text);
	}
	buf_add_str(&path, "/api/approvals/");
	percent_encode(str_of(id), &path);
	r = session_refresh(s);
	if (r != EXIT_OK)
		return r;
	status = client_call(s->client, a, "POST", path.p, json_text(a, doc), &answer, &err);
	if (status >= 200 && status < 300)
		return EXIT_OK;
	if (status != 403 || strcmp(err.code, "confirmation_required") != 0)
		return session_fail(status, &err);
	r = confirm(s, a, answer, &confirmation);
	if (r != EXIT_OK)
		return r;
	json_add_str(doc, body, "confirmation", confirmation);
	return session_call(s, a, "POST", path.p, json_text(a, doc), &answer);
}

/* One letter, as the prompt names them; anything else is what the agent is told with a rejection. */
static int decide_call(struct session *s, struct arena *a, yyjson_val *approval, const char *id, const char *line)
{
	const char *text;
	int err;

	if (strcmp(line, "y") == 0)
		return decision_send(s, a, approval, id, "approve", NULL);
	if (strcmp(line, "e") == 0) {
		text = read_line(a, "instead: ", &err);
		return text ? decision_send(s, a, approval, id, "edit", text) : err;
	}
	return decision_send(s, a, approval, id, "reject", strcmp(line, "n") == 0 ? NULL : line);
}

int decision_ask(struct session *s, struct arena *a, yyjson_val *approval, const char *id)
{
	int err;
	const char *line;

	decision_print(a, approval);
	do
		line = read_line(a, is_question(approval) ? "answer: " : "y, n, e to change it, or why not: ", &err);
	while (line && !*line);
	if (!line)
		return err ? err : EXIT_CANCELLED;
	if (is_question(approval))
		return decision_send(s, a, approval, id, "answer", line);
	return decide_call(s, a, approval, id, line);
}
