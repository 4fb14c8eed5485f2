/* What a command prints. Data goes to stdout, all else to stderr. On a terminal, control characters from models and
 * commands are left out, so that they cannot play with it; elsewhere the bytes are as they came. */
#pragma once

#include <stdio.h>

#include "base/json.h"

enum style { STYLE_PLAIN, STYLE_DIM, STYLE_BOLD, STYLE_RED };

/* Writes and flushes. When the reader of stdout has gone (`| head`) the program ends with 0. */
void out_text(struct str text);
void out_printf(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* The whole value as indented JSON, with a line's end. */
void out_json(const yyjson_val *v);
/* To stderr. Styles show on a terminal unless NO_COLOR is set, and everywhere with CLICOLOR_FORCE. */
void note_text(enum style style, struct str text);
void note_printf(enum style style, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Appends `s` without escape sequences and control characters (C1 ones too), but with its line breaks and tabs. */
void output_tame(struct str s, struct buf *b);

/* One line of at most `width` bytes: line breaks become blanks, what is cut is shown by an ellipsis. In the arena. */
const char *one_line(struct arena *a, const char *text, size_t width);
/* "2026-11-22 16:21" in local time, from RFC 3339. In the arena. */
const char *local_time(struct arena *a, const char *text);
