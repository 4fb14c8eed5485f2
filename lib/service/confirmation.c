#include "service/confirmation.h"

#include <stdarg.h>
#include <string.h>

#define ANSWER_MAX 16384
#define ANSWER_MS 5000

struct question {
	struct exchange *x; /* held */
	const char *act;
	void (*done)(void *arg);
	void *arg;
};

void confirmation_act(char ret[static SHA256_HEX_SIZE], ...)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	const char *part;
	va_list ap;

	va_start(ap, ret);
	while ((part = va_arg(ap, const char *)))
		buf_printf(&text, "%zu:%s\n", strlen(part), part);
	va_end(ap);
	sha256_hex(text.p, text.n, ret);
}

#define HOW "POST its `act` to /api/auth/confirmations with a code or a passkey, then repeat this with `confirmation`."

static void require(struct exchange *x, const char *act, yyjson_val *methods, const char *detail)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	json_add_str(doc, obj, "act", act);
	if (methods)
		yyjson_mut_obj_add_val(doc, obj, "methods", yyjson_val_mut_copy(doc, methods));
	reply_header(x, "Cache-Control", "no-store");
	reply_problem_with(x, 403, "confirmation_required", json_text(x->arena, doc), "%s", detail);
}

void confirmation_pass_on(struct exchange *x, yyjson_val *problem)
{
	const char *act = json_get_str(problem, "act", NULL), *detail = json_get_str(problem, "detail", "");

	if (act)
		require(x, act, json_get_arr(problem, "methods"), detail);
	else
		reply_problem(x, 403, "second_factor_needed", "%s", detail);
}

static void judge(struct question *q, yyjson_val *answer)
{
	const char *outcome = json_get_str(answer, "outcome", "");

	if (!strcmp(outcome, "ok"))
		q->done(q->arg);
	else if (!q->x->req)
		return;
	else if (!strcmp(outcome, "needed"))
		require(q->x, q->act, json_get_arr(answer, "methods"), "This needs your second factor: " HOW);
	else if (!strcmp(outcome, "invalid"))
		require(q->x, q->act, json_get_arr(answer, "methods"),
			"The confirmation is too old, or of something else: " HOW);
	else if (!strcmp(outcome, "impossible"))
		reply_problem(
			q->x, 403, "second_factor_needed",
			"Who approves this must confirm it with a second factor, and you have none: set one up on "
			"your account page.");
	else
		reply_problem(q->x, 403, "forbidden", "This account may not do anything any more.");
}

static void on_answer(void *arg, int err, int status, struct str body)
{
	struct question *q = arg;
	struct exchange *x = q->x;

	if (!err && status == 200) {
		judge(q, yyjson_doc_get_root(json_parse(x->arena, body.p, body.n, NULL)));
	} else if (x->req) {
		reply_header(x, "Retry-After", "1");
		reply_problem(x, 503, "unavailable",
			      "Whether you must confirm this cannot be asked just now: nothing was done, try again.");
	}
	exchange_drop(x);
}

void confirmation_ask(struct exchange *x, const char *act, const char *given, void (*done)(void *arg), void *arg)
{
	struct question *q = arena_new_of(x->arena, struct question);
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	*q = (struct question){x, arena_strdup(x->arena, act), done, arg};
	json_add_str(doc, obj, "user_id", x->who.user_id);
	json_add_str(doc, obj, "act", q->act);
	if (given)
		json_add_str(doc, obj, "confirmation", given);
	exchange_hold(x);
	http_fetch(service_peer(x->service, "auth"), "POST", "/confirmations/check",
		   service_peer_headers(x->service, "auth", "", x->request_id, x->traceparent, x->arena),
		   "application/json", json_text(x->arena, doc), ANSWER_MAX, ANSWER_MS, on_answer, q);
}
