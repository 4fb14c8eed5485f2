/* Whose approvals of risky calls need a second factor: the option approval_confirm. */
#pragma once

enum confirm_policy {
	CONFIRM_CHOSEN,      /* of who has chosen so for himself, and has one */
	CONFIRM_WITH_FACTOR, /* of everybody who has one */
	CONFIRM_ALWAYS       /* of everybody; who has none cannot approve */
};

enum confirm_policy confirm_policy_of(const char *name);
