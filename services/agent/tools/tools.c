#include "agent/tools/tools.h"

static const struct tool *const tools[] = {
	&tool_shell,
	&tool_ask_human,
};

const struct tool *tool_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(tools); i++)
		if (strcmp(tools[i]->spec.name, name) == 0)
			return tools[i];
	return NULL;
}

void tools_list_names(struct buf *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(tools); i++)
		buf_printf(out, "%s%s", i ? ", " : "", tools[i]->spec.name);
}
