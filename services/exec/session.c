#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/json.h"
#include "base/utf8.h"
#include "files.h"

void session_init(struct session *s, int dir_fd)
{
	*s = (struct session){dir_fd, -1, 0};
}

void session_line(struct buf *out, uint64_t at_ms, char kind, struct str text)
{
	_cleanup_(buf_deinit) struct buf clean = BUF_INIT;
	struct utf8_carry carry = {0};

	utf8_clean(&carry, text.p, text.n, true, &clean);
	buf_printf(out, "[%llu.%03u,\"%c\",", (unsigned long long)(at_ms / 1000), (unsigned)(at_ms % 1000), kind);
	json_quote(out, buf_str(&clean));
	buf_add_str(out, "]\n");
}

/* Whole lines or none: a failure (a full disk) ends the file. */
static void add(struct session *s, uint32_t at_ms, char kind, struct str text)
{
	_cleanup_(buf_deinit) struct buf line = BUF_INIT;

	if (s->size >= SESSION_MAX)
		return;
	if (s->fd < 0)
		s->fd = openat(s->dir_fd, SESSION_FILE, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	session_line(&line, at_ms, kind, text);
	if (s->fd < 0 || write(s->fd, line.p, line.n) != (ssize_t)line.n)
		s->size = SESSION_MAX;
	else
		s->size += line.n;
}

void session_resize(struct session *s, uint32_t at_ms, const struct tty_size *size)
{
	char text[32];

	snprintf(text, sizeof(text), "%ux%u", size->cols, size->rows);
	add(s, at_ms, 'r', str_of(text));
}

void session_input(struct session *s, uint32_t at_ms, const char *data, size_t n)
{
	add(s, at_ms, 'i', (struct str){data, n});
}

int session_read(int dir_fd, struct arena *a, struct str *ret)
{
	int r = file_read(dir_fd, SESSION_FILE, 2 * SESSION_MAX, a, ret);

	if (r == -ENOENT)
		*ret = (struct str){0};
	return r == -ENOENT ? 0 : r;
}
