#include "output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

static bool is_control(unsigned char c)
{
	return (c < 0x20 && c != '\n' && c != '\t' && c != '\r') || c == 0x7f;
}

/* The length of the escape sequence at the start of `s` (ECMA-48): colours, cursor movements, titles. */
static size_t escape_length(struct str s)
{
	size_t i = 2;

	if (s.n > 1 && s.p[1] == '[') {
		while (i < s.n && (unsigned char)s.p[i] < 0x40)
			i++;
		return MIN(i + 1, s.n);
	}
	if (s.n > 1 && s.p[1] == ']') {
		while (i < s.n && s.p[i] != '\a' && s.p[i] != '\x1b')
			i++;
		return MIN(i + (i < s.n && s.p[i] == '\a'), s.n);
	}
	return 1;
}

void output_tame(struct str s, struct buf *b)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i];
		if (c == '\x1b')
			i += escape_length((struct str){s.p + i, s.n - i}) - 1;
		else if (c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0)
			i++;
		else if (!is_control(c))
			buf_add_char(b, (char)c);
	}
}

static void write_all(int fd, struct str s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EPIPE && fd == STDOUT_FILENO)
			_exit(0);
		if (n < 0 && fd == STDOUT_FILENO) {
			fprintf(stderr, "ogent: writing the output fails: %m\n");
			_exit(1);
		}
		if (n < 0)
			return;
		s.p += n;
		s.n -= (size_t)n;
	}
}

static void put(int fd, struct str s)
{
	struct buf tame = BUF_INIT;

	if (!isatty(fd)) {
		write_all(fd, s);
		return;
	}
	output_tame(s, &tame);
	write_all(fd, buf_str(&tame));
	buf_deinit(&tame);
}

void out_text(struct str text)
{
	put(STDOUT_FILENO, text);
}

void out_printf(const char *fmt, ...)
{
	struct buf b = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	out_text(buf_str(&b));
	buf_deinit(&b);
}

void out_json(const yyjson_val *v)
{
	size_t n;
	char *text = yyjson_val_write(v, YYJSON_WRITE_PRETTY_TWO_SPACES, &n);

	if (text) {
		write_all(STDOUT_FILENO, (struct str){text, n});
		write_all(STDOUT_FILENO, STR("\n"));
	}
	free(text);
}

static bool is_set(const char *name)
{
	const char *value = getenv(name);

	return value && *value && strcmp(value, "0") != 0;
}

static bool has_colour(void)
{
	if (is_set("NO_COLOR"))
		return false;
	return is_set("CLICOLOR_FORCE") || isatty(STDERR_FILENO);
}

void note_text(enum style style, struct str text)
{
	static const char *const starts[] = {"", "\x1b[2m", "\x1b[1m", "\x1b[31m"};
	bool is_styled = style != STYLE_PLAIN && has_colour();

	if (is_styled)
		write_all(STDERR_FILENO, str_of(starts[style]));
	put(STDERR_FILENO, text);
	if (is_styled)
		write_all(STDERR_FILENO, STR("\x1b[0m"));
}

void note_printf(enum style style, const char *fmt, ...)
{
	struct buf b = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	note_text(style, buf_str(&b));
	buf_deinit(&b);
}

const char *one_line(struct arena *a, const char *text, size_t width)
{
	size_t n = strnlen(text, width + 1);
	bool is_cut = n > width;

	if (is_cut) {
		n = width - 1;
		while (n && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
	}
	char *line = arena_printf(a, "%.*s%s", (int)n, text, is_cut ? "…" : "");
	for (char *c = line; *c; c++)
		if (*c == '\n' || *c == '\r' || *c == '\t')
			*c = ' ';
	return line;
}

const char *local_time(struct arena *a, const char *text)
{
	int64_t us;
	struct tm tm;

	if (!text || time_parse(str_of(text), &us) < 0)
		return "-";
	time_t seconds = us / 1000000;
	localtime_r(&seconds, &tm);
	return arena_printf(a, "%04d-%02d-%02d %02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
			    tm.tm_min);
}
