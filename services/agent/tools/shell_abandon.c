/* Stopping a command that an earlier process may have started: looked up by its key, then cancelled. exec may be away
 * for a while; it is asked again until it has answered. */
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/tools/tools.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/id.h"

#define ANSWER_MS 2000 /* no answer by then: asked again */
#define AGAIN_MS 500
#define GIVE_UP_MS (120 * 1000)
#define MAX_ANSWER (64 * 1024)

struct abandoned {
	struct background background;
	struct agent *agent;
	char *user_id, *key;
	char command_id[ID_SIZE]; /* once it is known */
	uint64_t give_up_at;      /* monotonic us */
	struct http_fetch *fetch;
	struct arena *arena; /* of the request */
	struct deadline again;
	bool is_left;
};

static void done(struct abandoned *b)
{
	list_remove(&b->background.link);
	deadline_clear(&b->again);
	arena_free(b->arena);
	free(b->user_id);
	free(b->key);
	free(b);
}

static void ask(struct abandoned *b);

static void take_list(struct abandoned *b, struct str body)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, body.p, body.n, NULL));
	yyjson_val *command = yyjson_arr_get_first(json_get_arr(root, "items"));

	snprintf(b->command_id, sizeof(b->command_id), "%s", json_get_str(command, "id", ""));
}

static void on_answer(void *arg, int err, int status, struct str body)
{
	struct abandoned *b = arg;
	bool is_looking = !b->command_id[0];

	b->fetch = NULL;
	arena_free(b->arena);
	b->arena = NULL;
	if (b->is_left || clock_mono_us() > b->give_up_at) {
		done(b);
	} else if (err < 0 || status >= 500 || status == 401) {
		deadline_set(service_wheel(b->agent->service), &b->again, AGAIN_MS);
	} else if (is_looking && status == 200) {
		take_list(b, body);
		if (b->command_id[0])
			ask(b);
		else
			done(b); /* it was not started, or it has ended */
	} else {
		done(b);
	}
}

static void on_again(struct deadline *d)
{
	ask(container_of(d, struct abandoned, again));
}

static void ask(struct abandoned *b)
{
	struct service *s = b->agent->service;
	_cleanup_(buf_deinit) struct buf target = BUF_INIT;
	bool is_looking = !b->command_id[0];

	b->arena = arena_new();
	if (is_looking) {
		buf_add_str(&target, "/api/commands?key=");
		percent_encode(str_of(b->key), &target);
		buf_printf(&target, "&user=%s", b->user_id);
	} else {
		buf_printf(&target, "/api/commands/%s/cancel", b->command_id);
	}
	/* By the service itself: it stops what it began, whatever the user may by now. */
	struct http_headers *headers = service_peer_headers(s, "exec", "", NULL, NULL, b->arena);
	b->fetch = http_fetch(service_peer(s, "exec"), is_looking ? "GET" : "POST", target.p, headers, NULL,
			      (struct str){0}, MAX_ANSWER, ANSWER_MS, on_answer, b);
}

static void leave(struct background *background)
{
	struct abandoned *b = container_of(background, struct abandoned, background);

	b->is_left = true;
	if (b->fetch)
		http_fetch_cancel(b->fetch);
	else
		done(b);
}

void shell_abandon(const struct tool *t, struct agent *agent, const char *user_id, const char *key)
{
	struct abandoned *b = xcalloc(1, sizeof(*b));

	b->background.leave = leave;
	list_append(&agent->background, &b->background.link);
	b->agent = agent;
	b->user_id = xstrdup(user_id);
	b->key = xstrdup(key);
	b->give_up_at = clock_mono_us() + GIVE_UP_MS * 1000ull;
	deadline_init(&b->again, on_again);
	ask(b);
}
