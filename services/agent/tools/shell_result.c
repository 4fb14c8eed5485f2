#include "agent/tools/shell_result.h"

#include <string.h>

static const struct {
	const char *status, *sentence;
} sentences[] = {
	{"timeout", "The command was stopped: it ran out of time."},
	{"cpu", "The command was stopped: it used up its CPU time."},
	{"quota", "The command was stopped: its workspace has too much in it. Remove files that are not needed."},
	{"oom", "The command was stopped: it used too much memory."},
	{"cancelled", "The command was cancelled."},
	{"lost", "The command service lost track of the command: it may not have run to its end."},
};

static const char *sentence_of(const char *status)
{
	for (size_t i = 0; i < ARRAY_SIZE(sentences); i++)
		if (strcmp(sentences[i].status, status) == 0)
			return sentences[i].sentence;
	return "The command did not run.";
}

void shell_result_write(const struct tool_result *r, struct clip *output, struct buf *out)
{
	if (strcmp(r->status, "exited") == 0)
		buf_printf(out, "Exit status: %d\n", r->exit_code);
	else if (strcmp(r->status, "signalled") == 0)
		buf_printf(out, "The command was killed by signal %s.\n", r->signal ? r->signal : "?");
	else
		buf_printf(out, "%s\n", sentence_of(r->status));
	if (r->message)
		buf_printf(out, "%s\n", r->message);
	if (output->total == 0)
		buf_add_str(out, "It wrote nothing.\n");
	else
		clip_write(output, out);
}
