/* /readyz for the outside: whether each role is ready. All are asked at once; what has not answered in time is missing.
 */
#include "gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "fields.h"

#define ANSWER_MS 2000
#define ANSWER_MAX 16384

struct probe {
	struct readiness *readiness;
	struct http_fetch *fetch; /* NULL when it has answered */
	char *reason;             /* NULL = ready */
	bool answered;
};

/* The question to all roles. Lives until the last has answered. */
struct readiness {
	struct visit *visit; /* NULL once the client was answered or has left */
	struct probe probes[ROLE_COUNT];
	unsigned waiting;
	struct deadline deadline;
};

static void add_reason(yyjson_mut_doc *doc, yyjson_mut_val *list, const char *name, const char *reason)
{
	yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, list);

	json_add_str(doc, item, "name", name);
	json_add_str(doc, item, "reason", reason);
}

/* Whichever thread is asked: each has keys of its own, and the next request may be another's. */
static const char *missing_keys(const struct gateway *g)
{
	const char *missing = NULL;

	for (unsigned i = 0; i < g->n_workers && !missing; i++)
		missing = keyring_missing(g->workers[i].keyring);
	return missing;
}

static yyjson_mut_val *add_roles(const struct readiness *q, struct gateway_worker *w, yyjson_mut_doc *doc,
				 yyjson_mut_val *obj)
{
	yyjson_mut_val *roles = yyjson_mut_obj_add_obj(doc, obj, "roles"), *reasons = yyjson_mut_arr(doc);
	const char *keys = missing_keys(w->gateway);

	for (size_t i = 0; i < ROLE_COUNT; i++) {
		const struct probe *p = &q->probes[i];
		const char *reason = p->answered ? p->reason : "no answer in time";

		yyjson_mut_obj_add_bool(doc, roles, role_names[i], !reason);
		if (reason)
			add_reason(doc, reasons, role_names[i], reason);
	}
	if (keys)
		add_reason(doc, reasons, "gateway", keys);
	if (w->is_leaving)
		add_reason(doc, reasons, "gateway", "the gateway is about to stop");
	return reasons;
}

static void answer(struct readiness *q)
{
	struct visit *v = q->visit;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(v->arena, &doc), *reasons;
	struct http_headers *h = visit_headers(v);
	struct str text;
	bool ready;

	reasons = add_roles(q, v->worker, doc, obj);
	ready = !yyjson_mut_arr_size(reasons);
	yyjson_mut_obj_add_str(doc, obj, "status", ready ? "ready" : "not_ready");
	yyjson_mut_obj_add_val(doc, obj, "reasons", reasons);
	fields_add(h, STR("Cache-Control"), STR("no-store"));
	if (!ready)
		fields_add(h, STR("Retry-After"), STR("1"));
	text = json_text(v->arena, doc);
	http_reply(v->r, ready ? 200 : 503, "application/json", h, text.p, text.n);
}

/* Answers, if somebody still waits for it. What is under way is not needed any more. */
static void finish(struct readiness *q)
{
	struct visit *v = q->visit;

	deadline_clear(&q->deadline);
	if (!v)
		return;
	if (v->r)
		answer(q);
	q->visit = NULL;
	v->readiness = NULL;
	for (size_t i = 0; i < ROLE_COUNT; i++)
		if (q->probes[i].fetch)
			http_fetch_cancel(q->probes[i].fetch);
	visit_release(v);
}

static void on_deadline(struct deadline *d)
{
	finish(container_of(d, struct readiness, deadline));
}

/* The first reason in a role's own answer. */
static char *reason_of(struct str body)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_doc *doc = json_parse(a, body.p, body.n, NULL);
	yyjson_val *first = yyjson_arr_get_first(json_get_arr(doc ? yyjson_doc_get_root(doc) : NULL, "reasons"));
	const char *reason = first ? json_get_str(first, "reason", NULL) : NULL;

	return xstrdup(reason ? reason : "not ready");
}

static void on_answer(void *arg, int err, int status, struct str body)
{
	struct probe *p = arg;
	struct readiness *q = p->readiness;

	p->fetch = NULL;
	p->answered = true;
	if (err)
		p->reason = xasprintf("cannot be reached: %s", strerror(-err));
	else if (status != 200)
		p->reason = reason_of(body);
	if (--q->waiting)
		return;
	finish(q);
	for (size_t i = 0; i < ROLE_COUNT; i++)
		free(q->probes[i].reason);
	free(q);
}

void ready_start(struct visit *v)
{
	struct readiness *q = xcalloc(1, sizeof(*q));
	struct gateway_worker *w = v->worker;

	q->visit = v;
	q->waiting = ROLE_COUNT;
	v->readiness = q;
	deadline_init(&q->deadline, on_deadline);
	deadline_set(w->wheel, &q->deadline, ANSWER_MS);
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		q->probes[i].readiness = q;
		q->probes[i].fetch = http_fetch(w->pools[i], "GET", "/readyz", NULL, NULL, (struct str){0}, ANSWER_MAX,
						ANSWER_MS, on_answer, &q->probes[i]);
	}
}

void ready_cancel(struct visit *v)
{
	if (v->readiness)
		finish(v->readiness);
}
