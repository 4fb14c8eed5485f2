/* What the model is told about a command that has ended. */
#pragma once

#include "agent/clip.h"
#include "agent/tools/tools.h"

/* Appends how it ended (of `r`: status, exit_code, signal, message) in words, then its output. */
void shell_result_write(const struct tool_result *r, struct clip *output, struct buf *out);
