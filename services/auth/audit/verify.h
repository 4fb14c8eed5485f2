/* Whether the audit log is as it was written. */
#pragma once

#include "audit/chain.h"

struct audit_check {
	int64_t rows, newest;       /* looked at; number of the last good one */
	char hash[SHA256_HEX_SIZE]; /* of that one */
	bool is_broken, is_done;
	int64_t broken_at; /* number of the row, or of the first that is missing */
	const char *what;  /* "changed", "removed", "inserted", "head" */
};

/* Inside a job: looks at the next `max` rows behind check->newest; begin with zeros, go on until is_done. 0 or -errno.
 */
int audit_check_some(struct db_conn *c, const struct audit_key *key, int64_t max, struct audit_check *check);
