/* The two tools of "agents": another agent does a part of the work, or takes the conversation over. */
#pragma once

#include "agent/tools/tools.h"

extern const struct tool tool_call_agent;
extern const struct tool tool_hand_off;
