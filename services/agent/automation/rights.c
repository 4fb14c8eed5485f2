#include "agent/automation/rights.h"

#include <stdlib.h>

#include "base/alloc.h"

#define ANSWER_MS 5000
#define MAX_ANSWER (256 * 1024)
#define MAX_PERMISSIONS 1000

struct rights_question {
	struct http_fetch *fetch;
	struct arena *arena;
	const char *permissions[2];
	void (*on_answer)(void *arg, enum rights rights);
	void *arg;
};

static enum rights judge(const struct rights_question *q, int err, int status, struct str body)
{
	yyjson_val *root, *list, *item;
	const char **names;
	size_t i, max, n = 0;

	if (err < 0 || status != 200)
		return RIGHTS_UNKNOWN;
	root = yyjson_doc_get_root(json_parse(q->arena, body.p, body.n, NULL));
	if (!root)
		return RIGHTS_UNKNOWN;
	if (!json_get_bool(root, "active", false))
		return RIGHTS_USER_GONE;
	list = json_get_arr(root, "permissions");
	names = arena_alloc(q->arena, (MIN(yyjson_arr_size(list), MAX_PERMISSIONS) + 1) * sizeof(*names));
	yyjson_arr_foreach(list, i, max, item)
	{
		if (n < MAX_PERMISSIONS && yyjson_is_str(item))
			names[n++] = yyjson_get_str(item);
	}
	for (i = 0; i < ARRAY_SIZE(q->permissions); i++)
		if (q->permissions[i] && !permissions_allow(names, q->permissions[i]))
			return RIGHTS_LOST;
	return RIGHTS_GIVEN;
}

static void on_fetched(void *arg, int err, int status, struct str body)
{
	struct rights_question *q = arg;
	enum rights rights = judge(q, err, status, body);

	if (q->on_answer)
		q->on_answer(q->arg, rights);
	arena_free(q->arena);
	free(q);
}

struct rights_question *rights_ask(struct agent *agent, const char *user_id, const char *permission, const char *second,
				   void (*on_answer)(void *arg, enum rights rights), void *arg)
{
	struct rights_question *q = xcalloc(1, sizeof(*q));
	struct http_headers *headers;

	q->arena = arena_new();
	q->permissions[0] = arena_strdup(q->arena, permission);
	q->permissions[1] = second ? arena_strdup(q->arena, second) : NULL;
	q->on_answer = on_answer;
	q->arg = arg;
	/* By the service itself: the answer is also of use when the user is gone. */
	headers = service_peer_headers(agent->service, "auth", "", NULL, NULL, q->arena);
	q->fetch = http_fetch(service_peer(agent->service, "auth"), "GET",
			      arena_printf(q->arena, "/users/%s/rights", user_id), headers, NULL, (struct str){0},
			      MAX_ANSWER, ANSWER_MS, on_fetched, q);
	return q;
}

void rights_cancel(struct rights_question *q)
{
	q->on_answer = NULL;
	http_fetch_cancel(q->fetch);
}
