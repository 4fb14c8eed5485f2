#include "log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"

#define MAX_SIZE (10 << 20)
#define KEPT 3
/* A line without end is cut here. */
#define MAX_LINE (64 * 1024)

static void open_file(struct log_sink *s)
{
	struct stat st;

	s->fd = open(s->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	s->size = s->fd >= 0 && fstat(s->fd, &st) == 0 ? (size_t)st.st_size : 0;
	log_copy_to(s->fd);
}

void log_sink_open(struct log_sink *s, const char *data)
{
	s->path = xasprintf("%s/log/ogent.log", data);
	open_file(s);
	if (s->fd < 0)
		log_warn("the log file %s cannot be written: %m", s->path);
}

void log_sink_close(struct log_sink *s)
{
	log_copy_to(-1);
	if (s->fd >= 0)
		close(s->fd);
	free(s->path);
}

static void rotate(struct log_sink *s)
{
	for (int i = KEPT; i >= 1; i--) {
		char *to = xasprintf("%s.%d", s->path, i);
		char *from = i > 1 ? xasprintf("%s.%d", s->path, i - 1) : xstrdup(s->path);
		rename(from, to);
		free(from);
		free(to);
	}
	log_copy_to(-1);
	close(s->fd);
	open_file(s);
}

/* Neither a full disk nor a closed terminal may stop the platform. */
static void write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t written = write(fd, p, n);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return;
		p += written;
		n -= (size_t)written;
	}
}

static void put(struct log_sink *s, const char *p, size_t n)
{
	write_all(STDERR_FILENO, p, n);
	if (s->fd < 0)
		return;
	if (s->size > MAX_SIZE)
		rotate(s);
	write_all(s->fd, p, n);
	s->size += n;
}

void log_sink_take(struct log_sink *s, struct buf *partial, const char *data, size_t n)
{
	const char *last = memrchr(data, '\n', n);
	size_t whole = last ? (size_t)(last - data) + 1 : 0;

	if (whole && partial->n == 0) {
		put(s, data, whole);
	} else if (whole) {
		buf_add(partial, data, whole);
		put(s, partial->p, partial->n);
		buf_clear(partial);
	}
	buf_add(partial, data + whole, n - whole);
	if (partial->n > MAX_LINE)
		log_sink_flush(s, partial);
}

void log_sink_flush(struct log_sink *s, struct buf *partial)
{
	if (partial->n) {
		buf_add_char(partial, '\n');
		put(s, partial->p, partial->n);
	}
	buf_deinit(partial);
}
