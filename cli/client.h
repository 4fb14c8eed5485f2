/* A blocking HTTP client for one platform, on a loop of its own: lib/io's client for http:// and unix:, libcurl for
 * https://. Requests may run side by side while one of them is waited for (cancelling a run while its events stream).
 */
#pragma once

#include <uv.h>

#include "base/json.h"
#include "io/http_client.h"
#include "io/outbound.h"
#include "io/sse.h"

struct client;

/* url: "http://HOST:PORT", "https://HOST", "unix:/path" or "HOST:PORT". Returns NULL with err set. */
struct client *client_new(const char *url, struct error *err);
void client_free(struct client *c);
DEFINE_CLEANUP(struct client *, client_free)
const char *client_url(const struct client *c);
uv_loop_t *client_loop(struct client *c);
struct wheel *client_wheel(struct client *c);
/* NULL: its address is one with TLS. */
struct http_pool *client_pool(struct client *c);
/* "" = none. */
const char *client_token(const struct client *c);
/* Sent as a bearer token from now on; NULL or "" for none. */
void client_set_token(struct client *c, const char *token);

struct request {
	/* What came. Valid once it is done. */
	int err;         /* 0, or -errno: no whole answer came; `error` has the sentence */
	int status;      /* of the answer, 0 before its head */
	struct buf body; /* unless it goes to on_event */
	struct error error;
	bool is_done;

	/* Set before request_start for a stream of server-sent events; false from it ends the stream, with err 0. */
	bool (*on_event)(void *arg, const struct sse_event *ev);
	/* The same for the bytes of a 2xx answer; false ends it with -ECANCELED. */
	bool (*on_body)(void *arg, const char *data, size_t n);
	void *arg;
	/* Of the body that is sent, when it is no JSON; it is not copied then. */
	const char *type;

	/* Its own. */
	struct client *client;
	struct arena *arena;
	struct sse_parser sse;
	bool is_stopped;
	union {
		struct http_call http;
		struct outbound_call out;
	};
};

/* `json` is the body or empty. The request is at rest again after request_wait and must then be deinited. */
void request_start(struct client *c, struct request *r, const char *method, const char *path, struct str json);
void request_wait(struct request *r);
void request_deinit(struct request *r);

/* The request, from its start to its end; r is as for request_start and is deinited. As client_call. */
int client_exchange(struct client *c, struct arena *a, struct request *r, const char *method, const char *path,
		    struct str body, yyjson_val **ret, struct error *err);
/* One whole exchange. Returns the status with the answer's JSON in *ret (in the arena; NULL without one), or -errno
 * with err set. A problem document's sentence and code are in err too. ret may be NULL. */
int client_call(struct client *c, struct arena *a, const char *method, const char *path, struct str json,
		yyjson_val **ret, struct error *err);
