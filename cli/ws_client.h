/* A WebSocket to the platform, on the client's loop: over its own connections (http://, unix:), or libcurl's TLS. */
#pragma once

#include "client.h"
#include "io/ws.h"

struct ws_tls;

struct ws_client {
	/* Set before ws_client_start. on_message: whole messages. on_end comes once, last, and may come from
	 * within ws_client_start: the close code, or 1006; a refused request has its status. None of them may deinit
	 * it. */
	void (*on_message)(void *arg, enum ws_opcode op, const char *data, size_t n);
	void (*on_end)(void *arg, int code);
	void *arg;

	int status; /* of the answer; 101 once it is open */
	bool has_ended, is_calling;

	/* Its own. */
	struct client *client;
	struct arena *arena;
	struct http_call call;
	struct ws_parser parser;
	struct stream *stream; /* without TLS */
	struct ws_tls *tls;
	char accept[29];
	int code; /* of the end */
};

void ws_client_start(struct client *c, struct ws_client *w, const char *path);
bool ws_client_is_open(const struct ws_client *w);
void ws_client_send(struct ws_client *w, enum ws_opcode op, const void *data, size_t n);
/* Bytes that were not taken yet. */
size_t ws_client_queued(const struct ws_client *w);
/* Ends it, if it has not ended, without a word more; then it is at rest. */
void ws_client_deinit(struct ws_client *w);
