/* What every way of signing in ends with: a session, notices to the user, an answer. */
#pragma once

#include "guard.h"
#include "sessions.h"

struct sign_in {
	/* Set by the way that was gone. */
	struct guard *guard;
	const char *user_id;
	int64_t failures;     /* of passwords in a row until now */
	const char *replaced; /* the session of the cookie that came along, or NULL: it ends */

	/* Results. */
	bool is_new_device;
	struct session_grant grant;
};

/* Inside a write job that has made sure that the user may sign in. 0 or -errno. */
int sign_in_save(struct db_conn *c, struct exchange *x, struct sign_in *s);
/* On the loop, when it is committed: log lines, cookies, 200 with the session. */
void sign_in_reply(struct exchange *x, struct sign_in *s);
