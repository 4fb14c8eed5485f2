/* What listener.c and connecting.c know of a stream. */
#pragma once

#include "io/stream.h"

/* A handle that is not connected yet: give it to uv_accept or uv_tcp_connect, then stream_connected. Throw it away
 * with stream_close. */
struct stream *stream_new(uv_loop_t *loop, struct wheel *wheel, bool is_unix);
uv_stream_t *stream_handle(struct stream *s);
void stream_connected(struct stream *s);
/* A thread that had streams ends: gives back what it read into. */
void stream_thread_end(void);
