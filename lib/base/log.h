/* One line per event on stderr: JSON when the option log_format is "json", short text for people when "text" (the
 * default on a terminal). errno is preserved. Library code does not log: it returns; the program logs once. No secrets.
 */
#pragma once

#include <string.h>

#include "base/buf.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* `service` is in every line. Call again after options are read. */
void log_init(const char *service, enum log_level level, bool json);
/* Each line also goes to this descriptor; -1 = no more. */
void log_copy_to(int fd);
int log_level_from_name(const char *name); /* -EINVAL for an unknown one */

/* Fields are pairs of name and value (const char *), ended by NULL: LOG(INFO, "listening", "address", a, NULL). */
void log_event(enum log_level level, const char *message, ...) __attribute__((sentinel));
/* A field's name, which needs no escapes, for a line that is made piece by piece: as it is, and as JSON has it. */
struct log_name {
	struct str text, json;
};
#define LOG_NAME(name) ((struct log_name){STR(name), STR(",\"" name "\":\"")})

/* The same piece by piece, for lines that every request leaves; its message needs no escapes. now_us: wall time. NULL:
 * the level is not logged. */
struct buf *log_begin(enum log_level level, struct str message, int64_t now_us);
void log_text(struct buf *line, struct log_name name, struct str value);
/* A decimal number as a text. */
void log_number(struct buf *line, struct log_name name, uint64_t value);
/* Microseconds as milliseconds with three places. */
void log_ms(struct buf *line, struct log_name name, uint64_t us);
void log_end(struct buf *line, enum log_level level);

extern bool log_is_json; /* what log_init was told */
void log_quoted(struct buf *line, struct str name, struct str value);

/* log_text for what needs no escapes whatever it is: ids, names of ours, addresses. In line, where the name's length is
 * known and its copy no call. */
static inline __attribute__((always_inline)) void log_plain(struct buf *line, struct log_name name, struct str value)
{
	char *at;

	if (!log_is_json) {
		log_quoted(line, name.text, value);
		return;
	}
	buf_reserve(line, name.json.n + value.n + 1);
	at = line->p + line->n;
	memcpy(at, name.json.p, name.json.n);
	if (value.n)
		memcpy(at + name.json.n, value.p, value.n);
	at[name.json.n + value.n] = '"';
	line->n += name.json.n + value.n + 1;
}

/* printf form for messages without fields. */
void log_printf(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool log_enabled(enum log_level level);
/* The calling thread's lines are collected from now on and written together by log_flush; many of them, a warning, an
 * error or fatal write all at once. Who collects sees to it that what waits is written soon. */
void log_collect(bool on);
bool log_waits(void);
void log_flush(void);

#define log_debug(...)                                      \
	do {                                                \
		if (log_enabled(LOG_DEBUG))                 \
			log_printf(LOG_DEBUG, __VA_ARGS__); \
	} while (0)
#define log_info(...) log_printf(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_printf(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_printf(LOG_ERROR, __VA_ARGS__)

/* For what cannot happen or cannot be gone on from: logs and exits with 1. */
void fatal(const char *fmt, ...) PRINTF_LIKE(1, 2) NORETURN;
