/* What differs between two texts, by lines, as a unified diff (POSIX diff -u): hunks with three lines around, without
 * the two lines of file names. Takes at most a few MB whatever the texts are: where both differ in very many lines,
 * these are told as replaced as a whole. */
#pragma once

#include "base/buf.h"

/* Appends nothing when the texts are equal. */
void text_diff(struct str from, struct str to, struct buf *out);
