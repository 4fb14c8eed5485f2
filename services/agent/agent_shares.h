/* Whom an agent is shared with: agents.shares, a JSON array of {role, rights}, where the role "*" is everyone and the
 * rights are "use", "edit" and "share". Its owner and whoever may agents.write_any may all that. Who has no right on an
 * agent cannot tell it from one that is not there. */
#pragma once

#include "base/json.h"
#include "service/token.h"

enum agent_right {
	AGENT_USE = 1,   /* sees it and talks to it; every right includes it */
	AGENT_EDIT = 2,  /* changes it */
	AGENT_SHARE = 4, /* gives others rights that he has */
	AGENT_OWN = 8,   /* archives it */
};

#define AGENT_SHARED_WITH_ALL "[{\"role\":\"*\",\"rights\":[\"use\"]}]"

/* A set of enum agent_right; 0 = none. owner_id may be NULL. Any thread. */
unsigned agent_rights(const struct identity *who, const char *owner_id, const char *shares);
/* The same of something else that is shared so: with this permission everybody's is open. */
unsigned shares_rights(const struct identity *who, const char *owner_id, const char *shares, const char *permission);
/* Whether {shares} can be sent so. Returns 0 or -1 with err. */
int shares_check(yyjson_val *body, struct error *err);
/* What a list of shares gives to anybody. */
unsigned shares_given(yyjson_val *shares);
/* Members "shared" (private, roles, everyone), "shares" and "rights". */
void agent_shares_add(struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *shares, unsigned rights);
