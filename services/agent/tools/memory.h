/* The four tools of "memory": what is remembered over conversations (memory/store.h). */
#pragma once

#include "agent/tools/tools.h"

extern const struct tool tool_memory_save;
extern const struct tool tool_memory_get;
extern const struct tool tool_memory_search;
extern const struct tool tool_memory_delete;
