#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"

/* A longer message or value is cut, so that a line stays a line for whoever collects them. */
#define MAX_TEXT 4096
#define COLLECT_MAX (64 * 1024)

static struct {
	char service[32];
	enum log_level level;
	bool is_set;
	bool is_file; /* the standard error output is one */
	int copy;
	char begin[4][256]; /* of a line in JSON, by level: what stands between its time and its message */
	size_t begin_n[4];
} self = {.service = "ogent", .level = LOG_INFO, .copy = -1};

bool log_is_json;

/* The lines that a thread has collected. */
static _Thread_local struct buf collected;
static _Thread_local bool collects;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_init(const char *service, enum log_level level, bool json)
{
	struct stat st;

	snprintf(self.service, sizeof(self.service), "%s", service);
	self.level = level;
	log_is_json = json;
	self.is_set = true;
	self.is_file = fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode);
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++) {
		_cleanup_(buf_deinit) struct buf text = BUF_INIT;

		json_quote(&text, str_of(self.service));
		self.begin_n[i] =
			(size_t)snprintf(self.begin[i], sizeof(self.begin[i]),
					 "\",\"level\":\"%s\",\"service\":%s,\"message\":", level_names[i], text.p);
	}
}

void log_copy_to(int fd)
{
	self.copy = fd;
}

int log_level_from_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++)
		if (strcmp(name, level_names[i]) == 0)
			return (int)i;
	return -EINVAL;
}

bool log_enabled(enum log_level level)
{
	return level >= self.level;
}

/* Not within a character. */
static struct str cut_str(struct str s)
{
	size_t n = MIN(s.n, (size_t)MAX_TEXT);

	while (n && n < s.n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	return (struct str){s.p, n};
}

static struct str cut(const char *s)
{
	return cut_str((struct str){s, strnlen(s, MAX_TEXT + 1)});
}

/* As it is, but for control characters, which could play with a terminal: \xNN. C1 ones are two bytes in UTF-8. */
static void add_plain(struct buf *line, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i];
		if (c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0)
			buf_printf(line, "\\x%02x", (unsigned char)s.p[++i]);
		else if (c < 0x20 || c == 0x7f)
			buf_printf(line, "\\x%02x", c);
		else
			buf_add_char(line, (char)c);
	}
}

static bool needs_quotes(struct str s)
{
	if (s.n == 0)
		return true;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == '"' || s.p[i] == '=')
			return true;
	return false;
}

static void add_name(struct buf *line, struct str name)
{
	char *at;

	if (!log_is_json) {
		buf_add_char(line, ' ');
		add_plain(line, name);
		buf_add_char(line, '=');
		return;
	}
	buf_reserve(line, name.n + 4);
	at = line->p + line->n;
	memcpy(at, ",\"", 2); /* names are ours and need no escapes */
	memcpy(at + 2, name.p, name.n);
	memcpy(at + 2 + name.n, "\":", 3);
	line->n += name.n + 4;
}

static void add_quoted(struct buf *line, struct str value)
{
	const char *quote = needs_quotes(value) ? "\"" : "";

	buf_add_str(line, quote);
	add_plain(line, value);
	buf_add_str(line, quote);
}

static void add_field(struct buf *line, const char *name, const char *value)
{
	add_name(line, cut(name));
	if (!log_is_json)
		add_quoted(line, cut(value ? value : ""));
	else if (value)
		json_quote(line, cut(value));
	else
		buf_add(line, "null", 4);
}

/* Up to the message. */
static void start(struct buf *line, enum log_level level, int64_t now_us)
{
	char time[TIME_TEXT_SIZE];

	time_format(now_us, time);
	if (log_is_json) {
		buf_add(line, "{\"time\":\"", 9);
		buf_add(line, time, 27);
		buf_add(line, self.begin[level], self.begin_n[level]);
		return;
	}
	buf_printf(line, "%.23sZ %-5s %s: ", time, level_names[level], self.service);
}

static void start_line(struct buf *line, enum log_level level, struct str message)
{
	start(line, level, clock_now_us());
	if (log_is_json)
		json_quote(line, message);
	else
		add_plain(line, message);
}

static void start_plain_line(struct buf *line, enum log_level level, struct str message, int64_t now_us)
{
	start(line, level, now_us);
	if (log_is_json)
		buf_add_char(line, '"');
	buf_add(line, message.p, message.n);
	if (log_is_json)
		buf_add_char(line, '"');
}

/* How many of the bytes are for one write. A pipe keeps only so many together, and others write into it as well: it
 * gets whole lines up to there. */
