/* What is kept for how long: by the options, and for the runs of an agent by its setting `retention`, where that is
 * shorter. Nothing of a conversation that is to be kept goes. Worker thread, unless said. */
#pragma once

#include "base/id.h"
#include "base/json.h"
#include "base/options.h"
#include "data/db.h"

enum retention_kind {
	RETAIN_CONVERSATIONS,
	RETAIN_EXECUTIONS, /* ended; their messages stay in the conversation */
	RETAIN_RESULTS,    /* what tools gave to ended executions, in messages, events and at exec */
	RETAIN_EVENTS,     /* of ended executions, which stay */
	RETAIN_FIRINGS,    /* what became of the times of schedules */
	RETAIN_DELIVERIES, /* of webhooks */
	RETAIN_BATCHES,    /* ended, with their rows */
	RETAIN_USAGE,      /* days, which become months */
	RETAIN_KINDS
};
#define RETENTION_DAYS_MAX 36500
#define RETAIN_OF_AGENTS RETAIN_FIRINGS /* the kinds before it can be set for an agent */

/* As metrics and the preview name them, and their options. */
extern const char *const retention_kind_names[RETAIN_KINDS];
extern const char *const retention_options[RETAIN_KINDS];

/* What stands in place of a result that went. */
#define RETENTION_NOTE "(This result is not kept any longer.)"

/* Days; 0 = it stays. */
struct retention_of_agent {
	struct retention_of_agent *next;
	const char *agent_id;
	int64_t days[RETAIN_OF_AGENTS];
};

struct retention_rules {
	int64_t days[RETAIN_KINDS];
	struct retention_of_agent *agents; /* those with a setting */
};

/* Something that is to go. */
struct retention_found {
	char id[ID_SIZE]; /* of usage: its day */
	char user_id[65], conversation_id[ID_SIZE];
	int64_t at; /* how old it is, us */
};

/* How many rows are looked at in one turn. */
#define RETENTION_PAGE 100

/* Where a look through one kind is, and what it found. */
struct retention_look {
	enum retention_kind kind;
	char after[ID_SIZE]; /* "" = from the first on */
	bool has_more;
	struct retention_found found[RETENTION_PAGE];
	size_t n;
};

/* Those of the options. On any thread. */
void retention_rules_of(const struct options *o, struct retention_rules *ret);
/* Adds those of agents, in the arena. Returns 0 or -errno. */
int retention_rules_load(struct db_conn *c, struct arena *a, struct retention_rules *rules);
/* Something older goes (us); 0 = it stays. agent_id "" = of no agent. */
int64_t retention_cutoff(const struct retention_rules *rules, enum retention_kind kind, const char *agent_id,
			 int64_t now);
/* The next page. Returns 0 or -errno. */
int retention_find(struct db_conn *c, const struct retention_rules *rules, int64_t now, struct retention_look *look);

/* What an agent is set to: {conversation_days, execution_days, result_days, event_days}. Returns 0 or -EINVAL with a
 * sentence. */
int retention_setting_check(yyjson_val *setting, struct error *err);
