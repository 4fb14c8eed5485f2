/* What a user may right now, asked of auth: for what acts for him while he is away. */
#pragma once

#include "agent/agent.h"

enum rights { RIGHTS_UNKNOWN, RIGHTS_GIVEN, RIGHTS_USER_GONE, RIGHTS_LOST };

struct rights_question;

/* Whether he has both permissions (the second may be NULL). on_answer comes once, later, unless it is cancelled;
 * RIGHTS_UNKNOWN: auth does not answer. who is in the arena, whole with RIGHTS_GIVEN only. */
typedef void rights_answer(void *arg, enum rights rights, const struct identity *who);
struct rights_question *rights_ask(struct agent *agent, struct arena *a, const char *user_id, const char *permission,
				   const char *second, rights_answer *on_answer, void *arg);
void rights_cancel(struct rights_question *q);
