/* What the file tools tell the model, and the replacing of a text: pure functions. */
#pragma once

#include "base/json.h"

/* The page of a folder that exec lists. */
void files_write_list(struct buf *out, yyjson_val *page);
/* The command that searched, as exec tells it. Returns whether it could search. */
bool files_write_found(struct buf *out, yyjson_val *command);
/* The lines from `from` on, counted from 1, at most `lines` (0 = as many as go in). */
void files_write_part(struct buf *out, struct str text, int64_t from, int64_t lines);
/* Appends `text` with `old` replaced by `new`: exactly one place, or all. *ret_changes is 0 with nothing appended when
 * is_repeated and only the new text is there. Returns 0 or -EINVAL with what the model can do about it. */
int files_replace(struct str text, struct str old, struct str new, bool is_all, bool is_repeated, struct buf *out,
		  unsigned *ret_changes, struct error *err);
