/* The errands of exec in a workspace of this host: the frames of errand.h's steps, answered one by one. */
#pragma once

#include "target/wire_errand.h"

struct errands {
	struct arena *kept, *arena; /* for all of it; for one step */
	struct errand_request req;
	struct snapshots on;
	struct errand errand;
	int dir_fd, lock_fd;
	uid_t uid_base;
	int failed; /* -errno: why there are no steps */
};

/* dir: of place.h. False: the request was none; nothing is open, and *ret_says is why. */
bool errands_open(struct errands *e, const char *dir, uid_t uid_base, struct str request, const char **ret_says);
/* Appends the answer. False: that was no step. */
bool errands_step(struct errands *e, struct str step, struct buf *out);
void errands_close(struct errands *e);
