/* SQL text of several statements, one after the other. */
#pragma once

#include "base/str.h"

/* Cuts the first statement off `rest`, without its semicolon, surrounding blanks and comments in front of it. Returns
 * an empty text (p NULL) at the end. A semicolon in quotes ('…', "…", `…`) or in a comment ends nothing. */
struct str sql_cut(struct str *rest);
