/* The five tools of "files": the conversation's workspace through exec's API of files. */
#pragma once

#include "agent/tools/tools.h"

extern const struct tool tool_files_list;
extern const struct tool tool_files_read;
extern const struct tool tool_files_write;
extern const struct tool tool_files_edit;
extern const struct tool tool_files_search;
