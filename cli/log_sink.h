/* The one log of an embedded platform: what the roles write goes to stderr and to <data>/log/ogent.log, which is
 * rotated (ogent.log.1 is the newest old one). Lines stay whole. */
#pragma once

#include "base/buf.h"

struct log_sink {
	char *path;
	int fd;      /* -1: the file cannot be written; stderr goes on */
	size_t size; /* of the file */
};

void log_sink_open(struct log_sink *s, const char *data);
void log_sink_close(struct log_sink *s);
/* Takes bytes of one role's stream; `partial` is that stream's own and keeps an unfinished line. */
void log_sink_take(struct log_sink *s, struct buf *partial, const char *data, size_t n);
/* The stream has ended. */
void log_sink_flush(struct log_sink *s, struct buf *partial);
