#include "agent/tools/tools.h"

#include "agent/tools/agents.h"
#include "agent/tools/files.h"
#include "agent/tools/memory.h"

#define GROUP_MAX 8

/* What an agent's list of tools names: one tool, or several that belong together. */
static const struct group {
	const char *name;
	const struct tool *tools[GROUP_MAX];
} groups[] = {
	{"shell", {&tool_shell}},
	{"files", {&tool_files_list, &tool_files_read, &tool_files_write, &tool_files_edit, &tool_files_search}},
	{"http_fetch", {&tool_http_fetch}},
	{"memory", {&tool_memory_save, &tool_memory_get, &tool_memory_search, &tool_memory_delete}},
	{"agents", {&tool_call_agent, &tool_hand_off}},
	{"ask_human", {&tool_ask_human}},
	{"knowledge_search", {&tool_knowledge_search}},
};

const struct tool *tool_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		for (size_t k = 0; k < GROUP_MAX && groups[i].tools[k]; k++)
			if (strcmp(groups[i].tools[k]->spec.name, name) == 0)
				return groups[i].tools[k];
	return NULL;
}

const struct tool *const *tool_group_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		if (strcmp(groups[i].name, name) == 0)
			return groups[i].tools;
	return NULL;
}

const char *tool_group_of(const struct tool *tool)
{
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		for (size_t k = 0; k < GROUP_MAX && groups[i].tools[k]; k++)
			if (groups[i].tools[k] == tool)
				return groups[i].name;
	return tool->spec.name;
}

void tools_list_names(struct buf *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		buf_printf(out, "%s%s", i ? ", " : "", groups[i].name);
}