static size_t portion(struct str lines, bool is_file)
{
	const char *end;

	if (is_file || lines.n <= PIPE_BUF)
		return lines.n;
	end = memrchr(lines.p, '\n', PIPE_BUF);
	if (!end)
		end = memchr(lines.p + PIPE_BUF, '\n', lines.n - PIPE_BUF);
	return end ? (size_t)(end + 1 - lines.p) : lines.n;
}

static void write_to(int fd, struct str lines, bool is_file)
{
	while (lines.n) {
		size_t part = portion(lines, is_file);
		ssize_t n;

		do
			n = write(fd, lines.p, part);
		while (n < 0 && errno == EINTR);
		lines.p += part;
		lines.n -= part;
	}
}

static void write_all(const struct buf *lines)
{
	write_to(STDERR_FILENO, buf_str(lines), self.is_file);
	if (self.copy >= 0)
		write_to(self.copy, buf_str(lines), true);
}

bool log_waits(void)
{
	return collected.n > 0;
}

void log_flush(void)
{
	if (!collected.n)
		return;
	write_all(&collected);
	buf_clear(&collected);
}

void log_collect(bool on)
{
	collects = on;
	if (on)
		return;
	log_flush();
	buf_deinit(&collected);
}

/* A line begins where the thread collects, or in a buffer of its own. */
static struct buf *line_new(struct buf *own)
{
	struct buf *line = collects ? &collected : own;

	buf_reserve(line, 600); /* an ordinary line is allocated once */
	return line;
}

static void line_end(struct buf *line, enum log_level level)
{
	buf_add_str(line, log_is_json ? "}\n" : "\n");
	if (line != &collected) {
		write_all(line);
		buf_deinit(line);
	} else if (level >= LOG_WARN || line->n >= COLLECT_MAX) {
		log_flush();
	}
}

static void set_defaults(void)
{
	if (!self.is_set)
		log_init("ogent", LOG_INFO, !isatty(STDERR_FILENO));
}

void log_event(enum log_level level, const char *message, ...)
{
	int saved = errno;
	struct buf own = BUF_INIT, *line;
	const char *name;
	va_list ap;

	if (!log_enabled(level))
		return;
	set_defaults();
	line = line_new(&own);
	start_line(line, level, cut(message));
	va_start(ap, message);
	while ((name = va_arg(ap, const char *))) {
		const char *value = va_arg(ap, const char *);
		add_field(line, name, value);
	}
	va_end(ap);
	line_end(line, level);
	errno = saved;
}

struct buf *log_begin(enum log_level level, struct str message, int64_t now_us)
{
	static _Thread_local struct buf own;
	struct buf *line;

	if (!log_enabled(level))
		return NULL;
	set_defaults();
	line = line_new(&own);
	start_plain_line(line, level, message, now_us);
	return line;
}

void log_quoted(struct buf *line, struct str name, struct str value)
{
	add_name(line, name);
	add_quoted(line, value);
}

void log_text(struct buf *line, struct log_name name, struct str value)
{
	if (value.n <= MAX_TEXT && (!log_is_json || json_is_plain(value))) {
		log_plain(line, name, value);
		return;
	}
	if (value.n > MAX_TEXT)
		value = cut_str(value);
	add_name(line, name.text);
	if (log_is_json)
		json_quote(line, value);
	else
		add_quoted(line, value);
}

/* Decimal digits in front of `end`. Returns the first. */
static char *put_digits(char *end, uint64_t n)
{
	do
		*--end = (char)('0' + n % 10);
	while (n /= 10);
	return end;
}

/* A number is a text in JSON. */
void log_number(struct buf *line, struct log_name name, uint64_t value)
{
	char text[32], *end = text + sizeof(text), *at = put_digits(end, value);

	log_plain(line, name, (struct str){at, (size_t)(end - at)});
}

void log_ms(struct buf *line, struct log_name name, uint64_t us)
{
	char text[32], *end = text + sizeof(text), *dot = put_digits(end, 1000 + us % 1000), *at;

	*dot = '.'; /* in place of the 1, which was there for the zeros */
	at = put_digits(dot, us / 1000);
	log_plain(line, name, (struct str){at, (size_t)(end - at)});
}

void log_end(struct buf *line, enum log_level level)
{
	int saved = errno;

	line_end(line, level);
	errno = saved;
}

static void log_v(enum log_level level, const char *fmt, va_list ap)
{
	struct buf message = BUF_INIT, own = BUF_INIT, *line;

	set_defaults();
	buf_vprintf(&message, fmt, ap);
	line = line_new(&own);
	start_line(line, level, cut(message.n ? message.p : ""));
	line_end(line, level);
	buf_deinit(&message);
}

void log_printf(enum log_level level, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	log_v(level, fmt, ap);
	va_end(ap);
	errno = saved;
}

void fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_v(LOG_ERROR, fmt, ap);
	va_end(ap);
	exit(1);
}
