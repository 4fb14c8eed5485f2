#include "agent/automation/rights.h"

#include <stdlib.h>

#include "base/alloc.h"

#define ANSWER_MS 5000
#define MAX_ANSWER (256 * 1024)
#define MAX_NAMES 1000

struct rights_question {
	struct http_fetch *fetch;
	struct arena *arena; /* the caller's */
	struct identity who;
	const char *permissions[2];
	rights_answer *on_answer;
	void *arg;
};

static const char *const *read_names(struct arena *a, yyjson_val *list)
{
	size_t i, max, n = 0;
	yyjson_val *item;
	const char **names = arena_alloc(a, (MIN(yyjson_arr_size(list), MAX_NAMES) + 1) * sizeof(*names));

	yyjson_arr_foreach(list, i, max, item)
	{
		if (n < MAX_NAMES && yyjson_is_str(item))
			names[n++] = yyjson_get_str(item);
	}
	return names;
}

static enum rights judge(struct rights_question *q, int err, int status, struct str body)
{
	yyjson_val *root;

	if (err < 0 || status != 200)
		return RIGHTS_UNKNOWN;
	root = yyjson_doc_get_root(json_parse(q->arena, body.p, body.n, NULL));
	if (!root)
		return RIGHTS_UNKNOWN;
	if (!json_get_bool(root, "active", false))
		return RIGHTS_USER_GONE;
	q->who.name = json_get_str(root, "name", "");
	q->who.roles = read_names(q->arena, json_get_arr(root, "roles"));
	q->who.permissions = read_names(q->arena, json_get_arr(root, "permissions"));
	for (size_t i = 0; i < ARRAY_SIZE(q->permissions); i++)
		if (q->permissions[i] && !identity_may(&q->who, q->permissions[i]))
			return RIGHTS_LOST;
	return RIGHTS_GIVEN;
}

static void on_fetched(void *arg, int err, int status, struct str body)
{
	struct rights_question *q = arg;

	if (q->on_answer) {
		enum rights rights = judge(q, err, status, body);
		struct identity *who = arena_new_of(q->arena, struct identity);

		*who = q->who;
		q->on_answer(q->arg, rights, who);
	}
	free(q);
}

struct rights_question *rights_ask(struct agent *agent, struct arena *a, const char *user_id, const char *permission,
				   const char *second, rights_answer *on_answer, void *arg)
{
	struct rights_question *q = xcalloc(1, sizeof(*q));
	/* By the service itself: the answer is also of use when the user is gone. */
	struct http_headers *headers = service_peer_headers(agent->service, "auth", "", NULL, NULL, a);

	q->arena = a;
	q->who = (struct identity){.user_id = arena_strdup(a, user_id),
				   .service = "",
				   .session_id = "",
				   .client_id = "",
				   .token_id = "",
				   .audience = ""};
	q->permissions[0] = permission;
	q->permissions[1] = second;
	q->on_answer = on_answer;
	q->arg = arg;
	q->fetch = http_fetch(service_peer(agent->service, "auth"), "GET", arena_printf(a, "/users/%s/rights", user_id),
			      headers, NULL, (struct str){0}, MAX_ANSWER, ANSWER_MS, on_fetched, q);
	return q;
}

void rights_cancel(struct rights_question *q)
{
	q->on_answer = NULL;
	http_fetch_cancel(q->fetch);
}
