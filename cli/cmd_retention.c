/* `ogent retention`: what is kept for how long, and what of it would go. */
#include <string.h>

#include "admin.h"

#define KINDS 8
static struct {
	const char *flag, *option, *days;
} tried[KINDS] = {
	{"conversation-days", "conversation_days"},
	{"execution-days", "execution_days"},
	{"result-days", "result_days"},
	{"event-days", "event_days"},
	{"schedule-history-days", "schedule_history_days"},
	{"delivery-days", "delivery_days"},
	{"batch-days", "batch_days"},
	{"usage-days", "usage_days"},
};

static void print_kind(struct admin *m, yyjson_val *item)
{
	long long days = json_get_int(item, "days", 0), agents = json_get_int(item, "agents", 0);

	out_printf("%-18s  %-21s  %10s  %6lld  %s%-9lld  %s\n", json_get_str(item, "kind", ""),
		   json_get_str(item, "option", ""), days ? arena_printf(m->a, "%lld days", days) : "for ever", agents,
		   json_get_bool(item, "at_least", false) ? ">" : " ", (long long)json_get_int(item, "count", 0),
		   json_get_str(item, "oldest_at", ""));
}

static int preview(struct admin *m)
{
	const char *path = "/api/retention", *sign = "?";

	for (size_t i = 0; i < KINDS; i++) {
		if (!tried[i].days)
			continue;
		path = arena_printf(m->a, "%s%s%s=%s", path, sign, tried[i].option, admin_escape(m, tried[i].days));
		sign = "&";
	}
	if (!m->is_json)
		note_printf(STYLE_DIM, "%-18s  %-21s  %10s  %6s   %-9s  %s\n", "kind", "option", "kept", "agents",
			    "would go", "the oldest is of");
	return admin_list(m, path, "Nothing is known.", print_kind);
}

int cmd_retention(const struct command *self, int argc, char **argv)
{
	static const struct admin_verb verbs[] = {{"preview", 0, 0, preview}};
	struct flag flags[KINDS];

	for (size_t i = 0; i < KINDS; i++)
		flags[i] = (struct flag){tried[i].flag, &tried[i].days};
	return admin_run(self, argc, argv, flags, KINDS, verbs, ARRAY_SIZE(verbs));
}
