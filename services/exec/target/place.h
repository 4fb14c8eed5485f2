/* The folder of ogent-target on a target:
 *
 *	workspaces/W/   the commands' folders; as root each is owned by a user id of its own
 *	uids            the next user id, locked (flock) while it is taken */
#pragma once

#include "spec.h"

/* Made if missing; `shared`: the commands' users must get through to their workspaces. 0 or -errno. */
int place_open(const char *path, bool shared, int *ret_fd);
/* Makes the command's workspace if it names one and it is new, and finds spec->uid: the workspace's owner, or as root
 * an id that no other has, from `first` upwards. 0 or -errno; -EPERM: the name is taken by something else. */
int place_prepare(int dir_fd, uid_t first, struct spec *spec);
